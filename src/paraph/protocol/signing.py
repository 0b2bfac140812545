"""Matrix JSON signing (Matrix specification, Appendices, "Signing JSON"): Ed25519 over canonical JSON.

The signed bytes are the canonical JSON of the object without `signatures`. Matrix would also drop `unsigned`;
a Paraph document must not have it at all, since nobody vouches for what stands there.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from paraph.protocol.base64 import b64, b64url, unb64
from paraph.protocol.canonical import encode
from paraph.protocol.errors import Base64Error, SignatureError

__all__ = [
    "KEY_LENGTH",
    "SIGNATURE_LENGTH",
    "SignatureError",
    "Signer",
    "SigningKey",
    "document_hash",
    "sign",
    "signed_bytes",
    "verify",
]

Signer = Callable[[bytes], str]
"""Makes the unpadded base64 Ed25519 signature of a message."""

KEY_LENGTH = 32
SIGNATURE_LENGTH = 64

_FIELD = 2**255 - 19
_WEAK_Y = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)
"""The y coordinates of the eight points of small order on edwards25519 (RFC 8032 §5.1)."""


class SigningKey:
    """An Ed25519 key pair (RFC 8032)."""

    __slots__ = ("_key", "public_key", "seed")

    def __init__(self, seed: bytes) -> None:
        """Key pair of a 32-byte seed; raises ValueError for another length."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.seed = seed
        self.public_key = b64(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> "SigningKey":
        """Key pair of a fresh random seed."""
        return cls(os.urandom(KEY_LENGTH))

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        """Key pair of a 32-byte seed; raises ValueError for another length."""
        return cls(seed)

    @property
    def key_id(self) -> str:
        """`ed25519:` and the public key: how master, self-signing and partner master keys name themselves."""
        return f"ed25519:{self.public_key}"

    def sign(self, message: bytes) -> str:
        """Signature of the message in unpadded base64, 86 characters."""
        return b64(self._key.sign(message))

    def __repr__(self) -> str:
        return f"SigningKey({self.public_key})"


def signed_bytes(document: Mapping[str, Any]) -> bytes:
    """The bytes that a signature covers: canonical JSON without `signatures`.

    Raises SignatureError for a top-level `unsigned` and CanonicalJsonError for what has no canonical form.
    """
    if "unsigned" in document:
        raise SignatureError("expected a document without `unsigned`: what stands there is vouched for by nobody")
    return encode({key: value for key, value in document.items() if key != "signatures"})


def document_hash(document: Mapping[str, Any]) -> str:
    """base64url(SHA-256(signed bytes)), 43 characters; raises as `signed_bytes`."""
    return b64url(hashlib.sha256(signed_bytes(document)).digest())


def sign(document: Mapping[str, Any], entity: str, key_id: str, signer: Signer) -> dict[str, Any]:
    """A copy of the document with `signatures[entity][key_id]` added; other signatures stay.

    `entity` is a user id or server name, `key_id` like `ed25519:DEVICE`. Raises as `signed_bytes`.
    """
    signature = signer(signed_bytes(document))
    signatures = {name: dict(made) for name, made in document.get("signatures", {}).items()}
    signatures.setdefault(entity, {})[key_id] = signature
    return {**document, "signatures": signatures}


def verify(document: Mapping[str, Any], entity: str, key_id: str, public_key: str) -> None:
    """Check the one signature `signatures[entity][key_id]` against a public key in unpadded base64.

    Other signatures are ignored. Raises SignatureError if it is missing, malformed or wrong, or if the key is.
    """
    signature = _find_signature(document, entity, key_id)
    message = signed_bytes(document)
    try:
        key = _public_key(unb64(public_key, KEY_LENGTH))
        key.verify(unb64(signature, SIGNATURE_LENGTH), message)
    except Base64Error as error:
        raise SignatureError(f"signature of {entity} under {key_id}: {error}") from error
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(f"signature of {entity} under {key_id} does not match the document") from error


def _public_key(data: bytes) -> Ed25519PublicKey:
    """A public key under which a signature fits one document only.

    Under a point of small order one signature fits many documents, so that its holder could deny any of them;
    OpenSSL lets such keys through.
    """
    y = int.from_bytes(data, "little") % 2**255
    if y >= _FIELD or y in _WEAK_Y:
        raise SignatureError("expected an Ed25519 public key of full order in its canonical form")
    return Ed25519PublicKey.from_public_bytes(data)


def _find_signature(document: Mapping[str, Any], entity: str, key_id: str) -> str:
    signatures = document.get("signatures")
    made = signatures.get(entity) if isinstance(signatures, Mapping) else None
    signature = made.get(key_id) if isinstance(made, Mapping) else None
    if not isinstance(signature, str):
        raise SignatureError(f"expected a signature of {entity} under {key_id}, found none")
    return signature
