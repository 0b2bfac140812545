"""What a partner does in an author's name, as far as she let it: drafts for her devices to seal, and deletes.

A draft is sealed for each of the author's enrolled devices, so that nobody else, the platform included, learns where it
is to go and what it says. Every answer carries the entries about it with their receipts, as reads do.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paraph.protocol.base64 import b64url
from paraph.protocol.documents import parse, to_document
from paraph.protocol.draft import TYPE, WRITE_DRAFT, DraftBody
from paraph.protocol.draft import Draft as Document
from paraph.protocol.errors import ProtocolError
from paraph.protocol.limits import DAY_MS
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import KeysClaim, Peer
from paraph.sdk.errors import DraftError, ReceiptError
from paraph.sdk.keystore import Records
from paraph.sdk.log.receipts import LedgerEntry, OtherKeyError, ReceiptKey
from paraph.sdk.partner.auth import PartnerAuth
from paraph.sdk.partner.inbox import GrantBook, HeldGrant
from paraph.sdk.partner.looks import under
from paraph.sdk.partner.platform_log import PlatformLog
from paraph.sdk.transport import path

SHOWN = "act-shown"
STATUSES = frozenset({"queued", "claimed", "sealed", "declined", "expired", "withdrawn"})
DAYS = 7


@dataclass(frozen=True, slots=True)
class DraftStatus:
    """What has become of a draft. `devices_reached` False: no device of the author has been online for it yet.

    Room and event are those of the message that it became; `reason` is the author's, where she declined with one.
    """

    draft_id: str
    grant_id: str
    status: str
    devices_reached: bool
    expires: int
    room_id: str | None
    event_id: str | None
    reason: str | None
    entries: tuple[LedgerEntry, ...] = field(default=(), repr=False)


class Acts:
    """Drafts and deletes of one partner device. `grants(id)` looks at one grant anew; `only` as for `Reader`."""

    def __init__(
        self,
        auth: PartnerAuth,
        grants: Callable[[str], Awaitable[list[str]]],
        records: Records,
        engine: DeviceEngine,
        book: GrantBook,
        platform: PlatformLog,
        now: Callable[[], int],
        *,
        only: str | None = None,
    ) -> None:
        self._call = auth.call
        self._only = only
        self._grants = grants
        self._records = records
        self._engine = engine
        self._book = book
        self._platform = platform
        self._now = now

    async def leave(
        self, grant_id: str, room_id: str, content: str | Mapping[str, Any], expires: int | None
    ) -> DraftStatus:
        """Leave a draft; see `Partner.draft`."""
        content = {"msgtype": "m.text", "body": content} if isinstance(content, str) else content
        key = await self._platform.receipt_key()
        draft_id = "dr_" + b64url(os.urandom(16))
        inside = to_document(_body({"draft_id": draft_id, "room_id": room_id, "content": dict(content)}))
        held = await self._held(grant_id, room_id)
        document = await self._sealed(held, draft_id, inside, expires)
        answer = await self._call("POST", "/inbox/v1/drafts", {"draft": document}, idempotent=True)
        return await self._told(answer, draft_id, key)

    async def status(self, draft_id: str) -> DraftStatus:
        """Ask after a draft."""
        key = await self._platform.receipt_key()
        return await self._told(await self._call("GET", path("/inbox/v1/drafts/{}", draft_id)), draft_id, key)

    async def withdraw(self, draft_id: str) -> DraftStatus:
        """Take a draft back."""
        key = await self._platform.receipt_key()
        url = path("/inbox/v1/drafts/{}", draft_id)
        return await self._told(await self._call("DELETE", url, idempotent=True), draft_id, key)

    async def delete(self, room_id: str, event_id: str, purpose: str, reason: str | None) -> LedgerEntry:
        """Delete a message; see `Partner.delete`."""
        key = await self._platform.receipt_key()
        url = path("/inbox/v1/rooms/{}/messages/{}/delete", room_id, event_id)
        body = {"purpose": purpose} | ({} if reason is None else {"reason": reason})
        answer = await self._call("POST", url, body, idempotent=True)
        said = {"room_id": room_id, "event_id": event_id, "redaction_id": answer.get("redaction_id")}
        said |= under(self._only)
        return (await self._taken([answer.get("entry")], "delete", said, key))[0]

    # Inside

    async def _held(self, grant_id: str, room_id: str) -> HeldGrant:
        """The grant as it is now, with the author's present devices. Raises DraftError."""
        live = await self._grants(grant_id)
        held = self._book.held(grant_id) if grant_id in live else None
        if held is None or WRITE_DRAFT not in held.verbs or not held.covers(room_id):
            raise DraftError(f"{grant_id} does not let this partner leave drafts for {room_id}")
        return held

    async def _sealed(
        self, held: HeldGrant, draft_id: str, inside: dict[str, Any], expires: int | None
    ) -> dict[str, Any]:
        """The signed document, with what is inside sealed for each of the author's devices."""
        peers = self._devices(held.person)
        await self._claim(held, peers)
        now = self._now()
        with self._records.step():
            recipients = [
                {"device_id": peer.device_id, "content": self._engine.olm.encrypt(peer, TYPE, inside)}
                for peer in peers
                if self._engine.olm.has(peer)
            ]
            if not recipients:
                raise DraftError(f"no device of {held.person} can be reached now")
            document = {
                "type": TYPE,
                "draft_id": draft_id,
                "grant_id": held.grant_id,
                "partner": self._book.slug,
                "device_id": self._engine.device_id,
                "created": now,
                "expires": min(now + DAYS * DAY_MS, held.until) if expires is None else expires,
                "recipients": recipients,
            }
            signed = self._engine.account.signed(document)
            parse(Document, signed)
        return signed

    def _devices(self, person: str) -> list[Peer]:
        user = self._engine.users.get(person)
        return [] if user is None else [device.peer for device in user.recipients()]

    async def _claim(self, held: HeldGrant, peers: list[Peer]) -> None:
        """Begin Olm sessions with those devices that have none with this one."""
        wanted = self._engine.claim(peers, self._now())
        if wanted is None:
            return
        body = {"grant_id": held.grant_id, "devices": [peer.device_id for peer in wanted.peers]}
        answer = await self._call("POST", "/inbox/v1/claim-keys", body)
        response = {"one_time_keys": {held.person: answer.get("one_time_keys")}}
        with self._records.step():
            self._engine.answer(KeysClaim(wanted.peers), response, self._now())

    async def _told(self, answer: Mapping[str, Any], draft_id: str, key: ReceiptKey) -> DraftStatus:
        """The answer about a draft, its entries checked. Raises ReceiptError."""
        grant_id, status, event_id = answer.get("grant_id"), answer.get("status"), answer.get("event_id")
        if answer.get("draft_id") != draft_id or status not in STATUSES or self._book.held(str(grant_id)) is None:
            raise ReceiptError("the answer is about another draft, or says nothing that is known of one")
        entries = await self._taken(answer.get("entries"), "draft", {"grant_id": grant_id, "draft_id": draft_id}, key)
        _check_story(entries, str(status), event_id)
        return DraftStatus(
            draft_id,
            str(grant_id),
            str(status),
            answer.get("devices_reached") is True,
            int(answer["expires"]),
            answer.get("room_id"),
            event_id,
            answer.get("reason"),
            entries,
        )

    async def _taken(
        self, rendered: Any, kind: str, said: Mapping[str, Any], key: ReceiptKey
    ) -> tuple[LedgerEntry, ...]:
        """Entries and receipts, checked; the receipts are kept until the log has what they promise."""
        if not isinstance(rendered, list):
            raise ReceiptError("the answer has no list of entries")
        try:
            entries = [self._book.check_act(item, kind, said, key) for item in rendered]
        except OtherKeyError:
            key = await self._platform.other_receipt_key()
            entries = [self._book.check_act(item, kind, said, key) for item in rendered]
        keep = await self._platform.keep()
        with self._records.step():
            for entry, item in zip(entries, rendered, strict=True):
                if self._records.get(SHOWN, entry.leaf.hex(), bool) is None:
                    self._records.put(SHOWN, entry.leaf.hex(), True)
                    keep(entry, item["receipt"], key)
        return tuple(entries)


def _body(value: dict[str, Any]) -> DraftBody:
    try:
        return parse(DraftBody, value)
    except ProtocolError as error:
        raise DraftError(f"this is nothing that a draft can say: {error}") from error


def _check_story(entries: tuple[LedgerEntry, ...], status: str, event_id: object) -> None:
    """The entries say what the answer says: left and, once it is settled, how. Raises ReceiptError."""
    told = [str(entry.body["status"]) for entry in entries]
    open_ = told == ["queued"] and status in ("queued", "claimed", "expired")  # its time ends it before a record does
    if not open_ and told != ["queued", status]:
        raise ReceiptError(f"the entries about a draft say {told}, and the answer {status!r}")
    if status == "sealed" and entries[-1].body["event_id"] != event_id:
        raise ReceiptError("the entry names another event than the answer")
