"""Who takes part in a load: accounts, and the chats that they are in, made through the API as clients make them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.wire import Connection, quoted

CLIENT = "/_matrix/client/v3"
FILTER = quoted('{"room":{"timeline":{"limit":100},"state":{"lazy_load_members":true}}}')
SETUP_CONNECTIONS = 4
PASSWORD = "correct horse battery staple"
ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}

T = TypeVar("T")
U = TypeVar("U")


@dataclass
class Listener:
    """Somebody who long-polls; `since` is how far she has read."""

    token: str
    since: str


@dataclass
class Chat:
    """A room, the tokens of those who send, and those who listen."""

    room: str
    sender_tokens: list[str]
    listeners: list[Listener]


def floor_chats(count: int) -> list[Chat]:
    """Pairs on the floor, which knows no accounts: a receiver's token names its room."""
    return [Chat(f"!{n}:floor", ["sender"], [Listener(f"!{n}:floor", "0")]) for n in range(count)]


async def make_pairs(port: int, count: int) -> list[Chat]:
    """Rooms of two: one sends, the other listens."""
    return await spread(port, range(count), lambda connection, n: _make_chat(connection, f"pair{n}", 2, 1))


async def make_groups(port: int, count: int, members: int, senders: int) -> list[Chat]:
    """Rooms of `members`, all listening; the first `senders` of them also send."""
    return await spread(port, range(count), lambda connection, n: _make_chat(connection, f"group{n}", members, senders))


async def make_accounts(port: int, count: int) -> None:
    """Accounts that do nothing but exist."""
    await spread(port, range(count), lambda connection, n: register(connection, f"idle{n}"))


async def register(connection: Connection, name: str) -> dict[str, str]:
    """Sign up and return `{user_id, access_token, device_id}`."""
    content = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    account: dict[str, str] = await connection.call("POST", f"{CLIENT}/register", content=content)
    return account


async def newest(connection: Connection, token: str) -> str:
    """The token from which a next sync goes on."""
    first = await connection.call("GET", f"{CLIENT}/sync?timeout=0&filter={FILTER}", token)
    since: str = first["next_batch"]
    return since


async def _make_chat(connection: Connection, name: str, members: int, senders: int) -> Chat:
    people = [await register(connection, f"{name}-{n}") for n in range(members)]
    creator, *others = people
    body = {
        "preset": "private_chat",
        "is_direct": members == 2,
        "invite": [person["user_id"] for person in others],
        "initial_state": [ENCRYPTION],
    }
    room = (await connection.call("POST", f"{CLIENT}/createRoom", creator["access_token"], body))["room_id"]
    for person in others:
        await connection.call("POST", f"{CLIENT}/join/{quoted(room)}", person["access_token"], {})
    tokens = [person["access_token"] for person in people]
    listening = tokens[1:] if members == 2 else tokens
    listeners = [Listener(token, await newest(connection, token)) for token in listening]
    return Chat(room, tokens[:senders], listeners)


async def spread(port: int, items: Sequence[U], make: Callable[[Connection, U], Awaitable[T]]) -> list[T]:
    """Call `make` for each item over a few connections at once; results in the order of the items."""
    waiting = iter(enumerate(items))
    made: dict[int, T] = {}

    async def work() -> None:
        connection = await Connection.open(port)
        for index, item in waiting:
            made[index] = await make(connection, item)
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(SETUP_CONNECTIONS):
            group.create_task(work())
    return [made[index] for index in range(len(items))]
