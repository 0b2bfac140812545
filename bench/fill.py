"""Filling a database before a server is started on it: through the server's own rooms, in this process.

Accounts, rooms and memberships take the way that requests take, without HTTP and with a cheap password hash. Stored
messages are sealed and inserted as a send does, a thousand to a write, without waking anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher

from bench.databases import Database
from bench.load import megolm_like
from bench.people import PASSWORD
from paraph.server import app
from paraph.server.accounts.model import RegisterBody
from paraph.server.accounts.passwords import Passwords
from paraph.server.accounts.service import Accounts
from paraph.server.config import Settings
from paraph.server.http import PersonPrincipal
from paraph.server.http.limits import Limiter
from paraph.server.messenger import events
from paraph.server.messenger.creation import CreateRoom
from paraph.server.messenger.model import ENCRYPTED
from paraph.server.storage import Transaction

AT_ONCE = 64
EVENTS_A_WRITE = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class Person:
    """Somebody with an account and one session."""

    principal: PersonPrincipal
    token: str


@dataclass(frozen=True)
class FilledRoom:
    """A room of two: who made it, and who was invited and joined."""

    room_id: str
    creator: Person
    other: Person


class Filler:
    """Writes into one database, as long as no server holds it."""

    def __init__(self, server: app.Server) -> None:
        self._server = server
        self._accounts = Accounts(
            server.database,
            Limiter(time.monotonic, enabled=False),
            app.system_time,
            server_name=server.settings.server_name,
            registration="open",
            passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)),
        )
        self._accounts.on_login.append(server.devices.on_login)

    async def people(self, prefix: str, count: int) -> list[Person]:
        """So many accounts, each with a session."""

        async def make(n: int) -> Person:
            body = RegisterBody({"type": "m.login.dummy"}, f"{prefix}{n}", PASSWORD)
            session = await self._accounts.register(body)
            principal = PersonPrincipal(session.user_id, str(session.device_id))
            return Person(principal, str(session.access_token))

        return await gathered(make(n) for n in range(count))

    async def rooms(self, pairs: list[tuple[Person, Person]]) -> list[FilledRoom]:
        """A private encrypted room for each pair."""

        async def make(creator: Person, other: Person) -> FilledRoom:
            body = CreateRoom(preset="private_chat", is_direct=True, invite=[other.principal.user_id])
            room_id = await self._server.messenger.creation.create(creator.principal, body)
            await self._server.messenger.memberships.join(other.principal, room_id)
            return FilledRoom(room_id, creator, other)

        return await gathered(make(*pair) for pair in pairs)

    async def messages(self, rooms: list[FilledRoom], count: int) -> None:
        """`count` messages over all these rooms, taking turns, from either side."""
        for start in range(0, count, EVENTS_A_WRITE):
            await self._server.database.write(self._inserting(rooms, range(start, min(start + EVENTS_A_WRITE, count))))

    def _inserting(self, rooms: list[FilledRoom], numbers: range) -> Callable[[Transaction], None]:
        store, now = self._server.messenger.core.store, app.system_time()

        def write(tx: Transaction) -> None:
            for number in numbers:
                turn, index = divmod(number, len(rooms))
                room = rooms[index]
                author = (room.creator if turn % 2 else room.other).principal
                user_id, device_id, txn_id = author.user_id, author.device_id, f"fill-{number}"
                content = megolm_like(number).replace(b"000", b"old", 1)
                event = events.seal(room.room_id, user_id, device_id, ENCRYPTED, content, now, txn_id=txn_id)
                event.position = tx.next_position()
                key = events.txn_key(user_id, device_id, "send", room.room_id, ENCRYPTED, txn_id)
                store.add_event(tx, event, key)

        return write

    async def close(self) -> None:
        """Finish; from then on a server may be started."""
        await self._accounts.close()


@contextlib.asynccontextmanager
async def filling(data: Path, database: Database) -> AsyncIterator[Filler]:
    """A filler for the database that a server started with this data folder will use."""
    server = app.build(Settings(data=data, database=database.setting, registration="open", rate_limits=False))
    await server.start()
    filler = Filler(server)
    try:
        yield filler
    finally:
        await filler.close()
        await server.stop()


async def gathered(work: Iterable[Awaitable[T]]) -> list[T]:
    """The results of all, in order, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(item: Awaitable[T]) -> T:
        async with gate:
            return await item

    return list(await asyncio.gather(*map(one, work)))
