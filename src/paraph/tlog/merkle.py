"""The append-only Merkle tree of RFC 6962 section 2.1 (RFC 9162 section 2.1), with SHA-256.

A *node* (level, index) is the perfect subtree over the leaves [index * 2^level, (index + 1) * 2^level). Every other
hash in a proof is folded from nodes, so proofs are built from a function that reads nodes, wherever they are stored.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from paraph.tlog.errors import TlogError

HASH_SIZE = 32
"""Bytes in each hash of the tree."""
EMPTY_ROOT = sha256(b"").digest()
"""The root of the tree without leaves (RFC 6962, section 2.1)."""
MAX_PROOF = 63
"""Hashes in the longest possible proof of a tree of fewer than 2^63 leaves."""


class ProofError(TlogError):
    """A proof that does not show what it claims."""


class MalformedProof(ProofError):
    """A proof with an impossible index or size, or of the wrong number or length of hashes."""


class InclusionMismatch(ProofError):
    """A well-formed inclusion proof that leads to another root than the one given."""


class ConsistencyMismatch(ProofError):
    """A well-formed consistency proof that leads to another old or new root than the one given."""


@dataclass(frozen=True, order=True, slots=True)
class Node:
    """The perfect subtree of 2^level leaves that starts at leaf index * 2^level."""

    level: int
    index: int


class Range(NamedTuple):
    """The leaves [start, end): a subtree that occurs in the tree of some size."""

    start: int
    end: int


NodeReader = Callable[[Node], bytes]
"""Gives the hash of a node that is complete in the tree at hand."""


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf: SHA-256(0x00 || leaf)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def fold_peaks(peaks: Sequence[bytes]) -> bytes:
    """Root of adjoining perfect subtrees, largest first; EMPTY_ROOT for none."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


class Frontier:
    """A growing tree of which only the roots of its perfect subtrees are kept: one hash for each bit of the size."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """Start empty, or resume at `size` with its `peaks`, largest first. Raises TlogError if they cannot be."""
        self._size = size
        self._peaks = list(peaks)
        if size < 0 or len(self._peaks) != size.bit_count() or any(len(p) != HASH_SIZE for p in self._peaks):
            raise TlogError(f"a tree of size {size} cannot have these {len(self._peaks)} peaks")

    @property
    def size(self) -> int:
        """Number of leaves so far."""
        return self._size

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, largest first; with `size`, all that is needed to resume."""
        return tuple(self._peaks)

    def append(self, hash_of_leaf: bytes) -> None:
        """Add one leaf, given by its leaf hash."""
        self._size += 1
        for _ in range((self._size & -self._size).bit_length() - 1):
            hash_of_leaf = node_hash(self._peaks.pop(), hash_of_leaf)
        self._peaks.append(hash_of_leaf)

    def root(self) -> bytes:
        """Root of the tree so far."""
        return fold_peaks(self._peaks)


class Tree:
    """A whole tree in memory, for proofs about small logs: every complete node of every level."""

    def __init__(self, hashes_of_leaves: Iterable[bytes] = ()) -> None:
        """Build the tree over these leaf hashes."""
        self._levels: list[list[bytes]] = [[]]
        for hash_of_leaf in hashes_of_leaves:
            self.append(hash_of_leaf)

    @property
    def size(self) -> int:
        """Number of leaves so far."""
        return len(self._levels[0])

    def append(self, hash_of_leaf: bytes) -> None:
        """Add one leaf, given by its leaf hash."""
        level = 0
        self._levels[0].append(hash_of_leaf)
        while len(self._levels[level]) % 2 == 0:
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(node_hash(*self._levels[level][-2:]))
            level += 1

    def node(self, node: Node) -> bytes:
        """Hash of a complete node; IndexError outside the tree."""
        return self._levels[node.level][node.index]

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` leaves; of all of them without it."""
        return range_root(Range(0, self.size if size is None else size), self.node)

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Prove that leaf `index` is in the tree of the first `size` leaves."""
        return inclusion_proof(index, self.size if size is None else size, self.node)

    def consistency_proof(self, old_size: int, new_size: int | None = None) -> list[bytes]:
        """Prove that the first `old_size` leaves begin the tree of the first `new_size` leaves."""
        return consistency_proof(old_size, self.size if new_size is None else new_size, self.node)


def range_nodes(leaves: Range) -> list[Node]:
    """The perfect subtrees that make up a subtree of the tree, left (and largest) first."""
    nodes = []
    start, end = leaves
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def range_root(leaves: Range, read: NodeReader) -> bytes:
    """Root of a subtree, folded from its nodes."""
    return fold_peaks([read(node) for node in range_nodes(leaves)])


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The subtrees whose roots are the inclusion proof PATH(index, D[size]), from the leaf's sibling upwards.

    RFC 6962, section 2.1.1. Raises MalformedProof unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise MalformedProof(f"expected an index below the tree size {size}, got {index}")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(start, middle))
            start = middle
    return path[::-1]


def consistency_ranges(old_size: int, new_size: int) -> list[Range]:
    """The subtrees whose roots are the consistency proof PROOF(old_size, D[new_size]), deepest first.

    RFC 6962, section 2.1.2; empty where nothing needs proof (old_size is 0 or new_size). Raises MalformedProof
    unless 0 <= old_size <= new_size.
    """
    if not 0 <= old_size <= new_size:
        raise MalformedProof(f"expected sizes in order, got {old_size} then {new_size}")
    if old_size in (0, new_size):
        return []
    path = []
    start, end = 0, new_size
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(start, middle))
            start = middle
    if start:  # the old tree is not itself a node of the new one, so its last piece must be given
        path.append(Range(start, end))
    return path[::-1]


def _split(size: int) -> int:
    """The largest power of two below `size`, where RFC 6962 divides a tree."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """Hashes that prove leaf `index` in the tree of `size` leaves, from the leaf's sibling upwards."""
    return [range_root(leaves, read) for leaves in inclusion_ranges(index, size)]


def consistency_proof(old_size: int, new_size: int, read: NodeReader) -> list[bytes]:
    """Hashes that prove that the tree of `new_size` leaves begins with the tree of `old_size` leaves."""
    return [range_root(leaves, read) for leaves in consistency_ranges(old_size, new_size)]


def root_from_inclusion(hash_of_leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, section 2.1.3.2).

    Raises MalformedProof if the proof does not have exactly the hashes that this index and size need.
    """
    if not 0 <= index < size:
        raise MalformedProof(f"expected an index below the tree size {size}, got {index}")
    # Up to where the paths to this leaf and to the last one part, each bit of the index names a side;
    # above, the leaf lies on the right edge and only left siblings remain.
    inner = (index ^ (size - 1)).bit_length()
    _check_shape([hash_of_leaf, *proof], 1 + inner + (index >> inner).bit_count())
    return _climb_edge(_climb(hash_of_leaf, index, proof[:inner]), proof[inner:])


def verify_inclusion(hash_of_leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `size` leaves under `root` holds the leaf hash at `index`.

    Raises MalformedProof or InclusionMismatch.
    """
    computed = root_from_inclusion(hash_of_leaf, index, size, proof)
    if computed != root:
        raise InclusionMismatch(
            f"leaf {index} of {size}: expected root {root.hex()}, the proof leads to {computed.hex()}"
        )


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree under `new_root` begins with the tree under `old_root` (RFC 9162, section 2.1.4.2).

    Raises MalformedProof or ConsistencyMismatch.
    """
    if not 0 <= old_size <= new_size:
        raise MalformedProof(f"expected sizes in order, got {old_size} then {new_size}")
    if old_size in (0, new_size):
        _check_shape(proof, 0)
        if old_size == new_size:
            _match("old", old_size, old_root, new_root)
        if old_size == 0:
            _match("old", old_size, old_root, EMPTY_ROOT)
        return
    # Start at the last perfect subtree of the old tree: the old tree itself if that is perfect, else proof[0].
    level = (old_size & -old_size).bit_length() - 1
    index = (old_size - 1) >> level
    steps = list(proof) if index else [old_root, *proof]
    inner = (index ^ ((new_size - 1) >> level)).bit_length()
    _check_shape(steps, 1 + inner + (index >> inner).bit_count())
    seed, inside, edge = steps[0], steps[1 : 1 + inner], steps[1 + inner :]
    left_only = [step for bit, step in enumerate(inside) if index >> bit & 1]
    _match("old", old_size, old_root, _climb_edge(_climb_edge(seed, left_only), edge))
    _match("new", new_size, new_root, _climb_edge(_climb(seed, index, inside), edge))


def _climb(seed: bytes, index: int, steps: Sequence[bytes]) -> bytes:
    """Hash upwards, each bit of the index telling whether the path is the right child."""
    for bit, step in enumerate(steps):
        seed = node_hash(step, seed) if index >> bit & 1 else node_hash(seed, step)
    return seed


def _climb_edge(seed: bytes, steps: Sequence[bytes]) -> bytes:
    """Hash upwards along a right edge, where every sibling is on the left."""
    for step in steps:
        seed = node_hash(step, seed)
    return seed


def _check_shape(hashes: Sequence[bytes], count: int) -> None:
    if len(hashes) != count:
        raise MalformedProof(f"expected {count} hashes in all, got {len(hashes)}")
    if any(len(item) != HASH_SIZE for item in hashes):
        raise MalformedProof(f"expected hashes of {HASH_SIZE} bytes")


def _match(which: str, size: int, claimed: bytes, computed: bytes) -> None:
    if claimed != computed:
        raise ConsistencyMismatch(
            f"{which} tree of size {size}: expected root {claimed.hex()}, the proof leads to {computed.hex()}"
        )
