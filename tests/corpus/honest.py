"""One honest log, small enough to mutate whole and with every kind of leaf: what the structures are cut out of."""

from hashlib import sha256

from paraph.protocol.entry import private_leaf, public_leaf
from paraph.tlog import note
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.merkle import Tree, leaf_hash
from tests.audit.witnessed import AUDITOR, COSIGNERS, LOG, POLICY, STRANGER, WITNESSES, WitnessedLog

__all__ = ["AUDITOR", "COSIGNERS", "LOG", "POLICY", "STRANGER", "WITNESSES"]

TIME = 1_760_000_000_000
"""Of the newest epoch, in milliseconds."""
NOW = TIME // 1000
LABEL = sha256(b"label").digest()
WEEK = 2900
SAME = [private_leaf(WEEK, LABEL, sha256(b"commitment %d" % n).digest()) for n in range(3)]
"""Leaves under one label."""
OTHERS = [private_leaf(WEEK, sha256(b"other %d" % n).digest(), sha256(b"%d" % n).digest()) for n in range(6)]
REPORT = public_leaf(
    "report", "film-club", TIME - 70_000, {"type": "org.paraph.report", "text": "käse", "rows": [1, 2]}
)

HONEST = WitnessedLog().epoch([REPORT, *OTHERS[:3], *SAME[:2]], TIME - 60_000).epoch([*SAME[2:], *OTHERS[3:]], TIME)
"""Two epochs, 12 leaves."""
EARLIER = WitnessedLog().epoch(HONEST.leaves[:6], TIME - 60_000)
"""The same log an epoch ago."""
FORKED = WitnessedLog().epoch([REPORT, *OTHERS[:3], *SAME[:2]], TIME - 60_000).epoch([*SAME[2:], *OTHERS[2:5]], TIME)
"""Another history of the same size under the same keys."""
TREE = HONEST.tree()
SIZE = len(HONEST.leaves)
CHECKPOINT = Checkpoint(LOG.name, SIZE, TREE.root())

LEAVES = [b"leaf %d" % number for number in range(21)]
WIDE = Tree(map(leaf_hash, LEAVES))
"""A tree whose proofs have sides of both kinds: 21 is odd at several levels."""

IMPOSTOR = note.Signer(LOG.name, sha256(b"another key under the log's name").digest())


def cosigned(
    text: str = CHECKPOINT.text,
    *signatures: note.Signature,
    at: int = NOW,
    by: tuple[CosignatureSigner, ...] = COSIGNERS,
) -> bytes:
    """A note of this text with the log's signature, these, and the cosigners' of a time in seconds."""
    return note.encode(text, [log_signature(text), *signatures, *(cosigner.cosign(text, at) for cosigner in by)])


def log_signature(text: str) -> note.Signature:
    """The log's own signature on a text."""
    return note.Signature(LOG.name, LOG.key_id, LOG.sign(text.encode()))
