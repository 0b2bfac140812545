"""Is an uploaded key what it says it is? Pure checks of shapes, owners and signatures.

Client-Server API v1.19, "Device keys", "Key management API" and "Cross-signing". What passes here is kept as it came,
without `unsigned` and without the signatures of other people.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from paraph.protocol.canonical import encode
from paraph.protocol.device_keys import DeviceKeys, parse_device_keys
from paraph.protocol.errors import ProtocolError
from paraph.protocol.fields import PublicKey
from paraph.protocol.limits import MAX_SIGNATURES_EACH
from paraph.protocol.signing import verify
from paraph.server.devices.errors import invalid, named
from paraph.server.devices.model import CrossSigningKey, Document

MAX_KEY_BYTES = 16_384
MAX_ONE_TIME_KEY_BYTES = 2_048
SIGNED_CURVE25519 = "signed_curve25519"
_KEY_ID = re.compile(r"[!-~]{1,100}")


class _OneTimeKey(msgspec.Struct, frozen=True):
    key: PublicKey


class _CrossSigningKey(msgspec.Struct, frozen=True):
    user_id: str
    usage: Annotated[list[str], Meta(max_length=4)]
    keys: Annotated[dict[str, PublicKey], Meta(min_length=1, max_length=1)]


@dataclass(frozen=True, slots=True)
class OneTimeKey:
    """A verified one-time or fallback key; `text` is its canonical JSON."""

    algorithm: str
    key_id: str
    text: str


def device_keys(document: Mapping[str, Any], user_id: str, device_id: str) -> tuple[Document, DeviceKeys]:
    """The `device_keys` of this device, signed by itself, ready to keep.

    Raises M_INVALID_PARAM (shape, size, another device), M_INVALID_SIGNATURE or M_BAD_JSON.
    """
    with named("device_keys"):
        kept = _own(document, user_id)
        keys = parse_device_keys(kept)
        if (keys.user_id, keys.device_id) != (user_id, device_id):
            raise invalid(f"device_keys: expected those of {user_id} {device_id}")
        _check_size("device_keys", kept, MAX_KEY_BYTES)
        verify(kept, user_id, keys.key_id, keys.ed25519)
    return kept, keys


def one_time_key(name: str, value: object, user_id: str, device_id: str, ed25519: str | None) -> OneTimeKey:
    """A one-time or fallback key of this device, signed by it; `name` is `signed_curve25519:<id>`.

    While `ed25519`, the device's signing key, is not known, the signature is not judged.

    Raises M_INVALID_PARAM, M_INVALID_SIGNATURE or M_BAD_JSON.
    """
    algorithm, _, key_id = name.partition(":")
    what = f"key {name[:80]!r}"
    if algorithm != SIGNED_CURVE25519 or not _KEY_ID.fullmatch(key_id):
        raise invalid(f"{what}: expected a name like {SIGNED_CURVE25519}:AAAAAQ")
    if not isinstance(value, dict):
        raise invalid(f"{what}: expected an object with `key` and `signatures`")
    with named(what):
        kept = _own(value, user_id)
        _convert(what, kept, _OneTimeKey)
        if ed25519 is not None:
            verify(kept, user_id, f"ed25519:{device_id}", ed25519)
        text = _check_size(what, kept, MAX_ONE_TIME_KEY_BYTES)
    return OneTimeKey(algorithm, key_id, text.decode())


def is_signed(key: OneTimeKey, user_id: str, device_id: str, ed25519: str) -> bool:
    """Whether the device signed a key that was kept before its signing key was known."""
    try:
        verify(msgspec.json.decode(key.text), user_id, f"ed25519:{device_id}", ed25519)
    except ProtocolError:
        return False
    return True


def cross_signing_key(usage: str, document: Mapping[str, Any], user_id: str) -> CrossSigningKey:
    """A master, self-signing or user-signing key of this person, as far as it can be judged alone.

    Raises M_INVALID_PARAM or M_BAD_JSON.
    """
    what = f"{usage}_key"
    with named(what):
        kept = _own(document, user_id)
        parsed = _convert(what, kept, _CrossSigningKey)
        ((key_id, public_key),) = parsed.keys.items()
        if parsed.user_id != user_id or usage not in parsed.usage:
            raise invalid(f"{what}: expected user_id {user_id} and {usage} among usage")
        if key_id != f"ed25519:{public_key}":
            raise invalid(f"{what}: expected the key under the id `ed25519:` and itself")
        _check_size(what, kept, MAX_KEY_BYTES)
    return CrossSigningKey(public_key, kept)


def signed_by(what: str, key: CrossSigningKey, user_id: str, master_key: str) -> None:
    """Raises M_INVALID_SIGNATURE unless the master key signed this key."""
    with named(what):
        verify(key.document, user_id, f"ed25519:{master_key}", master_key)


def same_object(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether two objects say the same, whoever signed them."""
    return _unsigned(left) == _unsigned(right)


def merged(before: Document, after: Document) -> Document:
    """One of two equal objects, with the signatures of both; of two by the same key the later one.

    What was there before gives way where both together would be too many.
    """
    signatures = {name: dict(made) for name, made in before.get("signatures", {}).items()}
    for name, made in after.get("signatures", {}).items():
        signatures[name] = signatures.get(name, {}) | made
    if any(len(made) > MAX_SIGNATURES_EACH for made in signatures.values()):
        return after
    return after | {"signatures": signatures}


def _unsigned(document: Mapping[str, Any]) -> bytes:
    return encode({name: value for name, value in document.items() if name not in ("signatures", "unsigned")})


def _own(document: Mapping[str, Any], user_id: str) -> Document:
    """The object without `unsigned` and without other people's signatures."""
    kept = {name: value for name, value in document.items() if name != "unsigned"}
    if "signatures" not in kept:
        return kept
    signatures = kept["signatures"]
    if not isinstance(signatures, dict):
        raise invalid("signatures: expected an object")
    own = signatures.get(user_id, {})
    if not isinstance(own, dict) or len(own) > MAX_SIGNATURES_EACH:
        raise invalid(f"signatures: expected an object of at most {MAX_SIGNATURES_EACH} signatures")
    if not all(isinstance(signature, str) for signature in own.values()):
        raise invalid("signatures: expected each signature as text")
    return kept | {"signatures": {user_id: own} if own else {}}


Kind = Any


def _convert(what: str, document: Document, kind: Kind) -> Any:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise invalid(f"{what}: {error}") from None


def _check_size(what: str, document: Document, most: int) -> bytes:
    text = encode(document)
    if len(text) > most:
        raise invalid(f"{what}: {len(text)} bytes, expected at most {most}")
    return text
