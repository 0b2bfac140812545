"""Proofs about keys: the true ones verify, and no other statement, root, key or mutated byte ever does."""

import random
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paraph.tlog.errors import TlogError
from paraph.tlog.map_proof import (
    EMPTY_MAP_ROOT,
    STEP_SIZE,
    AbsenceProof,
    MalformedMapProof,
    MapLeaf,
    MapMismatch,
    MapProof,
    PresenceProof,
    inner_node,
    leaf_node,
    map_value,
    parse,
    verify_absence,
    verify_presence,
)
from paraph.tlog.prefix_map import PrefixMap
from tests.tlog.strategies import digests, flip


def key(number: int) -> bytes:
    """A key of the test map if the number is below 300, else one of no map."""
    return sha256(b"key %d" % number).digest()


COUNT = 300
STATEMENTS = {key(n): (n + 1, sha256(b"subtree %d" % n).digest()) for n in range(COUNT)}
MAP = PrefixMap((name, map_value(*statement)) for name, statement in STATEMENTS.items())
OTHER = MAP.set({key(5): map_value(99, key(5))})
"""The same map but for one value."""
NEIGHBOURS = [MAP.set({key(n): map_value(n + 2, bytes(32))}).root for n in range(0, COUNT, 30)] + [EMPTY_MAP_ROOT]

present = st.integers(0, COUNT - 1).map(key)
absent = st.integers(COUNT, 5 * COUNT).map(key) | digests.filter(lambda name: name not in STATEMENTS)


def shows(root: bytes, name: bytes, proof: MapProof) -> str | None:
    """What a proof shows about a key whose statement is known, or None."""
    count, subtree = STATEMENTS.get(name, (1, bytes(32)))
    for verdict, check in (
        ("present", lambda: verify_presence(root, name, count, subtree, proof)),  # type: ignore[arg-type]
        ("absent", lambda: verify_absence(root, name, proof)),  # type: ignore[arg-type]
    ):
        try:
            check()
        except TlogError:
            continue
        return verdict
    return None


@given(present)
def test_what_is_there_is_proven(name: bytes) -> None:
    """With count and root of its leaves, after a trip through bytes."""
    proof = MAP.prove(name)
    assert isinstance(proof, PresenceProof)
    assert parse(proof.encode()) == proof
    verify_presence(MAP.root, name, *STATEMENTS[name], proof)


@given(absent)
def test_what_is_not_there_is_proven_absent(name: bytes) -> None:
    """By the leaf that stands where it would."""
    proof = MAP.prove(name)
    assert isinstance(proof, AbsenceProof)
    assert parse(proof.encode()) == proof
    verify_absence(MAP.root, name, proof)


def test_the_bytes_of_a_proof() -> None:
    """Kind, for absence the leaf found, then from the leaf upwards each sibling with its bit."""
    low, high, last = bytes(32), b"\x80" + bytes(31), bytes(31) + b"\x01"
    value = map_value(1, bytes(32))
    small = PrefixMap([(low, value), (high, value), (last, value)])
    steps = leaf_node(last, value) + b"\xff" + leaf_node(high, value) + b"\x00"
    assert small.prove(low).encode() == b"\x01" + steps
    missing = bytes(31) + b"\x02"
    assert small.prove(missing).encode() == b"\x03" + low + value + steps
    assert PrefixMap().prove(low).encode() == b"\x02"
    assert PrefixMap([(low, value)]).prove(low).encode() == b"\x01"
    assert PrefixMap([(low, value)]).prove(high).encode() == b"\x03" + low + value


@given(present, absent)
def test_one_root_never_proves_both(there: bytes, missing: bytes) -> None:
    """No proof that the map can make shows the other thing, about this key or any other."""
    for proven in (there, missing):
        proof = MAP.prove(proven)
        assert shows(MAP.root, there, proof) == ("present" if proven == there else None)
        assert shows(MAP.root, missing, proof) in (None, "absent")
        assert shows(MAP.root, proven, proof) == ("present" if proven in STATEMENTS else "absent")


@given(present)
def test_a_way_to_a_leaf_proves_no_absence_of_it(name: bytes) -> None:
    """Neither with its own leaf as the one found, nor with any other leaf of the map that lies beside it."""
    proof = MAP.prove(name)
    assert isinstance(proof, PresenceProof)
    for claimed in [name, *list(STATEMENTS)[:40]]:
        found = MapLeaf(claimed, map_value(*STATEMENTS[claimed]))
        other = MAP.prove(claimed)
        assert isinstance(other, PresenceProof)
        for steps in (proof.steps, other.steps):
            with pytest.raises(MapMismatch):
                verify_absence(MAP.root, name, AbsenceProof(found, steps))


@given(st.data())
def test_a_trie_made_by_a_cheat_gives_one_answer_too(data: st.DataObject) -> None:
    """Nodes put together at will (keys on wrong sides, keys twice, bits in any order): never presence and absence."""
    names = [key(n) for n in range(4)]
    nodes: list[tuple[bytes, list[tuple[MapLeaf, bytes]]]] = []
    for name in names + names[:2]:
        leaf = MapLeaf(name, map_value(*STATEMENTS[name]))
        nodes.append((leaf.hash, [(leaf, b"")]))
    while len(nodes) > 1:
        left = nodes.pop(data.draw(st.integers(0, len(nodes) - 1)))
        right = nodes.pop(data.draw(st.integers(0, len(nodes) - 1)))
        bit = data.draw(st.integers(0, 12))
        ways = [
            (leaf, steps + aside[0] + bytes((bit,)))
            for side, aside in ((left, right), (right, left))
            for leaf, steps in side[1]
        ]
        nodes.append((inner_node(left[0], right[0], bit), ways))
    root, ways = nodes[0]
    for name in names:
        verdicts = set()
        for leaf, steps in ways:
            try:
                proofs: list[MapProof] = [PresenceProof(steps), AbsenceProof(leaf, steps)]
            except MalformedMapProof:
                continue
            verdicts |= {shows(root, name, proof) for proof in proofs}
        assert not {"present", "absent"} <= verdicts


@given(present | absent, st.sampled_from(NEIGHBOURS))
def test_a_proof_under_another_root_shows_nothing(name: bytes, root: bytes) -> None:
    """Not even when the other map differs in one value only, nor under the empty root."""
    assert shows(root, name, MAP.prove(name)) is None


@given(present, st.integers(1, 2**63 - 1), digests)
def test_another_statement_is_not_proven(name: bytes, count: int, subtree: bytes) -> None:
    """Another count, another root of the leaves, or both."""
    proof = MAP.prove(name)
    assert isinstance(proof, PresenceProof)
    true_count, true_subtree = STATEMENTS[name]
    assume(count != true_count)
    for claim in ((count, true_subtree), (true_count, subtree), (count, subtree)):
        with pytest.raises(MapMismatch):
            verify_presence(MAP.root, name, *claim, proof)


@pytest.mark.parametrize("number", [0, 1, 17, COUNT, COUNT + 1, COUNT + 7])
def test_every_turned_bit_is_found(number: int) -> None:
    """Each bit of a whole encoded proof, of root, key, count and subtree root."""
    asked = key(number)
    whole = MAP.prove(asked).encode()
    for bit in range(8 * len(whole)):
        try:
            proof = parse(flip(whole, bit))
        except MalformedMapProof:
            continue
        assert shows(MAP.root, asked, proof) is None, bit
    for bit in range(256):
        assert shows(flip(MAP.root, bit), asked, MAP.prove(asked)) is None
    if asked not in STATEMENTS:
        return
    count, subtree = STATEMENTS[asked]
    proof = MAP.prove(asked)
    assert isinstance(proof, PresenceProof)
    for bit in range(256):
        for claim in ((flip(asked, bit), count, subtree), (asked, count, flip(subtree, bit))):
            with pytest.raises(MapMismatch):
                verify_presence(MAP.root, *claim, proof)
    for bit in range(63):
        with pytest.raises((MapMismatch, MalformedMapProof)):
            verify_presence(MAP.root, asked, count ^ 1 << bit, subtree, proof)


def mutations(whole: bytes) -> list[bytes]:
    """An encoded proof cut, lengthened, with steps left out, repeated, swapped, reversed, and under another kind."""
    head = 1 if whole[0] == 1 else 65
    steps = [whole[at : at + STEP_SIZE] for at in range(head, len(whole), STEP_SIZE)]
    made = [whole[:end] for end in range(len(whole))]
    made += [whole + tail for tail in (b"\x00", bytes(STEP_SIZE), steps[-1], whole)]
    orders = [steps[:at] + steps[at + 1 :] for at in range(len(steps))]
    orders += [steps[:at] + steps[at : at + 1] + steps[at:] for at in range(len(steps))]
    orders += [[*steps[:at], steps[at + 1], steps[at], *steps[at + 2 :]] for at in range(len(steps) - 1)]
    orders += [steps[::-1], steps + steps]
    made += [whole[:head] + b"".join(order) for order in orders]
    made += [bytes((kind,)) + whole[1:] for kind in range(256) if kind != whole[0]]
    made += [bytes((kind,)) + whole[head:] for kind in (1, 2, 3) if kind != whole[0]]
    # The hashes of two steps exchanged under bits that still fall, and each bit named one further up or down.
    for at, (here, above) in enumerate(pairwise(steps)):
        swapped = [*steps[:at], above[:-1] + here[-1:], here[:-1] + above[-1:], *steps[at + 2 :]]
        made.append(whole[:head] + b"".join(swapped))
    for at, step in enumerate(steps):
        for bit in {max(step[-1] - 1, 0), min(step[-1] + 1, 255)} - {step[-1]}:
            made.append(whole[:head] + b"".join([*steps[:at], step[:-1] + bytes((bit,)), *steps[at + 1 :]]))
    return [mutation for mutation in made if mutation != whole]


@pytest.mark.parametrize("number", [0, 1, 2, 150, COUNT, COUNT + 1, COUNT + 2, COUNT + 150])
def test_no_mutated_proof_verifies(number: int) -> None:
    """Hundreds of mutations of each proof: refused when read, or leading elsewhere."""
    asked = key(number)
    corpus = mutations(MAP.prove(asked).encode())
    assert len(corpus) > 500
    for mutation in corpus:
        try:
            proof = parse(mutation)
        except MalformedMapProof:
            continue
        assert shows(MAP.root, asked, proof) is None, mutation.hex()


@given(present | absent, st.binary(max_size=200))
def test_garbage_is_no_proof(name: bytes, garbage: bytes) -> None:
    """Random bytes are refused or lead elsewhere."""
    for data in (garbage, *(bytes((kind,)) + garbage for kind in (1, 2, 3))):
        try:
            proof = parse(data)
        except MalformedMapProof:
            continue
        assert proof.encode() == data
        assert shows(MAP.root, name, proof) is None


@given(st.lists(st.tuples(digests, st.integers(0, 255)), max_size=6))
def test_bits_fall_strictly_or_there_is_no_proof(steps: list[tuple[bytes, int]]) -> None:
    """A proof has one order of steps and no bit twice."""
    data = b"".join(sibling + bytes((bit,)) for sibling, bit in steps)
    bits = [bit for _, bit in steps]
    if bits == sorted(set(bits), reverse=True):
        assert PresenceProof(data).steps == data
        return
    with pytest.raises(MalformedMapProof):
        PresenceProof(data)
    with pytest.raises(MalformedMapProof):
        AbsenceProof(MapLeaf(bytes(32), bytes(32)), data)


def test_the_empty_map_proves_absence_of_everything_and_nothing_else_does() -> None:
    """Emptiness is shown by the empty root alone."""
    verify_absence(EMPTY_MAP_ROOT, key(1), AbsenceProof(None))
    with pytest.raises(MapMismatch):
        verify_absence(MAP.root, key(COUNT), AbsenceProof(None))
    with pytest.raises(MalformedMapProof):
        AbsenceProof(None, bytes(STEP_SIZE))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_roots_keys_and_values_have_one_length(length: int) -> None:
    """Anything else is refused before it is hashed."""
    proof, missing = MAP.prove(key(1)), MAP.prove(key(COUNT))
    assert isinstance(proof, PresenceProof)
    assert isinstance(missing, AbsenceProof)
    for root, name, subtree in ((bytes(length), key(1), bytes(32)), (MAP.root, bytes(length), bytes(32))):
        with pytest.raises(MalformedMapProof):
            verify_presence(root, name, 1, subtree, proof)
        with pytest.raises(MalformedMapProof):
            verify_absence(root, name, missing)
    with pytest.raises(MalformedMapProof):
        verify_presence(MAP.root, key(1), 1, bytes(length), proof)
    for name, value in ((bytes(length), bytes(32)), (bytes(32), bytes(length))):
        with pytest.raises(MalformedMapProof):
            MapLeaf(name, value)


def test_a_key_with_a_byte_in_front_is_no_other_key() -> None:
    """It has the bits of the key that is present, and is not that key: neither is it absent, being none."""
    there = key(1)
    way = MAP.prove(there)
    assert isinstance(way, PresenceProof)
    found = AbsenceProof(MapLeaf(there, map_value(*STATEMENTS[there])), way.steps)
    with pytest.raises(MalformedMapProof):
        verify_absence(MAP.root, b"\x00" + there, found)


def test_each_verifier_takes_its_own_kind_of_proof() -> None:
    """The way to a key's own leaf, said to be a proof of absence, is not read as one of presence."""
    way = MAP.prove(key(1))
    assert isinstance(way, PresenceProof)
    found = AbsenceProof(MapLeaf(key(1), map_value(*STATEMENTS[key(1)])), way.steps)
    with pytest.raises(MapMismatch, match="got one of absence"):
        verify_presence(MAP.root, key(1), *STATEMENTS[key(1)], found)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, -1, 2**63, 2**64])
def test_a_count_is_at_least_one_and_fits(count: int) -> None:
    """A key without leaves is absent; it is never present with none."""
    with pytest.raises(MalformedMapProof):
        map_value(count, bytes(32))


def test_a_value_is_the_hash_of_count_and_root() -> None:
    """Eight bytes of count, big-endian, then the root."""
    assert map_value(258, bytes(range(32))) == sha256(bytes(6) + b"\x01\x02" + bytes(range(32))).digest()


@pytest.mark.parametrize("seed", range(3))
def test_a_proof_of_an_older_root_stays_a_proof_of_that_root_only(seed: int) -> None:
    """As the map grows, each root has its own proofs."""
    order = random.Random(seed)
    states = [MAP]
    for _ in range(5):
        states.append(states[-1].set({order.randbytes(32): order.randbytes(32) for _ in range(9)}))
    for at, state in enumerate(states):
        for name in (key(3), key(COUNT + 3)):
            proof = state.prove(name)
            assert [shows(other.root, name, proof) is not None for other in states].index(True) <= at
            assert shows(state.root, name, proof) is not None
            assert all(shows(other.root, name, proof) is None for other in states if other.root != state.root)
