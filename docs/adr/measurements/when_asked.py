"""The measurement behind ADR 0025: what unread counts, bundles and searches cost when they are asked for, on SQLite.

PYTHONPATH=src .venv/bin/python docs/adr/measurements/when_asked.py
"""

# ruff: noqa: T201

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Hooks
from paraph.server.messenger.creation import CreateRoom
from paraph.server.messenger.search.model import RoomEvents
from paraph.server.messenger.service import Messenger
from paraph.server.storage import migrate
from paraph.server.storage.migrations import load
from paraph.server.storage.sqlite import SqliteDatabase

PARTS = ("", ".complaints", ".directory", ".profiles", ".relations", ".push", ".search")
CIPHERTEXT = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "A" * 500, "session_id": "s1"}
AUTHOR, READER = PersonPrincipal("@author:here", "A"), PersonPrincipal("@reader:here", "B")
txns = itertools.count()


async def timed(what: str, times: int, call: Callable[[], Any]) -> None:
    """Print the processor time of one call."""
    began = time.process_time()
    for _ in range(times):
        await call()
    print(f"{what}: {(time.process_time() - began) / times * 1e6:,.1f} us")


async def opened(folder: str, name: str, *, encrypted: bool) -> tuple[SqliteDatabase, Messenger]:
    """A messenger on a new database."""
    database = SqliteDatabase(Path(folder) / name)
    rooms = [f"paraph.server.messenger{part}" for part in PARTS]
    await migrate(database, load(rooms, "sqlite"))
    messenger = Messenger(
        database,
        lambda _tx, _user_id: True,
        None,  # type: ignore[arg-type]  # nobody syncs devices here
        Hooks(),
        lambda: time.time_ns() // 1_000_000,
        server_name="here",
        require_encryption=encrypted,
    )
    return database, messenger


async def room_of(messenger: Messenger) -> str:
    """A room of both."""
    room = await messenger.creation.create(AUTHOR, CreateRoom(invite=[READER.user_id]))
    await messenger.memberships.join(READER, room, None)
    return room


async def say(messenger: Messenger, room: str, kind: str, content: dict[str, Any]) -> str:
    """Send something."""
    return await messenger.sending.send(AUTHOR, room, kind, f"t{next(txns)}", content)


async def unread(messenger: Messenger) -> None:
    """Counts of one room: the next message, and after a restart."""
    room, other = await room_of(messenger), await room_of(messenger)
    await asyncio.gather(*(say(messenger, room, "m.room.encrypted", CIPHERTEXT) for _ in range(400)))
    database, push = messenger.core.database, messenger.push
    rooms = {room: 1}
    await push.unread(READER.user_id, rooms, database.position)
    spent = 0.0
    for _ in range(2000):
        await say(messenger, room, "m.room.encrypted", CIPHERTEXT)
        began = time.process_time()
        await push.unread(READER.user_id, rooms, database.position)
        spent += time.process_time() - began
    print(f"one more encrypted message counted: {spent / 2000 * 1e6:,.1f} us")

    async def again() -> None:
        push.counts.clear()
        await push.unread(READER.user_id, rooms, database.position)

    await timed("a room with 200 unread messages, after a restart", 50, again)
    rooms = {other: 1}
    await timed("a room with nothing unread, after a restart", 50, again)


async def related(messenger: Messenger) -> None:
    """A page of 50 messages with and without relations."""
    room = await room_of(messenger)
    roots = [await say(messenger, room, "m.room.encrypted", CIPHERTEXT) for _ in range(50)]

    async def page() -> None:
        found = await messenger.reading.messages(READER, room, "b", None, None, 50)
        await messenger.relations.of(READER, room, found.events)

    await timed("a page of 50 messages", 100, page)
    for root in roots:
        for rel_type in ("m.replace", "m.thread", "m.thread", "m.reference"):
            relation = {"m.relates_to": {"rel_type": rel_type, "event_id": root}}
            await say(messenger, room, "m.room.encrypted", CIPHERTEXT | relation)
    upto = messenger.core.database.position

    async def bundles() -> None:
        found = await messenger.reading.messages(READER, room, "f", 0, upto, 60)
        await messenger.relations.of(READER, room, found.events)

    await timed("50 messages, each with an edit, a thread and a reference", 100, bundles)


async def searched(messenger: Messenger) -> None:
    """20,000 plaintext messages of 20 words, and a search for common and rare ones."""
    room = await room_of(messenger)
    began = time.process_time()
    for start in range(0, 20_000, 200):
        bodies = [" ".join(f"w{(n * 7 + k * k) % 5000}" for k in range(20)) for n in range(start, start + 200)]
        await asyncio.gather(*(say(messenger, room, "m.room.message", {"body": body}) for body in bodies))
    each = (time.process_time() - began) / 20_000 * 1e6
    print(f"a plaintext message of 20 words, sent and made findable: {each:,.1f} us")
    for term in ("w1", "w1 w2", "nothing"):
        asked = RoomEvents(term)
        found = await messenger.searching.room_events(READER, asked, None)
        ask = partial(messenger.searching.room_events, READER, asked, None)
        await timed(f"search for {term!r} ({found['count']} found of 20,000)", 20, ask)


async def main() -> None:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder:
        for name, encrypted, parts in (("a.db", True, (unread, related)), ("b.db", False, (searched,))):
            database, messenger = await opened(folder, name, encrypted=encrypted)
            for part in parts:
                await part(messenger)
            await database.close()


asyncio.run(main())
