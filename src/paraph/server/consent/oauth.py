"""Partner tokens: client_credentials with a signed assertion, opaque, five minutes, gone with the agreement."""

import hashlib
import secrets
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from paraph.server.consent import assertion as assertions
from paraph.server.consent import partner_store, token_store
from paraph.server.consent.assertion import ALGORITHMS, Assertion, BadAssertion
from paraph.server.http import OAuthError, PartnerPrincipal
from paraph.server.storage import Database, Transaction

TOKEN_PREFIX = "ppt_"  # noqa: S105 (a prefix that secret scanners can look for)
TOKEN_LIFETIME_MS = 300_000
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = "application/x-www-form-urlencoded"
_REQUIRED = {"grant_type", "client_assertion_type", "client_assertion"}
_KNOWN = _REQUIRED | {"client_id"}


class Tokens:
    """Issues tokens to partners and knows whose a token is."""

    def __init__(self, database: Database, issuer: str, clock: Callable[[], int]) -> None:
        self._database = database
        self.issuer = issuer
        self._clock = clock

    def metadata(self) -> dict[str, object]:
        """The authorization server's metadata (RFC 8414)."""
        return {
            "issuer": self.issuer,
            "token_endpoint": f"{self.issuer}/oauth/token",
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        }

    async def issue(self, form: dict[str, str]) -> str:
        """A new token for whoever made the assertion in `form`; raises OAuthError (RFC 6749 section 5.2)."""
        text = _checked(form)
        try:
            verified = await self._verify(text)
        except BadAssertion as error:
            raise _invalid_client(str(error)) from None
        if form.get("client_id", verified.slug) != verified.slug:
            raise _invalid_client("client_id names another client than the assertion")
        return await self._database.write(lambda tx: self._issue(tx, verified))

    async def _verify(self, text: str) -> Assertion:
        slug = assertions.unverified_issuer(text)
        partner = await self._database.read(lambda tx: partner_store.partner(tx, slug))
        if partner is None:
            raise BadAssertion("no client is registered under this iss")
        return assertions.verify(text, partner.client_jwk, slug=slug, issuer=self.issuer, now=self._clock())

    def _issue(self, tx: Transaction, verified: Assertion) -> str:
        now = self._clock()
        token_store.drop_expired(tx, now)
        if not token_store.use_assertion(tx, verified.slug, verified.jti, verified.expires):
            raise _invalid_client("this assertion was used before; make one with a new jti")
        if partner_store.agreements(tx, verified.slug).in_force(now) is None:
            raise OAuthError(400, "unauthorized_client", f"{verified.slug} has no agreement in force")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        token_store.add_token(tx, _hash(token), verified.slug, now + TOKEN_LIFETIME_MS)
        return token

    async def authenticate(self, token: str) -> PartnerPrincipal | None:
        """Whose token this is; None once it has expired or the partner's agreement is no longer in force."""
        if not token.startswith(TOKEN_PREFIX) or not token.isascii():
            return None
        # Looked up by hash: how long it takes tells nothing about the token itself.
        return await self._database.read(lambda tx: self._principal(tx, _hash(token)))

    def _principal(self, tx: Transaction, token_hash: bytes) -> PartnerPrincipal | None:
        now, found = self._clock(), token_store.token(tx, token_hash)
        if found is None or found[1] <= now:
            return None
        slug = found[0]
        return PartnerPrincipal(slug) if partner_store.agreements(tx, slug).in_force(now) is not None else None


def parse_form(content_type: str | None, body: bytes) -> dict[str, str]:
    """A form body, strictly: each name once, valid UTF-8. Raises OAuthError `invalid_request`."""
    if content_type is None or content_type.partition(";")[0].strip().lower() != _FORM:
        raise _invalid_request(f"the body must be {_FORM}")
    form: dict[str, str] = {}
    for pair in body.split(b"&"):
        name, separator, value = pair.partition(b"=")
        key = _decoded(name)
        if not separator or not key or key in form:
            raise _invalid_request("expected each parameter once, as name=value")
        form[key] = _decoded(value)
    return form


def _decoded(part: bytes) -> str:
    spaced = part.replace(b"+", b" ")
    try:
        if any(len(escape) < 2 or not _is_hex(escape[:2]) for escape in spaced.split(b"%")[1:]):
            raise _invalid_request("a percent sign is not followed by two hex digits")
        return unquote_to_bytes(spaced).decode("utf-8")
    except UnicodeDecodeError:
        raise _invalid_request("the form is not UTF-8") from None


def _is_hex(text: bytes) -> bool:
    return all(byte in b"0123456789abcdefABCDEF" for byte in text)


def _checked(form: dict[str, str]) -> str:
    if unknown := sorted(form.keys() - _KNOWN):
        raise _invalid_request(f"unknown parameter {unknown[0][:40]!r}")
    if missing := sorted(_REQUIRED - form.keys()):
        raise _invalid_request(f"{missing[0]} is missing")
    if form["grant_type"] != "client_credentials":
        raise OAuthError(400, "unsupported_grant_type", "only client_credentials is supported")
    if form["client_assertion_type"] != ASSERTION_TYPE:
        raise _invalid_request(f"client_assertion_type must be {ASSERTION_TYPE}")
    if len(form["client_assertion"]) > assertions.MAX_ASSERTION_BYTES:
        raise _invalid_request(f"an assertion has at most {assertions.MAX_ASSERTION_BYTES} bytes")
    return form["client_assertion"]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


def _invalid_request(message: str) -> OAuthError:
    return OAuthError(400, "invalid_request", message)


def _invalid_client(message: str) -> OAuthError:
    return OAuthError(401, "invalid_client", message)
