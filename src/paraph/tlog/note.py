"""Signed notes (C2SP signed-note v1.0.0) with Ed25519 keys, in the key and note forms of Go's x/mod/sumdb/note.

A note is a text that ends in a newline, an empty line, and signature lines `— <name> <base64(key id || signature)>`.
The key id is the first four bytes of SHA-256(name || 0x0A || type || public key); type 0x01 is Ed25519 over the text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature as _BadEd25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from paraph.tlog.errors import TlogError
from paraph.tlog.text import MalformedText, b64, unb64

ED25519 = 0x01
"""Signature type: Ed25519 over the note's text."""
KEY_SIZE = 32
"""Bytes in an Ed25519 public key or seed."""
SIGNATURE_SIZE = 64
"""Bytes in an Ed25519 signature."""
MAX_SIGNATURES = 64
"""Signature lines accepted on one note; C2SP demands at least 16."""
MAX_NOTE = 1_000_000
"""Bytes in the longest note accepted, as in Go's note package."""
_LINE = "\u2014 "
SECRET = "PRIVATE+KEY+"  # noqa: S105 -- the form's fixed prefix, not a secret
"""What the text of a private key begins with."""
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteError(TlogError):
    """A note or note key that cannot be trusted."""


class MalformedNote(NoteError):
    """Bytes that are not a signed note in its only spelling."""


class MalformedKey(NoteError):
    """A vkey or skey text, or a key name, that is not in its only spelling."""


class InvalidSignature(NoteError):
    """A signature by a known key that does not verify: the whole note is rejected."""


class UnverifiedNote(NoteError):
    """A well-formed note without a signature by any known key."""


@dataclass(frozen=True)
class Signature:
    """One signature line: key name, key id (4 bytes) and the signature proper, whose length its type sets."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line in the note, with its newline."""
        return f"{_LINE}{self.name} {b64(self.key_id + self.signature)}\n"


@dataclass(frozen=True)
class Note:
    """An opened note: its text, the signatures by known keys (all verified) and those by unknown ones (ignored)."""

    text: str
    signatures: tuple[Signature, ...]
    unverified: tuple[Signature, ...] = ()


class NoteVerifier(Protocol):
    """A known key: what `open` needs to recognise its signatures and check them."""

    @property
    def name(self) -> str:
        """Key name."""

    @property
    def key_id(self) -> bytes:
        """Key id, 4 bytes."""

    def verify(self, text: bytes, signature: bytes) -> bool:
        """Whether this key signed the text."""


class NoteSigner(Protocol):
    """A key that can sign notes."""

    @property
    def name(self) -> str:
        """Key name."""

    @property
    def key_id(self) -> bytes:
        """Key id, 4 bytes."""

    def sign(self, text: bytes) -> bytes:
        """Sign the text."""


def key_id(name: str, key_type: int, public_key: bytes) -> bytes:
    """The 4-byte id that, with its name, tells a key."""
    return sha256(name.encode() + b"\n" + bytes([key_type]) + public_key).digest()[:4]


def check_name(name: str) -> str:
    """Return a key name that notes allow: not empty, no space, no plus, no control character. Raises MalformedKey."""
    if not name or "+" in name or any(c.isspace() or c < " " for c in name) or not _is_unicode(name):
        raise MalformedKey(f"expected a key name without spaces or plus, got {name[:80]!r}")
    return name


def format_key(name: str, identifier: bytes, key_type: int, key: bytes) -> str:
    """Write `<name>+<hex key id>+<base64(type || key)>`: a vkey, or what follows `PRIVATE+KEY+` in an skey."""
    return f"{name}+{identifier.hex()}+{b64(bytes([key_type]) + key)}"


def parse_key(text: str, key_type: int) -> tuple[str, bytes]:
    """Read name and 32-byte key of this type from `format_key`'s form. Raises MalformedKey.

    The key id is not looked at: the caller writes the key back and compares, which checks id and spelling at once.
    """
    try:
        name, _, encoded = text.split("+", 2)
        raw = unb64(encoded, 1 + KEY_SIZE)
    except ValueError as error:
        raise MalformedKey("expected a key as <name>+<hex key id>+<base64 key>") from error
    if raw[0] != key_type:
        raise MalformedKey(f"expected a key of type {key_type:#04x}, got type {raw[0]:#04x}")
    return name, raw[1:]


def load_public_key(key: bytes) -> Ed25519PublicKey:
    """Read a 32-byte Ed25519 public key. Raises MalformedKey."""
    try:
        return Ed25519PublicKey.from_public_bytes(key)
    except ValueError as error:
        raise MalformedKey("expected 32 bytes of Ed25519 public key") from error


def load_private_key(seed: bytes) -> Ed25519PrivateKey:
    """Read a 32-byte Ed25519 seed. Raises MalformedKey."""
    try:
        return Ed25519PrivateKey.from_private_bytes(seed)
    except ValueError as error:
        raise MalformedKey(f"expected a seed of {KEY_SIZE} bytes, got {len(seed)}") from error


def verifies(key: Ed25519PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature of 64 bytes verifies (RFC 8032)."""
    try:
        key.verify(signature, message)
    except _BadEd25519:
        return False
    return True


@dataclass(frozen=True)
class Verifier:
    """An Ed25519 public key (type 0x01) under a name. Raises MalformedKey when made of a bad name or key."""

    name: str
    public_key: bytes
    _key: Ed25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the name and the key."""
        check_name(self.name)
        object.__setattr__(self, "_key", load_public_key(self.public_key))

    @classmethod
    def from_vkey(cls, vkey: str) -> "Verifier":
        """Read a vkey text. Raises MalformedKey, also when the key id is not the one of this name and key."""
        verifier = cls(*parse_key(vkey, ED25519))
        if verifier.vkey != vkey:
            raise MalformedKey(f"expected the key {verifier.vkey}, got {vkey[:200]!r}")
        return verifier

    @property
    def key_id(self) -> bytes:
        """Key id, 4 bytes."""
        return key_id(self.name, ED25519, self.public_key)

    @property
    def vkey(self) -> str:
        """The text that people pass on and pin."""
        return format_key(self.name, self.key_id, ED25519, self.public_key)

    def verify(self, text: bytes, signature: bytes) -> bool:
        """Whether this key signed the text."""
        return verifies(self._key, text, signature)


@dataclass(frozen=True)
class Signer:
    """An Ed25519 signing key (type 0x01), from its 32-byte seed. Raises MalformedKey for a bad name or seed."""

    name: str
    seed: bytes = field(repr=False)
    _key: Ed25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the name and load the key."""
        check_name(self.name)
        object.__setattr__(self, "_key", load_private_key(self.seed))

    @classmethod
    def generate(cls, name: str) -> "Signer":
        """Make a new key from the system's randomness."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_skey(cls, skey: str) -> "Signer":
        """Read a skey text `PRIVATE+KEY+<name>+<hex key id>+<base64(type || seed)>`. Raises MalformedKey."""
        if not skey.startswith(SECRET):
            raise MalformedKey("expected a private key to begin with PRIVATE+KEY+")
        signer = cls(*parse_key(skey.removeprefix(SECRET), ED25519))
        if signer.skey != skey:
            raise MalformedKey(f"expected a private key with the key id {signer.key_id.hex()}")
        return signer

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self._key.public_key().public_bytes_raw())

    @property
    def key_id(self) -> bytes:
        """Key id, 4 bytes: that of the public key."""
        return self.verifier.key_id

    @property
    def vkey(self) -> str:
        """Text of the public half."""
        return self.verifier.vkey

    @property
    def skey(self) -> str:
        """Text of the private key; a secret."""
        return SECRET + format_key(self.name, self.key_id, ED25519, self.seed)

    def sign(self, text: bytes) -> bytes:
        """Sign the text: 64 bytes."""
        return self._key.sign(text)


def encode(text: str, signatures: Iterable[Signature]) -> bytes:
    """Write a note. Raises MalformedNote for a text, or a number of signatures, that no reader would accept."""
    lines = [signature.line for signature in signatures]
    if not text.endswith("\n") or _CONTROL.search(text) or not _is_unicode(text):
        raise MalformedNote("a note's text ends in a newline and holds no other control characters")
    if not 1 <= len(lines) <= MAX_SIGNATURES:
        raise MalformedNote(f"a note has 1 to {MAX_SIGNATURES} signatures, got {len(lines)}")
    return f"{text}\n{''.join(lines)}".encode()


def sign(text: str, signers: Sequence[NoteSigner]) -> bytes:
    """Write a note signed by each of these keys, in this order. Raises MalformedNote."""
    message = text.encode()
    return encode(text, [Signature(signer.name, signer.key_id, signer.sign(message)) for signer in signers])


def parse(note: bytes) -> tuple[str, tuple[Signature, ...]]:
    """Split a note into its text and its signatures, none of them verified. Raises MalformedNote."""
    if len(note) > MAX_NOTE:
        raise MalformedNote(f"expected at most {MAX_NOTE} bytes, got {len(note)}")
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise MalformedNote("expected UTF-8") from error
    text, separator, lines = whole.rpartition("\n\n")
    if not separator or not lines.endswith("\n") or _CONTROL.search(whole):
        raise MalformedNote("expected a text, an empty line and signature lines, each ended by a newline")
    signatures = tuple(parse_signature(line) for line in lines.removesuffix("\n").split("\n"))
    if encode(text + "\n", signatures) != note:
        raise MalformedNote("expected the note in its canonical spelling")
    return text + "\n", signatures


def parse_signature(line: str) -> Signature:
    """Read one signature line, without its newline. Raises MalformedNote."""
    try:
        dash, name, encoded = line.split(" ")
        raw = unb64(encoded)
        signature = Signature(check_name(name), raw[:4], raw[4:])
    except (ValueError, MalformedText) as error:
        raise MalformedNote(f"expected — <name> <base64>, got {line[:120]!r}") from error
    if dash != _LINE.rstrip() or not signature.signature:
        raise MalformedNote(f"expected — <name> <base64(key id || signature)>, got {line[:120]!r}")
    return signature


def open(note: bytes, verifiers: Iterable[NoteVerifier]) -> Note:  # noqa: A001 -- the field's own word
    """Read a note and check every signature by a known key; signatures by unknown keys are set aside.

    Raises MalformedNote, InvalidSignature if a known key's signature is wrong, UnverifiedNote if no known key signed.
    """
    text, signatures = parse(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    message = text.encode()
    verified, unverified = [], []
    for signature in signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is None:
            unverified.append(signature)
        elif verifier.verify(message, signature.signature):
            verified.append(signature)
        else:
            raise InvalidSignature(f"the signature by {signature.name} ({signature.key_id.hex()}) is wrong")
    if not verified:
        raise UnverifiedNote(f"no known key signed this note; {len(unverified)} unknown ones did")
    return Note(text, tuple(verified), tuple(unverified))


def _is_unicode(text: str) -> bool:
    """Whether the text can be UTF-8: Python strings may hold lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
