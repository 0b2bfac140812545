"""No wrong form of any structure is accepted, and each is refused with an error that its verifier documents."""

from collections.abc import Callable

import pytest

from tests.corpus.structure import Structure, judge
from tests.corpus.structures import ALL


@pytest.mark.parametrize("structure", ALL, ids=lambda structure: structure.name)
def test_no_mutant_is_accepted(structure: Structure, record_property: Callable[[str, object], None]) -> None:
    """The honest form is read; each of its mutants is refused, or is another value in its only spelling."""
    tally = judge(structure)
    record_property("corpus", (tally.refused, tally.other, sum(tally.same.values())))
    assert not tally.faults, "\n".join(
        f"{fault.mutation}: {fault.verdict}: {str(fault.data)[:300]!r}" for fault in tally.faults[:20]
    )
    assert tally.same.keys() == structure.same.keys(), "an exception hides nothing, so it is none"
    assert tally.cases >= 30
