"""Secrets that people carry: made here, kept as hashes only.

They are 32 random bytes, so one SHA-256 is enough: there is nothing to guess that a slow hash would protect.
"""

import hashlib
import secrets

from paraph.protocol.base64 import b64url

ACCESS_PREFIX = "pph_"
REFRESH_PREFIX = "pphf_"
REGISTRATION_PREFIX = "pphr_"
SHORT_PREFIX = "pphs_"
_DEVICE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def access_token() -> str:
    """A new access token: `pph_` and 43 characters of base64url. The prefix lets scanners recognise a leak."""
    return ACCESS_PREFIX + b64url(secrets.token_bytes(32))


def refresh_token() -> str:
    """A new refresh token: `pphf_` and 43 characters of base64url."""
    return REFRESH_PREFIX + b64url(secrets.token_bytes(32))


def registration_token() -> str:
    """A new registration token: `pphr_` and 22 characters of base64url (Matrix allows at most 64 in all)."""
    return REGISTRATION_PREFIX + b64url(secrets.token_bytes(16))


def short_token() -> str:
    """A new token that lives for minutes: `pphs_` and 43 characters of base64url."""
    return SHORT_PREFIX + b64url(secrets.token_bytes(32))


def digest(token: str) -> bytes:
    """SHA-256 of a token, 32 bytes: all that the database knows of it."""
    return hashlib.sha256(token.encode()).digest()


def registration_id() -> str:
    """What an operator calls a registration token by: 12 hexadecimal digits, no secret."""
    return secrets.token_hex(6)


def device_id() -> str:
    """A new device id of ten capital letters."""
    return "".join(secrets.choice(_DEVICE_LETTERS) for _ in range(10))
