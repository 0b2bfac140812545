"""Inclusion and consistency proofs: statements of numbers and hashes."""

from collections.abc import Iterator
from typing import Any

from paraph.tlog.merkle import EMPTY_ROOT, ProofError, leaf_hash, node_hash, verify_consistency, verify_inclusion
from tests.corpus.honest import LEAVES, WIDE
from tests.corpus.structure import Mutant, Structure
from tests.corpus.trees import of_values

SIZE = len(LEAVES)
_INDEXES = (0, 7, 16, 20)
_PAIRS = ((1, 21), (8, 21), (16, 21), (20, 21), (13, 16), (7, 8), (21, 21), (0, 21))


def _inclusion(index: int) -> dict[str, Any]:
    return {
        "hash_of_leaf": leaf_hash(LEAVES[index]),
        "index": index,
        "size": SIZE,
        "root": WIDE.root(),
        "proof": WIDE.inclusion_proof(index),
    }


def _consistency(old: int, new: int) -> dict[str, Any]:
    return {
        "old_size": old,
        "new_size": new,
        "old_root": WIDE.root(old),
        "new_root": WIDE.root(new),
        "proof": WIDE.consistency_proof(old, new),
    }


def _forged_inclusions(index: int) -> dict[str, Any]:
    honest = _inclusion(index)
    proof, leaf = honest["proof"], honest["hash_of_leaf"]
    return {
        **{f"the tree of size {n}": {**honest, "size": n, "root": WIDE.root(n)} for n in range(1, SIZE)},
        **{f"the root of size {n}": {**honest, "root": WIDE.root(n)} for n in range(SIZE)},
        **{f"the size {n}": {**honest, "size": n} for n in range(64) if not _alike(index, n)},
        **{f"the index {n}": {**honest, "index": n} for n in range(SIZE) if n != index},
        **{f"leaf {n}": {**honest, "hash_of_leaf": leaf_hash(LEAVES[n])} for n in range(SIZE) if n != index},
        **{f"the proof of {n}": {**honest, "proof": WIDE.inclusion_proof(n)} for n in range(SIZE) if n != index},
        "a node as a leaf": {
            **honest,
            "hash_of_leaf": node_hash(leaf, proof[0]),
            "index": index // 2,
            "proof": proof[1:],
        },
        "a leaf of two hashes": {**honest, "hash_of_leaf": leaf_hash(b"\x01" + leaf + proof[0]), "proof": proof[1:]},
        "the root as a leaf": {**honest, "hash_of_leaf": honest["root"], "size": 1, "index": 0, "proof": proof},
    }


def _alike(index: int, size: int) -> bool:
    """Whether the way from this leaf to the root is the same in both trees, as RFC 6962 has it for some sizes.

    The size is bound by the signed checkpoint that names it together with the root, not by the way.
    """
    return size > index and _sides(index, size) == _sides(index, SIZE)


def _sides(index: int, size: int) -> str:
    """On which sides the siblings lie, from the root downwards, by the definition of RFC 6962."""
    if size == 1:
        return ""
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return "r" + _sides(index, half)
    return "l" + _sides(index - half, size - half)


def _forged_consistency(old: int, new: int) -> dict[str, Any]:
    honest = _consistency(old, new)
    forged = [leaf_hash(b"forged")] * 3
    return {
        **{f"the old root of size {n}": {**honest, "old_root": WIDE.root(n)} for n in range(SIZE + 1) if n != old},
        **{f"the new root of size {n}": {**honest, "new_root": WIDE.root(n)} for n in range(SIZE + 1) if n != new},
        **{
            f"the proof from {n}": {**honest, "proof": WIDE.consistency_proof(n, new)}
            for n in range(1, new)
            if n != old
        },
        "the roots exchanged": {**honest, "old_root": honest["new_root"], "new_root": honest["old_root"]},
        "the sizes exchanged": {**honest, "old_size": new, "new_size": old},
        "an inclusion proof": {**honest, "proof": WIDE.inclusion_proof(max(old - 1, 0), new)},
        "a proof where none is needed": {**honest, "old_size": new, "old_root": honest["new_root"], "proof": forged},
        "from the empty tree with another root": {**honest, "old_size": 0, "proof": []},
        "from the empty tree with hashes": {**honest, "old_size": 0, "old_root": EMPTY_ROOT, "proof": forged},
    }


def _joins(old: int, new: int) -> str:
    """The same for the way from an old tree to a new one (RFC 6962, section 2.1.2)."""
    if old == new:
        return ""
    half = 1 << (new - 1).bit_length() - 1
    if old <= half:
        return "r" + _joins(old, half)
    return "l" + _joins(old - half, new - half)


def _without_twins(structure: Structure) -> Iterator[Mutant]:
    """Mutants of a statement, except other sizes of the new tree for which the way is the very same."""
    honest = structure.honest
    for mutant in of_values(structure):
        changed = {name for name, value in mutant.data.items() if value != honest[name]}
        size = mutant.data.get("size", mutant.data.get("new_size"))
        if not (changed <= {"size", "new_size"} and 0 < size < 2**20 and _twins(honest, size)):
            yield mutant


def _twins(honest: dict[str, Any], size: int) -> bool:
    if "index" in honest:
        return _alike(honest["index"], size)
    old, new = honest["old_size"], honest["new_size"]
    return 0 < old <= size and _joins(old, size) == _joins(old, new)


_FROM_NOTHING = {
    "new_size.*": "every tree begins with the empty one, whatever it is",
    "new_root.*": "every tree begins with the empty one, whatever it is",
}

STRUCTURES = (
    *(
        Structure(
            f"inclusion proof of leaf {index}",
            _inclusion(index),
            lambda values: verify_inclusion(**values),
            (ProofError,),
            _without_twins,
            forged=_forged_inclusions(index),
        )
        for index in _INDEXES
    ),
    *(
        Structure(
            f"consistency proof from {old} to {new}",
            _consistency(old, new),
            lambda values: verify_consistency(**values),
            (ProofError,),
            _without_twins,
            same=_FROM_NOTHING if old == 0 else {},
            forged=_forged_consistency(old, new) if 0 < old < new else {},
        )
        for old, new in _PAIRS
    ),
)
