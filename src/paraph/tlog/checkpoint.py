"""Checkpoints (C2SP tlog-checkpoint v1.0.0): the signed statement "this log has this size and this root".

The text is three lines: origin, size in decimal, root in base64. Extension lines are refused: nobody audits them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from paraph.tlog import note
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import EMPTY_ROOT, HASH_SIZE
from paraph.tlog.text import MAX_NUMBER, MalformedText, b64, parse_number, unb64


class CheckpointError(TlogError):
    """A checkpoint that cannot be trusted."""


class MalformedCheckpoint(CheckpointError):
    """A note text that is not a checkpoint in its only spelling."""


class WrongLog(CheckpointError):
    """A checkpoint of another log, or one that the log itself did not sign."""


@dataclass(frozen=True)
class Checkpoint:
    """A log's origin, its number of leaves and its RFC 6962 root (32 bytes). Raises MalformedCheckpoint when made."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        """Refuse what could not be written down and read back."""
        if not self.origin or "\n" in self.origin:
            raise MalformedCheckpoint(f"expected an origin on one line, got {self.origin[:80]!r}")
        if not 0 <= self.size <= MAX_NUMBER or len(self.root) != HASH_SIZE:
            raise MalformedCheckpoint(f"expected a size below 2^63 and a root of {HASH_SIZE} bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise MalformedCheckpoint("the empty tree has one root only, SHA-256 of nothing")

    @property
    def text(self) -> str:
        """The note text: three lines, each with its newline."""
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"


def parse(text: str) -> Checkpoint:
    """Read a checkpoint's note text. Raises MalformedCheckpoint."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise MalformedCheckpoint("expected three lines (origin, size, root), each ended by a newline")
    try:
        return Checkpoint(lines[0], parse_number(lines[1]), unb64(lines[2], HASH_SIZE))
    except MalformedText as error:
        raise MalformedCheckpoint(f"size or root: {error}") from error


def sign(checkpoint: Checkpoint, signer: note.NoteSigner) -> bytes:
    """Write the checkpoint as a note signed by the log's key."""
    return note.sign(checkpoint.text, [signer])


@dataclass(frozen=True)
class SignedCheckpoint:
    """A checkpoint together with the opened note that it came in, cosignatures included."""

    checkpoint: Checkpoint
    note: note.Note


def open_signed(
    signed: bytes,
    log: note.NoteVerifier,
    *,
    origin: str | None = None,
    cosigners: Sequence[note.NoteVerifier] = (),
) -> SignedCheckpoint:
    """Read a checkpoint that the log signed, with the signatures of the cosigners who did too.

    `origin` is the log's key name unless given. Raises NoteError, MalformedCheckpoint or WrongLog.
    """
    opened = note.open(signed, [log, *cosigners])
    checkpoint = parse(opened.text)
    expected = log.name if origin is None else origin
    if checkpoint.origin != expected:
        raise WrongLog(f"expected a checkpoint of {expected!r}, got one of {checkpoint.origin!r}")
    if not any((item.name, item.key_id) == (log.name, log.key_id) for item in opened.signatures):
        raise WrongLog(f"the log {log.name} itself did not sign this checkpoint")
    return SignedCheckpoint(checkpoint, opened)


def open(  # noqa: A001 -- the field's own word
    signed: bytes, log: note.NoteVerifier, *, origin: str | None = None
) -> Checkpoint:
    """Read a checkpoint that the log signed, whoever else did. Raises NoteError, MalformedCheckpoint or WrongLog."""
    return open_signed(signed, log, origin=origin).checkpoint
