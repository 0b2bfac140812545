"""The verifiable map: its root is that of a naive model, whatever the order, and older maps stay what they were."""

import random
from collections.abc import Collection
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.tlog.map_proof import (
    EMPTY_MAP_ROOT,
    AbsenceProof,
    MalformedMapProof,
    PresenceProof,
    inner_node,
    leaf_node,
    map_value,
    verify_absence,
    verify_presence,
)
from paraph.tlog.merkle import Frontier, Tree
from paraph.tlog.prefix_map import PAGE_LEAVES, PrefixMap, grow


def naive_root(items: dict[bytes, bytes], bit: int = 0) -> bytes:
    """The trie as its definition reads: divide by each bit, and make a node only where both sides have keys."""
    if not items:
        return EMPTY_MAP_ROOT
    if len(items) == 1:
        return leaf_node(*next(iter(items.items())))
    while True:
        sides: list[dict[bytes, bytes]] = [{}, {}]
        for key, value in items.items():
            sides[key[bit // 8] >> (7 - bit % 8) & 1][key] = value
        if all(sides):
            return inner_node(naive_root(sides[0], bit + 1), naive_root(sides[1], bit + 1), bit)
        bit += 1


def key(number: int) -> bytes:
    """Keys as labels are: without a pattern."""
    return sha256(b"key %d" % number).digest()


# Keys that part at any bit, the first and the last included, and keys that share long beginnings.
crowded = st.binary(min_size=2, max_size=2).map(lambda ends: ends[:1] + bytes(30) + ends[1:])
keys = crowded | st.binary(min_size=32, max_size=32) | st.integers(0, 40).map(key)
values = st.binary(min_size=32, max_size=32)
maps = st.dictionaries(keys, values, max_size=40)


def test_the_empty_map_has_the_hash_of_nothing() -> None:
    """SHA-256() is the root without keys, and every key is absent."""
    assert PrefixMap().root == EMPTY_MAP_ROOT == sha256(b"").digest()
    verify_absence(EMPTY_MAP_ROOT, key(1), AbsenceProof(None))
    assert PrefixMap().prove(key(1)) == AbsenceProof(None)
    assert PrefixMap().set({}).root == EMPTY_MAP_ROOT


def test_known_roots() -> None:
    """One, two and three keys, hashed by hand."""
    low, high, last = bytes(32), b"\x80" + bytes(31), bytes(31) + b"\x01"
    one, two, three = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32
    leaf = sha256(low + one).digest()
    assert PrefixMap([(low, one)]).root == leaf
    parted = sha256(leaf + sha256(high + two).digest() + b"\x00").digest()
    assert PrefixMap([(high, two), (low, one)]).root == parted
    deep = sha256(leaf + sha256(last + three).digest() + b"\xff").digest()
    whole = sha256(deep + sha256(high + two).digest() + b"\x00").digest()
    assert PrefixMap([(last, three), (high, two), (low, one)]).root == whole


@given(maps)
def test_the_root_is_the_naive_models(items: dict[bytes, bytes]) -> None:
    """Built at once."""
    made = PrefixMap(items.items())
    assert made.root == naive_root(items)
    assert list(made.items()) == sorted(items.items())


@given(st.lists(maps, max_size=6))
def test_batches_give_what_building_at_once_gives(batches: list[dict[bytes, bytes]]) -> None:
    """Whatever was put in before, overwritten or added, the root depends on keys and values alone."""
    made, items = PrefixMap(), dict[bytes, bytes]()
    for batch in batches:
        made = made.set(batch)
        items |= batch
        assert made.root == naive_root(items)
    assert dict(made.items()) == items


@given(maps, st.randoms(use_true_random=False))
def test_the_order_of_insertion_does_not_matter(items: dict[bytes, bytes], order: random.Random) -> None:
    """One by one in any order, or all at once."""
    shuffled = list(items.items())
    order.shuffle(shuffled)
    made = PrefixMap()
    for item in shuffled:
        made = made.set(dict([item]))
    assert made.root == PrefixMap(items.items()).root


@given(maps, st.lists(maps, max_size=4))
def test_an_older_map_stays_readable(items: dict[bytes, bytes], later: list[dict[bytes, bytes]]) -> None:
    """A map is a value: what is set later changes neither its root nor its proofs."""
    old = PrefixMap(items.items())
    before = old.root, [old.prove(key) for key in items]
    new = old
    for batch in later:
        new = new.set(batch)
    assert (old.root, [old.prove(key) for key in items]) == before
    assert dict(old.items()) == items


@given(maps, keys)
def test_what_is_set_is_got(items: dict[bytes, bytes], asked: bytes) -> None:
    """And nothing else."""
    assert PrefixMap(items.items()).get(asked) == items.get(asked)


def test_a_map_larger_than_many_pages() -> None:
    """Enough keys for inner nodes over pages; each is proven present, and others absent, after batches of any width."""
    order = random.Random(4)
    made, items = PrefixMap(), dict[bytes, bytes]()
    for width in (1, 3, 700, 2, 256, 1):
        batch = {key(order.randrange(2000)): order.randbytes(32) for _ in range(width)}
        items |= batch
        made = made.set(batch)
        assert made.root == naive_root(items)
    assert len(items) > 50 * PAGE_LEAVES
    for number in range(2000):
        assert isinstance(made.prove(key(number)), PresenceProof if key(number) in items else AbsenceProof)


@pytest.mark.parametrize(("bad_key", "bad_value"), [(31, 32), (33, 32), (32, 31), (32, 33), (0, 64), (64, 0)])
def test_other_lengths_are_refused(bad_key: int, bad_value: int) -> None:
    """They could make two leaves one string of 64 bytes."""
    with pytest.raises(MalformedMapProof):
        PrefixMap([(bytes(bad_key), bytes(bad_value))])
    with pytest.raises(MalformedMapProof):
        PrefixMap([(key(1), key(2))]).set({bytes(bad_key): bytes(bad_value)})


leaves = st.lists(st.tuples(st.integers(0, 6).map(key), st.binary(min_size=32, max_size=32)), max_size=60)


@given(leaves, st.lists(st.integers(0, 60), max_size=5))
def test_growing_follows_the_rule(log: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    """Cut into batches anywhere, each key's value is count and root of its leaf hashes in log order."""
    kept: dict[bytes, Frontier] = {}

    def frontiers(wanted: Collection[bytes]) -> dict[bytes, Frontier]:
        return {key: Frontier(kept[key].size, kept[key].peaks) for key in wanted if key in kept}

    made = PrefixMap()
    for start, end in pairwise([0, *sorted(min(cut, len(log)) for cut in cuts), len(log)]):
        made, changed = grow(made, frontiers, log[start:end])
        assert changed.keys() == {key for key, _ in log[start:end]}
        kept |= changed
    expected = {key: Tree(hashed for other, hashed in log if other == key) for key, _ in log}
    assert dict(made.items()) == {key: map_value(tree.size, tree.root()) for key, tree in expected.items()}
    for key, tree in expected.items():
        proof = made.prove(key)
        assert isinstance(proof, PresenceProof)
        verify_presence(made.root, key, tree.size, tree.root(), proof)
