"""Proof bundles (C2SP tlog-proof): index, inclusion proof and signed checkpoint in one text, checkable offline."""

from collections.abc import Sequence
from dataclasses import dataclass

from paraph.tlog import note
from paraph.tlog.checkpoint import SignedCheckpoint, open_signed
from paraph.tlog.merkle import HASH_SIZE, MAX_PROOF, ProofError, verify_inclusion
from paraph.tlog.text import MalformedText, b64, parse_number, unb64

_HEADER = "c2sp.org/tlog-proof@v1"


class MalformedBundle(ProofError):
    """Bytes that are not a proof bundle in its only spelling."""


@dataclass(frozen=True)
class Proof:
    """That leaf `index` is in the tree of a signed checkpoint; `extra` is for the application and proven by nothing."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """Write the bundle, ready for a `.tlog-proof` file."""
        lines = [_HEADER]
        if self.extra is not None:
            lines.append(f"extra {b64(self.extra)}")
        lines += [f"index {self.index}", *map(b64, self.hashes), "", ""]
        return "\n".join(lines).encode() + self.checkpoint

    def verify(
        self,
        hash_of_leaf: bytes,
        log: note.NoteVerifier,
        *,
        origin: str | None = None,
        cosigners: Sequence[note.NoteVerifier] = (),
    ) -> SignedCheckpoint:
        """Check the checkpoint's signatures and the inclusion of a leaf; return the checkpoint for its cosignatures.

        Raises NoteError, CheckpointError or ProofError.
        """
        signed = open_signed(self.checkpoint, log, origin=origin, cosigners=cosigners)
        tree = signed.checkpoint
        verify_inclusion(hash_of_leaf, self.index, tree.size, tree.root, self.hashes)
        return signed


def parse(bundle: bytes) -> Proof:
    """Read a proof bundle. Raises MalformedBundle; the checkpoint in it is only parsed when it is verified."""
    head, separator, signed = bundle.partition(b"\n\n")
    try:
        header, *lines = head.decode("ascii").split("\n")
        extra = unb64(lines.pop(0)[6:]) if lines and lines[0].startswith("extra ") else None
        index = parse_number(lines.pop(0).removeprefix("index ")) if lines else -1
        hashes = tuple(unb64(line, HASH_SIZE) for line in lines)
    except (UnicodeDecodeError, MalformedText) as error:
        raise MalformedBundle(f"proof bundle: {error}") from error
    proof = Proof(index, hashes, signed, extra)
    if header != _HEADER or not separator or len(hashes) > MAX_PROOF or proof.encode() != bundle:
        raise MalformedBundle(f"expected {_HEADER}, an index, at most {MAX_PROOF} hashes and a checkpoint")
    return proof
