"""pymerkle, which shares no code with ours, builds the same trees and proofs, and judges ours the same way."""

import pytest
from pymerkle import InmemoryTree, InvalidProof
from pymerkle import verify_consistency as their_consistency
from pymerkle import verify_inclusion as their_inclusion

from paraph.tlog.merkle import ConsistencyMismatch, verify_consistency, verify_inclusion
from tests.tlog.strategies import HASHES, LEAVES, TREE, flip

SIZES = [1, 2, 3, 5, 8, 13, 31, 32, 33, 100, 255, 256, 257]


@pytest.fixture(scope="module")
def theirs() -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for leaf in LEAVES[: SIZES[-1]]:
        tree.append(leaf)
    return tree


def test_roots_are_the_same(theirs: InmemoryTree) -> None:
    """Of every size."""
    assert [theirs.get_state(size) for size in range(1, SIZES[-1] + 1)] == [
        TREE.root(size) for size in range(1, SIZES[-1] + 1)
    ]


@pytest.mark.parametrize("size", SIZES)
def test_inclusion_proofs_are_the_same(theirs: InmemoryTree, size: int) -> None:
    """Hash by hash; theirs verifies here, ours there, and neither with one bit turned."""
    for index in sorted({0, size // 3, size // 2, size - 1}):
        proof = theirs.prove_inclusion(index + 1, size)
        assert proof.path == [HASHES[index], *TREE.inclusion_proof(index, size)]
        verify_inclusion(HASHES[index], index, size, theirs.get_state(size), proof.path[1:])
        their_inclusion(HASHES[index], TREE.root(size), proof)
        with pytest.raises(InvalidProof):
            their_inclusion(HASHES[index], flip(TREE.root(size), 3), proof)
        if len(proof.path) > 1:
            proof.path[-1] = flip(proof.path[-1], 5)
            with pytest.raises(InvalidProof):
                their_inclusion(HASHES[index], TREE.root(size), proof)


@pytest.mark.parametrize(("old", "new"), [(old, new) for new in SIZES for old in SIZES if old <= new])
def test_consistency_proofs_say_the_same(theirs: InmemoryTree, old: int, new: int) -> None:
    """Their proof (of a form of its own) joins our roots, ours joins theirs; neither joins another root."""
    proof = theirs.prove_consistency(old, new)
    their_consistency(TREE.root(old), TREE.root(new), proof)
    ours = TREE.consistency_proof(old, new)
    verify_consistency(old, new, theirs.get_state(old), theirs.get_state(new), ours)
    with pytest.raises(ConsistencyMismatch):
        verify_consistency(old, new, flip(theirs.get_state(old), 9), theirs.get_state(new), ours)
    with pytest.raises(InvalidProof):
        their_consistency(flip(TREE.root(old), 9), TREE.root(new), proof)
