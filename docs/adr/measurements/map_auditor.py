"""The measurement behind ADR 0014: what a map auditor's first replay, its restart and each step cost.

A log of so many leaves under a fifth as many labels, in batches of 256, is written as files; a static web server on
this machine serves them; a `MapAuditor` reads them over HTTP. Own time is the auditor's process alone.

    PYTHONPATH=src .venv/bin/python docs/adr/measurements/map_auditor.py [leaves, 1000000 unless given]
"""

# ruff: noqa: S603, T201, S311

import asyncio
import logging
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import epoch_leaf, private_leaf
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.merkle import Frontier, leaf_hash
from paraph.tlog.prefix_map import PrefixMap, grow
from paraph.tlog.tiles import TILE_WIDTH, encode_entries, entries_path
from paraph.tlog.witness import Submission
from paraph.witness.audit_store import AuditStore
from paraph.witness.auditor import MapAuditor
from paraph.witness.source import HttpSource

BATCH, STEPS, PORT = 255, 100, 8127
ORIGIN = "localhost/log"
SERVER = """
import functools, http.server, sys
handler = http.server.SimpleHTTPRequestHandler
handler.log_message = lambda *_: None
handler.protocol_version = "HTTP/1.1"
serve = functools.partial(handler, directory=sys.argv[1])
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), serve).serve_forever()
"""


class Grown:
    """A correct log whose entry bundles are written below a folder."""

    def __init__(self, root: Path, labels: int) -> None:
        self.log = Frontier()
        self._root = root
        self._labels = labels
        self._map = PrefixMap()
        self._frontiers: dict[bytes, Frontier] = {}
        self._tail: list[bytes] = []
        self._epochs = 0
        self._chance = random.Random(1)

    def batch(self) -> Submission:
        """One epoch more; the tree that closes it."""
        prev, week = self.log.size, (2900).to_bytes(2, "big")
        labels = [sha256(b"label %d" % self._chance.randrange(self._labels)).digest() for _ in range(BATCH)]
        leaves = [private_leaf(2900, label, self._chance.randbytes(32)) for label in labels]
        keyed = [(week + label[:30], leaf_hash(leaf)) for label, leaf in zip(labels, leaves, strict=True)]
        self._map, changed = grow(self._map, self._known, keyed)
        self._frontiers |= changed
        leaves.append(epoch_leaf(self._epochs, prev, b64url(self._map.root), 1_750_000_000_000 + self._epochs))
        self._epochs += 1
        for leaf in leaves:
            self.log.append(leaf_hash(leaf))
            self._tail.append(leaf)
            if len(self._tail) == TILE_WIDTH:
                self._write(self.log.size // TILE_WIDTH - 1)
                self._tail = []
        if self._tail:
            self._write(self.log.size // TILE_WIDTH)
        return Submission(0, (), Checkpoint(ORIGIN, self.log.size, self.log.root()), ())

    def _known(self, keys: Collection[bytes]) -> dict[bytes, Frontier]:
        return {key: self._frontiers[key] for key in keys if key in self._frontiers}

    def _write(self, index: int) -> None:
        path = self._root / entries_path(index, len(self._tail))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_entries(self._tail))


@contextmanager
def served(root: Path) -> Iterator[str]:
    """A static web server over a folder, in a process of its own; its URL."""
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(root), str(PORT)])
    url = f"http://127.0.0.1:{PORT}"
    try:
        while True:
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


def report(name: str, began: tuple[float, float], leaves: int = 0) -> None:
    """One row: wall time and own time."""
    wall, own = time.perf_counter() - began[0], time.process_time() - began[1]
    rate = f"   {leaves / own:>10,.0f} leaves/s of own time" if leaves else ""
    print(f"{name:<40} {wall:>7.1f} s wall   {own:>7.1f} s own{rate}")


def now() -> tuple[float, float]:
    """Wall time and own time."""
    return time.perf_counter(), time.process_time()


async def main(root: Path, leaves: int) -> None:
    """The rows."""
    log, began = Grown(root / "log", leaves // 5), now()
    while log.log.size < leaves:
        newest = log.batch()
    report("(the log itself was made)", began, log.log.size)
    with served(root / "log") as url:
        auditor = open_auditor(root, url)
        began = now()
        await auditor.require(newest)
        report("first replay", began, log.log.size)
        await asyncio.to_thread(auditor.close)
        auditor, began = open_auditor(root, url), now()
        await auditor.require(newest)
        report("restart", began)
        taken = []
        for _ in range(STEPS):
            newest = log.batch()
            began = now()
            await auditor.require(newest)
            taken.append((1000 * (time.perf_counter() - began[0]), 1000 * (time.process_time() - began[1])))
        for name, column in zip(("wall", "own"), zip(*taken, strict=True), strict=True):
            ordered = sorted(column)
            print(f"a step of 256 leaves, {name}: median {statistics.median(ordered):.1f} ms, p99 {ordered[-2]:.1f} ms")
        await asyncio.to_thread(auditor.close)


def room(root: Path) -> None:
    """What it takes on disk and in memory."""
    statm = Path("/proc/self/statm").read_text().split()
    size = sum(file.stat().st_size for file in root.glob("map.db*")) / 1e6
    print(f"map.db {size:.0f} MB; resident {int(statm[1]) * 4096 / 1e6:.0f} MB, the log's maker included")


def open_auditor(root: Path, url: str) -> MapAuditor:
    """The auditor of a folder."""
    return MapAuditor(AuditStore(root / "map.db"), HttpSource(url), print, clock=lambda: 0, patience=3600)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(main(Path(place), int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
        room(Path(place))
