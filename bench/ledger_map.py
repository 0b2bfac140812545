"""The verifiable map alone: updates, proofs, verifications, memory, in a process that does nothing else.

Times are the process's own. Beside each stands what it costs in hashes: one SHA-256 of 65 bytes, an inner node, taken
in the same minute, since whatever is made of hashes cannot cost less than they do.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from statistics import mean, median
from typing import Any

from paraph.tlog.map_proof import PresenceProof, map_value, parse, verify_presence
from paraph.tlog.prefix_map import PrefixMap

WEEK = 2900
BATCH = 256
BATCHES, SAMPLE, PART = 120, 4000, 200
order = random.Random(1)


def key(number: int) -> bytes:
    """A key of one week, as labels are."""
    return WEEK.to_bytes(2, "big") + sha256(b"key %d" % number).digest()[:30]


def resident_mb() -> float:
    """Megabytes that this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def hash_seconds(rounds: int = 20, calls: int = 5000) -> float:
    """Own time of one SHA-256 of an inner node's 65 bytes."""
    node = bytes(65)

    def hashes() -> None:
        for _ in range(calls):
            sha256(node).digest()

    return seconds(calls, [hashes] * rounds)


def seconds(per_run: int, runs: Iterable[Callable[[], object]]) -> float:
    """Median own time of one thing, where each run does `per_run` of them."""
    taken = []
    for run in runs:
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return median(taken) / per_run


def measure(labels: int) -> dict[str, Any]:
    """Seconds a thing, bytes of proofs, megabytes; for a process of its own."""
    before, made = resident_mb(), PrefixMap()
    for first in range(0, labels, 4096):
        made = made.set({key(n): key(n) for n in range(first, min(first + 4096, labels))})
    resident = resident_mb()
    changes = [{key(order.randrange(labels)): order.randbytes(32) for _ in range(BATCH)} for _ in range(BATCHES)]
    fresh = [{key(labels + BATCH * n + m): bytes(32) for m in range(BATCH)} for n in range(BATCHES)]
    figures = {
        "labels": labels,
        "resident_mb": resident,
        "resident_before_mb": before,
        "hash_s": hash_seconds(),
        "update_s": seconds(BATCH, [lambda some=some: made.set(some) for some in changes]),  # type: ignore[misc]
        "new_key_s": seconds(BATCH, [lambda some=some: made.set(some) for some in fresh]),  # type: ignore[misc]
    }
    return figures | _proofs(made, labels)


def _proofs(made: PrefixMap, labels: int) -> dict[str, Any]:
    """Of presence for a sample of the keys, of absence for as many others."""
    sample = [key(n) for n in order.sample(range(labels), min(SAMPLE, labels))]
    made = made.set(dict.fromkeys(sample, map_value(3, bytes(32))))
    parts = [sample[at : at + PART] for at in range(0, len(sample), PART)]
    proofs = {one: made.prove(one).encode() for one in sample}
    lengths = [len(proof) for proof in proofs.values()]
    lengths += [len(made.prove(key(2 * labels + n)).encode()) for n in range(len(sample))]

    def verify(some: list[bytes]) -> None:
        for one in some:
            proof = parse(proofs[one])
            assert isinstance(proof, PresenceProof)
            verify_presence(made.root, one, 3, bytes(32), proof)

    return {
        "prove_s": seconds(PART, [lambda p=p: [made.prove(one) for one in p] for p in parts]),  # type: ignore[misc]
        "verify_s": seconds(PART, [lambda p=p: verify(p) for p in parts]),  # type: ignore[misc]
        "proof_bytes": mean(lengths),
        "longest_proof": max(lengths),
    }
