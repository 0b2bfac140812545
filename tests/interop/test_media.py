"""Encrypted files between matrix-nio and Paraph's own client, by way of a real server."""

from __future__ import annotations

import io
from typing import Any

import pytest
from nio import DownloadResponse, RoomEncryptedFile, RoomSendResponse, UploadResponse
from nio.crypto.attachments import decrypt_attachment

from tests.interop.conftest import StartNio, StartPerson
from tests.interop.nio_party import expect
from tests.interop.party import meet
from tests.support.databases import on_both_databases

pytestmark = [pytest.mark.slow, on_both_databases]

FILE = b"a file of some length " * 10_000


async def test_files_go_both_ways(person: StartPerson, nio: StartNio) -> None:
    """Each uploads with its own code, and the other downloads and opens it."""
    ours, theirs = await person("file-person"), await nio("file-nio")
    room_id = await meet(ours, theirs)
    shown: list[Any] = []
    theirs.client.add_event_callback(lambda _room, event: shown.append(event), RoomEncryptedFile)
    await ours.step(0)
    await ours.person.send_file(room_id, FILE, name="ours.bin")
    for _ in range(10):
        await theirs.step(1000)
        if shown:
            break
    event = shown[0]
    assert event.body == "ours.bin"
    fetched = expect(await theirs.client.download(event.url), DownloadResponse)
    assert decrypt_attachment(fetched.body, event.key["k"], event.hashes["sha256"], event.iv) == FILE

    uploaded, keys = await theirs.client.upload(io.BytesIO(FILE), "application/octet-stream", encrypt=True)
    url = expect(uploaded, UploadResponse).content_uri
    content = {"msgtype": "m.file", "body": "theirs.bin", "file": keys | {"url": url}}
    sent = await theirs.client.room_send(room_id, "m.room.message", content, ignore_unverified_devices=True)
    event_id = expect(sent, RoomSendResponse).event_id
    await ours.read(room_id, event_id)
    (message,) = [m for m in await ours.person.messages(room_id) if m.event_id == event_id]
    assert await ours.person.download(message) == FILE
