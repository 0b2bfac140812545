"""Uploading: whole files or nothing, within bounds, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from paraph.server.http import PersonPrincipal
from paraph.server.media import service
from paraph.server.media.model import Incoming
from paraph.server.storage import StorageError, Transaction
from tests.server.media.repository import CREATE, NEW, SERVER, UPLOAD, Bounds, Repository, repository

AUTHOR = PersonPrincipal(f"@author:{SERVER}", "author-device")


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def breaks_off(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise ConnectionError("gone")


async def test_what_was_uploaded_is_what_is_downloaded(here: Repository) -> None:
    """Byte for byte, in however many pieces it came, by anybody with an account who knows the address."""
    for content in (b"", b"x", b"piece" * 70_000):
        name = await here.kept(pieces(content[:7], content[7:3000], content[3000:]))
        answer = await here.download(name)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-length"] == str(len(content))
        assert answer.headers["content-type"] == "application/octet-stream"
    assert (await here.http.get(f"{NEW}/download/{SERVER}/{name}")).status_code == 401


async def test_a_file_is_on_disk_and_not_in_the_database(here: Repository, tmp_path: Path) -> None:
    """Named by its id, for the server's account alone; the row knows whose it is and for which room."""
    name = await here.kept(b"ciphertext", **{"org.paraph.room_id": "!room:example.org", "filename": "a/b\x07.bin"})
    path = here.folder / name[:2] / name
    assert path.read_bytes() == b"ciphertext"
    assert (path.stat().st_mode & 0o777, here.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    row = await here.row(name)
    assert row is not None
    assert (row.owner, row.device_id, row.size) == ("@author:example.org", "author-device", 10)
    assert (row.room_id, row.file_name, row.ts) == ("!room:example.org", "b.bin", here.clock.now)
    assert row.position is not None
    for stored in tmp_path.glob("paraph.db*"):
        assert b"ciphertext" not in stored.read_bytes()


async def test_sizes_are_bounded_announced_or_not(here: Repository) -> None:
    """One byte too many is refused and leaves nothing, with and without a Content-Length."""
    most = Bounds().max_upload_bytes
    assert (await here.upload(b"x" * most)).status_code == 200
    for content in (b"x" * (most + 1), pieces(b"x" * most, b"x")):
        answer = await here.upload(content)
        assert (answer.status_code, answer.json()["errcode"]) == (413, "M_TOO_LARGE")
    assert len(here.files()) == 1
    for url in (f"{NEW}/config", "/_matrix/media/v3/config"):
        assert (await here.ask("GET", url)).json() == {"m.upload.size": most}


async def test_an_account_has_so_much_room(here: Repository) -> None:
    """Beyond the quota nothing is taken, two uploads at once included; others have their own."""
    for _ in range(2):
        await here.kept(b"x" * 400_000)
    both = await asyncio.gather(*(here.upload(pieces(b"x" * 150_000)) for _ in range(2)))
    assert sorted(answer.status_code for answer in both) == [200, 403]
    refused = await here.upload(b"x" * 50_001)
    assert refused.json()["errcode"] == "M_FORBIDDEN"
    assert len(here.files()) == 3
    assert (await here.upload(b"x" * 50_000)).status_code == 200
    assert (await here.upload(b"x" * 50_001, "other")).status_code == 200


async def test_an_announced_file_is_filled_once_by_whoever_announced_it(here: Repository) -> None:
    """Others, a second time, other servers' names and names that were never given out are refused."""
    name = await here.announced()
    assert (await here.download(name)).json()["errcode"] == "M_NOT_YET_UPLOADED"
    assert (await here.fill(name, b"theirs", "other")).json()["errcode"] == "M_FORBIDDEN"
    assert (await here.fill(name, b"hers")).json() == {}
    again = await here.fill(name, b"changed")
    assert (again.status_code, again.json()["errcode"]) == (409, "M_CANNOT_OVERWRITE_MEDIA")
    assert (await here.download(name)).content == b"hers"
    for url in (f"{UPLOAD}/elsewhere.org/{name}", f"{UPLOAD}/{SERVER}/{'A' * 32}"):
        assert (await here.ask("PUT", url, content=b"x")).status_code == 404


async def test_of_two_who_fill_at_once_one_does(here: Repository) -> None:
    """The second is refused before its first byte; one that broke off leaves the way free."""
    name, begun, waiting = await here.announced(), asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        begun.set()
        yield b"first"
        await waiting.wait()
        yield b" and last"

    first = asyncio.create_task(here.media.fill(AUTHOR, SERVER, name, Incoming(slow())))
    await begun.wait()
    assert (await here.fill(name, b"second")).status_code == 409
    waiting.set()
    await first
    assert (await here.download(name)).content == b"first and last"
    broken = await here.announced()
    assert (await here.fill(broken, pieces(b"x" * 400_001))).status_code == 413
    assert (await here.fill(broken, b"whole")).status_code == 200


async def test_a_download_waits_for_bytes_on_their_way(here: Repository) -> None:
    """It is woken by the upload; without one it ends when it said."""
    name = await here.announced()
    waiting = asyncio.create_task(here.download(name, params={"timeout_ms": "20000"}))
    while name not in here.media._waiting:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await here.fill(name, b"here")
    assert (await waiting).content == b"here"
    assert here.media._waiting == {}
    other = await here.announced()
    answer = await here.download(other, params={"timeout_ms": "20"})
    assert (answer.status_code, answer.json()["errcode"]) == (504, "M_NOT_YET_UPLOADED")


async def test_so_many_files_are_announced_at_one_time(here: Repository) -> None:
    """Beyond that the client is to wait; those that ran out count no more."""
    for _ in range(service.MAX_AWAITED):
        await here.announced()
    refused = await here.ask("POST", CREATE)
    assert (refused.status_code, refused.json()["errcode"]) == (429, "M_LIMIT_EXCEEDED")
    assert (await here.upload(b"x")).status_code == 429
    assert (await here.ask("POST", CREATE, "other")).status_code == 200
    here.clock.now += service.AWAITED_FOR_MS
    assert (await here.ask("POST", CREATE)).status_code == 200


async def test_what_was_announced_and_never_came_is_removed(here: Repository) -> None:
    """After a day; what came stays."""
    kept, awaited, filled = await here.kept(b"kept"), await here.announced(), await here.announced()
    await here.fill(filled, b"filled")
    assert await here.media.sweep() == 0
    here.clock.now += service.AWAITED_FOR_MS
    assert (await here.fill(awaited, b"late")).status_code == 404
    assert (await here.download(awaited)).status_code == 404
    assert await here.media.sweep() == 1
    assert here.files() == sorted([kept, filled])
    assert await here.media.sweep() == 0


async def test_a_broken_upload_leaves_nothing_for_ever(here: Repository) -> None:
    """Neither when the client goes in the middle, nor when the database fails after the file was written."""
    with pytest.raises(ConnectionError):
        await here.media.upload(AUTHOR, Incoming(breaks_off(b"x" * 300_000)))
    assert here.files() == []
    write = here.database.write

    async def fails_at_the_end(fn: Any) -> Any:
        if fn.__name__ == "complete":
            raise StorageError("the disk is full")
        return await write(fn)

    here.database.write = fails_at_the_end  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        await here.media.upload(AUTHOR, Incoming(pieces(b"whole")))
    here.database.write = write  # type: ignore[method-assign]
    assert len(here.files()) == 1
    here.clock.now += service.LEASE_MS
    assert await here.media.sweep() == 2
    assert here.files() == []


async def test_bytes_that_come_too_slowly_are_given_up(here: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease outlasts the upload, so nobody else writes the file meanwhile."""
    assert service.UPLOAD_WITHIN * 1000 < service.LEASE_MS
    monkeypatch.setattr(service, "UPLOAD_WITHIN", 0.02)

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    answer = await here.upload(slow())
    assert answer.status_code == 408
    assert here.files() == []


async def test_a_file_survives_the_process(tmp_path: Path) -> None:
    """What was answered is there after a restart, with its usage."""
    bounds = Bounds(media_quota_bytes=10)
    async with repository(tmp_path, bounds) as here:
        name = await here.kept(b"12345678")
    async with repository(tmp_path, bounds) as here:
        assert (await here.download(name)).content == b"12345678"
        assert (await here.upload(b"123")).status_code == 403


async def test_the_file_is_synced_before_its_row_is_complete(here: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """File and folder are on disk before the database says that the file is there."""
    from paraph.server.media import files, store

    order: list[str] = []
    fsync, complete = files.os.fsync, store.complete
    monkeypatch.setattr(files.os, "fsync", lambda handle: (order.append("fsync"), fsync(handle))[1])

    def told(tx: Transaction, *rest: Any, **more: Any) -> bool:
        order.append("complete")
        return complete(tx, *rest, **more)

    monkeypatch.setattr(store, "complete", told)
    await here.kept(b"whole")
    assert "complete" in order
    before = order[: order.index("complete")]
    assert before.count("fsync") >= 3  # the file, its folder, and the new folder's own name


async def test_rooms_must_be_rooms(here: Repository) -> None:
    """A room that cannot be one is refused before anything is kept."""
    answer = await here.upload(b"x", **{"org.paraph.room_id": "no room"})
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_INVALID_PARAM")
    assert here.files() == []
