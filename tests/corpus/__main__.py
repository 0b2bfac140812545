"""Counts of the corpus, structure by structure: `python -m tests.corpus`."""

import sys
import time

from tests.corpus.structure import Tally, judge
from tests.corpus.structures import ALL


def line(name: str, tally: Tally, seconds: float) -> str:
    """One row of the table."""
    same = sum(tally.same.values())
    return (
        f"{name:36} {tally.cases:7} {tally.refused:7} {tally.other:7} {same:5} {len(tally.faults):6} {seconds:7.2f}\n"
    )


def main() -> int:
    """Judge everything; 1 if anything was accepted that must not be."""
    write = sys.stdout.write
    write(f"{'structure':36} {'cases':>7} {'refused':>7} {'other':>7} {'same':>5} {'faults':>6} {'seconds':>7}\n")
    total, began = Tally(), time.perf_counter()
    for structure in ALL:
        start = time.perf_counter()
        tally = judge(structure)
        write(line(structure.name, tally, time.perf_counter() - start))
        for fault in tally.faults[:10]:
            write(f"    {fault.mutation}: {fault.verdict}: {str(fault.data)[:200]!r}\n")
        total.refused, total.other = total.refused + tally.refused, total.other + tally.other
        total.same["all"] = total.same.get("all", 0) + sum(tally.same.values())
        total.faults += tally.faults
    write(line("all", total, time.perf_counter() - began))
    return 1 if total.faults else 0


if __name__ == "__main__":
    sys.exit(main())
