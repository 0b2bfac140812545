"""Random bytes, texts and values before every reader: a documented error, or a value in its only spelling."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.corpus.structure import Mutant, Structure, verdict_on
from tests.corpus.structures import ALL
from tests.corpus.trees import of_json

OF_BYTES = [structure for structure in ALL if isinstance(structure.honest, bytes)]
OF_JSON = [structure for structure in ALL if structure.mutants is of_json]
EXAMPLES = settings(max_examples=1500)

HONEST = [structure.honest for structure in OF_BYTES]
KNOWN_WORDS = sorted({word for honest in HONEST for word in honest.split() if 2 < len(word) < 200})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=4),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=8,
)


@st.composite
def patchwork(draw: st.DrawFn, honest: bytes) -> bytes:
    """Pieces of the honest form, of other structures, and of noise."""
    pieces = []
    for _ in range(draw(st.integers(1, 4))):
        source = draw(st.sampled_from([honest, honest, draw(st.sampled_from(HONEST)), draw(st.binary(max_size=40))]))
        start = draw(st.integers(0, len(source)))
        pieces.append(source[start : draw(st.integers(start, len(source)))])
    return b"".join(pieces)


texts = st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
lines = st.lists(st.sampled_from(KNOWN_WORDS) | texts, max_size=12).map(b"\n".join)
words = st.lists(st.sampled_from(KNOWN_WORDS), max_size=12).map(lambda found: b" ".join(found) + b"\n")


def check(structure: Structure, data: Any) -> None:
    """The data is refused as documented, or is what the reader may take; the honest form itself may come up."""
    verdict = verdict_on(structure, structure.read(structure.honest), Mutant("fuzzed", data))
    assert verdict in ("refused", "other") or data == structure.honest or _same(structure, verdict), verdict


def _same(structure: Structure, verdict: str) -> bool:
    """Whether the format of this structure lets one meaning have several spellings at all."""
    return bool(structure.same) and verdict == "accepted in another spelling"


@pytest.mark.parametrize("structure", OF_BYTES, ids=lambda structure: structure.name)
def test_bytes(structure: Structure) -> None:
    """Noise, text, known words and lines, and patchworks of honest pieces."""

    @EXAMPLES
    @given(st.binary(max_size=300) | texts | lines | words | patchwork(structure.honest))
    def fuzz(data: bytes) -> None:
        check(structure, data)

    fuzz()


@pytest.mark.parametrize("structure", OF_JSON, ids=lambda structure: structure.name)
def test_values(structure: Structure) -> None:
    """Any value, and any value in the place of any member."""

    @EXAMPLES
    @given(VALUES, st.none() | st.sampled_from(sorted(structure.honest)))
    def fuzz(value: Any, member: str | None) -> None:
        check(structure, value if member is None else {**structure.honest, member: value})

    fuzz()
