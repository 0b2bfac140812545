"""A log with witnesses and a map, in memory: its trees, statements and proofs, made by the tests' own writer."""

from collections.abc import Sequence
from hashlib import sha256

from paraph.audit.statement import KeyStatement, TreeProof
from paraph.protocol.base64 import b64url
from paraph.protocol.entry import epoch_leaf
from paraph.protocol.map_key import map_key_of_bytes
from paraph.tlog import note, policy, proof
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.map_proof import map_value
from paraph.tlog.merkle import Tree, leaf_hash
from paraph.tlog.note import Signer
from paraph.tlog.prefix_map import PrefixMap
from paraph.tlog.tiles import TILE_WIDTH, Edge, encode_entries, new_bundles

LOG = Signer("example.org/log", sha256(b"the log").digest())
WITNESSES = [CosignatureSigner(f"w{n}.example/witness", sha256(b"w%d" % n).digest()) for n in range(3)]
AUDITOR = CosignatureSigner("auditor.example/map", sha256(b"auditor").digest())
STRANGER = CosignatureSigner("stranger.example/witness", sha256(b"stranger").digest())


def policy_text(*, audited: bool = True) -> bytes:
    """Two of three witnesses and, unless told otherwise, the map auditor."""
    lines = [f"log {LOG.vkey}"]
    lines += [f"witness w{n} {witness.verifier.vkey}" for n, witness in enumerate(WITNESSES)]
    lines.append("group two 2 w0 w1 w2")
    if audited:
        lines += [f"witness auditor {AUDITOR.verifier.vkey}", "group map-auditors any auditor"]
        lines.append("group both all two map-auditors")
    lines.append("quorum both" if audited else "quorum two")
    return "".join(f"{line}\n" for line in lines).encode()


POLICY = policy.parse(policy_text())
COSIGNERS = (WITNESSES[0], WITNESSES[1], AUDITOR)


class WitnessedLog:
    """Leaves, epoch by epoch. `omit` are leaves that the map leaves out, as only a lying operator's would."""

    def __init__(self, omit: Sequence[bytes] = ()) -> None:
        self.leaves: list[bytes] = []
        self.epochs: list[tuple[int, int]] = []
        self._omit = set(omit)

    def epoch(self, leaves: Sequence[bytes], time: int) -> "WitnessedLog":
        """Add leaves and the epoch leaf that closes them at `time` (milliseconds)."""
        start = len(self.leaves)
        self.leaves += leaves
        self.leaves.append(epoch_leaf(len(self.epochs), start, b64url(self.map().root), time))
        self.epochs.append((len(self.leaves), time))
        return self

    def under(self, key: bytes) -> list[bytes]:
        """Hashes of the leaves under a key of the map, in log order."""
        mapped = (leaf for leaf in self.leaves if leaf not in self._omit)
        return [leaf_hash(leaf) for leaf in mapped if map_key_of_bytes(leaf) == key]

    def map(self) -> PrefixMap:
        """The map of all leaves so far."""
        keys = {key for leaf in self.leaves if (key := map_key_of_bytes(leaf)) is not None}
        found = {key: self.under(key) for key in keys}
        return PrefixMap((key, map_value(len(items), Tree(items).root())) for key, items in found.items() if items)

    def tree(self) -> Tree:
        """The tree of all leaves."""
        return Tree(leaf_hash(leaf) for leaf in self.leaves)

    def checkpoint(
        self, *, at: int | None = None, cosigners: Sequence[CosignatureSigner] = COSIGNERS, log: Signer = LOG
    ) -> bytes:
        """The checkpoint of all leaves, cosigned at a time in seconds (that of the newest epoch unless given)."""
        tree = Checkpoint(log.name, len(self.leaves), self.tree().root())
        own = note.Signature(log.name, log.key_id, log.sign(tree.text.encode()))
        time = self.epochs[-1][1] // 1000 if at is None else at
        return note.encode(tree.text, [own, *(cosigner.cosign(tree.text, time) for cosigner in cosigners)])

    def tree_proof(
        self, *, at: int | None = None, cosigners: Sequence[CosignatureSigner] = COSIGNERS, log: Signer = LOG
    ) -> TreeProof:
        """That the newest epoch leaf closes the tree."""
        signed, last = self.checkpoint(at=at, cosigners=cosigners, log=log), len(self.leaves) - 1
        hashes = tuple(self.tree().inclusion_proof(last, len(self.leaves)))
        return TreeProof(proof.Proof(last, hashes, signed).encode(), self.leaves[last])

    def statement(self, key: bytes) -> KeyStatement:
        """What lies under a key."""
        return KeyStatement(key, tuple(self.under(key)), self.map().prove(key).encode())

    def files(self, *, cosigners: Sequence[CosignatureSigner] = COSIGNERS) -> dict[str, bytes]:
        """The files that are published of it, by path."""
        found = {tile.path: data for tile, data in Edge().append(map(leaf_hash, self.leaves)).items()}
        for bundle in new_bundles(0, len(self.leaves)):
            start = bundle.index * TILE_WIDTH
            found[bundle.path] = encode_entries(self.leaves[start : start + bundle.width])
        return {**found, "checkpoint": self.checkpoint(cosigners=cosigners)}

    def fetch(self, path: str) -> bytes:
        """One of its files, as an auditor reads it."""
        files = self.files()
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]
