"""Idle long polls: what it costs to keep everybody connected while nothing happens."""

from __future__ import annotations

import asyncio
import time

from bench.databases import Databases
from bench.figures import Limit, Outcome, Plan
from bench.fill import Person, filling
from bench.people import CLIENT, newest
from bench.processes import Server, raise_file_limit
from bench.wire import Connection, quoted, request

FILES_KEPT = 200
"""File descriptors that both sides need for other things."""
AT_ONCE = 200
SETTLE_SECONDS = 3.0
WATCHED_SECONDS = 5.0
POLL_MS = 60_000


async def idle(plan: Plan, databases: Databases) -> Outcome:
    """Every account waits in a long poll of its own connection; each is in one room."""
    polls = min(plan.polls, raise_file_limit() - FILES_KEPT) & ~1
    data = plan.directory / "idle" / "server"
    with databases.fresh() as database:
        async with filling(data, database) as filler:
            people = await filler.people("person", polls)
            await filler.rooms(list(zip(people[::2], people[1::2], strict=True)))
        with Server("server", data.parent, database) as server:
            connections = [await Connection.open(server.port)]
            since = await newest(connections[0], people[0].token)
            before = server.rss_mb()
            waiting: list[asyncio.Task[object]] = []
            begun = time.perf_counter()
            for start in range(0, len(people), AT_ONCE):
                waiting += await _start(server.port, people[start : start + AT_ONCE], since, connections)
            connected = time.perf_counter() - begun
            await asyncio.sleep(SETTLE_SECONDS)
            after, cpu = server.rss_mb(), server.cpu_ms()
            await asyncio.sleep(WATCHED_SECONDS)
            cpu = (server.cpu_ms() - cpu) / WATCHED_SECONDS
            awake = sum(task.done() for task in waiting)
            for task in waiting:
                task.cancel()
            for connection in connections:
                connection.close()
    each = (after - before) * 1000 / polls
    rows: list[tuple[str, ...]] = [
        ("", "long polls"),
        ("waiting", f"{polls - awake:,}"),
        ("kB each", f"{each:.1f}"),
        ("RSS MB before, with them", f"{before:.0f}, {after:.0f}"),
        ("CPU ms/s while nothing happens", f"{cpu:.1f}"),
        ("seconds until all waited", f"{connected:.1f}"),
    ]
    notes = [] if polls >= plan.polls else [f"only {polls:,} of {plan.polls:,}: the limit on open files allows no more"]
    figures = {"polls": polls, "kb_each": each, "rss_mb": {"before": before, "after": after}, "cpu_ms_per_second": cpu}
    return Outcome(f"{polls:,} people", rows, [Limit("kB each", each, 25)], figures, notes=notes)


async def _start(
    port: int, people: list[Person], since: str, connections: list[Connection]
) -> list[asyncio.Task[object]]:
    """Connect and begin a long poll for each."""
    opened = await asyncio.gather(*(Connection.open(port) for _ in people))
    connections += opened
    path = f"{CLIENT}/sync?since={quoted(since)}&timeout={POLL_MS}"
    return [
        asyncio.create_task(connection.request(request("GET", path, person.token)))
        for connection, person in zip(opened, people, strict=True)
    ]
