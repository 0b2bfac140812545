"""Under which key of the verifiable map a leaf lies (docs/protocol.md §9).

    private    week (2, big-endian) ‖ first 30 bytes of the label
    public     0xFF 0xFF ‖ first 30 bytes of SHA-256("paraph/public/v1" ‖ partner)
    epoch      none

Week 0xFFFF is none that a private leaf may name, so no private key is a public one, whatever label an operator makes
up. Public keys have no week: that something never ended is shown by one proof, not by one for each week.
"""

from paraph.protocol.entry import (
    LABEL_LENGTH,
    MAX_WEEK,
    PRIVATE_LEAF_LENGTH,
    Leaf,
    PrivateLeaf,
    PublicLeaf,
    parse_leaf,
    public_label,
)
from paraph.protocol.errors import EntryError

KEY_LENGTH = 32
_LABEL_PART = 30
_PUBLIC_WEEK = b"\xff\xff"
_KEY_IN_LEAF = slice(1, 1 + KEY_LENGTH)
"""A private leaf has week and label side by side: its key is 32 bytes of it as they stand."""


def private_map_key(week: int, label: bytes) -> bytes:
    """Key (32 bytes) of the private leaves of a week under a label of 32 bytes; raises EntryError out of bounds."""
    if not 0 <= week <= MAX_WEEK or len(label) != LABEL_LENGTH:
        raise EntryError(f"expected a week from 0 to {MAX_WEEK} and a label of 32 bytes, found {week}, {len(label)}")
    return week.to_bytes(2, "big") + label[:_LABEL_PART]


def public_map_key(partner: str) -> bytes:
    """Key (32 bytes) of all public records about a partner's slug, or about `platform`; raises EntryError."""
    return _PUBLIC_WEEK + public_label(partner)[:_LABEL_PART]


def map_key(leaf: Leaf) -> bytes | None:
    """Key (32 bytes) of a parsed leaf; None for an epoch leaf, which the map does not hold."""
    if isinstance(leaf, PrivateLeaf):
        return private_map_key(leaf.week, leaf.label)
    return public_map_key(leaf.partner) if isinstance(leaf, PublicLeaf) else None


def map_key_of_bytes(leaf: bytes) -> bytes | None:
    """`map_key` of a leaf as it stands in the log, which only public leaves are parsed for; raises LeafError."""
    if len(leaf) == PRIVATE_LEAF_LENGTH and leaf[:1] == b"\x01" and leaf[1:3] != _PUBLIC_WEEK:
        return leaf[_KEY_IN_LEAF]
    return map_key(parse_leaf(leaf))
