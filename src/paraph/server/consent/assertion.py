"""Client assertions: `private_key_jwt` (RFC 7523, OpenID Connect Core section 9), narrowed as FAPI 2.0 does.

The algorithm is pinned by the registered key's type, never taken from the token: Ed25519 keys sign `Ed25519` (RFC 9864)
or `EdDSA`, P-256 keys `ES256`, RSA keys of 2048 bits or more `PS256`.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from paraph.protocol.canonical import decode
from paraph.protocol.errors import ProtocolError
from paraph.server.consent.errors import bad_document

MAX_ASSERTION_BYTES = 8_192
MAX_LIFETIME_MS = 300_000
"""How far ahead `exp` may lie."""
MAX_SKEW_MS = 30_000
"""How far a partner's clock may be ahead of the platform's."""
MAX_JTI = 255
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 4096

ALGORITHMS = ("Ed25519", "EdDSA", "ES256", "PS256")
_MEMBERS = {"OKP": {"crv", "x"}, "EC": {"crv", "x", "y"}, "RSA": {"n", "e"}}
_ALLOWED = {"kty", "kid", "use", "alg"}

Key = OKPKey | ECKey | RSAKey


class BadAssertion(Exception):
    """The assertion does not authenticate the client; the message says why, for the partner's developer."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A verified assertion: who made it, its id, and its expiry in milliseconds."""

    slug: str
    jti: str
    expires: int


def check_client_jwk(jwk: Mapping[str, Any]) -> None:
    """Refuse a client key that is not a public Ed25519, P-256 or RSA key; raises 400."""
    try:
        _key(jwk)
    except (BadAssertion, JoseError, ValueError, TypeError) as error:
        raise bad_document(
            f"client_jwk must be a public JWK, Ed25519, P-256 or RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits: {error}"
        ) from None


def _key(jwk: Mapping[str, Any]) -> tuple[Key, list[str]]:
    """The key and the algorithms that its type allows."""
    kty = jwk.get("kty")
    members = _MEMBERS.get(kty) if isinstance(kty, str) else None
    if members is None or not members <= set(jwk) <= members | _ALLOWED:
        raise BadAssertion(f"expected the members of a public key only, found {sorted(map(str, jwk))}")
    text = {name: value for name, value in jwk.items() if name in members | {"kty"}}
    if not all(isinstance(value, str) for value in text.values()):
        raise BadAssertion("expected text in every member")
    if kty == "RSA":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # a short key is refused below
            rsa = RSAKey.import_key(text)
        if not MIN_RSA_BITS <= rsa.raw_value.key_size <= MAX_RSA_BITS:
            raise BadAssertion(f"the RSA key has {rsa.raw_value.key_size} bits")
        return rsa, ["PS256"]
    if (kty, text["crv"]) == ("EC", "P-256"):
        return ECKey.import_key(text), ["ES256"]
    if (kty, text["crv"]) == ("OKP", "Ed25519"):
        return OKPKey.import_key(text), ["Ed25519", "EdDSA"]
    raise BadAssertion(f"curve {text['crv'][:20]!r} is not one of Ed25519 and P-256")


class _Claims(msgspec.Struct, frozen=True):
    # `aud` as one string: a list would let an assertion for another server pass here (FAPI 2.0 section 5.3.2.1).
    iss: str
    sub: str
    aud: str
    jti: str
    exp: int
    iat: int | None = None
    nbf: int | None = None


def unverified_issuer(assertion: str) -> str:
    """Whose key to verify with: the `iss` of an assertion nobody has checked yet. Raises BadAssertion."""
    try:
        return _claims(jws.extract_compact(assertion.encode("ascii")).payload).iss
    except (JoseError, UnicodeEncodeError, ValueError) as error:
        raise BadAssertion(f"not a signed JWT: {error}") from None


def verify(assertion: str, jwk: Mapping[str, Any], *, slug: str, issuer: str, now: int) -> Assertion:
    """Check signature, algorithm and claims of an assertion at a time in milliseconds. Raises BadAssertion."""
    key, algorithms = _key(jwk)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # EdDSA: deprecated, and pinned to Ed25519 keys here
            found = jws.deserialize_compact(assertion, key, algorithms=algorithms)
    except (JoseError, ValueError) as error:
        raise BadAssertion(f"the signature does not verify with the registered key: {error}") from None
    if found.protected.get("typ", "JWT") not in ("JWT", "client-authentication+jwt") or "b64" in found.protected:
        raise BadAssertion("the JWT is of another type than a client assertion")
    claims = _claims(found.payload)
    _check_names(claims, slug, issuer)
    _check_times(claims, now)
    return Assertion(slug, claims.jti, claims.exp * 1000)


def _claims(payload: bytes | None) -> _Claims:
    try:
        claims = msgspec.convert(decode(payload or b""), _Claims)
    except (ProtocolError, msgspec.ValidationError) as error:
        raise BadAssertion(f"the claims do not fit: {error}") from None
    if not (claims.iss + claims.sub + claims.jti).isprintable():  # nor could every database keep U+0000
        raise BadAssertion("iss, sub and jti must be printable")
    return claims


def _check_names(claims: _Claims, slug: str, issuer: str) -> None:
    if not claims.iss == claims.sub == slug:
        raise BadAssertion("iss and sub must both be the partner's slug")
    if claims.aud != issuer:
        raise BadAssertion(f"aud must be {issuer}")
    if not 1 <= len(claims.jti) <= MAX_JTI:
        raise BadAssertion(f"jti must have 1 to {MAX_JTI} characters")


def _check_times(claims: _Claims, now: int) -> None:
    if not now < claims.exp * 1000 <= now + MAX_LIFETIME_MS:
        raise BadAssertion("exp must lie ahead, by at most 5 minutes")
    if claims.nbf is not None and claims.nbf * 1000 > now + MAX_SKEW_MS:
        raise BadAssertion("nbf lies ahead")
    if claims.iat is not None and not now - 3_600_000 <= claims.iat * 1000 <= now + MAX_SKEW_MS:
        raise BadAssertion("iat lies ahead, or more than an hour back")
