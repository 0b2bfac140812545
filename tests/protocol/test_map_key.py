"""Keys of the verifiable map: each leaf has the one that the protocol names, and no two kinds share one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.protocol import entry as e
from paraph.protocol.errors import EntryError, LeafError
from paraph.protocol.map_key import map_key, map_key_of_bytes, private_map_key, public_map_key

labels = st.binary(min_size=32, max_size=32)
weeks = st.integers(0, 2**16 - 2)


def test_a_private_key_is_week_and_label_side_by_side() -> None:
    """Two bytes of week, then the first thirty of the label."""
    label = bytes(range(32))
    assert private_map_key(0x0B4C, label) == b"\x0b\x4c" + bytes(range(30))


def test_a_public_key_begins_with_the_week_that_is_none() -> None:
    """0xFFFF, then thirty bytes of the public label (SHA-256 of the tag and the subject)."""
    assert public_map_key("marquee") == b"\xff\xff" + e.public_label("marquee")[:30]
    assert public_map_key("platform") != public_map_key("marquee")


@given(weeks, labels, labels)
def test_a_leaf_has_one_key_parsed_or_not(week: int, label: bytes, commitment: bytes) -> None:
    """The short way through the leaf's bytes gives what parsing gives."""
    leaf = e.private_leaf(week, label, commitment)
    assert map_key_of_bytes(leaf) == map_key(e.parse_leaf(leaf)) == private_map_key(week, label)


@pytest.mark.parametrize("subject", ["marquee", "platform"])
def test_a_public_leaf_lies_under_its_subject(subject: str) -> None:
    """Whatever its kind, time or document."""
    for kind in sorted(e.PUBLIC_KINDS):
        leaf = e.public_leaf(kind, subject, 7, {"kind": kind})
        assert map_key_of_bytes(leaf) == map_key(e.parse_leaf(leaf)) == public_map_key(subject)


def test_an_epoch_leaf_has_no_key() -> None:
    """It carries the map's root, so it cannot be in the map."""
    leaf = e.epoch_leaf(0, 0, None, 0)
    assert map_key_of_bytes(leaf) is None
    assert map_key(e.parse_leaf(leaf)) is None


def test_no_private_leaf_reaches_a_public_key() -> None:
    """A private leaf whose bytes would be a public key is no leaf at all, however its label was chosen."""
    forged = b"\x01" + public_map_key("marquee") + bytes(34)
    with pytest.raises(LeafError):
        e.parse_leaf(forged)
    with pytest.raises(LeafError):
        map_key_of_bytes(forged)
    with pytest.raises(EntryError):
        private_map_key(0xFFFF, e.public_label("marquee"))


@pytest.mark.parametrize(("week", "label"), [(-1, bytes(32)), (2**16, bytes(32)), (0, bytes(31)), (0, bytes(33))])
def test_a_key_out_of_bounds_is_refused(week: int, label: bytes) -> None:
    """Neither cut nor lengthened."""
    with pytest.raises(EntryError):
        private_map_key(week, label)


@pytest.mark.parametrize("leaf", [b"", b"\x01" + bytes(65), b"\x01" + bytes(67), b"\x03" + bytes(66)])
def test_what_is_no_leaf_has_no_key(leaf: bytes) -> None:
    """A malformed leaf is refused, not filed somewhere."""
    with pytest.raises(LeafError):
        map_key_of_bytes(leaf)
