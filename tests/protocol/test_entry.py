"""Entries, labels, commitments and leaves."""

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.protocol import entry as e
from paraph.protocol.errors import CanonicalJsonError, EntryError, LeafError, ProtocolError
from tests.protocol.examples import AUTHOR, GRANT_ID, LOG_KEY, NOW, SLUG, random_id

VECTORS = [
    "cd0bd7ee9f73dbe32ff8676fdee5026eddb57ae1d0137fc4a4408449172139cf",
    "603481fe39346c2ac0c8873c0c759f5420b7dd4ef17fa0fb55e0849b2cae4132",
    "294869861793ae5d98ae41b7548b51999986b057b76caa66621c2d7675732a0e",
    "26b408d64a8e378f120086c420cffe3add5ab21e78810572c253a2becef4d30a",
]
"""Account label, grant key and access label of week 2892, public label; made once with `hmac` and `hashlib` alone."""

times = st.integers(0, 253_402_300_799_999)
weeks = st.integers(0, 2**16 - 2)
keys = st.binary(min_size=32, max_size=32)
grant_ids = st.text("ABCxyz019-_", min_size=21, max_size=21).map(lambda text: f"gr_{text}A")


def mac(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256 by the standard library's long form."""
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def entry(**changes: Any) -> dict[str, Any]:
    """An access entry."""
    body = {"grant_id": GRANT_ID, "purpose": "recommendations", "room_id": "!a:b.example", "event_ids": ["$a"]}
    return {**e.entry("access", AUTHOR, SLUG, NOW, body), **changes}


@given(keys, weeks, grant_ids)
def test_labels_follow_their_formula(k: bytes, week: int, grant_id: str) -> None:
    """Each label and key is the HMAC that the protocol states, computed here without the protocol's code."""
    two = bytes([week >> 8, week & 255])
    k_grant = mac(k, b"paraph/grant-key/v1", grant_id.encode())
    assert e.account_key(k) == mac(k, b"paraph/account-key/v1")
    assert e.account_label(k, week) == mac(mac(k, b"paraph/account-key/v1"), b"paraph/label/v1", two)
    assert e.grant_key(k, grant_id) == k_grant
    assert e.access_label(k_grant, week) == mac(k_grant, b"paraph/label/v1", two)


def test_labels_have_these_values() -> None:
    """Fixed vectors, so that another implementation can be held against them."""
    k_grant = e.grant_key(LOG_KEY, GRANT_ID)
    found = [e.account_label(LOG_KEY, 2892), k_grant, e.access_label(k_grant, 2892), e.public_label(SLUG)]
    assert [value.hex() for value in found] == VECTORS


@given(st.sets(weeks, min_size=2, max_size=3), st.sets(keys, min_size=2, max_size=3), st.sets(grant_ids, min_size=2))
def test_labels_differ_by_week_grant_and_person(some_weeks: set[int], people: set[bytes], grants: set[str]) -> None:
    """No two of week, grant and person share a label, and account labels are no access labels."""
    account = [e.account_label(k, week) for k in people for week in some_weeks]
    access = [e.access_label(e.grant_key(k, name), week) for k in people for name in grants for week in some_weeks]
    assert len({*account, *access}) == len(account) + len(access)


def test_public_labels_are_plain_hashes() -> None:
    """Anyone can compute the label of a partner or of the platform; nothing else has one."""
    for partner in (SLUG, "platform"):
        assert e.public_label(partner) == hashlib.sha256(f"paraph/public/v1{partner}".encode()).digest()
    wrong: list[Any] = ["Film", "", None]
    for partner in wrong:
        with pytest.raises(ProtocolError):
            e.public_label(partner)


@given(times)
def test_weeks_and_days_are_those_of_the_calendar(ts: int) -> None:
    """A week begins on Monday at 00:00 UTC, and week 0 holds 1970-01-01."""
    when = datetime.fromtimestamp(ts // 1000, UTC)
    assert e.day_of(ts) == when.date().isoformat()
    monday_of_week_0 = datetime(1969, 12, 29, tzinfo=UTC)
    assert e.week_of(ts) == (when - monday_of_week_0).days // 7
    assert (e.week_of(ts) == 0) == (when < datetime(1970, 1, 5, tzinfo=UTC))


@pytest.mark.parametrize("ts", [-1, 2**53, 1.0, True, None, "0"])
def test_what_is_no_time_has_no_week_or_day(ts: Any) -> None:
    """Times are integers, 0 ≤ t < 2^53."""
    for of in (e.week_of, e.day_of):
        with pytest.raises(EntryError):
            of(ts)


def test_a_time_beyond_the_calendar_has_no_day() -> None:
    """A day is written with four digits of the year."""
    with pytest.raises(EntryError):
        e.day_of(2**53 - 1)


@given(keys, keys)
def test_a_commitment_follows_its_formula(o1: bytes, o2: bytes) -> None:
    """Two HMACs over canonical JSON, hashed together; computed here from the standard library alone."""
    made = entry()
    totals = {"day": made["day"], "kind": made["kind"], "partner": made["partner"]}
    text, short = (json.dumps(value, sort_keys=True, separators=(",", ":")).encode() for value in (made, totals))
    assert e.commitment(made, o1, o2) == hashlib.sha256(mac(o1, short) + mac(o2, text)).digest()
    assert e.first_half(totals, o1) == mac(o1, short)


@pytest.mark.parametrize("member", ["kind", "person", "partner", "day", "ts", "body"])
def test_a_commitment_covers_every_member(member: str) -> None:
    """A change anywhere in the entry gives another commitment, as does another opening."""
    o1, o2 = bytes(32), bytes([1]) * 32
    whole = e.commitment(entry(), o1, o2)
    assert e.commitment(entry(**{member: "other"}), o1, o2) != whole
    assert (
        len({whole, e.commitment(entry(), o2, o2), e.commitment(entry(), o1, o1), e.commitment(entry(), o2, o1)}) == 4
    )


def test_openings_and_halves_have_their_length() -> None:
    """Openings of 31 or 33 bytes are refused: a shorter one would guard less."""
    whole = bytes(32)
    calls: list[Callable[[bytes], bytes]] = [
        lambda data: e.commitment(entry(), data, whole),
        lambda data: e.commitment(entry(), whole, data),
        lambda data: e.account_label(data, 1),
        lambda data: e.grant_key(data, GRANT_ID),
        lambda data: e.access_label(data, 1),
        lambda data: e.join_commitment(data, whole),
        lambda data: e.join_commitment(whole, data),
        lambda data: e.private_leaf(1, data, whole),
        lambda data: e.private_leaf(1, whole, data),
    ]
    for call in calls:
        for length in (0, 31, 33):
            with pytest.raises(EntryError):
                call(bytes(length))
    with pytest.raises(EntryError):
        e.commitment({"kind": "access"}, bytes(32), bytes(32))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "unknown"},
        {"kind": "agreement"},
        {"kind": None},
        {"person": f"@app-{SLUG}:example.org"},
        {"person": "author"},
        {"person": None},
        {"partner": "platform"},
        {"partner": "X"},
        {"partner": 1},
        {"day": "2025-06-16"},
        {"ts": -1},
        {"ts": True},
        {"body": None},
        {"body": {}},
        {"body": {**entry()["body"], "extra": 1}},
        {"extra": 1},
    ],
)
def test_a_malformed_entry_is_refused(changes: dict[str, Any]) -> None:
    """An entry has its six members, a private kind, a person, a partner or none, its own day and its kind's body."""
    e.check_entry(entry())
    with pytest.raises(EntryError):
        e.check_entry(entry(**changes))
    with pytest.raises(EntryError):
        e.check_entry({name: value for name, value in entry(**changes).items() if name != "ts"})


private_leaves = st.builds(e.PrivateLeaf, weeks, keys, keys)
epochs = st.builds(
    e.EpochLeaf,
    n=st.integers(0, 2**53 - 1),
    prev_size=st.integers(0, 2**53 - 1),
    map_root=st.none() | st.integers(0, 255).map(random_id),
    time=times,
)
publics = st.builds(
    e.PublicLeaf,
    kind=st.sampled_from(sorted(e.PUBLIC_KINDS)),
    partner=st.sampled_from([SLUG, "platform"]),
    ts=times,
    document=st.dictionaries(
        st.text("abé", max_size=3), st.integers(0, 9) | st.text(max_size=3).filter(str.isprintable)
    ),
)


@given(private_leaves | epochs | publics)
def test_every_leaf_comes_back(leaf: e.PrivateLeaf | e.EpochLeaf | e.PublicLeaf) -> None:
    """Each kind of leaf parses to what it was made of, and is made of what it parses to."""
    assert e.parse_leaf(made(leaf)) == leaf


def made(leaf: e.PrivateLeaf | e.EpochLeaf | e.PublicLeaf) -> bytes:
    """The bytes of a parsed leaf."""
    if isinstance(leaf, e.PrivateLeaf):
        return e.private_leaf(leaf.week, leaf.label, leaf.commitment)
    if isinstance(leaf, e.EpochLeaf):
        return e.epoch_leaf(leaf.n, leaf.prev_size, leaf.map_root, leaf.time)
    return e.public_leaf(leaf.kind, leaf.partner, leaf.ts, leaf.document)


@given(st.binary(max_size=80) | (private_leaves | epochs | publics).map(made), st.data())
def test_no_second_form_of_a_leaf_is_accepted(leaf: bytes, data: st.DataObject) -> None:
    """Whatever bytes parse as a leaf are exactly the bytes that leaf is made of, also after a byte has changed."""
    if leaf:
        at = data.draw(st.integers(0, len(leaf) - 1))
        leaf = leaf[:at] + data.draw(st.binary(max_size=2)) + leaf[at + 1 :]
    try:
        parsed = e.parse_leaf(leaf)
    except LeafError:
        return
    assert made(parsed) == leaf


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"\x03",
        b"\x00",
        b"\x02{}",
        b"\x02[]",
        b'\x02{"map_root":null,"n":0,"prev_size":0,"time":0,"x":0}',
        b'\x02{"map_root":null,"n":0,"prev_size":0}',
        b'\x02{"map_root": null,"n":0,"prev_size":0,"time":0}',
        b'\x02{"n":0,"map_root":null,"prev_size":0,"time":0}',
        b'\x02{"map_root":null,"n":0,"n":0,"prev_size":0,"time":0}',
        b'\x02{"map_root":null,"n":true,"prev_size":0,"time":0}',
        b'\x02{"map_root":null,"n":-1,"prev_size":0,"time":0}',
        b'\x02{"map_root":null,"n":0.0,"prev_size":0,"time":0}',
        b'\x02{"map_root":"x","n":0,"prev_size":0,"time":0}',
        b'\x02{"map_root":0,"n":0,"prev_size":0,"time":0}',
        b'\x02{"map_root":null,"n":0,"prev_size":0,"time":0}\n',
        b'\x00{"document":{},"kind":"grant","partner":"platform","ts":0}',
        b'\x00{"document":{},"kind":"admin","partner":"X","ts":0}',
        b'\x00{"document":{},"kind":"admin","partner":null,"ts":0}',
        b'\x00{"document":[],"kind":"admin","partner":"platform","ts":0}',
        b'\x00{"document":{},"kind":"admin","partner":"platform","ts":-1}',
        b'\x00{"document":{},"kind":["admin"],"partner":"platform","ts":0}',
        b'\x00{"document":{"b":0,"a":0},"kind":"admin","partner":"platform","ts":0}',
        b"\x01" + bytes(65),
        b"\x01" + bytes(67),
        b"\x01\xff\xff" + bytes(64),
    ],
)
def test_a_malformed_leaf_is_refused(leaf: bytes) -> None:
    """Another first byte, length, member, order, space or type is no leaf."""
    with pytest.raises(LeafError):
        e.parse_leaf(leaf)


def test_a_leaf_has_the_layout_of_the_protocol() -> None:
    """The bytes stand where the protocol puts them."""
    label, commitment = bytes([1]) * 32, bytes([2]) * 32
    assert e.private_leaf(0x0B4C, label, commitment) == b"\x01\x0b\x4c" + label + commitment
    assert e.epoch_leaf(1, 2, None, 3) == b'\x02{"map_root":null,"n":1,"prev_size":2,"time":3}'
    assert (
        e.public_leaf("admin", SLUG, 5, {"b": 1, "a": 2})
        == b'\x00{"document":{"a":2,"b":1},"kind":"admin","partner":"film-club","ts":5}'
    )


@pytest.mark.parametrize("week", [-1, 2**16 - 1, 2**16])
def test_a_week_fits_two_bytes(week: int) -> None:
    """A week that two bytes cannot hold is refused and not cut; so is 0xFFFF, which marks public keys of the map."""
    with pytest.raises(EntryError):
        e.private_leaf(week, bytes(32), bytes(32))


def test_a_leaf_fits_an_entry_bundle() -> None:
    """A leaf of 65,535 bytes is made and parsed, one byte more is not."""
    room = 65_535 - len(e.public_leaf("admin", "platform", 0, {"a": ""}))
    assert len(e.public_leaf("admin", "platform", 0, {"a": "x" * room})) == 65_535
    with pytest.raises(LeafError):
        e.public_leaf("admin", "platform", 0, {"a": "x" * (room + 1)})
    with pytest.raises(LeafError):
        e.parse_leaf(b"\x00" * 65_536)


def test_what_is_no_public_record_is_not_made() -> None:
    """Private kinds, strangers' names and documents without canonical form do not become public leaves."""
    for kind, partner, ts in (("grant", SLUG, 0), ("admin", "X", 0), ("admin", SLUG, -1)):
        with pytest.raises(LeafError):
            e.public_leaf(kind, partner, ts, {})
    with pytest.raises(CanonicalJsonError):
        e.public_leaf("admin", SLUG, 0, {"a": 0.5})
    with pytest.raises(LeafError):
        e.epoch_leaf(0, -1, None, 0)
