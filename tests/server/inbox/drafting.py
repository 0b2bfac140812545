"""Drafts as partners and authors make and answer them, over HTTP; the ciphertext is opaque here."""

import itertools
import secrets
from pathlib import Path
from typing import Any

import httpx

from paraph.protocol.base64 import b64url
from paraph.server.http import MatrixError
from tests.server.consent.support import DAY, Device, PartnerParty, Person, World, olm

VERBS = ["metadata", "read", "write:draft", "delete:via-partner", "delete:authored"]
_serial = itertools.count(1)


class Desk:
    """An author who lets a partner leave drafts in a room with a correspondent."""

    def __init__(self, here: World) -> None:
        self.here = here

    async def set(self, *, verbs: tuple[str, ...] = ("write:draft",), slug: str = "marquee") -> "Desk":
        self.author, self.other = await self.here.add_person("author"), await self.here.add_person("correspondent")
        self.partner = await self.here.add_partner(slug, verbs=VERBS)
        self.device = await self.here.add_partner_device(self.partner)
        self.room_id = await self.here.room(self.author, self.other)
        self.grant = await self.here.add_grant(self.author, self.partner, [self.room_id], verbs=list(verbs))
        return self

    async def second_device(self) -> Device:
        """Another enrolled device of the author."""
        device = await self.here.add_device(self.author)
        assert (await self.here.enrol(self.author, device)).status_code == 200
        return device

    def document(self, *devices: Device, by: Device | None = None, **changes: Any) -> dict[str, Any]:
        """A signed draft for these devices of the author, or her first one."""
        by = by or self.device
        now = self.here.clock.now
        document = {
            "type": "org.paraph.draft",
            "draft_id": f"dr_{b64url(secrets.token_bytes(16))}",
            "grant_id": self.grant["grant_id"],
            "partner": self.partner.slug,
            "device_id": by.device_id,
            "created": now,
            "expires": now + DAY,
            "recipients": [
                {"device_id": device.device_id, "content": olm(by, device)}
                for device in devices or (self.author.device,)
            ],
        } | changes
        return by.sign(document)

    async def post(self, document: dict[str, Any], partner: PartnerParty | None = None) -> httpx.Response:
        """Leave a draft."""
        headers = (partner or self.partner).headers
        return await self.here.http.post("/inbox/v1/drafts", json={"draft": document}, headers=headers)

    async def left(self, *devices: Device, **changes: Any) -> str:
        """Leave a good draft; its id."""
        answer = await self.post(self.document(*devices, **changes))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["draft_id"])

    async def told(self, draft_id: str, partner: PartnerParty | None = None) -> dict[str, Any]:
        """What the partner is told of a draft."""
        headers = (partner or self.partner).headers
        answer = await self.here.http.get(f"/inbox/v1/drafts/{draft_id}", headers=headers)
        return dict(answer.json())

    async def status(self, draft_id: str) -> str:
        """What has become of a draft, as its partner is told."""
        return str((await self.told(draft_id))["status"])

    async def withdraw(self, draft_id: str) -> httpx.Response:
        """Take a draft back."""
        return await self.here.http.delete(f"/inbox/v1/drafts/{draft_id}", headers=self.partner.headers)

    async def listed(self, device: Device | None = None) -> list[dict[str, Any]]:
        """The drafts that a device is shown."""
        answer = await self.here.get("/_paraph/v1/drafts", device or self.author.device)
        return list(answer.json()["drafts"])

    async def claim(self, draft_id: str, device: Device | None = None) -> httpx.Response:
        """Claim a draft as a device."""
        return await self.here.post(f"/_paraph/v1/drafts/{draft_id}/claim", {}, device or self.author.device)

    async def decline(self, draft_id: str, device: Device | None = None, **body: Any) -> httpx.Response:
        """Decline a draft as a device."""
        return await self.here.post(f"/_paraph/v1/drafts/{draft_id}/decline", body, device or self.author.device)

    async def seal(
        self,
        draft_id: str,
        *,
        device: Device | None = None,
        person: Person | None = None,
        room_id: str | None = None,
        txn_id: str | None = None,
        via: Any = None,
    ) -> str:
        """Send a message that says it seals the draft; its event id."""
        person = person or self.author
        device = device or person.device
        version = (await self.here.get("/_paraph/v1/grants", device)).json()["version"]
        content = {
            "algorithm": "m.megolm.v1.aes-sha2",
            "ciphertext": f"opaque{next(_serial)}",
            "device_id": device.device_id,
            "sender_key": device.curve25519,
            "session_id": "session",
            "org.paraph.grants": version,
            "org.paraph.via": via or {"partner": self.partner.slug, "draft_id": draft_id},
        }
        sending = self.here.messenger.sending
        return await sending.send(
            device.principal, room_id or self.room_id, "m.room.encrypted", txn_id or draft_id, content
        )

    async def refused(self, draft_id: str, **how: Any) -> str:
        """The code with which sealing is refused."""
        try:
            event_id = await self.seal(draft_id, **how)
        except MatrixError as error:
            return error.code
        raise AssertionError(f"the draft was sealed as {event_id}")

    async def sealed(self, draft_id: str, device: Device | None = None) -> str:
        """Claim and seal a draft; the event's id."""
        assert (await self.claim(draft_id, device)).status_code == 200
        return await self.seal(draft_id, device=device)

    async def texts(self) -> list[dict[str, Any]]:
        """The encrypted events in the room."""
        found = await self.here.database.read(
            lambda tx: self.here.messenger.encrypted_events(tx, self.room_id, [self.author.user_id], 0, 100)
        )
        return [event.event for event in found]

    def stored(self, path: Path) -> bytes:
        """Every byte of the database's files."""
        return b"".join(file.read_bytes() for file in sorted(path.glob("paraph.db*")))


def code(answer: httpx.Response) -> str:
    """The error of an answer, in whichever shape."""
    body = answer.json()
    return str(body.get("errcode") or body.get("type", "").removeprefix("urn:paraph:problem:"))
