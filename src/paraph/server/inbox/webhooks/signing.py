"""Signing what is sent (Standard Webhooks, asymmetric signatures `v1a`: Ed25519 over `id.timestamp.body`)."""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from paraph.protocol.base64 import b64url

CHANGED, VERIFY = "changed", "verify"


class Signatures:
    """Makes messages under the key (32 bytes) that all processes share."""

    def __init__(self, seed: bytes, clock: Callable[[], int]) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key().public_bytes_raw()
        self._clock = clock

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key as `/oauth/jwks` publishes it (RFC 8037); `kid` is its hash."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": b64url(self._public),
            "kid": b64url(hashlib.sha256(self._public).digest())[:22],
            "use": "sig",
            "alg": "Ed25519",
        }

    def message(self, message_id: str, kind: str, **members: str) -> tuple[dict[str, str], bytes]:
        """Headers and body of a message made now."""
        seconds = self._clock() // 1000
        when = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = msgspec.json.encode({"type": kind, "timestamp": when, **members})
        signature = self._key.sign(f"{message_id}.{seconds}.".encode() + body)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": f"v1a,{base64.b64encode(signature).decode()}",
        }, body
