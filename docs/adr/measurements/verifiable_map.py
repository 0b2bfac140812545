"""What the verifiable map costs: updates, proofs, verifications, memory, and the log's appends with it and without.

PYTHONPATH=src .venv/bin/python docs/adr/measurements/verifiable_map.py [keys, 1000000 unless given]

Rates are of the process's own time, median and best of many batches: other work on the machine shows in the median.
Durable appends are of wall time too, since they wait for the disk.
"""

# ruff: noqa: T201

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from unittest import mock

from paraph.protocol.entry import private_leaf
from paraph.server.ledger.label_map import LabelMap
from paraph.server.ledger.log import open_log
from paraph.tlog.map_proof import PresenceProof, map_value, parse, verify_presence
from paraph.tlog.prefix_map import PrefixMap

WEEK = 2900
BATCH = 256
order = random.Random(1)  # noqa: S311 -- which keys are measured is no secret


def key(number: int) -> bytes:
    """A key of one week, as labels are."""
    return WEEK.to_bytes(2, "big") + sha256(b"key %d" % number).digest()[:30]


def resident() -> float:
    """Megabytes that this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def rate(name: str, per_run: int, runs: Iterable[Callable[[], object]], clock: Callable[[], float]) -> None:
    """Print median and best rate of runs that do `per_run` things each."""
    seconds = []
    for run in runs:
        start = clock()
        run()
        seconds.append(clock() - start)
    print(f"{name:<44} {per_run / statistics.median(seconds):>10,.0f}/s   best {per_run / min(seconds):>10,.0f}/s")


def measure_trie(keys: int) -> None:
    """A trie of so many keys: memory, updates in batches, new keys, proofs, their length, verifications."""
    before = resident()
    start, made = time.process_time(), PrefixMap()
    for first in range(0, keys, 4096):
        made = made.set({key(n): key(n) for n in range(first, min(first + 4096, keys))})
    print(
        f"{keys:,} keys: {resident() - before:,.0f} MB more than {before:,.0f} MB, {time.process_time() - start:.1f} s"
    )
    updates = [{key(order.randrange(keys)): order.randbytes(32) for _ in range(BATCH)} for _ in range(200)]
    rate(f"updates, batches of {BATCH}", BATCH, [lambda b=b: made.set(b) for b in updates], time.process_time)
    fresh = [{key(keys + BATCH * n + m): bytes(32) for m in range(BATCH)} for n in range(200)]
    rate(f"new keys, batches of {BATCH}", BATCH, [lambda b=b: made.set(b) for b in fresh], time.process_time)
    sample = [key(n) for n in order.sample(range(keys), 4000)]
    value = map_value(3, bytes(32))
    made = made.set(dict.fromkeys(sample, value))
    parts = [sample[at : at + 200] for at in range(0, len(sample), 200)]
    rate("proofs made", 200, [lambda p=p: [made.prove(k) for k in p] for p in parts], time.process_time)
    proofs = {k: made.prove(k).encode() for k in sample}
    absent = [made.prove(key(2 * keys + n)).encode() for n in range(4000)]
    for name, encoded in (("presence", list(proofs.values())), ("absence", absent)):
        lengths = [len(proof) for proof in encoded]
        print(f"proof of {name}: {statistics.mean(lengths):.0f} bytes on average, {max(lengths)} at most")

    def verify(some: list[bytes]) -> None:
        for k in some:
            proof = parse(proofs[k])
            assert isinstance(proof, PresenceProof)
            verify_presence(made.root, k, 3, bytes(32), proof)

    rate("verifications, parsing included", 200, [lambda p=p: verify(p) for p in parts], time.process_time)


def measure_log(batch: int, labels: int, *, with_map: bool) -> None:
    """A log that grows by ready-made leaves, durable, batch by batch."""
    known = [order.randbytes(32) for _ in range(labels)]
    leaves = [
        [private_leaf(WEEK, order.choice(known), order.randbytes(32)) for _ in range(batch)]
        for _ in range(max(12_000 // batch, 8))
    ]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, ExitStack() as without:
        log = open_log(Path(folder), "example.org/log")
        if with_map:
            for first in range(0, labels, 4096):
                log.stage([private_leaf(WEEK, label, bytes(32)) for label in known[first : first + 4096]], 0)
                log.finish()
        else:
            for name in ("root_after", "check", "add"):
                without.enter_context(mock.patch.object(LabelMap, name, return_value=bytes(32)))

        def grow(some: list[bytes]) -> None:
            log.stage(some, 0)
            log.finish()

        name = f"durable appends by {batch}, {f'map of {labels} labels' if with_map else 'no map'}"
        for clock, what in ((time.perf_counter, ""), (time.process_time, " (own time)")):
            rate(name + what, batch, [lambda b=b: grow(b) for b in leaves], clock)
        log.close()


if __name__ == "__main__":
    measure_trie(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    for width in (256, 1024, 4096):
        for with_map in (False, True):
            measure_log(width, 50_000, with_map=with_map)
