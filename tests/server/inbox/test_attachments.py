"""Attachments: the ciphertext of a granting author's files, under the right grant, each on the record; nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import msgspec

from paraph.protocol import entry as protocol
from paraph.protocol.base64 import unb64url
from paraph.protocol.entry import commitment, private_leaf
from paraph.protocol.receipt import verify_receipt
from paraph.protocol.signing import document_hash
from paraph.tlog.merkle import leaf_hash
from tests.server.consent.support import DAY, SERVER, Device, PartnerParty, Person, World, world
from tests.server.inbox.drafting import code

VERBS = ["read", "read:attachments", "metadata"]
UPLOAD = "/_matrix/media/v3/upload"


class Album:
    """An author with a room, a partner that may have what she attaches there, and another person."""

    def __init__(self, here: World) -> None:
        self.here = here

    async def set(self, *, verbs: tuple[str, ...] = ("read", "read:attachments")) -> Album:
        self.author, self.other = await self.here.add_person("author"), await self.here.add_person("correspondent")
        self.partner = await self.here.add_partner(verbs=VERBS)
        self.room_id = await self.here.room(self.author, self.other)
        self.grant = await self.here.add_grant(self.author, self.partner, [self.room_id], verbs=list(verbs))
        return self

    async def upload(
        self, person: Person | None = None, *, room_id: str | None = "", device: Device | None = None, kind: str = ""
    ) -> str:
        """A new file's id; for the room unless told otherwise (None: for no room)."""
        device = device or (person or self.author).device
        self.here.clock.now += 1
        answer = await self.here.http.post(
            UPLOAD,
            content=b"ciphertext",
            headers={"authorization": f"Bearer {device.owner} {device.device_id}"}
            | ({"content-type": kind} if kind else {}),
            params={} if room_id is None else {"org.paraph.room_id": room_id or self.room_id},
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["content_uri"]).removeprefix(f"mxc://{SERVER}/")

    async def fetch(self, media_id: str, purpose: str = "films", partner: PartnerParty | None = None) -> httpx.Response:
        headers = (partner or self.partner).headers
        return await self.here.http.get(f"/inbox/v1/media/{media_id}", params={"purpose": purpose}, headers=headers)

    async def refused(self, media_id: str, **how: Any) -> str:
        """The code with which a file is refused; nothing is recorded."""
        before = len(await self.here.entries(self.author, "access"))
        answer = await self.fetch(media_id, **how)
        assert answer.status_code in (403, 404, 503), answer.text
        assert b"ciphertext" not in answer.content
        assert len(await self.here.entries(self.author, "access")) == before
        return code(answer)


def access_of(answer: httpx.Response) -> dict[str, Any]:
    """The entry that came with a file."""
    found: dict[str, Any] = msgspec.json.decode(unb64url(answer.headers["paraph-access"]))
    return found


async def test_an_attachment_goes_out_on_the_record(tmp_path: Path) -> None:
    """Its bytes, with an entry under the grant's label and the receipt that promises it; each time another entry."""
    async with world(tmp_path) as here:
        album = await Album(here).set()
        media_id = await album.upload()
        answer = await album.fetch(media_id)
        assert (answer.status_code, answer.content) == (200, b"ciphertext")
        assert answer.headers["content-type"] == "application/octet-stream"
        access = access_of(answer)
        assert access["entry"]["body"] == {
            "grant_id": album.grant["grant_id"],
            "purpose": "films",
            "room_id": album.room_id,
            "media_ids": [media_id],
        }
        key = protocol.grant_key(album.author.k, album.grant["grant_id"])
        label = protocol.access_label(key, access["week"])
        assert unb64url(access["label"]) == label
        openings = (unb64url(access[name]) for name in ("o1", "o2"))
        leaf = private_leaf(access["week"], label, commitment(access["entry"], *openings))
        ledger = here.ledger
        receipt = verify_receipt(access["receipt"], log=ledger.origin, receipt_key=ledger.receipts.public_key)
        assert unb64url(receipt.leaf) == leaf_hash(leaf)
        assert "seq" not in access
        await album.fetch(media_id)
        assert len(await here.entries(album.author, "access")) == 2


async def test_only_the_authors_own_files_of_covered_rooms_go_out(tmp_path: Path) -> None:
    """Not the correspondent's, not other rooms', not files for no room, not what is uploaded as a readable kind."""
    async with world(tmp_path) as here:
        album = await Album(here).set()
        elsewhere = await here.room(album.author, album.other)
        for media_id in (
            await album.upload(album.other),
            await album.upload(room_id=elsewhere),
            await album.upload(room_id=None),
            await album.upload(kind="image/png"),
            "unknown",
        ):
            assert await album.refused(media_id) == "no-such-file"
        mine = await album.upload()
        assert await album.refused(mine, purpose="reminders") == "purpose-not-granted"
        tempo = await here.add_partner("tempo", verbs=VERBS)
        assert await album.refused(mine, partner=tempo) == "no-such-file"
        assert (await album.fetch(mine)).status_code == 200
        assert code(await album.fetch(mine, purpose="")) == "bad-parameter"


async def test_the_verb_decides(tmp_path: Path) -> None:
    """Reading messages is no leave to open what is attached to them."""
    async with world(tmp_path) as here:
        album = await Album(here).set(verbs=("read", "metadata"))
        assert await album.refused(await album.upload()) == "no-such-file"


async def test_only_what_was_uploaded_under_the_grant_goes_out(tmp_path: Path) -> None:
    """Not before it, unless its history says so; not while it was paused; not from a device that never enrolled."""
    async with world(tmp_path) as here:
        album = await Album(here).set()
        stray = await here.add_device(album.author)
        assert await album.refused(await album.upload(device=stray)) == "no-such-file"
        early = await album.upload()
        tempo = await here.add_partner("tempo", verbs=VERBS)
        since = here.clock.now
        late = await album.upload()
        await here.add_grant(album.author, tempo, [album.room_id], verbs=["read:attachments"], history=since + 1)
        assert await album.refused(early, partner=tempo) == "no-such-file"
        assert (await album.fetch(late, partner=tempo)).status_code == 200
        pause = {"op": "pause", "pause_id": "A" * 43}
        paused = here.amendment(album.author, album.grant, pause)
        assert (await here.amend(album.author, album.grant, paused)).status_code == 200
        assert await album.refused(early) == "no-such-file"
        meanwhile = await album.upload()
        resumed = here.amendment(
            album.author, album.grant, {"op": "resume", "pause_id": "A" * 43}, previous=document_hash(paused)
        )
        assert (await here.amend(album.author, album.grant, resumed)).status_code == 200
        assert await album.refused(meanwhile) == "no-such-file"
        assert (await album.fetch(early)).status_code == 200


async def test_revoking_leaving_and_closing_end_it_at_once(tmp_path: Path) -> None:
    """The next request is refused, whatever was fetched before."""
    async with world(tmp_path) as here:
        album = await Album(here).set()
        media_id = await album.upload()
        assert (await album.fetch(media_id)).status_code == 200
        other, state = album.other, "org.paraph.closed"
        for closed in (True, False):
            await here.messenger.sending.set_state(
                other.device.principal, album.room_id, state, other.user_id, {"closed": closed}
            )
            found = await album.fetch(media_id)
            assert (found.status_code, closed) in ((403, True), (200, False))
        await here.revoke(album.author, album.grant)
        assert await album.refused(media_id) == "no-such-file"
        await here.add_grant(album.author, album.partner, [album.room_id], verbs=["read:attachments"])
        media_id = await album.upload()
        assert (await album.fetch(media_id)).status_code == 200
        await here.messenger.memberships.leave(album.author.device.principal, album.room_id)
        assert await album.refused(media_id) == "no-such-file"


async def test_an_expired_grant_and_a_late_log_give_nothing(tmp_path: Path) -> None:
    """Neither when time has ended the grant, nor while the log does not keep up."""
    async with world(tmp_path) as here:
        album = await Album(here).set()
        media_id = await album.upload()
        await here.ledger.stop()
        here.clock.now += 20 * 60_000
        await here.authenticate(album.partner)
        assert await album.refused(media_id) == "log-not-fresh"
    async with world(tmp_path / "again") as here:
        album = await Album(here).set()
        media_id = await album.upload()
        await here.pass_to(here.clock.now + 31 * DAY)
        await here.authenticate(album.partner)
        assert await album.refused(media_id) == "no-such-file"
