"""A log to watch, and a witness in a folder of its own."""

from hashlib import sha256
from pathlib import Path

from paraph.tlog import note
from paraph.tlog.checkpoint import Checkpoint, sign
from paraph.tlog.merkle import Tree, leaf_hash
from paraph.tlog.witness import AddCheckpoint
from paraph.witness import folder
from paraph.witness.service import Witness

NOW = 1_760_000_000
LOG = note.Signer("example.org/log", sha256(b"log").digest())
OTHER_LOG = note.Signer("other.example/log", sha256(b"other log").digest())
STRANGER = note.Signer("elsewhere.example/log", sha256(b"stranger").digest())
TREE = Tree(leaf_hash(b"leaf %d" % number) for number in range(400))
FORK = Tree(leaf_hash(b"leaf %d" % number if number < 100 else b"fork %d" % number) for number in range(400))
NAME = "witness.example/w1"


def checkpoint(size: int, tree: Tree = TREE, log: note.Signer = LOG) -> Checkpoint:
    """The tree of this size."""
    return Checkpoint(log.name, size, tree.root(size))


def request(old: int, new: int, tree: Tree = TREE, log: note.Signer = LOG) -> bytes:
    """The log's request to go from one size to another."""
    proof = tuple(tree.consistency_proof(old, new))
    return AddCheckpoint(old, proof, sign(checkpoint(new, tree, log), log)).encode()


def open_witness(data: Path) -> Witness:
    """The witness of a folder, made at the first call."""
    if not (data / folder.KEY).exists():
        folder.create(data, NAME)
    signer, store = folder.open_folder(data)
    return Witness(store, signer, [LOG.verifier, OTHER_LOG.verifier], clock=lambda: NOW)
