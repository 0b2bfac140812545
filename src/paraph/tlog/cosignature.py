"""Cosignatures (C2SP tlog-cosignature, cosignature/v1): "at this time, this was the newest tree I saw of this log".

The signature in the note line is an 8-byte big-endian time in seconds and 64 bytes of Ed25519 over two lines,
`cosignature/v1` and `time <seconds>`, followed by the note's text. Its key type is 0x04.
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from paraph.tlog import note
from paraph.tlog.text import MAX_NUMBER

COSIGNATURE_V1 = 0x04
"""Signature type of a timestamped Ed25519 cosignature."""
_TIME_SIZE = 8


def signed_message(text: bytes, time: int) -> bytes:
    """The bytes that a cosigner signs for a note text at a time in seconds since 1970."""
    return b"cosignature/v1\ntime %d\n" % time + text


@dataclass(frozen=True)
class CosignatureVerifier:
    """A cosigner's public key under its name. Raises MalformedKey when made of a bad name or key."""

    name: str
    public_key: bytes
    _key: Ed25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the name and the key."""
        note.check_name(self.name)
        object.__setattr__(self, "_key", note.load_public_key(self.public_key))

    @classmethod
    def from_vkey(cls, vkey: str) -> "CosignatureVerifier":
        """Read a vkey text of type 0x04. Raises MalformedKey."""
        verifier = cls(*note.parse_key(vkey, COSIGNATURE_V1))
        if verifier.vkey != vkey:
            raise note.MalformedKey(f"expected the key {verifier.vkey}, got {vkey[:200]!r}")
        return verifier

    @property
    def key_id(self) -> bytes:
        """Key id, 4 bytes."""
        return note.key_id(self.name, COSIGNATURE_V1, self.public_key)

    @property
    def vkey(self) -> str:
        """The text that people pass on and pin."""
        return note.format_key(self.name, self.key_id, COSIGNATURE_V1, self.public_key)

    def verify(self, text: bytes, signature: bytes) -> bool:
        """Whether this key cosigned the text at the time that the signature names."""
        if len(signature) != _TIME_SIZE + note.SIGNATURE_SIZE:
            return False
        time = cosigned_at(signature)
        return time <= MAX_NUMBER and note.verifies(self._key, signed_message(text, time), signature[_TIME_SIZE:])


def cosigned_at(signature: bytes) -> int:
    """The time, in seconds since 1970, that a cosignature names; worth nothing before it is verified."""
    return int.from_bytes(signature[:_TIME_SIZE], "big")


@dataclass(frozen=True)
class CosignatureSigner:
    """A cosigner's key, from its 32-byte seed. Raises MalformedKey for a bad name or seed."""

    name: str
    seed: bytes = field(repr=False)
    _key: Ed25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the name and load the key."""
        note.check_name(self.name)
        object.__setattr__(self, "_key", note.load_private_key(self.seed))

    @classmethod
    def generate(cls, name: str) -> "CosignatureSigner":
        """Make a new key from the system's randomness."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_skey(cls, skey: str) -> "CosignatureSigner":
        """Read a text `PRIVATE+KEY+<name>+<hex key id>+<base64(0x04 || seed)>`. Raises MalformedKey."""
        if not skey.startswith(note.SECRET):
            raise note.MalformedKey(f"expected a private key to begin with {note.SECRET}")
        signer = cls(*note.parse_key(skey.removeprefix(note.SECRET), COSIGNATURE_V1))
        if signer.skey != skey:
            raise note.MalformedKey(f"expected a private key with the key id {signer.verifier.key_id.hex()}")
        return signer

    @property
    def verifier(self) -> CosignatureVerifier:
        """The public half."""
        return CosignatureVerifier(self.name, self._key.public_key().public_bytes_raw())

    @property
    def skey(self) -> str:
        """Text of the private key; a secret."""
        return note.SECRET + note.format_key(self.name, self.verifier.key_id, COSIGNATURE_V1, self.seed)

    def cosign(self, text: str, time: int) -> note.Signature:
        """Cosign a checkpoint's note text at a time in seconds since 1970. Raises NoteError for an impossible time."""
        if not 0 <= time <= MAX_NUMBER:
            raise note.NoteError(f"expected a time in seconds from 0 to 2^63 - 1, got {time}")
        signature = self._key.sign(signed_message(text.encode(), time))
        return note.Signature(self.name, self.verifier.key_id, time.to_bytes(_TIME_SIZE, "big") + signature)
