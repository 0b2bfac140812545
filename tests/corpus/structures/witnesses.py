"""What a witness is sent and what it answers (C2SP tlog-witness)."""

from paraph.tlog import note, witness
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.note import Signature
from paraph.tlog.text import b64
from paraph.tlog.witness import AddCheckpoint, BadAnswer, Refused
from tests.corpus.honest import (
    CHECKPOINT,
    EARLIER,
    FORKED,
    IMPOSTOR,
    LOG,
    NOW,
    SIZE,
    STRANGER,
    TREE,
    WITNESSES,
    log_signature,
)
from tests.corpus.layout import Piece, layout
from tests.corpus.mutators import of_bytes
from tests.corpus.structure import Kind, Structure
from tests.corpus.structures.notes import checkpoint_pieces, repeated, signature_lines

OLD = len(EARLIER.leaves)
KNOWN = Checkpoint(LOG.name, OLD, EARLIER.tree().root())
LOGS = witness.logs_by_origin([LOG.verifier])
_SIGNED = note.sign(CHECKPOINT.text, [LOG])
_PROOF = tuple(TREE.consistency_proof(OLD))


def _request() -> list[Piece]:
    written: list[Piece] = ["old ", ("old", Kind.NUMBER, str(OLD)), "\n"]
    for number, item in enumerate(_PROOF):
        written += [(f"hash {number}", Kind.BASE64, b64(item)), "\n"]
    return [*written, "\n", *checkpoint_pieces(), "\n", *signature_lines([("log", log_signature(CHECKPOINT.text))])]


def _accepted(data: bytes) -> Checkpoint:
    """The checkpoint that the witness would cosign, which has cosigned the tree of an epoch ago."""
    submission = witness.open_request(data, LOGS)
    witness.check(submission, KNOWN)
    return submission.checkpoint


def _forged() -> dict[str, bytes]:
    def sent(old: int = OLD, proof: tuple[bytes, ...] = _PROOF, signed: bytes = _SIGNED) -> bytes:
        return AddCheckpoint(old, proof, signed).encode()

    fork = Checkpoint(LOG.name, SIZE, FORKED.tree().root())
    lower = Checkpoint(LOG.name, OLD - 1, TREE.root(OLD - 1))
    twin = Checkpoint(LOG.name, OLD, FORKED.tree().root(OLD - 1))
    return {
        "from nothing": sent(0, ()),
        "from another size": sent(OLD - 1, tuple(TREE.consistency_proof(OLD - 1))),
        "no proof": sent(proof=()),
        "an inclusion proof": sent(proof=tuple(TREE.inclusion_proof(OLD))),
        "an impostor": sent(signed=note.sign(CHECKPOINT.text, [IMPOSTOR])),
        "an impostor beside the log": sent(
            signed=note.encode(
                CHECKPOINT.text,
                [log_signature(CHECKPOINT.text), Signature(LOG.name, LOG.verifier.key_id, IMPOSTOR.sign(b"x"))],
            )
        ),
        "cosigned, not signed": sent(signed=note.encode(CHECKPOINT.text, [WITNESSES[0].cosign(CHECKPOINT.text, NOW)])),
        "a fork": sent(signed=note.sign(fork.text, [LOG])),
        "a fork with its own proof": sent(
            proof=tuple(FORKED.tree().consistency_proof(OLD - 1)), signed=note.sign(fork.text, [LOG])
        ),
        "a smaller tree": sent(signed=note.sign(lower.text, [LOG])),
        "a smaller tree from itself": sent(OLD - 1, (), note.sign(lower.text, [LOG])),
        "another root of the known size": sent(OLD, (), note.sign(twin.text, [LOG])),
        "another log": sent(signed=note.sign(CHECKPOINT.text.replace(".org", ".net"), [LOG])),
        "an extension line": sent(signed=note.sign(CHECKPOINT.text + "more\n", [LOG])),
        "the old size 2^63": sent().replace(b"old 6", b"old %d" % 2**63),
        "old in capitals": sent().replace(b"old", b"Old"),
        "64 hashes": b"old 6\n" + b64(bytes(32)).encode() * 64 + b"\n\n" + _SIGNED,
    }


_COSIGNATURE = WITNESSES[0].cosign(CHECKPOINT.text, NOW)
_OTHER_TEXT = Checkpoint(LOG.name, OLD, EARLIER.tree().root()).text
_ANSWER = layout(*signature_lines([("witness", _COSIGNATURE)]))
_REQUEST = layout(*_request())


def _answer(*signatures: Signature) -> bytes:
    return "".join(item.line for item in signatures).encode()


STRUCTURES = (
    Structure(
        "add-checkpoint request as text",
        _REQUEST[0],
        witness.parse,
        (Refused,),
        of_bytes,
        _REQUEST[1],
        other=lambda meaning, data: meaning.encode() == data,
    ),
    Structure(
        "add-checkpoint request",
        _REQUEST[0],
        _accepted,
        (Refused,),
        of_bytes,
        _REQUEST[1],
        same=repeated(_REQUEST[0]),
        forged=_forged(),
    ),
    Structure(
        "add-checkpoint answer",
        _ANSWER[0],
        lambda data: witness.parse_cosignature(data, CHECKPOINT.text, WITNESSES[0].verifier),
        (BadAnswer,),
        of_bytes,
        _ANSWER[1],
        same={"whole: twice": "a repeated signature says the same"},
        forged={
            "another tree": _answer(WITNESSES[0].cosign(_OTHER_TEXT, NOW)),
            "another witness": _answer(WITNESSES[1].cosign(CHECKPOINT.text, NOW)),
            "a stranger": _answer(STRANGER.cosign(CHECKPOINT.text, NOW)),
            "the log": _answer(log_signature(CHECKPOINT.text)),
            "a text of its own": _OTHER_TEXT.encode() + b"\n" + _answer(WITNESSES[0].cosign(_OTHER_TEXT, NOW)),
            "a good and a wrong one": _answer(
                _COSIGNATURE, Signature(_COSIGNATURE.name, _COSIGNATURE.key_id, bytes(72))
            ),
            "nothing": b"",
            "a page": b"<html></html>\n",
        },
    ),
    Structure(
        "the size in a conflict",
        b"1234\n",
        witness.parse_size,
        (BadAnswer,),
        of_bytes,
        layout(("size", Kind.NUMBER, "1234"), "\n")[1],
        other=lambda meaning, data: data == b"%d\n" % meaning,
    ),
)
