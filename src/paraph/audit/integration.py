"""When a record came into the log: its leaf, and the epoch leaf that closed the batch it came with.

The leaves of a batch end with an epoch leaf that names where the batch begins and when it was closed. Both leaves are
proven to be in the tree, so the time is the log's own word, given before anybody asked.
"""

from dataclasses import dataclass
from typing import Any

from paraph.audit.errors import BadStatement, MalformedEvidence
from paraph.audit.statement import ProvenTree, bytes_of, list_of, members_of, number_of
from paraph.protocol.base64 import b64url
from paraph.protocol.entry import EpochLeaf, parse_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.limits import MAX_TIME
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import HASH_SIZE, MAX_PROOF, leaf_hash, verify_inclusion

_MAX_EPOCH_LEAF = 512


@dataclass(frozen=True)
class Inclusion:
    """That a leaf stands at an index of a tree: the RFC 6962 proof, 32 bytes a hash."""

    index: int
    hashes: tuple[bytes, ...]

    def verify(self, hash_of_leaf: bytes, tree: ProvenTree) -> None:
        """Check the proof. Raises BadStatement."""
        try:
            verify_inclusion(hash_of_leaf, self.index, tree.size, tree.root, self.hashes)
        except TlogError as error:
            raise BadStatement(f"leaf {self.index}", "a proof that it is in the tree", str(error)) from error

    @property
    def rendered(self) -> dict[str, Any]:
        """The proof as JSON: `{index, hashes: [base64url]}`."""
        return {"index": self.index, "hashes": [b64url(item) for item in self.hashes]}

    @classmethod
    def parse(cls, document: object) -> "Inclusion":
        """Read what `rendered` gives, and nothing else. Raises MalformedEvidence."""
        members = members_of(document, {"index", "hashes"}, "a proof of inclusion")
        hashes = list_of(members["hashes"], MAX_PROOF, "a proof of inclusion")
        return cls(
            number_of(members["index"], MAX_TIME, "a leaf's index"),
            tuple(bytes_of(item, "a hash", HASH_SIZE) for item in hashes),
        )


@dataclass(frozen=True)
class Integration:
    """When record number `record` (from 1) of a list came into the log: its leaf's place, and what closed the batch."""

    record: int
    leaf: Inclusion
    closing: Inclusion
    epoch_leaf: bytes

    def verify(self, hash_of_leaf: bytes, tree: ProvenTree) -> EpochLeaf:
        """The epoch leaf that closed the batch of this leaf. Raises BadStatement."""
        self.leaf.verify(hash_of_leaf, tree)
        self.closing.verify(leaf_hash(self.epoch_leaf), tree)
        try:
            epoch = parse_leaf(self.epoch_leaf)
        except ProtocolError as error:
            raise BadStatement(f"leaf {self.closing.index}", "an epoch leaf", str(error)) from error
        if not isinstance(epoch, EpochLeaf) or not epoch.prev_size <= self.leaf.index < self.closing.index:
            raise BadStatement(f"leaf {self.closing.index}", f"the epoch leaf of leaf {self.leaf.index}", "another")
        return epoch

    @property
    def rendered(self) -> dict[str, Any]:
        """The proofs as JSON: `{record, leaf, closing, epoch_leaf: base64url}`."""
        proofs = {"leaf": self.leaf.rendered, "closing": self.closing.rendered}
        return {"record": self.record, "epoch_leaf": b64url(self.epoch_leaf), **proofs}

    @classmethod
    def parse(cls, document: object) -> "Integration":
        """Read what `rendered` gives, and nothing else. Raises MalformedEvidence."""
        members = members_of(document, {"record", "leaf", "closing", "epoch_leaf"}, "when a record came into the log")
        record = number_of(members["record"], MAX_TIME, "a record's number")
        if record == 0:
            raise MalformedEvidence("a record's number", "a number from 1", "0")
        epoch_leaf = bytes_of(members["epoch_leaf"], "an epoch leaf", limit=_MAX_EPOCH_LEAF)
        return cls(record, Inclusion.parse(members["leaf"]), Inclusion.parse(members["closing"]), epoch_leaf)
