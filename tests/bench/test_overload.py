"""The flood sees what a server does to what it acknowledged and to what it refused."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bench.floor import Floor, Message
from bench.overload import Flood, Flooded
from bench.people import floor_chats
from tests.bench.test_load import serving

pytestmark = pytest.mark.slow

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class History(Floor):
    """The floor with room history: everything stored, unless `keeps` says otherwise."""

    def keeps(self, position: int) -> int:
        """How often an event shows in the history."""
        return 1

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer history from memory, the rest as the floor does."""
        if not scope["path"].endswith("/messages"):
            await super().__call__(scope, receive, send)
            return
        room = scope["path"].split("/")[-2]
        events = [json.loads(event) for at, event in self._events[room] for _ in range(self.keeps(at))]
        await respond(send, 200, {"chunk": events})


class Amnesiac(History):
    """Acknowledges, delivers, and forgets every tenth message."""

    def keeps(self, position: int) -> int:
        return position % 10 != 0


class Refusing(History):
    """Refuses every second send, and says when to come back only where `polite`."""

    def __init__(self, directory: Path, *, polite: bool = True, stores: bool = False) -> None:
        directory.mkdir(exist_ok=True)
        super().__init__(directory)
        self._polite, self._stores, self._sends = polite, stores, 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Refuse, having stored the message all the same where `stores`."""
        self._sends += scope["method"] == "PUT"
        if scope["method"] != "PUT" or self._sends % 2:
            await super().__call__(scope, receive, send)
            return
        if self._stores:
            await super().__call__(scope, receive, discarded)
        else:
            await receive()
        await respond(send, 503, {}, [(b"retry-after", b"1")] if self._polite else [])


async def respond(send: Send, status: int, body: Any, headers: list[tuple[bytes, bytes]] = []) -> None:  # noqa: B006
    encoded = json.dumps(body).encode()
    length = (b"content-length", b"%d" % len(encoded))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": encoded})


async def discarded(_message: Message) -> None:
    """An answer that nobody gets."""


async def flooded(app: Floor) -> Flooded:
    """What a second of forty devices shows."""
    async with serving(app) as port:
        flood = Flood(port, floor_chats(2), patient=True, numbers=itertools.count(1))
        await flood.connect(40)
        return await flood.run(0.2, 1.0)


async def test_an_honest_server_keeps_its_word(tmp_path: Path) -> None:
    """Everything acknowledged is there once, and everything offered was acknowledged."""
    found = await flooded(History(tmp_path))
    assert found.wrong == 0
    assert set(found.answers) == {"200"}
    assert found.goodput > 10


async def test_acknowledged_and_forgotten_is_found(tmp_path: Path) -> None:
    """A message that was acknowledged and is not stored counts as wrong."""
    assert (await flooded(Amnesiac(tmp_path))).wrong > 0


async def test_refusals_are_counted_by_what_they_say(tmp_path: Path) -> None:
    """Refusing is right if the refused message is not stored, and the answer says when to come back."""
    polite = await flooded(Refusing(tmp_path / "polite"))
    assert polite.wrong == 0
    assert polite.answers["503 with Retry-After"] > 0
    silent = await flooded(Refusing(tmp_path / "silent", polite=False))
    assert silent.answers["503 WITHOUT Retry-After"] > 0


async def test_refused_and_stored_is_found(tmp_path: Path) -> None:
    """A message that was refused and is stored all the same counts as wrong."""
    assert (await flooded(Refusing(tmp_path, stores=True))).wrong > 0
