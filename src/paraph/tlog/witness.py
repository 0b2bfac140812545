"""What a witness and its clients say to each other (C2SP tlog-witness v1.0.0), and what a witness agrees to cosign.

A log submits `old <size>`, consistency proof lines, an empty line and its signed checkpoint. Each refusal is an error
that carries the protocol's status, so that a server only has to hold the state and pass the answer on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from paraph.tlog import note
from paraph.tlog.checkpoint import Checkpoint, MalformedCheckpoint
from paraph.tlog.checkpoint import parse as parse_checkpoint
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import EMPTY_ROOT, HASH_SIZE, MAX_PROOF, ProofError, verify_consistency
from paraph.tlog.text import MAX_NUMBER, MalformedText, b64, parse_number, unb64

MAX_REQUEST = 64 * 1024
"""Bytes in the longest request, and in the longest answer, that is read: a full proof and 64 signatures are 20 KiB."""
SIZE_TYPE = "text/x.tlog.size"
"""Content type of the body that tells which size the witness knows."""
TEXT_TYPE = "text/plain; charset=utf-8"


class Refused(TlogError):
    """A checkpoint that the witness does not cosign; `status` is the HTTP status that says why."""

    status: ClassVar[int]

    @property
    def content_type(self) -> str:
        """Content type of the answer."""
        return TEXT_TYPE

    @property
    def body(self) -> bytes:
        """Body of the answer."""
        return f"{self}\n".encode()


class MalformedRequest(Refused):
    """Bytes that are not a request in its only spelling, or an old size larger than the new one."""

    status = 400


class UntrustedCheckpoint(Refused):
    """A checkpoint that none of the log's known keys signed, or whose signature by one of them is wrong."""

    status = 403


class UnknownLog(Refused):
    """A checkpoint of a log that this witness does not watch."""

    status = 404


class Conflict(Refused):
    """An old size that is not the size cosigned last; `size` is the one that is."""

    status = 409

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size

    @property
    def content_type(self) -> str:
        """Content type of a size."""
        return SIZE_TYPE

    @property
    def body(self) -> bytes:
        """The size cosigned last, in decimal."""
        return f"{self.size}\n".encode()


class Contradiction(Conflict):
    """Another root for the size cosigned last: with the known checkpoint, proof that the log signed two histories."""


class BadProof(Refused):
    """A consistency proof that does not lead from the known tree to the new one."""

    status = 422


class BadAnswer(TlogError):
    """A witness's answer that is not what the protocol says, or not signed with the witness's key."""


@dataclass(frozen=True)
class AddCheckpoint:
    """The body of `add-checkpoint`: the size cosigned last, the proof from there, the checkpoint as a signed note."""

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """Write the body. Raises MalformedRequest for what no witness would read."""
        if not 0 <= self.old_size <= MAX_NUMBER or len(self.proof) > MAX_PROOF:
            raise MalformedRequest(f"expected a size below 2^63 and at most {MAX_PROOF} hashes")
        lines = [f"old {self.old_size}", *map(b64, self.proof), "", ""]
        return "\n".join(lines).encode() + self.checkpoint


def parse(body: bytes) -> AddCheckpoint:
    """Read the body of `add-checkpoint`; the checkpoint in it is not looked at. Raises MalformedRequest."""
    if len(body) > MAX_REQUEST:
        raise MalformedRequest(f"expected at most {MAX_REQUEST} bytes, got {len(body)}")
    head, _, signed = body.partition(b"\n\n")
    try:
        old, *lines = head.decode("ascii").split("\n")
        request = AddCheckpoint(
            parse_number(old.removeprefix("old ")), tuple(unb64(line, HASH_SIZE) for line in lines), signed
        )
    except (UnicodeDecodeError, MalformedText) as error:
        raise MalformedRequest(f"expected an old size and hashes in base64, one a line: {error}") from error
    if request.encode() != body:
        raise MalformedRequest("expected `old <size>`, hashes, an empty line and a checkpoint, in their only spelling")
    return request


@dataclass(frozen=True)
class Submission:
    """A request whose checkpoint is by a known log; `signatures` are the log's own, all verified."""

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint
    signatures: tuple[note.Signature, ...]

    @property
    def origin(self) -> str:
        """The log that it is about."""
        return self.checkpoint.origin

    def note(self, *cosignatures: note.Signature) -> bytes:
        """The checkpoint as a note with the log's signatures and these after them."""
        return note.encode(self.checkpoint.text, [*self.signatures, *cosignatures])


Logs = Mapping[str, Sequence[note.NoteVerifier]]
"""The keys trusted for each origin."""


def logs_by_origin(verifiers: Iterable[note.Verifier]) -> dict[str, list[note.Verifier]]:
    """Keys of logs by their name, which is the origin of the checkpoints they sign (C2SP tlog-checkpoint)."""
    logs: dict[str, list[note.Verifier]] = {}
    for verifier in verifiers:
        logs.setdefault(verifier.name, []).append(verifier)
    return logs


def open_request(body: bytes, logs: Logs) -> Submission:
    """Read a request and check who signed its checkpoint.

    Raises MalformedRequest (400), UnknownLog (404) or UntrustedCheckpoint (403).
    """
    request = parse(body)
    try:
        checkpoint = parse_checkpoint(note.parse(request.checkpoint)[0])
    except (note.MalformedNote, MalformedCheckpoint) as error:
        raise MalformedRequest(f"checkpoint: {error}") from error
    if checkpoint.origin not in logs:
        raise UnknownLog(f"this witness does not watch {checkpoint.origin[:200]}")
    try:
        opened = note.open(request.checkpoint, logs[checkpoint.origin])
    except (note.InvalidSignature, note.UnverifiedNote) as error:
        raise UntrustedCheckpoint(str(error)) from error
    return Submission(request.old_size, request.proof, checkpoint, opened.signatures)


def check(submission: Submission, known: Checkpoint | None) -> None:
    """Whether the submitted tree goes on from the one cosigned last (None: never cosigned any of this log).

    `known` must not change between this and the moment when the submitted checkpoint takes its place.
    Raises MalformedRequest (400), Conflict or Contradiction (409), or BadProof (422).
    """
    new, old_size = submission.checkpoint, submission.old_size
    before = Checkpoint(new.origin, 0, EMPTY_ROOT) if known is None else known
    if before.origin != new.origin:
        raise ValueError("the known checkpoint is another log's")
    if old_size > new.size:
        raise MalformedRequest(f"the old size {old_size} is larger than the checkpoint's, {new.size}")
    if old_size != before.size:
        raise Conflict(f"expected the old size {before.size}, got {old_size}", before.size)
    if new.size == before.size and new.root != before.root:
        raise Contradiction(f"the tree of size {new.size} had the root {before.root.hex()}", before.size)
    try:
        verify_consistency(old_size, new.size, before.root, new.root, submission.proof)
    except ProofError as error:
        raise BadProof(str(error)) from error


def parse_size(body: bytes) -> int:
    """Read the size in a 409's body. Raises BadAnswer."""
    try:
        size = parse_number(body.decode("ascii").removesuffix("\n"))
    except (UnicodeDecodeError, MalformedText) as error:
        raise BadAnswer(f"expected a size and a newline: {error}") from error
    if body != b"%d\n" % size:
        raise BadAnswer("expected a size and a newline")
    return size


def parse_cosignature(body: bytes, text: str, witness: note.NoteVerifier) -> note.Signature:
    """The witness's signature on the checkpoint's text, out of a 200's body; those by unknown keys are ignored.

    Raises BadAnswer for a body that is not signature lines, a wrong signature, or none by this witness.
    """
    try:
        opened = note.open(text.encode() + b"\n" + body, [witness])
    except note.NoteError as error:
        raise BadAnswer(f"expected cosignatures: {error}") from error
    if opened.text != text:
        raise BadAnswer("expected signature lines and nothing else")
    return opened.signatures[-1]
