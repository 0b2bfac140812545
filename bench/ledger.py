"""The log: what an entry costs beside SQLite and SHA-256 alone, and how soon a read is proven.

The floor keeps ready-made entries in one SQLite table by their SHA-256, durable, in the same batches, in turn with the
log. A log does the same and more: a tree in tiles, a map, a signature, files that anybody may read.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bench import ledger_history, ledger_live, ledger_map
from bench.databases import Databases
from bench.figures import Limit, Outcome, Plan
from paraph.audit.replay import replay
from paraph.audit.sources import DirectorySource
from paraph.protocol.entry import private_leaf
from paraph.server.ledger.log import Log, open_log

BATCH = 256
A_LABEL = 4
"""Leaves under each label, on average."""
WEEK_OF_LEAVES = 20_000
FIRST_WEEK = 2900
HISTORY_ACCESSES = 3
"""A day and partner, in a person's year; with the grants and key shares 7,291 records."""
order = random.Random(2)

Rows = list[tuple[str, ...]]


async def ledger(plan: Plan, _databases: Databases) -> Outcome:
    """Appends and their replay, the map alone, a person's year, reads on a running platform."""
    folder = plan.directory / "ledger"
    appended, vkey = await asyncio.to_thread(_appends, plan, folder)
    figures: dict[str, Any] = {"append": appended}
    figures["replay"] = await asyncio.to_thread(_replayed, folder / "log", vkey)
    plan.say(f"replayed in {figures['replay']['wall_s']:.1f} s")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        figures["map"] = await asyncio.wrap_future(alone.submit(ledger_map.measure, plan.leaves))
        plan.say("the map is measured")
        accesses, runs = (1, 3) if plan.quick else (HISTORY_ACCESSES, ledger_history.RUNS)
        figures["history"] = await asyncio.wrap_future(alone.submit(ledger_history.measure, accesses, runs))
        plan.say("a person's year is checked")
    figures["reads"] = await ledger_live.measure(plan)
    return Outcome(
        f"{plan.leaves:,} leaves, batches of {BATCH}",
        [("", "measured", "floor", "over the floor"), *_rows(figures)],
        _limits(figures),
        figures,
        figures["reads"]["lost"],
        notes=[_said(figures)],
    )


class _Floor:
    """SQLite and SHA-256, and nothing else."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._connection.execute("CREATE TABLE entries (hash BLOB PRIMARY KEY, entry BLOB NOT NULL) WITHOUT ROWID")

    def append(self, leaves: list[bytes]) -> None:
        """All of them, durably."""
        self._connection.execute("BEGIN IMMEDIATE")
        rows = [(sha256(leaf).digest(), leaf) for leaf in leaves]
        self._connection.executemany("INSERT INTO entries VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


class _Clocks:
    """Wall and own seconds of each batch."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.own: list[float] = []

    def timed(self, run: Callable[[list[bytes]], None], leaves: list[bytes]) -> None:
        """One batch."""
        wall, own = time.perf_counter(), time.process_time()
        run(leaves)
        self.wall.append(time.perf_counter() - wall)
        self.own.append(time.process_time() - own)


def _appends(plan: Plan, folder: Path) -> tuple[dict[str, Any], str]:
    """A log and a floor that grow by the same batches in turn; the figures and the log's key."""
    floor, log = _Floor(folder / "floor.db"), open_log(folder, "localhost/log")
    clocks, floors = _Clocks(), _Clocks()
    try:
        for number in range(max(1, plan.leaves // (BATCH + 1))):
            leaves = _leaves(number, plan.leaves // A_LABEL)
            floors.timed(floor.append, leaves)
            clocks.timed(lambda some: _append(log, some), leaves)
            if number % 400 == 399:
                plan.say(f"{(number + 1) * BATCH:,} leaves: {BATCH / median(clocks.wall[-400:]):,.0f}/s")
    finally:
        log.close()
        floor.close()
    per_batch = zip(clocks.wall, floors.wall, strict=True), zip(clocks.own, floors.own, strict=True)
    figures = {
        "per_second": BATCH / median(clocks.wall),
        "own_per_second": BATCH / median(clocks.own),
        "floor_per_second": BATCH / median(floors.wall),
        "floor_own_per_second": BATCH / median(floors.own),
        "ratio": median(one / other for one, other in per_batch[0]),
        "own_ratio": median(one / other for one, other in per_batch[1]),
    }
    return figures, log.vkey


def _leaves(number: int, labels: int) -> list[bytes]:
    """Ready-made private leaves of the batch, under labels that many share."""
    week = FIRST_WEEK + number * BATCH // WEEK_OF_LEAVES
    names = [sha256(b"label %d" % order.randrange(max(1, labels))).digest() for _ in range(BATCH)]
    return [private_leaf(week, name, order.randbytes(32)) for name in names]


def _append(log: Log, leaves: list[bytes]) -> None:
    log.stage(leaves, 0)
    log.finish()


def _replayed(folder: Path, vkey: str) -> dict[str, Any]:
    """The whole log from its files alone, beside reading and hashing the same files."""
    files = [path for path in (folder / "tile" / "entries").rglob("*") if path.is_file()]
    own = time.process_time()
    for path in files:
        sha256(path.read_bytes()).digest()
    floor = time.process_time() - own
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("replay")
        wall, own = time.perf_counter(), time.process_time()
        report = replay(
            DirectorySource(folder), vkey, progress=lambda done, all_: bar.update(task, completed=done, total=all_)
        )
        wall, own = time.perf_counter() - wall, time.process_time() - own
    size = report.checkpoint.size
    return {"leaves": size, "epochs": report.map_epochs, "wall_s": wall, "own_s": own, "floor_own_s": floor}


def _rows(figures: dict[str, Any]) -> Rows:
    append, again, trie, year, reads = (figures[name] for name in ("append", "replay", "map", "history", "reads"))
    hashes = 1e6 * trie["hash_s"]
    rows: Rows = [
        (
            "appends/s, durable",
            f"{append['per_second']:,.0f}",
            f"{append['floor_per_second']:,.0f}",
            f"{append['ratio']:.1f}",
        ),
        (
            "appends/s of own time",
            f"{append['own_per_second']:,.0f}",
            f"{append['floor_own_per_second']:,.0f}",
            f"{append['own_ratio']:.1f}",
        ),
        (
            f"replay of {again['leaves']:,} leaves, own s",
            f"{again['own_s']:.1f}",
            f"{again['floor_own_s']:.2f}",
            f"{again['own_s'] / again['floor_own_s']:.0f}",
        ),
    ]
    for name, what in (
        ("update", "map: update"),
        ("new_key", "map: new key"),
        ("prove", "proof made"),
        ("verify", "proof verified"),
    ):
        micro = 1e6 * trie[f"{name}_s"]
        rows.append((f"{what}, own µs", f"{micro:.1f}", f"one hash {hashes:.2f}", f"{micro / hashes:.0f}"))
    rows += [
        ("proof bytes, average and longest", f"{trie['proof_bytes']:.0f}, {trie['longest_proof']}", "", ""),
        (
            f"MB resident, {trie['labels']:,} labels",
            f"{trie['resident_mb']:.0f}",
            f"{trie['resident_before_mb']:.0f}",
            "",
        ),
        (f"a year of {year['records']:,} records, own s", f"{year['check_s']:.2f}", "", ""),
        ("reads/s, asked and served", f"{reads['asked_per_second']}, {reads['per_second']:.0f}", "", ""),
        ("until cosigned, s: p50, p95, p99", ", ".join(f"{reads[f'p{part}_s']:.2f}" for part in (50, 95, 99)), "", ""),
        ("CPU ms a read: server, witnesses", f"{reads['cpu_ms']:.2f}, {reads['witnesses_cpu_ms']:.2f}", "", ""),
    ]
    return rows


def _limits(figures: dict[str, Any]) -> list[Limit]:
    """The budget; that of the replay is for a million leaves, and holds for fewer in proportion."""
    append, again, trie = figures["append"], figures["replay"], figures["map"]
    return [
        Limit("appends/s with map, durable", append["per_second"], 10_000, at_least=True),
        Limit("s to replay a million leaves", again["wall_s"] * 1e6 / again["leaves"], 60),
        Limit("map updates/s", 1 / trie["update_s"], 20_000, at_least=True),
        Limit("proof bytes, average", trie["proof_bytes"], 750),
        Limit("proof bytes, longest", trie["longest_proof"], 950),
        Limit("verifications/s", 1 / trie["verify_s"], 50_000, at_least=True),
        Limit(f"MB, {trie['labels']:,} labels", trie["resident_mb"], 300),
        Limit("s to check a person's year", figures["history"]["check_s"], 0.5),
        Limit("reads/s", figures["reads"]["per_second"], 0.98 * ledger_live.RATE, at_least=True),
        Limit("s until proven, p95", figures["reads"]["p95_s"], 1),
        Limit("s until cosigned, p95", figures["reads"]["p95_s"], 3),
    ]


def _said(figures: dict[str, Any]) -> str:
    again = figures["replay"]
    rate = again["leaves"] / again["wall_s"]
    return f"replay: {again['wall_s']:.1f} s for {again['epochs']:,} epochs with a map each, {rate:,.0f} leaves/s"
