"""Public keys of partners, and the algorithms that each may sign with.

The algorithm is pinned by the key's type, never taken from a token: Ed25519 keys sign `Ed25519` (RFC 9864) or `EdDSA`,
P-256 keys `ES256`, RSA keys of 2048 bits or more `PS256`.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 4096
_MEMBERS = {"OKP": {"crv", "x"}, "EC": {"crv", "x", "y"}, "RSA": {"n", "e"}}
_ALLOWED = {"kty", "kid", "use", "alg", "key_ops", "ext"}

Key = OKPKey | ECKey | RSAKey


class BadToken(Exception):
    """A JWT is not what it must be; the message says why, for the partner's developer."""


def public_key(jwk: Mapping[str, Any]) -> tuple[Key, list[str]]:
    """A public key and the algorithms that its type allows. Raises BadToken."""
    kty = jwk.get("kty")
    members = _MEMBERS.get(kty) if isinstance(kty, str) else None
    if members is None or not members <= set(jwk) <= members | _ALLOWED:
        raise BadToken(f"expected the members of a public key only, found {sorted(map(str, jwk))}")
    text = {name: value for name, value in jwk.items() if name in members | {"kty"}}
    if not all(isinstance(value, str) for value in text.values()):
        raise BadToken("expected text in every member of the key")
    try:
        return _imported(text)
    except (JoseError, ValueError, TypeError) as error:
        raise BadToken(f"this is no key: {error}") from None


def _imported(text: dict[str, str]) -> tuple[Key, list[str]]:
    kty = text["kty"]
    if kty == "RSA":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # a short key is refused below
            rsa = RSAKey.import_key(dict(text))
        if not MIN_RSA_BITS <= rsa.raw_value.key_size <= MAX_RSA_BITS:
            raise BadToken(f"the RSA key has {rsa.raw_value.key_size} bits")
        return rsa, ["PS256"]
    if (kty, text["crv"]) == ("EC", "P-256"):
        return ECKey.import_key(dict(text)), ["ES256"]
    if (kty, text["crv"]) == ("OKP", "Ed25519"):
        return OKPKey.import_key(dict(text)), ["Ed25519", "EdDSA"]
    raise BadToken(f"curve {text['crv'][:20]!r} is not one of Ed25519 and P-256")


def unverified(text: str) -> tuple[dict[str, Any], bytes]:
    """Header and payload of a compact JWS that nobody has checked yet. Raises BadToken."""
    try:
        found = jws.extract_compact(text.encode("ascii"))
        return found.headers(), found.payload or b""
    except (JoseError, UnicodeEncodeError, ValueError) as error:
        raise BadToken(f"not a signed JWT: {error}") from None


def verified(text: str, key: Key, algorithms: Sequence[str], types: Sequence[str]) -> bytes:
    """The payload of a compact JWS whose signature, algorithm and `typ` (absent: `JWT`) fit. Raises BadToken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # EdDSA: deprecated, and pinned to Ed25519 keys here
            found = jws.deserialize_compact(text, key, algorithms=list(algorithms))
    except (JoseError, ValueError) as error:
        raise BadToken(f"the signature does not verify: {error}") from None
    if found.protected.get("typ", "JWT") not in types or "b64" in found.protected or "crit" in found.protected:
        raise BadToken(f"expected a JWT of type {' or '.join(types)}")
    return found.payload or b""
