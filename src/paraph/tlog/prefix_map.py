"""The verifiable map itself: built, extended by whole batches, asked for proofs (formats: `map_proof`).

A map is a value: `set` gives another one that shares all nodes that did not change, so an older root stays readable
for as long as somebody keeps it. Near the leaves, up to PAGE_LEAVES keys are kept together in one string of bytes
and their inner hashes are made again when needed: a million keys take some 130 MB instead of half a gigabyte. How
keys are divided into pages depends on the order of insertion; no hash does.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Union

from paraph.tlog.map_proof import (
    EMPTY_MAP_ROOT,
    KEY_BITS,
    KEY_SIZE,
    AbsenceProof,
    MalformedMapProof,
    MapLeaf,
    MapProof,
    PresenceProof,
    leaf_node,
    map_value,
)
from paraph.tlog.merkle import HASH_SIZE, Frontier

PAGE_LEAVES = 8
"""Keys that one page holds at most: more save memory, fewer save hashing."""

_BITS = tuple(bytes((bit,)) for bit in range(KEY_BITS))
_VALUE_END = 2 * KEY_SIZE
_RECORD = 3 * KEY_SIZE
"""Bytes of one key in a page: key, value, hash of its leaf."""


# Plain tuples, not classes: Python's collector of cycles stops looking at tuples that hold no cycle, and with a
# million keys its looking takes as long as the hashing.
_Page = tuple[bytes, bytes]
"""A subtrie of few keys: its hash, and the keys' records in order."""
_Inner = tuple[bytes, int, "_Node", "_Node", int]
"""Keys that part at a bit: hash, bit, left, right, and one of the keys as a number, for the bits that all share."""
_Node = Union[_Page, _Inner]  # noqa: UP007 -- a recursive alias, which `|` cannot build from names in quotes


class PrefixMap:
    """A map of keys to values, 32 bytes each, that never changes."""

    __slots__ = ("_top",)

    def __init__(self, items: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Build the map of these keys and values, in any order. Raises MalformedMapProof for other lengths."""
        records = _records(dict(items))
        self._top: _Node | None = _build(records) if records else None

    @property
    def root(self) -> bytes:
        """Hash of the whole map (32 bytes); EMPTY_MAP_ROOT without keys."""
        return EMPTY_MAP_ROOT if self._top is None else self._top[0]

    def set(self, changes: Mapping[bytes, bytes]) -> "PrefixMap":
        """The map in which these keys have these values; raises MalformedMapProof for other lengths than 32 bytes."""
        records = _records(changes)
        after = PrefixMap()
        if self._top is None or not records:
            after._top = _build(records) if records else self._top
        else:
            numbers = [_number(record) for record in records]
            after._top = _Merge(numbers, records).into(self._top, 0, len(records))
        return after

    def get(self, key: bytes) -> bytes | None:
        """The key's value, or None."""
        leaf = None if self._top is None else _walk(self._top, key)[0]
        return leaf.value if leaf is not None and leaf.key == key else None

    def prove(self, key: bytes) -> MapProof:
        """Prove that the key is in the map, or that it is not."""
        if self._top is None:
            return AbsenceProof(None)
        leaf, steps = _walk(self._top, key)
        return PresenceProof(steps) if leaf.key == key else AbsenceProof(leaf, steps)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values in the order of keys."""
        waiting = [] if self._top is None else [self._top]
        while waiting:
            node = waiting.pop()
            if len(node) == 5:
                waiting += [node[3], node[2]]
            else:
                yield from ((record[:KEY_SIZE], record[KEY_SIZE:_VALUE_END]) for record in _split_page(node))


Frontiers = Callable[[Collection[bytes]], dict[bytes, Frontier]]
"""Gives the frontier of each of these keys that has leaves already; the caller may change what it is given."""


def grow(
    before: PrefixMap, frontiers: Frontiers, leaves: Sequence[tuple[bytes, bytes]]
) -> tuple[PrefixMap, dict[bytes, Frontier]]:
    """Add log leaves, given as (key, leaf hash) in log order; returns the map after them and each changed frontier.

    This is the rule by which a map is made of a log: a key's value is `map_value` of the number and the RFC 6962 root
    of all leaf hashes under it so far. Nothing that is passed in changes.
    """
    changed = frontiers({key for key, _ in leaves})
    for key, hash_of_leaf in leaves:
        frontier = changed.get(key)
        if frontier is None:
            frontier = changed[key] = Frontier()
        frontier.append(hash_of_leaf)
    values = {key: map_value(frontier.size, frontier.root()) for key, frontier in changed.items()}
    return before.set(values), changed


def pack_frontier(frontier: Frontier) -> bytes:
    """A frontier as it is kept for each key: size (8 bytes, big-endian), then its peaks (32 bytes each)."""
    return frontier.size.to_bytes(8, "big") + b"".join(frontier.peaks)


def unpack_frontier(data: bytes) -> Frontier:
    """Read what `pack_frontier` wrote. Raises TlogError if the peaks are not those of the size."""
    peaks = (data[at : at + HASH_SIZE] for at in range(8, len(data), HASH_SIZE))
    return Frontier(int.from_bytes(data[:8], "big"), peaks)


class _Merge:
    """Puts a sorted batch of records, with their keys as numbers, into a trie."""

    def __init__(self, numbers: Sequence[int], records: Sequence[bytes]) -> None:
        self._numbers = numbers
        self._records = records

    def into(self, node: _Node, low: int, high: int) -> _Node:
        """The subtrie with the batch's records [low, high) added: one hash for each inner node that changes."""
        if len(node) == 2:
            return _build(_replaced(node, self._records[low:high]))
        _, bit, left, right, sample = node
        # All keys of a sorted batch share the bits that its first and its last share.
        before = (sample ^ self._numbers[low]) | (sample ^ self._numbers[high - 1])
        if before >> (KEY_BITS - bit):
            return self._beside(node, KEY_BITS - before.bit_length(), low, high)
        middle = self._split(bit, low, high)
        if low < middle:
            left = self.into(left, low, middle)
        if middle < high:
            right = self.into(right, middle, high)
        return (sha256(left[0] + right[0] + _BITS[bit]).digest(), bit, left, right, sample)

    def _beside(self, node: _Inner, bit: int, low: int, high: int) -> _Node:
        """Some of the batch's keys part from the subtrie's at a bit before its own: a new inner node above it."""
        middle = self._split(bit, low, high)
        if _bit(node[4], bit):
            left = _build(self._records[low:middle])
            return _inner(bit, left, self.into(node, middle, high) if middle < high else node)
        right = _build(self._records[middle:high])
        return _inner(bit, self.into(node, low, middle) if low < middle else node, right)

    def _split(self, bit: int, low: int, high: int) -> int:
        """Where in [low, high), whose keys share all bits before, the keys with this bit set begin."""
        shift = KEY_BITS - 1 - bit
        return bisect_left(self._numbers, ((self._numbers[low] >> shift) | 1) << shift, low, high)


def _records(items: Mapping[bytes, bytes]) -> list[bytes]:
    for key, value in items.items():
        if len(key) != KEY_SIZE or len(value) != KEY_SIZE:
            raise MalformedMapProof(f"expected key and value of {KEY_SIZE} bytes, got {len(key)} and {len(value)}")
    return sorted(key + value + leaf_node(key, value) for key, value in items.items())


def _replaced(page: _Page, records: Sequence[bytes]) -> list[bytes]:
    """The page's records with these instead or besides, in the order of keys."""
    if len(records) == 1:
        at = page[1].find(records[0][:KEY_SIZE])
        if at >= 0 and at % _RECORD == 0:
            kept = _split_page(page)
            kept[at // _RECORD] = records[0]
            return kept
    by_key = {record[:KEY_SIZE]: record for record in _split_page(page)}
    by_key.update((record[:KEY_SIZE], record) for record in records)
    return sorted(by_key.values())


def _build(records: Sequence[bytes]) -> _Node:
    """The subtrie of one or more sorted records."""
    if len(records) <= PAGE_LEAVES:
        return (_fold(records), b"".join(records))
    bit, middle = _parting(records)
    return _inner(bit, _build(records[:middle]), _build(records[middle:]))


def _inner(bit: int, left: _Node, right: _Node) -> _Inner:
    sample = left[4] if len(left) == 5 else _number(left[1])
    return (sha256(left[0] + right[0] + _BITS[bit]).digest(), bit, left, right, sample)


def _parting(records: Sequence[bytes]) -> tuple[int, int]:
    """The bit at which two or more sorted records part, and where those with the bit set begin."""
    first, last = _number(records[0]), _number(records[-1])
    bit = KEY_BITS - (first ^ last).bit_length()
    shift = KEY_BITS - 1 - bit
    pivot = ((last >> shift) << shift).to_bytes(KEY_SIZE, "big")
    return bit, bisect_left(records, pivot)


def _fold(records: Sequence[bytes]) -> bytes:
    """Root of a subtrie of sorted records, from the left: a node is complete once keys part at an earlier bit."""
    waiting: list[tuple[int, bytes]] = []
    root = records[0][_VALUE_END:]
    number = int.from_bytes(records[0][:KEY_SIZE], "big")
    for after in records[1:]:
        before, number = number, int.from_bytes(after[:KEY_SIZE], "big")
        bit = KEY_BITS - (before ^ number).bit_length()
        while waiting and waiting[-1][0] > bit:
            earlier, left = waiting.pop()
            root = sha256(left + root + _BITS[earlier]).digest()
        waiting.append((bit, root))
        root = after[_VALUE_END:]
    for bit, left in reversed(waiting):
        root = sha256(left + root + _BITS[bit]).digest()
    return root


def _walk(top: _Node, key: bytes) -> tuple[MapLeaf, bytes]:
    """The leaf at the end of the key's way, and the steps from it up to the root."""
    number, steps, node = _number(key), [], top
    while len(node) == 5:
        _, bit, left, right, _ = node
        aside, node = (left, right) if _bit(number, bit) else (right, left)
        steps.append(aside[0] + _BITS[bit])
    records = _split_page(node)
    while len(records) > 1:
        bit, middle = _parting(records)
        below, above = records[:middle], records[middle:]
        others, records = (below, above) if _bit(number, bit) else (above, below)
        steps.append(_fold(others) + _BITS[bit])
    leaf = MapLeaf(records[0][:KEY_SIZE], records[0][KEY_SIZE:_VALUE_END])
    return leaf, b"".join(reversed(steps))


def _split_page(page: _Page) -> list[bytes]:
    records = page[1]
    return [records[at : at + _RECORD] for at in range(0, len(records), _RECORD)]


def _number(record: bytes) -> int:
    return int.from_bytes(record[:KEY_SIZE], "big")


def _bit(number: int, bit: int) -> int:
    return number >> (KEY_BITS - 1 - bit) & 1
