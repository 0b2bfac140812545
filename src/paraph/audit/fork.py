"""A fork: one log key signed two trees of which neither begins with the other. Nothing can explain that away.

Two signed checkpoints of one size with other roots are enough. Where the sizes differ, the larger tree's own
consistency proof shows which root it has at the smaller size, and that is not the root that was signed for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from paraph.audit.envelope import write
from paraph.audit.errors import LogError
from paraph.audit.statement import bytes_of, known_keys, list_of, members_of, text_of
from paraph.audit.verdict import Outcome, Verdict
from paraph.protocol.base64 import b64url
from paraph.tlog import checkpoint, note
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import HASH_SIZE, MAX_PROOF, verify_consistency
from paraph.tlog.policy import Log, Policy

KIND = "fork"
MAX_NOTE = 65_536
_MEMBERS = {"type", "kind", "older", "newer", "root", "proof"}


class NoFork(LogError):
    """What is shown is not two histories signed by one key of the policy."""

    meaning = "Nothing is shown against the log: a checkpoint is not its own, or one tree begins with the other."


@dataclass(frozen=True)
class Signed:
    """A checkpoint that a log's key signed, and who of the policy cosigned it."""

    log: Log
    tree: Checkpoint
    cosigners: tuple[str, ...]


@dataclass(frozen=True)
class ForkReport:
    """Two trees that cannot be of one log; `root` is what the newer one has at the older one's size."""

    older: Signed
    newer: Signed
    root: bytes

    @property
    def summary(self) -> str:
        """One line that says which two trees, and what the newer one has instead."""
        size = self.older.tree.size
        return (
            f"{self.older.tree.origin} signed two histories: for its first {size} leaves the root"
            f" {self.older.tree.root.hex()}, and in its tree of size {self.newer.tree.size} the root {self.root.hex()}"
        )

    @property
    def rendered(self) -> dict[str, Any]:
        """The report as JSON-able values."""
        return {
            "log": self.older.log.verifier.vkey,
            "older": _shown(self.older),
            "newer": _shown(self.newer),
            "root_then": self.root.hex(),
        }


@dataclass(frozen=True)
class Fork:
    """Two signed checkpoints, the smaller tree's first; `root` is what the larger has at that size, `proof` (RFC 6962
    consistency) leads from there to the larger tree's root. Where the sizes are one, `root` is the second tree's.
    """

    older: bytes
    newer: bytes
    root: bytes
    proof: tuple[bytes, ...]

    def verify(self, policy: Policy) -> ForkReport:
        """The two histories, if they are that. Raises NoFork."""
        older, newer = _opened(self.older, policy), _opened(self.newer, policy)
        if older.log != newer.log or older.tree.size > newer.tree.size:
            raise NoFork("the checkpoints", "two of one log, the smaller tree's first", "others")
        try:
            verify_consistency(older.tree.size, newer.tree.size, self.root, newer.tree.root, self.proof)
        except TlogError as error:
            where = f"the newer tree's first {older.tree.size} leaves"
            raise NoFork(where, "a proof of the root that they have", str(error)) from error
        if self.root == older.tree.root:
            raise NoFork("the newer tree", f"another root at size {older.tree.size}", "the one that was signed before")
        return ForkReport(older, newer, self.root)

    @property
    def evidence(self) -> bytes:
        """The evidence file."""
        notes = {"older": self.older.decode(), "newer": self.newer.decode()}
        return write(KIND, {**notes, "root": b64url(self.root), "proof": [b64url(item) for item in self.proof]})

    def for_policy(self, policy: Policy) -> "Fork":
        """The same fork without signatures that `policy` cannot judge, as evidence has it. Raises NoFork."""
        return replace(self, older=_trimmed(self.older, policy), newer=_trimmed(self.newer, policy))

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Fork":
        """Read the document of an evidence file. Raises MalformedEvidence."""
        members = members_of(document, _MEMBERS, "a fork")
        older, newer = (text_of(members[name], MAX_NOTE, "a signed checkpoint").encode() for name in ("older", "newer"))
        hashes = list_of(members["proof"], MAX_PROOF, "a consistency proof")
        proof = tuple(bytes_of(item, "a hash", HASH_SIZE) for item in hashes)
        return cls(older, newer, bytes_of(members["root"], "a root", HASH_SIZE), proof)


def check(document: Mapping[str, Any], policy: Policy, _now: int) -> Verdict:
    """The verdict on a fork in an evidence file. Raises LogError."""
    report = Fork.parse(document).verify(policy)
    return Verdict(KIND, Outcome.PROVEN, report.summary, report.rendered)


def _opened(signed: bytes, policy: Policy) -> Signed:
    """A checkpoint with all its signatures verified; what a stranger signed beside them is refused."""
    witnesses = {(known.verifier.name, known.verifier.key_id): known for known in policy.witnesses}
    verifiers: list[note.NoteVerifier] = [log.verifier for log in policy.logs]
    verifiers += [witness.verifier for witness in policy.witnesses]
    try:
        opened = note.open(signed, verifiers)
        tree = checkpoint.parse(opened.text)
    except TlogError as error:
        raise NoFork("a checkpoint", "one that a log of the policy signed", str(error)) from error
    signers = {(item.name, item.key_id) for item in opened.signatures}
    logs = [known for known in policy.logs if (known.verifier.name, known.verifier.key_id) in signers]
    if len(logs) != 1 or logs[0].verifier.name != tree.origin or opened.unverified:
        raise NoFork("a checkpoint", "one signed by one log of the policy, and by its witnesses", "another")
    return Signed(logs[0], tree, tuple(sorted(witnesses[signer].name for signer in signers if signer in witnesses)))


def _trimmed(signed: bytes, policy: Policy) -> bytes:
    known = known_keys(policy)
    try:
        text, signatures = note.parse(signed)
        return note.encode(text, [item for item in signatures if (item.name, item.key_id) in known])
    except TlogError as error:
        raise NoFork("a checkpoint", "one that a log of the policy signed", str(error)) from error


def _shown(signed: Signed) -> dict[str, Any]:
    tree = signed.tree
    return {"size": tree.size, "root": tree.root.hex(), "cosigned_by": list(signed.cosigners)}
