"""What a partner looks at besides messages, with the SDK on both sides of a whole platform."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from paraph.protocol.base64 import b64url, unb64url
from paraph.sdk import MediaError, Message, ProblemError, ReceiptError
from paraph.sdk.media import EncryptedFile, address_of, file_of
from tests.sdk.stage import PURPOSE, Stage, stage

pytestmark = pytest.mark.slow

FILE = b"what the picture shows " * 1000


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def opened(here: Stage) -> list[Message]:
    """What the partner reads in the room and can open."""
    await here.partner.poll()
    page = await here.partner.messages(here.room_id, PURPOSE)
    return [message for message in page.messages if message.undecryptable is None]


async def blobs(here: Stage) -> dict[str, bytes]:
    """Every file on the platform's disk, by id."""
    folder = here.server.settings.data / "media"
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_partner_opens_the_authors_attachment(here: Stage) -> None:
    """The message gives the key, the platform the bytes, and the author's own list says so."""
    await here.grant("read", "read:attachments")
    await here.author.send_file(here.room_id, FILE, name="holiday.png")
    (message,) = await opened(here)
    assert message.body == "holiday.png"
    assert await here.partner.download(message, PURPOSE) == FILE
    entries = [entry for entry in await here.author.entries(prove=True) if "media_ids" in entry.body]
    assert [entry.body["media_ids"] for entry in entries] == [[address_of(file_of(message).url)[1]]]
    history = await here.author.history()
    (verdict,) = [one.did_open for one in history.report.partners]
    assert (verdict.messages, verdict.files) == (1, 1)


async def test_without_the_messages_key_the_bytes_open_nothing(here: Stage) -> None:
    """All files on the platform's disk and all keys the partner ever received open exactly the granted ones.

    The correspondent's file, and the author's from before the grant, stay closed whoever has their bytes.
    """
    before = await here.author.send_file(here.room_id, b"before " * 100, name="before")
    await here.grant("read", "read:attachments")
    await here.author.send_file(here.room_id, FILE, name="granted")
    await here.correspondent.sync()
    await here.correspondent.send_file(here.room_id, b"theirs " * 100, name="theirs")
    everything, messages = await blobs(here), await opened(here)
    assert len(everything) == 3
    keys = [file_of(message) for message in messages]
    read = set()
    for sealed in keys:
        for ciphertext in everything.values():
            try:
                read.add(sealed.open(ciphertext))
            except MediaError:
                forced = EncryptedFile(sealed.url, sealed.key, sealed.iv, _sha256(ciphertext)).open(ciphertext)
                assert b"before " not in forced
                assert b"theirs " not in forced
    assert read == {FILE}
    for ciphertext in everything.values():
        assert not any(word in ciphertext for word in (b"before ", b"theirs ", b"picture"))
    assert before


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def test_read_alone_opens_no_attachment(here: Stage) -> None:
    """The key rides inside the message; that the bytes are withheld is the platform's check."""
    await here.grant("read")
    await here.author.send_file(here.room_id, FILE)
    (message,) = await opened(here)
    with pytest.raises(ProblemError) as error:
        await here.partner.download(message, PURPOSE)
    assert error.value.kind.endswith("no-such-file")


async def test_after_the_revocation_nothing_is_handed_out(here: Stage) -> None:
    """Even of a message that was read before."""
    grant_id = await here.grant("read", "read:attachments")
    await here.author.send_file(here.room_id, FILE)
    (message,) = await opened(here)
    await here.author.revoke(grant_id)
    with pytest.raises(ProblemError):
        await here.partner.download(message, PURPOSE)


async def test_a_partner_is_told_of_conversations_and_friends(here: Stage) -> None:
    """Under the grant that says so; the author's list names each answer."""
    grant_id = await here.grant("metadata", "friends")
    (conversation,) = await here.partner.metadata(grant_id, PURPOSE)
    assert (conversation.room_id, conversation.members, conversation.last_message) == (here.room_id, 2, None)
    assert await here.partner.friends(grant_id, PURPOSE) == []
    await here.correspondent.list_me(listed=True)
    assert await here.partner.friends(grant_id, PURPOSE) == list(conversation.correspondents)
    bodies = [entry.body for entry in await here.author.entries() if entry.kind == "access"]
    assert [sorted(set(body) - {"grant_id", "purpose"}) for body in bodies] == [["room_ids"], ["friends"], ["friends"]]


Lie = Callable[[dict[str, Any]], None]


def _drop_receipt(access: dict[str, Any]) -> None:
    del access["receipt"]


def _another_file(access: dict[str, Any]) -> None:
    access["entry"]["body"]["media_ids"] = ["another"]


def _another_purpose(access: dict[str, Any]) -> None:
    access["entry"]["body"]["purpose"] = "advertising"


def _another_opening(access: dict[str, Any]) -> None:
    access["o2"] = b64url(bytes(32))


def _another_label(access: dict[str, Any]) -> None:
    access["label"] = b64url(bytes(32))


def _as_messages(access: dict[str, Any]) -> None:
    body = access["entry"]["body"]
    body["event_ids"] = body.pop("media_ids")


class Liar(httpx.AsyncBaseTransport):
    """A platform that changes the access entry of an attachment; keeps what it answered last."""

    def __init__(self, here: Stage) -> None:
        self._within = here.between
        self.lie: Lie | None = None
        self.again: str | None = None
        self.last = ""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._within.handle_async_request(request)
        if not request.url.path.startswith("/inbox/v1/media/") or answer.status_code != 200:
            return answer
        content = await answer.aread()
        access = json.loads(unb64url(answer.headers["paraph-access"]))
        if self.lie is not None:
            self.lie(access)
        header = self.again or b64url(msgspec.json.encode(access))
        self.last = header
        return httpx.Response(200, content=content, headers={"paraph-access": header})


async def test_attachments_without_a_fitting_receipt_are_refused(here: Stage) -> None:
    """No receipt, another file, purpose, opening or label, an entry of messages, one shown before, none at all."""
    await here.grant("read", "read:attachments")
    await here.author.send_file(here.room_id, FILE)
    (message,) = await opened(here)
    liar = Liar(here)
    here.partner._transport._client = httpx.AsyncClient(transport=liar, base_url=here.server.settings.base_url)
    for lie in (_drop_receipt, _another_file, _another_purpose, _another_opening, _another_label, _as_messages):
        liar.lie = lie
        with pytest.raises(ReceiptError):
            await here.partner.download(message, PURPOSE)
    liar.lie = None
    assert await here.partner.download(message, PURPOSE) == FILE
    for header in (liar.last, "!"):
        liar.again = header
        with pytest.raises(ReceiptError):
            await here.partner.download(message, PURPOSE)


async def test_other_bytes_than_the_authors_are_refused(here: Stage) -> None:
    """A platform that hands out another file is found out by the hash in the message."""
    await here.grant("read", "read:attachments")
    await here.author.send_file(here.room_id, FILE)
    (message,) = await opened(here)
    (path,) = [path for path in (here.server.settings.data / "media").rglob("*") if path.is_file()]
    path.write_bytes(bytes(len(FILE)))
    with pytest.raises(MediaError):
        await here.partner.download(message, PURPOSE)
