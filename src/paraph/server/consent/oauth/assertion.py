"""Client assertions: `private_key_jwt` (RFC 7523, OpenID Connect Core section 9), narrowed as FAPI 2.0 does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from paraph.protocol.canonical import decode
from paraph.protocol.errors import ProtocolError
from paraph.server.consent.errors import bad_document
from paraph.server.consent.oauth import jose
from paraph.server.consent.oauth.jose import MAX_RSA_BITS, MIN_RSA_BITS, BadToken

MAX_ASSERTION_BYTES = 8_192
MAX_LIFETIME_MS = 300_000
"""How far ahead `exp` may lie."""
MAX_SKEW_MS = 30_000
"""How far a partner's clock may be ahead of the platform's."""
MAX_JTI = 255
ALGORITHMS = ("Ed25519", "EdDSA", "ES256", "PS256")
_TYPES = ("JWT", "client-authentication+jwt")


@dataclass(frozen=True, slots=True)
class Assertion:
    """A verified assertion: who made it, its id, and its expiry in milliseconds."""

    slug: str
    jti: str
    expires: int


def check_client_jwk(jwk: Mapping[str, Any]) -> None:
    """Refuse a client key that is not a public Ed25519, P-256 or RSA key; raises 400."""
    try:
        jose.public_key(jwk)
    except BadToken as error:
        raise bad_document(
            f"client_jwk must be a public JWK, Ed25519, P-256 or RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits: {error}"
        ) from None


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
    """Whose key to verify with: the `iss` of an assertion nobody has checked yet. Raises BadToken."""
    return _claims(jose.unverified(assertion)[1]).iss


def verify(assertion: str, jwk: Mapping[str, Any], *, slug: str, issuer: str, now: int) -> Assertion:
    """Check signature, algorithm and claims of an assertion at a time in milliseconds. Raises BadToken."""
    key, algorithms = jose.public_key(jwk)
    claims = _claims(jose.verified(assertion, key, algorithms, _TYPES))
    _check_names(claims, slug, issuer)
    _check_times(claims, now)
    return Assertion(slug, claims.jti, claims.exp * 1000)


def _claims(payload: bytes) -> _Claims:
    try:
        claims = msgspec.convert(decode(payload), _Claims)
    except (ProtocolError, msgspec.ValidationError) as error:
        raise BadToken(f"the claims do not fit: {error}") from None
    if not (claims.iss + claims.sub + claims.jti).isprintable():  # nor could every database keep U+0000
        raise BadToken("iss, sub and jti must be printable")
    return claims


def _check_names(claims: _Claims, slug: str, issuer: str) -> None:
    if not claims.iss == claims.sub == slug:
        raise BadToken("iss and sub must both be the partner's slug")
    if claims.aud != issuer:
        raise BadToken(f"aud must be {issuer}")
    if not 1 <= len(claims.jti) <= MAX_JTI:
        raise BadToken(f"jti must have 1 to {MAX_JTI} characters")


def _check_times(claims: _Claims, now: int) -> None:
    if not now < claims.exp * 1000 <= now + MAX_LIFETIME_MS:
        raise BadToken("exp must lie ahead, by at most 5 minutes")
    if claims.nbf is not None and claims.nbf * 1000 > now + MAX_SKEW_MS:
        raise BadToken("nbf lies ahead")
    if claims.iat is not None and not now - 3_600_000 <= claims.iat * 1000 <= now + MAX_SKEW_MS:
        raise BadToken("iat lies ahead, or more than an hour back")
