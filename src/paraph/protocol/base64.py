"""Unpadded base64, strict: each byte string has one text, and no other text is accepted (RFC 4648 §3.5).

Keys and signatures use the standard alphabet as Matrix does; hashes and random ids the URL-safe one.
"""

import base64
import binascii

from paraph.protocol.errors import Base64Error

__all__ = ["Base64Error", "b64", "b64url", "unb64", "unb64url"]


def b64(data: bytes) -> str:
    """Unpadded standard base64."""
    return base64.b64encode(data).rstrip(b"=").decode("ascii")


def b64url(data: bytes) -> str:
    """Unpadded URL-safe base64."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64(text: str, length: int | None = None) -> bytes:
    """Bytes of unpadded standard base64, exactly `length` of them if given.

    Raises Base64Error for padding, foreign characters, trailing bits that are not zero, and another length.
    """
    try:
        data = binascii.a2b_base64(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error) as error:
        raise Base64Error(f"expected unpadded base64: {error}") from error
    if b64(data) != text:
        raise Base64Error("expected unpadded base64 in its canonical form")
    return _of_length(data, length)


def unb64url(text: str, length: int | None = None) -> bytes:
    """Bytes of unpadded URL-safe base64, exactly `length` of them if given; raises Base64Error as `unb64`."""
    if "+" in text or "/" in text:
        raise Base64Error("expected URL-safe base64, found the standard alphabet")
    return unb64(text.replace("-", "+").replace("_", "/"), length)


def _of_length(data: bytes, length: int | None) -> bytes:
    if length is not None and len(data) != length:
        raise Base64Error(f"expected {length} bytes, found {len(data)}")
    return data
