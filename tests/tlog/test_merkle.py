"""The tree of RFC 6962: known roots, proofs that verify, and proofs that must not."""

from hashlib import sha256

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import (
    EMPTY_ROOT,
    ConsistencyMismatch,
    Frontier,
    InclusionMismatch,
    MalformedProof,
    ProofError,
    Tree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from tests.tlog.strategies import HASHES, LEAVES, TREE, digests, flip, naive_root, positions, sizes

CT_LEAVES = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
"""The eight leaves of the test tree that Certificate Transparency's implementations share."""
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Their roots at sizes 0 to 8."""


@pytest.mark.parametrize(("size", "root"), list(enumerate(CT_ROOTS)))
def test_known_roots(size: int, root: str) -> None:
    """Tree and frontier give the published roots of the CT test tree."""
    hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in CT_LEAVES[:size]]
    frontier = Frontier()
    for item in hashes:
        frontier.append(item)
    assert frontier.root().hex() == Tree(hashes).root().hex() == root


def test_empty_root_is_the_hash_of_nothing() -> None:
    """RFC 6962 section 2.1: MTH({}) = SHA-256()."""
    assert sha256(b"").digest() == EMPTY_ROOT == Tree().root() == Frontier().root()


@given(st.integers(0, 130), st.integers(0, 130))
def test_frontier_is_the_naive_root_and_resumes(first: int, more: int) -> None:
    """A frontier saved and resumed anywhere has the root of the recursive definition."""
    frontier = Frontier()
    for item in HASHES[:first]:
        frontier.append(item)
    resumed = Frontier(frontier.size, frontier.peaks)
    for item in HASHES[first : first + more]:
        resumed.append(item)
    assert resumed.size == first + more
    assert resumed.root() == naive_root(HASHES[: first + more]) == TREE.root(first + more)


@pytest.mark.parametrize(
    ("size", "peaks"), [(-1, []), (-1, [bytes(32)]), (1, []), (2, [bytes(32)] * 2), (3, [bytes(32), bytes(31)])]
)
def test_a_frontier_refuses_impossible_peaks(size: int, peaks: list[bytes]) -> None:
    """A size has exactly one peak for each of its bits, of 32 bytes each."""
    with pytest.raises(TlogError, match="cannot have these"):
        Frontier(size, peaks)


@given(positions())
def test_inclusion_proofs_verify(position: tuple[int, int]) -> None:
    """A proof made for a leaf shows it under the root of that size."""
    index, size = position
    verify_inclusion(HASHES[index], index, size, TREE.root(size), TREE.inclusion_proof(index, size))


@given(sizes())
def test_consistency_proofs_verify(pair: tuple[int, int]) -> None:
    """A proof made between two sizes shows that the newer tree begins with the older."""
    old, new = pair
    verify_consistency(old, new, TREE.root(old), TREE.root(new), TREE.consistency_proof(old, new))


@given(positions(), positions())
def test_an_inclusion_proof_shows_one_statement_only(proven: tuple[int, int], claimed: tuple[int, int]) -> None:
    """A proof made for one index and size never verifies for another leaf, index, or the root of another size."""
    assume(proven != claimed)
    index, size = claimed
    with pytest.raises(ProofError):
        verify_inclusion(HASHES[index], index, size, TREE.root(size), TREE.inclusion_proof(*proven))


@given(sizes(), sizes())
def test_a_consistency_proof_shows_one_statement_only(proven: tuple[int, int], claimed: tuple[int, int]) -> None:
    """A proof made between two sizes never verifies between two others that need a proof."""
    old, new = claimed
    assume(proven != claimed and 0 < old < new)
    with pytest.raises(ProofError):
        verify_consistency(old, new, TREE.root(old), TREE.root(new), TREE.consistency_proof(*proven))


@given(positions(), st.data())
def test_a_damaged_inclusion_proof_fails(position: tuple[int, int], data: st.DataObject) -> None:
    """Any bit turned in leaf, root or proof leads to another root."""
    index, size = position
    parts = [HASHES[index], TREE.root(size), *TREE.inclusion_proof(index, size)]
    at = data.draw(st.integers(0, len(parts) - 1))
    parts[at] = flip(parts[at], data.draw(st.integers(0, 255)))
    with pytest.raises(InclusionMismatch):
        verify_inclusion(parts[0], index, size, parts[1], parts[2:])


@given(sizes(), st.data())
def test_a_damaged_consistency_proof_fails(pair: tuple[int, int], data: st.DataObject) -> None:
    """Any bit turned in either root or the proof is found."""
    old, new = pair
    assume(old > 0)
    parts = [TREE.root(old), TREE.root(new), *TREE.consistency_proof(old, new)]
    at = data.draw(st.integers(0, len(parts) - 1))
    parts[at] = flip(parts[at], data.draw(st.integers(0, 255)))
    with pytest.raises(ConsistencyMismatch):
        verify_consistency(old, new, parts[0], parts[1], parts[2:])


def malformed(proof: list[bytes]) -> list[list[bytes]]:
    """The same proof cut short, lengthened, and with a hash cut short or lengthened."""
    shapes = [[*proof, bytes(32)], [bytes(32), *proof], proof + proof[-1:] + proof[-1:]]
    if proof:
        shapes += [proof[:-1], proof[1:], [*proof[:-1], proof[-1][:31]], [*proof[:-1], proof[-1] + b"\x00"]]
        shapes += [[proof[0][:31], *proof[1:]]]
    return [shape for shape in shapes if shape != proof]


@given(positions())
def test_an_inclusion_proof_has_one_shape(position: tuple[int, int]) -> None:
    """More or fewer hashes, or hashes of another length, are refused before anything is compared."""
    index, size = position
    for shape in malformed(TREE.inclusion_proof(index, size)):
        with pytest.raises(MalformedProof):
            verify_inclusion(HASHES[index], index, size, TREE.root(size), shape)


@given(sizes())
def test_a_consistency_proof_has_one_shape(pair: tuple[int, int]) -> None:
    """More or fewer hashes, or hashes of another length, are refused."""
    old, new = pair
    for shape in malformed(TREE.consistency_proof(old, new)):
        with pytest.raises(MalformedProof):
            verify_consistency(old, new, TREE.root(old), TREE.root(new), shape)


@given(positions(), st.lists(digests, max_size=12))
def test_garbage_is_no_inclusion_proof(position: tuple[int, int], garbage: list[bytes]) -> None:
    """Random hashes never lead to the root."""
    index, size = position
    assume(garbage or size > 1)
    with pytest.raises(ProofError):
        verify_inclusion(HASHES[index], index, size, TREE.root(size), garbage)


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0), (5, 4), (0, -1)])
def test_an_index_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    """Neither made nor verified."""
    with pytest.raises(MalformedProof):
        TREE.inclusion_proof(index, size)
    with pytest.raises(MalformedProof):
        verify_inclusion(HASHES[0], index, size, TREE.root(4), [])


@pytest.mark.parametrize(("old", "new"), [(5, 4), (-1, 4), (-2, -1)])
def test_sizes_out_of_order_have_no_proof(old: int, new: int) -> None:
    """A log never shrinks."""
    with pytest.raises(MalformedProof):
        TREE.consistency_proof(old, new)
    with pytest.raises(MalformedProof):
        verify_consistency(old, new, TREE.root(4), TREE.root(4), [])


@given(st.integers(1, 300))
def test_roots_swapped_or_forked_are_found(size: int) -> None:
    """The newer root in the older's place fails, and so does the root of a tree that changed one old leaf."""
    proof = TREE.consistency_proof(size, size + 9)
    old, new = TREE.root(size), TREE.root(size + 9)
    with pytest.raises(ConsistencyMismatch):
        verify_consistency(size, size + 9, new, old, proof)
    forked = Tree([leaf_hash(b"forged"), *HASHES[1 : size + 9]])
    with pytest.raises(ConsistencyMismatch):
        verify_consistency(size, size + 9, old, forked.root(), forked.consistency_proof(size))


def test_the_empty_tree_begins_every_tree_but_has_one_root() -> None:
    """Consistency from size 0 needs no hashes and still compares the empty root."""
    verify_consistency(0, 5, EMPTY_ROOT, TREE.root(5), [])
    verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    with pytest.raises(ConsistencyMismatch):
        verify_consistency(0, 5, TREE.root(1), TREE.root(5), [])
    with pytest.raises(ConsistencyMismatch):
        verify_consistency(0, 0, EMPTY_ROOT, TREE.root(1), [])


def test_a_leaf_is_no_node() -> None:
    """The prefix bytes keep a leaf that spells two hashes from passing as an inner node (RFC 6962, section 2.1)."""
    forged = leaf_hash(TREE.root(1) + leaf_hash(LEAVES[1]))
    assert forged != TREE.root(2)
    with pytest.raises(InclusionMismatch):
        verify_inclusion(forged, 0, 1, TREE.root(2), [])
