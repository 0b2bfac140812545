"""The measurement behind ADR 0003: where a batch's statements run, and what the interpreter lock does to it.

Eighty tasks of one event loop write as fast as they are answered. Each write is what a message needs: a look-up, an
insert of 900 bytes, an update; before each, its task spends some 0.07 ms of the loop's time, as parsing and answering
a request does. Three ways to run the batch take turns over the same code:

    loop        `SqliteDatabase` as it is: statements on the event loop, COMMIT in a thread
    thread      the whole batch, statements and COMMIT, in the thread
    each alone  as `thread`, but one commit for each write

each on a loop that has nothing else to do and on one that four more tasks keep busy without a pause, each with
CPython's own switch interval (5 ms) and with 0.05 ms.

    PYTHONPATH=src .venv/bin/python docs/adr/measurements/group_commit.py [FOLDER ON A REAL DISK]
"""

# ruff: noqa: T201

import asyncio
import hashlib
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from paraph.server.storage import sqlite
from paraph.server.storage.database import Transaction

WRITERS, SECONDS, ROUNDS = 80, 2.0, 3
BUSY_TASKS, SWITCH_INTERVALS = (0, 4), (0.005, 0.00005)
CONTENT = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "A" * 780, "device_id": "DEVICE", "session_id": "S" * 43}


class InThread(sqlite.SqliteDatabase):
    """The same database with the batch's statements moved into the committing thread."""

    async def _commit(self, batch: list[Any]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._committer, self._work, batch)
        self._positions.durable = self._positions.last
        for write in batch:
            sqlite._settle(write)

    def _work(self, batch: list[Any]) -> None:
        self._apply(batch)
        self._writer.execute("COMMIT")


class EachAlone(InThread):
    """The same with a commit of its own for every write."""

    def _work(self, batch: list[Any]) -> None:
        for write in batch:
            super()._work([write])


def store(room: str, body: str) -> Callable[[Transaction], int]:
    """The statements of one message."""

    def fn(tx: Transaction) -> int:
        tx.row("SELECT last FROM room WHERE room_id = :room", {"room": room})
        position = tx.next_position()
        tx.run(
            "INSERT INTO event (position, room_id, json) VALUES (:position, :room, :json)",
            {"position": position, "room": room, "json": body},
        )
        tx.run("UPDATE room SET last = :position WHERE room_id = :room", {"position": position, "room": room})
        return position

    return fn


def request(n: int) -> str:
    """The loop's own work for one request: parse, hash, render."""
    text = ""
    for _ in range(5):
        content = json.loads(json.dumps(CONTENT | {"n": n}, sort_keys=True))
        text = json.dumps({"content": content, "event_id": hashlib.sha256(text.encode()).hexdigest()})
    return text


async def writer(database: sqlite.SqliteDatabase, room: str, until: float, latencies: list[float]) -> int:
    """Write until the time is up; how many writes were answered."""
    count = 0
    while (began := time.monotonic()) < until:
        await database.write(store(room, request(count)))
        latencies.append(time.monotonic() - began)
        count += 1
    return count


async def keep_busy(until: float) -> None:
    """Other people's requests: work for the loop that writes nothing and never pauses."""
    while time.monotonic() < until:
        request(0)
        await asyncio.sleep(0)


async def load(kind: type[sqlite.SqliteDatabase], folder: Path, busy: int) -> tuple[float, float, float]:
    """One round: writes a second, milliseconds of processor time a write, p99 latency in milliseconds."""
    database = kind(folder / "measured.db")
    rooms = [f"!room{n}" for n in range(WRITERS)]

    def schema(tx: Transaction) -> None:
        tx.run("CREATE TABLE event (position INTEGER PRIMARY KEY, room_id TEXT NOT NULL, json TEXT NOT NULL) STRICT")
        tx.run("CREATE TABLE room (room_id TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID")
        tx.run_many("INSERT INTO room VALUES (:room, 0)", [{"room": room} for room in rooms])

    await database.write(schema)
    latencies: list[float] = []
    cpu, began = processor_time(), time.monotonic()
    until = began + SECONDS
    others = [asyncio.create_task(keep_busy(until)) for _ in range(busy)]
    counts = await asyncio.gather(*(writer(database, room, until, latencies) for room in rooms))
    elapsed, cpu = time.monotonic() - began, processor_time() - cpu
    await asyncio.gather(*others)
    await database.close()
    latencies.sort()
    return sum(counts) / elapsed, cpu / sum(counts) * 1e3, latencies[len(latencies) * 99 // 100] * 1e3


def processor_time() -> float:
    """Seconds of processor time, user and system, of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def compare(folder: str | None, busy: int) -> None:
    """Rounds of all three in turn; prints the medians."""
    kinds = {"loop": sqlite.SqliteDatabase, "thread": InThread, "each alone": EachAlone}
    figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, kind in kinds.items():
            with (
                tempfile.TemporaryDirectory(dir=folder) as temporary,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                figures[name].append(runner.run(load(kind, Path(temporary), busy)))
    for name, rounds in figures.items():
        rate, cpu, p99 = (statistics.median(column) for column in zip(*rounds, strict=True))
        cost = f"{cpu:6.3f} ms of processor a write" if not busy else ""
        print(f"  {name:>10}: {rate:6,.0f} writes/s  p99 {p99:5.0f} ms  {cost}")


def main() -> None:
    """Every load with every switch interval."""
    began = time.process_time()
    for n in range(1000):
        request(n)
    print(
        f"Python {sys.version.split()[0]}, {WRITERS} writers; the loop's own work: {time.process_time() - began:.3f} ms"
    )
    for busy in BUSY_TASKS:
        for interval in SWITCH_INTERVALS:
            sys.setswitchinterval(interval)
            print(
                f"{'a loop kept busy' if busy else 'nothing else on the loop'}, switch interval {interval * 1e3:g} ms"
            )
            compare(sys.argv[1] if len(sys.argv) > 1 else None, busy)


if __name__ == "__main__":
    main()
