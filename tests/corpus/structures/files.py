"""Evidence files, each checked as a stranger does: with the policy alone, offline."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from paraph.audit import evidence
from paraph.protocol.canonical import CanonicalJsonError, decode_canonical, encode
from tests.audit import test_fork, test_missed_deadline
from tests.audit.author import START, Author, now_of
from tests.audit.witnessed import POLICY
from tests.corpus.mutators import of_bytes
from tests.corpus.structure import Mutant, Structure
from tests.corpus.trees import of_json


class Rejected(Exception):
    """The verdict over a file that does not show what it was made to show."""


def _checked(now: int) -> Callable[[bytes], object]:
    """Reads a file; the check itself never raises, whatever stands in it."""

    def read(data: bytes) -> object:
        verdict = evidence.check(data, POLICY, now)
        if not verdict.holds:
            raise Rejected(verdict.summary)
        return verdict

    return read


def every(step: int) -> Callable[[Structure], Iterator[Mutant]]:
    """Every mutant whose number `step` divides, of the file: as bytes, and of the document in it."""

    def mutants(structure: Structure) -> Iterator[Mutant]:
        document = replace(structure, honest=decode_canonical(structure.honest))
        yield from islice(of_bytes(structure), 0, None, step)
        for name, wrong in islice(of_json(document), 0, None, step):
            yield from _written(name, wrong)

    return mutants


def _written(name: str, wrong: Any) -> Iterator[Mutant]:
    """The document as a file, where it has a canonical form at all."""
    try:
        yield Mutant(name, encode(wrong))
    except CanonicalJsonError:
        return


def _short() -> Author:
    """One partner, one read, three epochs in one week."""
    author = Author()
    author.enrol()
    author.grant(1, START + 1000)
    author.share(1, START + 2000, "session one")
    author.close(START + 30_000)
    author.access(1, START + 40_000, ["$one", "$two"])
    return author.close(START + 60_000).close(START + 600_000)


_HISTORY = _short().history()

STRUCTURES = (
    Structure("evidence: a fork of one size", test_fork.SAME_SIZE.evidence, _checked(0), (Rejected,), every(11)),
    Structure("evidence: a fork of two sizes", test_fork.OTHER_SIZES.evidence, _checked(0), (Rejected,), every(11)),
    Structure(
        "evidence: a missed deadline",
        test_missed_deadline.broken().claim().encode(),
        _checked(test_missed_deadline.SECONDS),
        (Rejected,),
        every(17),
    ),
    Structure("evidence: a history", _HISTORY.evidence, _checked(now_of(_HISTORY)), (Rejected,), every(61)),
)
