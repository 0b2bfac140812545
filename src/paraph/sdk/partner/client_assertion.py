"""How a partner shows the token endpoint who it is: a client key and short-lived signed assertions (RFC 7523)."""

import secrets as randomness

from joserfc import jwt
from joserfc.jwk import OKPKey

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 60
CLIENT_ALGORITHM = "Ed25519"


def new_client_key() -> dict[str, str]:
    """A fresh client key as a private JWK."""
    key = OKPKey.generate_key("Ed25519").as_dict(private=True)
    return {name: str(key[name]) for name in ("kty", "crv", "x", "d")}


def client_assertion(slug: str, issuer: str, key: OKPKey, seconds: int, *, jti: str | None = None) -> str:
    """An assertion by the client `slug` for the authorization server `issuer`, made at a time in seconds.

    `jti` is its id, by default a random one.
    """
    claims = {
        "iss": slug,
        "sub": slug,
        "aud": issuer,
        "jti": jti or randomness.token_urlsafe(24),
        "iat": seconds,
        "exp": seconds + ASSERTION_SECONDS,
    }
    header = {"alg": CLIENT_ALGORITHM, "typ": "JWT"}
    return jwt.encode(header, claims, key, algorithms=[CLIENT_ALGORITHM])
