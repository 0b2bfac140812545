"""A broken promise: a leaf was not in the log by the time for which the platform had signed it (docs/protocol.md §10).

The receipt says which leaf, and by when. A `platform` record, itself in the log, says that the key which signed it is
the platform's. A cosigned tree whose epoch is later than the deadline, and a statement about all that lies under the
leaf's key of the map, show that it is not there. That it came in later would undo nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paraph.audit.envelope import write
from paraph.audit.errors import LogError, MalformedEvidence
from paraph.audit.statement import KeyStatement, ProvenTree, TreeProof, bytes_of, list_of, members_of, number_of
from paraph.audit.verdict import Outcome, Verdict
from paraph.protocol.base64 import b64url
from paraph.protocol.documents import parse as parse_document
from paraph.protocol.entry import PRIVATE_LEAF_LENGTH, PrivateLeaf, parse_leaf, public_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.limits import MAX_TIME
from paraph.protocol.map_key import map_key_of_bytes
from paraph.protocol.receipt import KEY_ID, Receipt, receipt_key_of, server_of, verify_receipt
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import HASH_SIZE, MAX_PROOF, leaf_hash, verify_inclusion
from paraph.tlog.policy import Policy

KIND = "missed-deadline"
_MEMBERS = {"type", "kind", "receipt", "leaf", "platform", "tree", "statement"}


class BadPromise(LogError):
    """What is shown is no promise of this platform about this leaf, or not a broken one."""

    meaning = (
        "Nothing is shown against the platform: the promise is not its own, or was kept, or its time had not come."
    )


@dataclass(frozen=True)
class PlatformProof:
    """That a `platform` record {kind, partner, ts, document} is the leaf `index` of a tree: RFC 6962 inclusion."""

    record: Mapping[str, Any]
    index: int
    hashes: tuple[bytes, ...]

    def verify(self, tree: ProvenTree) -> str:
        """The receipt key that the record names, once it is in the tree. Raises BadPromise."""
        try:
            key = receipt_key_of(self.record, tree.cosigned.checkpoint.origin)
            leaf = public_leaf(self.record["kind"], self.record["partner"], self.record["ts"], self.record["document"])
            verify_inclusion(leaf_hash(leaf), self.index, tree.size, tree.root, self.hashes)
        except (ProtocolError, TlogError, KeyError) as error:
            raise BadPromise("the platform's record", "one in the log that names a receipt key", str(error)) from error
        return key

    @property
    def rendered(self) -> dict[str, Any]:
        """As it stands in an evidence file."""
        hashes = [b64url(hashed) for hashed in self.hashes]
        return {"record": dict(self.record), "index": self.index, "proof": hashes}

    @classmethod
    def parse(cls, document: object) -> "PlatformProof":
        """Read what `rendered` gives, and nothing else. Raises MalformedEvidence."""
        members = members_of(document, {"record", "index", "proof"}, "the platform's record")
        record = members_of(members["record"], {"kind", "partner", "ts", "document"}, "the platform's record")
        index = number_of(members["index"], MAX_TIME, "the index of the platform's record")
        listed = list_of(members["proof"], MAX_PROOF, "the proof of the platform's record")
        return cls(record, index, tuple(bytes_of(item, "a hash of a proof", HASH_SIZE) for item in listed))


@dataclass(frozen=True)
class MissedDeadline:
    """A receipt, the leaf that it promised, and what shows that the leaf was not in the log at its deadline."""

    receipt: Mapping[str, Any]
    leaf: bytes
    platform: PlatformProof
    tree: TreeProof
    statement: KeyStatement

    def verify(self, policy: Policy, now: int) -> Verdict:
        """PROVEN, at `now` (seconds since 1970), for whoever trusts `policy`. Raises LogError."""
        tree = self.tree.verify(policy, now)
        receipt = self._promise(tree)
        if tree.epoch.time <= receipt.deadline:
            raise BadPromise("the tree", f"an epoch after the deadline {receipt.deadline}", f"one of {tree.epoch.time}")
        self._check_absent(tree)
        late = tree.epoch.time - receipt.deadline
        details = {
            "log": receipt.log,
            "leaf": receipt.leaf,
            "deadline": receipt.deadline,
            "epoch_time": tree.epoch.time,
            "size": tree.size,
            "map_audited": policy.map_audited,
        }
        summary = f"{receipt.log} promised a record and did not have it {late} ms after the deadline it had signed"
        return Verdict(KIND, Outcome.PROVEN, summary, details)

    def _promise(self, tree: ProvenTree) -> Receipt:
        """The receipt, signed by the platform of this tree for this leaf."""
        log = tree.cosigned.checkpoint.origin
        key = self.platform.verify(tree)
        try:
            receipt = verify_receipt(self.receipt, log=log, receipt_key=key)
            alone = {server_of(log): {KEY_ID}}
        except ProtocolError as error:
            raise BadPromise("the receipt", f"one signed by the receipt key of {log}", str(error)) from error
        if {entity: set(made) for entity, made in self.receipt["signatures"].items()} != alone:
            raise BadPromise("the receipt", "the one signature that counts", "others beside it")
        if receipt.leaf != b64url(leaf_hash(self.leaf)):
            raise BadPromise("the receipt", f"one for the leaf {b64url(leaf_hash(self.leaf))}", receipt.leaf)
        return receipt

    def _check_absent(self, tree: ProvenTree) -> None:
        key = map_key_of_bytes(self.leaf)
        if key is None or self.statement.key != key:
            raise BadPromise("the statement", "one about the key of the promised leaf", self.statement.key.hex())
        self.statement.verify(tree.map_root)
        if leaf_hash(self.leaf) in self.statement.leaves:
            raise BadPromise("the statement", "all that lies under the leaf's key, without the leaf", "the leaf too")

    def encode(self) -> bytes:
        """The evidence file."""
        members = {
            "receipt": dict(self.receipt),
            "leaf": b64url(self.leaf),
            "platform": self.platform.rendered,
            "tree": self.tree.rendered,
            "statement": self.statement.rendered,
        }
        return write(KIND, members)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "MissedDeadline":
        """Read the document of an evidence file of this kind. Raises MalformedEvidence."""
        members = members_of(document, _MEMBERS, "a missed deadline")
        leaf = bytes_of(members["leaf"], "the promised leaf", PRIVATE_LEAF_LENGTH)
        try:
            parse_document(Receipt, members["receipt"])
            if not isinstance(parse_leaf(leaf), PrivateLeaf):
                raise MalformedEvidence("the promised leaf", "a private leaf", "another one")
        except ProtocolError as error:
            raise MalformedEvidence("a missed deadline", "a receipt and the private leaf", str(error)) from error
        return cls(
            members["receipt"],
            leaf,
            PlatformProof.parse(members["platform"]),
            TreeProof.parse(members["tree"]),
            KeyStatement.parse(members["statement"]),
        )


def check(document: Mapping[str, Any], policy: Policy, now: int) -> Verdict:
    """What a file of this kind shows at `now` (seconds since 1970). Raises LogError."""
    return MissedDeadline.parse(document).verify(policy, now)
