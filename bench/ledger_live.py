"""Reads at a fixed rate on a real server with two witnesses and a map auditor: how soon is each read proven?

A partner reads one message of one author over the Inbox API, each time with a proof of its own key (DPoP); each read is
an access entry. Its leaf is proven once a published checkpoint covers it; with witnesses, nothing is published before a
quorum (here: all three) has cosigned it. So one moment answers both questions: "proven" and "cosigned".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import Plan
from bench.processes import TICK_MS, Server, cpu_ticks, free_port, tree
from bench.wire import Connection, RefusedError, quoted
from paraph.cli.demo import people
from paraph.cli.demo.witnesses import Witnesses
from paraph.protocol.base64 import unb64url
from paraph.protocol.entry import commitment, private_leaf
from paraph.sdk import GrantTerms, Partner, Person
from paraph.server.ledger.files import LogFolder
from paraph.tlog.merkle import leaf_hash

RATE = 500
CONNECTIONS = 32
LOOK_EVERY = 0.01
TIMES_WAITED = 60
PURPOSE = "recommendations"
MONTH_MS = 30 * 86_400_000


class WitnessedServer(Server):
    """`paraph serve` whose log has two witnesses and an auditor, processes of their own."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name, directory)
        self.port = free_port()
        self._watching = Witnesses(directory / "witnesses", self.data, self.port)
        self._stack = ExitStack()

    def environment(self) -> dict[str, str]:
        """With the policy."""
        return super().environment() | {"PARAPH_WITNESSES": str(self._watching.policy)}

    def __enter__(self) -> WitnessedServer:
        self.data.mkdir(parents=True, exist_ok=True)
        self._stack.enter_context(self._watching)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._stack.close()

    def witnesses_cpu_ms(self) -> float:
        """Processor time that the three have used so far."""
        ours = [process.pid for process in self._watching._processes]
        return sum(cpu_ticks(pid) for pid in tree(ours)) * TICK_MS


@dataclass
class Watched:
    """What was answered when, and which size was published when (seconds of one clock)."""

    answered: dict[bytes, float] = field(default_factory=dict)
    published: list[tuple[float, int]] = field(default_factory=list)

    def waits(self, log: LogFolder) -> list[float]:
        """Seconds from each answer to the checkpoint that covers it, in order; those never covered are left out."""
        size = self.published[-1][1] if self.published else 0
        places, waits = log.indexes(0, size), []
        for leaf, then in self.answered.items():
            index = places.get(leaf)
            if index is not None:
                when = next(when for when, end in self.published if end > index)
                waits.append(max(when - then, 0.0))
        return sorted(waits)


async def measure(plan: Plan) -> dict[str, Any]:
    """Waits, achieved rate, processor time a read."""
    directory = plan.directory / "reads"
    with WitnessedServer("paraph", directory) as server:
        async with AsyncExitStack() as stack:
            partner, room_id = await _set_up(server, directory, stack)
            connections = [await Connection.open(server.port) for _ in range(CONNECTIONS)]
            log, watched = LogFolder(server.data / "log"), Watched()
            looking = asyncio.create_task(_look(log, watched))
            await _load(connections, partner, room_id, 1.0, Watched())  # to warm up
            cpu, witnesses = server.cpu_ms(), server.witnesses_cpu_ms()
            began = time.monotonic()
            await _load(connections, partner, room_id, plan.seconds, watched)
            took = time.monotonic() - began
            cpu, witnesses = server.cpu_ms() - cpu, server.witnesses_cpu_ms() - witnesses
            waits = await _all_proven(watched, log)
            looking.cancel()
            for connection in connections:
                connection.close()
    reads = len(watched.answered)
    return {
        "asked_per_second": RATE,
        "reads": reads,
        "per_second": reads / took,
        "lost": reads - len(waits),
        "cpu_ms": cpu / reads,
        "witnesses_cpu_ms": witnesses / reads,
        **{f"p{part}_s": waits[min(len(waits) - 1, len(waits) * part // 100)] for part in (50, 95, 99)},
    }


async def _set_up(server: Server, directory: Path, stack: AsyncExitStack) -> tuple[Partner, str]:
    """An author with a message in a room, a partner who may read it."""
    url = f"http://127.0.0.1:{server.port}"
    operator = await asyncio.to_thread(people.Operator, server.data)
    partner = await people.partner(url, "marquee", "Marquee", operator, directory)
    stack.push_async_callback(partner.close)
    draft = operator.draft(partner.slug, purposes=[PURPOSE])
    await asyncio.to_thread(operator.publish, partner.sign_document(operator.sign(draft)))
    await partner.publish_device()
    author = await Person.register(url, "author", people.PASSWORD)
    stack.push_async_callback(author.close)
    await author.enrol()
    room_id = await author.create_room()
    terms = GrantTerms([PURPOSE], int(time.time() * 1000) + MONTH_MS, [room_id])
    await author.grant(partner.slug, terms)
    await author.send_text(room_id, "A message that is read again and again.")
    await partner.poll()
    await partner.messages(room_id, PURPOSE)  # brings a token
    return partner, room_id


async def _load(connections: list[Connection], partner: Partner, room_id: str, seconds: float, into: Watched) -> None:
    """Reads at RATE for so long; who is late catches up, so the rate holds as long as the server does."""
    turns = _turns(seconds)
    path = f"/inbox/v1/rooms/{quoted(room_id)}/messages"

    async def work(connection: Connection) -> None:
        for due in turns:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await _read(connection, partner, path, into)

    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(work(connection))


def _turns(seconds: float) -> Iterator[float]:
    began = time.monotonic()
    for number in range(int(RATE * seconds)):
        if time.monotonic() - began > 3 * seconds:  # the server is far from this rate: enough was seen
            return
        yield began + number / RATE


async def _read(connection: Connection, partner: Partner, path: str, into: Watched) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in partner.auth.prove("GET", path).items())
    head = f"GET {path}?purpose={PURPOSE}&limit=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: 0\r\n\r\n"
    answer = await connection.request(head.encode())
    now = time.monotonic()
    if answer.status != 200:
        raise RefusedError(f"GET {path}: {answer.status} {answer.body.decode(errors='replace')}")
    for shown in json.loads(answer.body)["accesses"]:
        openings = unb64url(shown["o1"], 32), unb64url(shown["o2"], 32)
        label = unb64url(shown["label"], 32)
        into.answered[leaf_hash(private_leaf(shown["week"], label, commitment(shown["entry"], *openings)))] = now


async def _look(log: LogFolder, watched: Watched) -> None:
    """Note when the published checkpoint grows."""
    while True:
        size = int((log.checkpoint() or b"\n0\n").split(b"\n", 2)[1])
        if not watched.published or size > watched.published[-1][1]:
            watched.published.append((time.monotonic(), size))
        await asyncio.sleep(LOOK_EVERY)


async def _all_proven(watched: Watched, log: LogFolder) -> list[float]:
    """Wait for the last of them, but not for ever."""
    for _ in range(TIMES_WAITED):
        if len(watched.waits(log)) == len(watched.answered):
            break
        await asyncio.sleep(0.5)
    return watched.waits(log)
