"""Proof bundles (C2SP tlog-proof): a leaf, its way to the root, and the signed root in one text."""

from collections.abc import Sequence
from dataclasses import replace

from paraph.tlog import note, proof
from paraph.tlog.checkpoint import Checkpoint, CheckpointError
from paraph.tlog.merkle import ProofError, leaf_hash
from paraph.tlog.note import NoteError
from paraph.tlog.proof import Proof
from paraph.tlog.text import b64
from tests.corpus.honest import CHECKPOINT, FORKED, HONEST, IMPOSTOR, LOG, TREE, WITNESSES, log_signature
from tests.corpus.layout import Piece, layout
from tests.corpus.mutators import of_bytes
from tests.corpus.structure import Kind, Structure
from tests.corpus.structures.notes import checkpoint_pieces, repeated, signature_lines

INDEX = 6
HEADER = "c2sp.org/tlog-proof@v1\n"
_SIGNED = note.sign(CHECKPOINT.text, [LOG])
_HONEST = Proof(INDEX, tuple(TREE.inclusion_proof(INDEX)), _SIGNED)


def pieces(index: int, hashes: Sequence[bytes], lines: list[Piece], extra: bytes | None = None) -> list[Piece]:
    """A bundle, piece by piece."""
    written: list[Piece] = [HEADER]
    if extra is not None:
        written += ["extra ", ("extra", Kind.BASE64, b64(extra)), "\n"]
    written += ["index ", ("index", Kind.NUMBER, str(index)), "\n"]
    for number, item in enumerate(hashes):
        written += [(f"hash {number}", Kind.BASE64, b64(item)), "\n"]
    return [*written, "\n", *checkpoint_pieces(), "\n", *lines]


_LINES = signature_lines([("log", log_signature(CHECKPOINT.text))])
BUNDLE = layout(*pieces(INDEX, _HONEST.hashes, _LINES))
WITH_EXTRA = layout(*pieces(INDEX, _HONEST.hashes, _LINES, b"for the application"))


def _verified(data: bytes) -> Checkpoint:
    """The tree in which the bundle shows the honest leaf; `extra` and the index are the bundle's own."""
    return proof.parse(data).verify(leaf_hash(HONEST.leaves[INDEX]), LOG.verifier).checkpoint


def _forged() -> dict[str, bytes]:
    other = tuple(TREE.inclusion_proof(INDEX + 1))
    at = {
        n: replace(_HONEST, checkpoint=note.sign(Checkpoint(LOG.name, n, TREE.root(n)).text, [LOG])) for n in (7, 8, 11)
    }
    fork = Checkpoint(LOG.name, CHECKPOINT.size, FORKED.tree().root())
    made = {
        "another leaf's proof": replace(_HONEST, index=INDEX + 1, hashes=other),
        "another leaf's hashes": replace(_HONEST, hashes=other),
        "a fork's tree": replace(_HONEST, checkpoint=note.sign(fork.text, [LOG])),
        "an impostor's signature": replace(_HONEST, checkpoint=note.sign(CHECKPOINT.text, [IMPOSTOR])),
        "a witness's signature only": replace(
            _HONEST, checkpoint=note.encode(CHECKPOINT.text, [WITNESSES[0].cosign(CHECKPOINT.text, 1)])
        ),
        "another origin": replace(_HONEST, checkpoint=note.sign(CHECKPOINT.text.replace(".org", ".net"), [LOG])),
        "an extension line": replace(_HONEST, checkpoint=note.sign(CHECKPOINT.text + "more\n", [LOG])),
        "the index of the size": replace(_HONEST, index=CHECKPOINT.size),
        **{f"the tree of size {n}": changed for n, changed in at.items()},
    }
    return {name: bundle.encode() for name, bundle in made.items()} | {
        "64 hashes": Proof(INDEX, (bytes(32),) * 64, _SIGNED).encode(),
        "no header": BUNDLE[0].removeprefix(HEADER.encode()),
        "version 2": BUNDLE[0].replace(b"@v1", b"@v2"),
        "extra after the index": BUNDLE[0].replace(b"index 6\n", b"index 6\nextra QQ==\n"),
        "two extras": WITH_EXTRA[0].replace(b"index", b"extra QQ==\nindex"),
        "two indexes": BUNDLE[0].replace(b"index 6\n", b"index 6\nindex 6\n"),
        "index in capitals": BUNDLE[0].replace(b"index", b"Index"),
    }


_ERRORS = (ProofError, NoteError, CheckpointError)

STRUCTURES = (
    Structure(
        "tlog-proof bundle",
        BUNDLE[0],
        _verified,
        _ERRORS,
        of_bytes,
        BUNDLE[1],
        same=repeated(BUNDLE[0]),
        forged=_forged(),
    ),
    Structure(
        "tlog-proof bundle as text",
        WITH_EXTRA[0],
        proof.parse,
        (ProofError,),
        of_bytes,
        WITH_EXTRA[1],
        other=lambda meaning, data: meaning.encode() == data,
    ),
)
