"""What the ledger hands out and what it keeps: recorded entries, the signed head, the staged batch."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import EpochLeaf, commitment, parse_leaf, private_leaf
from paraph.server.ledger.errors import LogStopped


@dataclass(frozen=True)
class Recorded:
    """A private entry with its openings, as the person (and, of its own accesses, the partner) gets it."""

    seq: int
    entry: dict[str, Any]
    o1: bytes
    o2: bytes
    label: bytes
    week: int

    @cached_property
    def leaf(self) -> bytes:
        """The log leaf that entry and openings lead to (67 bytes); the outbox needs it, and the receipt again."""
        return private_leaf(self.week, self.label, commitment(self.entry, self.o1, self.o2))

    @property
    def rendered(self) -> dict[str, Any]:
        """The `E` of docs/protocol.md section 6, without a receipt."""
        return {
            "seq": self.seq,
            "entry": self.entry,
            "o1": b64url(self.o1),
            "o2": b64url(self.o2),
            "label": b64url(self.label),
            "week": self.week,
        }


@dataclass(frozen=True, slots=True)
class Head:
    """The newest signed tree: its size, root (32 bytes), how many epochs it has, their last time, the signed note."""

    size: int
    root: bytes
    epochs: int
    time: int
    note: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Leaves that follow the tree of size `start`, in their final order; the last is the epoch leaf."""

    start: int
    leaves: tuple[bytes, ...]

    @property
    def end(self) -> int:
        """Size of the tree that this batch completes."""
        return self.start + len(self.leaves)

    @property
    def epoch(self) -> EpochLeaf:
        """The batch's last leaf."""
        epoch = parse_leaf(self.leaves[-1])
        if not isinstance(epoch, EpochLeaf):
            raise LogStopped("a staged batch does not end with an epoch leaf")
        return epoch


def is_epoch(leaf: bytes) -> bool:
    """Whether a leaf is an epoch leaf, which no outbox holds."""
    return leaf[:1] == b"\x02"
