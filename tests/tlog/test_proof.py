"""Proof bundles: one text that proves one leaf under one signed checkpoint."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paraph.tlog import checkpoint, note, proof
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import InclusionMismatch
from paraph.tlog.proof import MalformedBundle, Proof
from tests.tlog.strategies import HASHES, LOG, OTHER, TREE, flip, positions


def bundle(index: int, size: int, extra: bytes | None = None) -> Proof:
    """A true proof of one of the test leaves."""
    signed = checkpoint.sign(Checkpoint(LOG.name, size, TREE.root(size)), LOG)
    return Proof(index, tuple(TREE.inclusion_proof(index, size)), signed, extra)


@given(positions(), st.none() | st.binary(max_size=20))
def test_bundles_round_trip_and_verify(position: tuple[int, int], extra: bytes | None) -> None:
    """Written, read and verified against nothing but the log's key."""
    made = bundle(*position, extra)
    read = proof.parse(made.encode())
    assert read == made
    assert read.verify(HASHES[position[0]], LOG.verifier).checkpoint.size == position[1]


def test_the_form_is_the_specifications() -> None:
    """Header, extra, index, hashes, an empty line, the checkpoint verbatim."""
    lines = bundle(2, 3, b"x").encode().decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra eA==", "index 2"]
    assert lines[4:7] == ["", LOG.name, "3"]


@given(st.integers(0, 8 * len(bundle(2, 5).encode()) - 1))
def test_every_turned_bit_is_found(bit: int) -> None:
    """A bundle with any one bit changed proves nothing."""
    with pytest.raises(TlogError):
        proof.parse(flip(bundle(2, 5).encode(), bit)).verify(HASHES[2], LOG.verifier)


@given(positions(), st.integers(0, len(HASHES) - 1))
def test_a_bundle_proves_one_leaf(position: tuple[int, int], other: int) -> None:
    """Another leaf, or another log's key, is refused."""
    assume(other != position[0])
    made = bundle(*position)
    with pytest.raises(InclusionMismatch):
        made.verify(HASHES[other], LOG.verifier)
    with pytest.raises(note.UnverifiedNote):
        made.verify(HASHES[position[0]], OTHER.verifier)


WHOLE = bundle(2, 5).encode().decode()
CHECKPOINT = bundle(2, 5).checkpoint.decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\n\n" + CHECKPOINT,
        "c2sp.org/tlog-proof@v1\nextra eA==\n\n" + CHECKPOINT,
        WHOLE.replace("@v1", "@v2"),
        WHOLE.replace("index 2", "index 02"),
        WHOLE.replace("index 2", "index +2"),
        WHOLE.replace("index 2", "index  2"),
        WHOLE.replace("index 2", "Index 2"),
        WHOLE.replace("index 2", "2"),
        WHOLE.replace("index 2", f"index {2**63}"),
        WHOLE.replace("index 2", "extra eA\nindex 2"),
        WHOLE.replace("index 2", "extra eA==\nextra eA==\nindex 2"),
        WHOLE.replace("index 2", "index 2\nextra eA=="),
        WHOLE.replace("index 2\n", "index 2\nAAAA\n"),
        WHOLE.replace("\n\n", "\n \n", 1),
        WHOLE.replace("\n", "\r\n"),
        WHOLE.replace("index 2\n", "index 2\n" + "A" * 43 + "=\n" + ("A" * 43 + "=\n") * 63),
    ],
)
def test_malformed_bundles(text: str) -> None:
    """Anything but the only spelling is refused."""
    with pytest.raises(MalformedBundle):
        proof.parse(text.encode())


def test_cosignatures_come_with_the_checkpoint() -> None:
    """The verified checkpoint shows which cosigners signed it."""
    witness = CosignatureSigner("witness.example", bytes(32))
    text, signatures = note.parse(bundle(2, 5).checkpoint)
    signed = note.encode(text, [*signatures, witness.cosign(text, 7)])
    made = Proof(2, bundle(2, 5).hashes, signed)
    opened = made.verify(HASHES[2], LOG.verifier, cosigners=[witness.verifier]).note
    assert [item.name for item in opened.signatures] == [LOG.name, "witness.example"]
