"""Two statements that everything else is proven from, each checked with the pinned policy alone.

`TreeProof`: this epoch leaf closes this tree, which the log signed and a quorum of its witnesses cosigned. The epoch
leaf names the root of the verifiable map. `KeyStatement`: exactly these leaves lie under this key of that map, or none.
Together they show *all* that the log holds under a label at a time (docs/protocol.md §9).

As JSON both have one spelling: what parses is written back and compared, so that no two files mean one statement.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from paraph.audit.errors import BadStatement, BadTreeProof, MalformedEvidence, StaleTree, Unwitnessed
from paraph.protocol.base64 import b64url, unb64url
from paraph.protocol.entry import EpochLeaf, parse_leaf
from paraph.protocol.errors import ProtocolError
from paraph.tlog import map_proof, note, proof
from paraph.tlog.errors import TlogError
from paraph.tlog.map_proof import AbsenceProof, verify_absence, verify_presence
from paraph.tlog.merkle import HASH_SIZE, Frontier, leaf_hash, verify_inclusion
from paraph.tlog.policy import Cosigned, Policy, QuorumMissing, StaleCheckpoint

MAX_BUNDLE = 65_536
"""Bytes of a proof bundle in evidence: 63 hashes and a checkpoint with 64 signature lines take half of it."""
MAX_LEAVES = 200_000
"""Leaves that one statement lists at most: those of one label in one week."""
_MAX_EPOCH_LEAF = 512
_MAX_MAP_PROOF = 1 + 2 * HASH_SIZE + map_proof.KEY_BITS * map_proof.STEP_SIZE


@dataclass(frozen=True)
class ProvenTree:
    """A tree that satisfies the policy; `cosigned.checkpoint` has its size and root, `epoch` is its last leaf."""

    cosigned: Cosigned
    epoch: EpochLeaf

    @property
    def size(self) -> int:
        """Leaves in the tree."""
        return self.cosigned.checkpoint.size

    @property
    def root(self) -> bytes:
        """RFC 6962 root of the tree, 32 bytes."""
        return self.cosigned.checkpoint.root

    @property
    def map_root(self) -> bytes:
        """Root of the map of all leaves of the tree, 32 bytes. Raises BadTreeProof for a tree without a map."""
        if self.epoch.map_root is None:
            raise BadTreeProof(f"the epoch leaf of the tree of size {self.size}", "a map root", "none")
        return unb64url(self.epoch.map_root, HASH_SIZE)


@dataclass(frozen=True)
class TreeProof:
    """That this epoch leaf closes a tree: a C2SP tlog-proof bundle of the tree's last leaf, and that leaf."""

    bundle: bytes
    epoch_leaf: bytes

    def verify(self, policy: Policy, now: int, max_age: int | None = None) -> ProvenTree:
        """The tree, if a quorum of `policy` cosigned it, at most `max_age` seconds before `now` (seconds) if given.

        Raises Unwitnessed, StaleTree or another BadTreeProof.
        """
        try:
            bundle = proof.parse(self.bundle)
            cosigned = policy.check(bundle.checkpoint, now, max_age)
            epoch = parse_leaf(self.epoch_leaf)
        except QuorumMissing as error:
            raise Unwitnessed("the checkpoint", "the cosignatures of a quorum", str(error)) from error
        except StaleCheckpoint as error:
            raise StaleTree("the checkpoint", "a fresh quorum", str(error)) from error
        except (TlogError, ProtocolError) as error:
            raise BadTreeProof("the tree's proof", "a cosigned checkpoint and its epoch leaf", str(error)) from error
        if not isinstance(epoch, EpochLeaf) or bundle.extra is not None:
            raise BadTreeProof("the tree's proof", "an epoch leaf and nothing beside it", "another leaf, or more")
        self._check_last(bundle, cosigned, epoch)
        return ProvenTree(cosigned, epoch)

    def _check_last(self, bundle: proof.Proof, cosigned: Cosigned, epoch: EpochLeaf) -> None:
        tree = cosigned.checkpoint
        if bundle.index != tree.size - 1 or epoch.prev_size > bundle.index:
            raise BadTreeProof(
                f"the epoch leaf at {bundle.index}", f"the last of {tree.size} leaves", f"prev_size {epoch.prev_size}"
            )
        try:
            verify_inclusion(leaf_hash(self.epoch_leaf), bundle.index, tree.size, tree.root, bundle.hashes)
        except TlogError as error:
            raise BadTreeProof(
                "the epoch leaf", f"the last leaf of the tree of size {tree.size}", str(error)
            ) from error

    def without_strangers(self, policy: Policy) -> "TreeProof":
        """The same proof with the signatures alone that `policy` can judge: what belongs into evidence.

        Raises BadTreeProof for what is no proof.
        """
        bundle, text, signatures = self._signatures()
        known = [item for item in signatures if (item.name, item.key_id) in known_keys(policy)]
        if not known:
            raise Unwitnessed("the checkpoint", "signatures of this policy's log and witnesses", "none")
        return replace(self, bundle=replace(bundle, checkpoint=note.encode(text, known)).encode())

    def refuse_strangers(self, policy: Policy) -> None:
        """Refuse a signature that `policy` cannot judge. Raises BadTreeProof.

        A live checkpoint may carry such; in evidence, a damaged name of a witness would go unnoticed among them.
        """
        _, _, signatures = self._signatures()
        for item in signatures:
            if (item.name, item.key_id) not in known_keys(policy):
                meaning = "signatures of keys that the policy names (it may have named others then)"
                raise BadTreeProof("the checkpoint", meaning, f"one by {item.name[:200]!r}")

    def _signatures(self) -> tuple[proof.Proof, str, tuple[note.Signature, ...]]:
        try:
            bundle = proof.parse(self.bundle)
            return bundle, *note.parse(bundle.checkpoint)
        except TlogError as error:
            raise BadTreeProof("the tree's proof", "a bundle with a signed checkpoint", str(error)) from error

    @property
    def rendered(self) -> dict[str, Any]:
        """The proof as JSON: `{bundle: text, epoch_leaf: base64url}`."""
        return {"bundle": self.bundle.decode(), "epoch_leaf": b64url(self.epoch_leaf)}

    @classmethod
    def parse(cls, document: object) -> "TreeProof":
        """Read what `rendered` gives, and nothing else. Raises MalformedEvidence."""
        members = members_of(document, {"bundle", "epoch_leaf"}, "a tree's proof")
        bundle = text_of(members["bundle"], MAX_BUNDLE, "a proof bundle").encode()
        return cls(bundle, bytes_of(members["epoch_leaf"], "an epoch leaf", limit=_MAX_EPOCH_LEAF))


@dataclass(frozen=True)
class KeyStatement:
    """That the map holds exactly these leaves under this key: their hashes in log order, none if it holds nothing."""

    key: bytes
    leaves: tuple[bytes, ...]
    proof: bytes

    def verify(self, map_root: bytes) -> None:
        """Check the statement against the root of a map (32 bytes). Raises BadStatement."""
        try:
            shown = map_proof.parse(self.proof)
            if isinstance(shown, AbsenceProof):
                if self.leaves:
                    raise BadStatement(self._where, f"{len(self.leaves)} leaves proven", "a proof that there is none")
                verify_absence(map_root, self.key, shown)
                return
            verify_presence(map_root, self.key, len(self.leaves), self._root(), shown)
        except TlogError as error:
            raise BadStatement(self._where, "a proof that leads to the map's root", str(error)) from error

    @property
    def _where(self) -> str:
        return f"the map at {self.key.hex()}"

    def _root(self) -> bytes:
        """RFC 6962 root over the leaf hashes."""
        frontier = Frontier()
        for hash_of_leaf in self.leaves:
            frontier.append(hash_of_leaf)
        return frontier.root()

    @property
    def rendered(self) -> dict[str, Any]:
        """The statement as JSON: `{key: hex, leaves: [base64url], proof: base64url}`."""
        leaves = [b64url(hash_of_leaf) for hash_of_leaf in self.leaves]
        return {"key": self.key.hex(), "leaves": leaves, "proof": b64url(self.proof)}

    @classmethod
    def parse(cls, document: object) -> "KeyStatement":
        """Read what `rendered` gives, and nothing else. Raises MalformedEvidence."""
        members = members_of(document, {"key", "leaves", "proof"}, "a statement about a key")
        listed = list_of(members["leaves"], MAX_LEAVES, "the leaves under a key")
        leaves = tuple(bytes_of(item, "a leaf hash", HASH_SIZE) for item in listed)
        return cls(
            hex_of(members["key"], "a key of the map"),
            leaves,
            bytes_of(members["proof"], "a map proof", limit=_MAX_MAP_PROOF),
        )


def known_keys(policy: Policy) -> set[tuple[str, bytes]]:
    """Names and ids of all keys that a policy can judge signatures by: its logs' and its witnesses'."""
    logs = {(log.verifier.name, log.verifier.key_id) for log in policy.logs}
    return logs | {(witness.verifier.name, witness.verifier.key_id) for witness in policy.witnesses}


def members_of(document: object, names: set[str], what: str) -> Mapping[str, Any]:
    """An object with exactly these members. Raises MalformedEvidence."""
    if not isinstance(document, dict) or document.keys() != names:
        found = sorted(map(str, document))[:12] if isinstance(document, dict) else type(document).__name__
        raise MalformedEvidence(what, f"the members {sorted(names)}", str(found))
    return document


def list_of(value: object, limit: int, what: str) -> list[Any]:
    """A list of at most `limit` items. Raises MalformedEvidence."""
    if not isinstance(value, list) or len(value) > limit:
        found = f"{len(value)} items" if isinstance(value, list) else type(value).__name__
        raise MalformedEvidence(what, f"a list of at most {limit}", found)
    return value


def text_of(value: object, limit: int, what: str) -> str:
    """A text of at most `limit` characters. Raises MalformedEvidence."""
    if not isinstance(value, str) or len(value) > limit:
        found = f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
        raise MalformedEvidence(what, f"a text of at most {limit} characters", found)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise MalformedEvidence(what, "Unicode text", "a lone surrogate")
    return value


def number_of(value: object, limit: int, what: str) -> int:
    """An integer from 0 to `limit`. Raises MalformedEvidence."""
    if type(value) is not int or not 0 <= value <= limit:
        raise MalformedEvidence(what, f"an integer from 0 to {limit}", str(value)[:40])
    return value


def bytes_of(value: object, what: str, length: int | None = None, *, limit: int | None = None) -> bytes:
    """Bytes in unpadded base64url, exactly `length` or at most `limit` of them. Raises MalformedEvidence."""
    bound = length if length is not None else limit
    longest = None if bound is None else (bound * 4 + 2) // 3
    if not isinstance(value, str) or (longest is not None and len(value) > longest):
        raise MalformedEvidence(what, f"base64url of at most {bound} bytes", f"{str(value)[:40]!r}")
    try:
        return unb64url(value, length)
    except ProtocolError as error:
        raise MalformedEvidence(what, "base64url", str(error)) from error


def hex_of(value: object, what: str) -> bytes:
    """32 bytes in 64 lower-case hexadecimal digits. Raises MalformedEvidence."""
    text = text_of(value, 2 * HASH_SIZE, what)
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != HASH_SIZE or data.hex() != text:
        raise MalformedEvidence(what, f"{2 * HASH_SIZE} lower-case hex digits", repr(text))
    return data
