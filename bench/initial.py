"""The initial sync of an account with many rooms: what a new device waits for."""

from __future__ import annotations

import time
from statistics import median

from bench.databases import Databases
from bench.figures import Limit, Outcome, Plan
from bench.fill import filling
from bench.people import CLIENT
from bench.processes import Server
from bench.wire import Connection, RefusedError, request

ROOMS = 500
MESSAGES_A_ROOM = 50
CORRESPONDENTS = 50
SYNCS = 10


async def initial(plan: Plan, databases: Databases) -> Outcome:
    """Ten initial syncs one after the other, with the server's own default of 20 events a room."""
    count = ROOMS // 10 if plan.quick else ROOMS
    data = plan.directory / "initial" / "server"
    with databases.fresh() as database:
        async with filling(data, database) as filler:
            account, *others = await filler.people("person", 1 + CORRESPONDENTS)
            rooms = await filler.rooms([(others[n % CORRESPONDENTS], account) for n in range(count)])
            await filler.messages(rooms, count * MESSAGES_A_ROOM)
        with Server("server", data.parent, database) as server:
            times, cpu, size = [], server.cpu_ms(), 0
            connection = await Connection.open(server.port)
            for _ in range(SYNCS):
                begun = time.perf_counter()
                answer = await connection.request(request("GET", f"{CLIENT}/sync?timeout=0", account.token))
                times.append((time.perf_counter() - begun) * 1000)
                if answer.status != 200:
                    raise RefusedError(f"GET /sync: {answer.status} {answer.body.decode(errors='replace')}")
                size = len(answer.body)
            connection.close()
            cpu = (server.cpu_ms() - cpu) / SYNCS
    rows: list[tuple[str, ...]] = [
        ("", "initial sync"),
        ("first ms (cold)", f"{times[0]:.0f}"),
        ("p50 ms", f"{median(times):.0f}"),
        ("slowest ms", f"{max(times):.0f}"),
        ("CPU ms", f"{cpu:.0f}"),
        ("answer MB", f"{size / 1e6:.2f}"),
    ]
    figures = {"ms": times, "p50_ms": median(times), "cpu_ms": cpu, "bytes": size}
    title = f"{count} rooms of {MESSAGES_A_ROOM} messages, {SYNCS} times"
    return Outcome(title, rows, [Limit("p50 ms", median(times), 300)], figures)
