"""The load sees what a server does to its messages."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn

from bench.floor import Floor, Row
from bench.load import Load, Measured
from bench.people import floor_chats
from tests.support.server import free_port

pytestmark = pytest.mark.slow


class Forgetful(Floor):
    """Stores and acknowledges everything, and hands every tenth message to nobody."""

    def _published(self, batch: list[tuple[int, Row]]) -> None:
        super()._published(batch)
        for position, row in batch:
            if position % 10 == 0:
                self._events[row.room].remove((position, row.json))


class Repeating(Floor):
    """Hands every tenth message to its receiver twice."""

    def _published(self, batch: list[tuple[int, Row]]) -> None:
        super()._published(batch)
        for position, row in batch:
            if position % 10 == 0:
                self._events[row.room].append((position, row.json))


class Announcing(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextlib.asynccontextmanager
async def serving(app: Floor) -> AsyncIterator[int]:
    """The app on a port of this process."""
    port = free_port()
    config = uvicorn.Config(app, port=port, lifespan="off", ws="none", log_level="warning", access_log=False)
    server = Announcing(config)
    serve = asyncio.create_task(server.serve())
    await server.ready.wait()
    yield port
    server.should_exit = server.force_exit = True
    await serve


async def measured(app: Floor) -> Measured:
    """What half a second of a small load on this app shows."""
    async with serving(app) as port:
        load = Load(port, floor_chats(3), 2, drain_seconds=0.5)
        return await load.run(0.1, 0.5, lambda: time.process_time() * 1000)


async def test_an_honest_server_loses_nothing(tmp_path: Path) -> None:
    """Everything that the floor accepts arrives, once, and costs something."""
    result = await measured(Floor(tmp_path))
    assert (result.lost, result.duplicated) == (0, 0)
    assert result.delivered > 20
    assert 0 < result.p50_ms <= result.p99_ms
    assert result.cpu_ms > 0


async def test_lost_messages_are_counted(tmp_path: Path) -> None:
    """Messages that were accepted and did not arrive count as lost."""
    assert (await measured(Forgetful(tmp_path))).lost > 0


async def test_repeated_messages_are_counted(tmp_path: Path) -> None:
    """Messages that arrive again count as duplicated."""
    result = await measured(Repeating(tmp_path))
    assert result.duplicated > 0
    assert result.lost == 0
