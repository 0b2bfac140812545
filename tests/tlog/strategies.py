"""Small trees and keys that the tests of the log share."""

from hashlib import sha256

from hypothesis import strategies as st

from paraph.tlog.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash
from paraph.tlog.note import Signer

LEAVES = [b"leaf %d" % number for number in range(700)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
TREE = Tree(HASHES)
"""A tree that is wider than two tiles; its prefixes are the smaller trees."""

LOG = Signer("example.org/log", sha256(b"log").digest())
OTHER = Signer("example.org/log", sha256(b"another key under the same name").digest())


def naive_root(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962 as its definition reads: recursive, nothing remembered."""
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return node_hash(naive_root(hashes[:half]), naive_root(hashes[half:]))


def flip(data: bytes, bit: int) -> bytes:
    """The same bytes with one bit turned."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


digests = st.binary(min_size=32, max_size=32)


@st.composite
def positions(draw: st.DrawFn, largest: int = len(LEAVES)) -> tuple[int, int]:
    """A leaf index and a size of a tree that holds it."""
    size = draw(st.integers(1, largest))
    return draw(st.integers(0, size - 1)), size


@st.composite
def sizes(draw: st.DrawFn, largest: int = len(LEAVES)) -> tuple[int, int]:
    """An old and a new size, in order."""
    new = draw(st.integers(0, largest))
    return draw(st.integers(0, new)), new
