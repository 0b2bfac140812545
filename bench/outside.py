"""What files cost, and what telling partners' endpoints costs: processor time of this process, which is both sides.

Files are encrypted, uploaded, fetched by the partner and opened, by the SDK; the platform's share is timed apart.
Endpoints are ports of this machine behind one plain server, which answers at once; its share is within the figure.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.figures import Outcome
from bench.inbox import Timed
from paraph.server.inbox.webhooks import store
from tests.sdk.stage import PURPOSE, Stage, stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.databases import Databases
    from bench.figures import Plan

MIB = 1024 * 1024


async def media(plan: Plan, _databases: Databases) -> Outcome:
    """Files of 1 MiB, up and down."""
    files = 4 if plan.quick else 50
    async with stage(plan.directory / "media") as here:
        await here.grant("read", "read:attachments")
        content = os.urandom(MIB)
        up = await _timed(here, lambda: here.author.send_file(here.room_id, content, name="file.bin"), files)
        await here.partner.poll()
        page = await here.partner.messages(here.room_id, PURPOSE, limit=files)
        messages = iter(page.messages)
        down = await _timed(here, lambda: here.partner.download(next(messages), PURPOSE), files)
    figures = {"files": files, "upload": up, "download": down}
    rows = [("", "CPU ms/MiB", "of it the platform")]
    rows += [(name, f"{one['cpu_ms']:.2f}", f"{one['platform_ms']:.2f}") for name, one in (("up", up), ("down", down))]
    return Outcome(f"{files} files of 1 MiB, encrypted and opened by the SDK", rows, [], figures)


async def _timed(here: Stage, act: Any, times: int) -> dict[str, float]:
    """Processor milliseconds of one act, whole and of the platform."""
    app = here.between._app
    timed = app.app = Timed(app.app)
    before = time.process_time()
    for _ in range(times):
        await act()
    cpu = time.process_time() - before
    app.app = timed.app
    return {"cpu_ms": 1000 * cpu / times, "platform_ms": 1000 * timed.cpu / times}


async def webhooks(plan: Plan, _databases: Databases) -> Outcome:
    """One change, told to many endpoints."""
    many = 20 if plan.quick else 500
    settings = {"webhook_targets": "any", "profile": "test"}
    async with stage(plan.directory / "webhooks", **settings) as here, _endpoints() as heard:
        await here.grant("read")
        place = here.server.database.position

        def write(tx: Any) -> None:
            for number in range(many):
                url = f"http://127.0.0.1:{heard.port}/{number}"
                store.put(tx, f"wh_{number:04d}", here.partner.slug, url, 0, place)

        await here.server.database.write(write)
        rounds = []
        for number in range(plan.rounds):
            heard.expect(many)
            cpu, wall = time.process_time(), time.perf_counter()
            await here.author.send_text(here.room_id, f"change {number}")
            await asyncio.wait_for(heard.all.wait(), 120)
            rounds.append((time.process_time() - cpu, time.perf_counter() - wall))
            await asyncio.sleep(2.1)  # an endpoint is told again no sooner
    cpu_ms = 1000 * median(cpu for cpu, _ in rounds) / many
    per_second = median(many / wall for _, wall in rounds)
    figures = {"endpoints": many, "cpu_ms": cpu_ms, "per_second": per_second}
    rows = [("", "CPU ms each", "deliveries/s"), (f"{many} endpoints", f"{cpu_ms:.2f}", f"{per_second:.0f}")]
    notes = ["At most 50 are under way at once and a round is begun four times a second: about 200/s."]
    return Outcome(
        f"one change told to {many} endpoints, median of rounds: {plan.rounds}", rows, [], figures, notes=notes
    )


@dataclass
class _Heard:
    """How many calls have come of those expected."""

    port: int = 0
    left: int = 0
    all: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self, calls: int) -> None:
        """Count anew."""
        self.left = calls
        self.all.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one call with 200."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()
        self.left -= 1
        if self.left == 0:
            self.all.set()


@asynccontextmanager
async def _endpoints() -> AsyncIterator[_Heard]:
    heard = _Heard()
    server = await asyncio.start_server(heard.serve, "127.0.0.1", 0)
    heard.port = server.sockets[0].getsockname()[1]
    try:
        yield heard
    finally:
        server.close()
