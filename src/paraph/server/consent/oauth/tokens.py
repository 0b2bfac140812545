"""Tokens: opaque, bound to a key, gone with the agreement and with the grant. Access tokens live five minutes.

Refresh tokens live as long as their grant and are not rotated: who uses one proves possession of the key it is bound
to, so a stolen one is worth nothing, and a lost answer costs nothing (FAPI 2.0 section 5.3.2.1).
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paraph.protocol.authorization import granted_details
from paraph.protocol.base64 import b64url
from paraph.server.consent import grant_store, partner_store
from paraph.server.consent.oauth import requests, token_store
from paraph.server.consent.oauth.client import Clients
from paraph.server.consent.oauth.dpop import Proof
from paraph.server.consent.oauth.form import invalid_request, required
from paraph.server.consent.oauth.requests import Request
from paraph.server.consent.oauth.token_store import ACCESS, REFRESH, Token
from paraph.server.http import OAuthError, PartnerPrincipal
from paraph.server.storage import Database, Transaction

TOKEN_PREFIX, REFRESH_PREFIX = "ppt_", "ppr_"  # prefixes that secret scanners can look for
TOKEN_LIFETIME_MS = 300_000
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_UNSUPPORTED = {"scope": "invalid_scope", "resource": "invalid_target", "authorization_details": "invalid_request"}


@dataclass(frozen=True, slots=True)
class Issued:
    """What the token endpoint gives; `details` is what the person granted, as it stands now."""

    access_token: str
    refresh_token: str | None = None
    grant_id: str | None = None
    details: Mapping[str, Any] | None = None

    def rendered(self) -> dict[str, Any]:
        """The answer of RFC 6749 section 5.1, RFC 9396 section 7 and Grant Management section 6.3."""
        answer: dict[str, Any] = {
            "access_token": self.access_token,
            "token_type": "DPoP",
            "expires_in": TOKEN_LIFETIME_MS // 1000,
        }
        if self.refresh_token is not None:
            answer["refresh_token"] = self.refresh_token
        if self.details is not None:
            answer |= {"grant_id": self.grant_id, "authorization_details": [self.details]}
        return answer


class Tokens:
    """Issues tokens to partners and knows whose a token is."""

    def __init__(self, database: Database, clients: Clients, clock: Callable[[], int]) -> None:
        self._database = database
        self._clients = clients
        self._clock = clock

    # -- issuing --

    async def issue(self, form: Mapping[str, str], proof: Proof) -> Issued:
        """New tokens for whoever made the assertion in `form`; raises OAuthError (RFC 6749 section 5.2)."""
        kind = required(form, "grant_type")
        if kind not in GRANT_TYPES:
            raise OAuthError(400, "unsupported_grant_type", f"grant_type must be one of {', '.join(GRANT_TYPES)}")
        for name, code in _UNSUPPORTED.items():
            if name in form:
                raise OAuthError(400, code, f"{name} is not supported here")
        give = {
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh_token,
            "client_credentials": self._for_partner,
        }[kind]
        client = await self._clients.verified(form)

        def write(tx: Transaction) -> Issued | OAuthError:
            # What is refused is answered, not raised: what was used up must be kept as such.
            return self._clients.use(tx, client) or give(tx, client.slug, form, proof.jkt)

        outcome = await self._database.write(write)
        if isinstance(outcome, OAuthError):
            raise outcome
        return outcome

    def _for_partner(self, tx: Transaction, slug: str, _form: Mapping[str, str], jkt: str) -> Issued | OAuthError:
        return self._without_agreement(tx, slug) or Issued(self._add(tx, ACCESS, slug, jkt))

    def _by_code(self, tx: Transaction, slug: str, form: Mapping[str, str], jkt: str) -> Issued | OAuthError:
        found = requests.find_by_code(tx, form.get("code", ""))
        refusal = _code_refused(found, slug, form, jkt, self._clock())
        if refusal is not None or found is None:
            if found is not None and found.redeemed is not None:  # it leaked: what it gave is worth nothing any more
                token_store.drop_tokens_of_consent(tx, found.asked.id)
            return refusal or invalid_grant("there is no such code")
        held = None if found.grant_id is None else grant_store.grant(tx, found.grant_id)
        if held is None:
            return invalid_grant("the grant is gone")
        details = self._details(tx, held.grant.grant_id)
        if isinstance(details, OAuthError):
            return details
        requests.redeem(tx, found.asked.id, self._clock(), held.grant.until)
        given = (held.grant.grant_id, found.asked.id)
        refresh = self._add(tx, REFRESH, slug, jkt, *given, until=held.grant.until)
        return Issued(self._add(tx, ACCESS, slug, jkt, *given), refresh, held.grant.grant_id, details)

    def _by_refresh_token(self, tx: Transaction, slug: str, form: Mapping[str, str], jkt: str) -> Issued | OAuthError:
        if "refresh_token" not in form:
            return invalid_request("refresh_token is missing")
        known = token_store.token(tx, hashed(form["refresh_token"]))
        if known is None or (known.kind, known.partner) != (REFRESH, slug) or known.expires <= self._clock():
            return invalid_grant("there is no such refresh token")
        if known.jkt != jkt or known.grant_id is None:
            return invalid_grant("the refresh token is bound to another key than the proof's")
        details = self._details(tx, known.grant_id)
        if isinstance(details, OAuthError):
            return details
        token = self._add(tx, ACCESS, slug, jkt, known.grant_id, known.consent_id)
        return Issued(token, form["refresh_token"], known.grant_id, details)

    def _add(
        self,
        tx: Transaction,
        kind: str,
        slug: str,
        jkt: str,
        grant_id: str | None = None,
        consent_id: str | None = None,
        *,
        until: int | None = None,
    ) -> str:
        now = self._clock()
        token = (TOKEN_PREFIX if kind == ACCESS else REFRESH_PREFIX) + secrets.token_urlsafe(32)
        expires = now + TOKEN_LIFETIME_MS if until is None else until
        token_store.add_token(tx, hashed(token), Token(kind, slug, grant_id, consent_id, jkt, now, expires))
        return token

    def _without_agreement(self, tx: Transaction, slug: str) -> OAuthError | None:
        if partner_store.agreements(tx, slug).in_force(self._clock()) is not None:
            return None
        return OAuthError(400, "unauthorized_client", f"{slug} has no agreement in force")

    def _details(self, tx: Transaction, grant_id: str) -> dict[str, Any] | OAuthError:
        """What a grant gives now."""
        held = grant_store.grant(tx, grant_id)
        if held is None:
            return invalid_grant("the grant is gone")
        refusal = self._without_agreement(tx, held.grant.partner)
        if refusal is not None:
            return refusal
        scope = held.scope(partner_store.agreements(tx, held.grant.partner), self._clock())
        if scope is None:
            return invalid_grant("the grant gives nothing now: it is over, has not begun, or is paused")
        return granted_details(held.grant, scope)

    # -- using --

    async def principal(self, token: str) -> PartnerPrincipal | None:
        """Whose token this is; None once it has expired or what it stands for is over."""
        found = await self._database.read(lambda tx: self.live(tx, token))
        if found is None or found.kind != ACCESS:
            return None
        return PartnerPrincipal(found.partner, found.grant_id, found.jkt)

    def live(self, tx: Transaction, token: str) -> Token | None:
        """A token that is good now: not expired, its partner under an agreement, its grant not over."""
        if not token.startswith((TOKEN_PREFIX, REFRESH_PREFIX)) or not token.isascii():
            return None
        # Looked up by hash: how long it takes tells nothing about the token itself.
        now, found = self._clock(), token_store.token(tx, hashed(token))
        if found is None or found.expires <= now:
            return None
        if found.grant_id is not None and not grant_store.is_open(tx, found.grant_id, now):
            return None
        return found if partner_store.agreements(tx, found.partner).in_force(now) is not None else None

    # -- asking about, giving back --

    async def introspect(self, form: Mapping[str, str]) -> dict[str, Any]:
        """What a token of the calling partner is good for (RFC 7662); inactive where it is not its own."""
        text = required(form, "token")
        client = await self._clients.verified(form)

        def write(tx: Transaction) -> dict[str, Any] | OAuthError:
            refusal = self._clients.use(tx, client)
            if refusal is not None:
                return refusal
            found = self.live(tx, text)
            if found is None or found.partner != client.slug:
                return {"active": False}
            return self._introspected(tx, found)

        answer = await self._database.write(write)
        if isinstance(answer, OAuthError):
            raise answer
        return answer

    def _introspected(self, tx: Transaction, found: Token) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "active": True,
            "iss": self._clients.issuer,
            "client_id": found.partner,
            "sub": found.partner,
            "token_type": "DPoP",
            "iat": found.issued // 1000,
            "exp": found.expires // 1000,
            "cnf": {"jkt": found.jkt},
        }
        if found.grant_id is not None:
            held, details = grant_store.grant(tx, found.grant_id), self._details(tx, found.grant_id)
            answer["grant_id"] = found.grant_id
            answer["sub"] = found.partner if held is None else held.grant.person
            answer["authorization_details"] = [] if isinstance(details, OAuthError) else [details]
        return answer

    async def revoke(self, form: Mapping[str, str]) -> None:
        """Forget a token of the calling partner; with a refresh token all that came of it (RFC 7009)."""
        text = required(form, "token")
        client = await self._clients.verified(form)

        def write(tx: Transaction) -> OAuthError | None:
            refusal = self._clients.use(tx, client)
            known = token_store.token(tx, hashed(text))
            if refusal is not None or known is None or known.partner != client.slug:
                return refusal
            token_store.drop_token(tx, hashed(text), client.slug)
            if known.kind == REFRESH and known.consent_id is not None:
                token_store.drop_tokens_of_consent(tx, known.consent_id)
            return None

        refusal = await self._database.write(write)
        if refusal is not None:
            raise refusal


def hashed(token: str) -> bytes:
    """A token as it is kept and looked up."""
    return hashlib.sha256(token.encode()).digest()


def invalid_grant(message: str) -> OAuthError:
    """The code or refresh token is not one to use, or not in this way (RFC 6749 section 5.2)."""
    return OAuthError(400, "invalid_grant", message)


def _code_refused(found: Request | None, slug: str, form: Mapping[str, str], jkt: str, now: int) -> OAuthError | None:
    """Why a code gives no tokens; None if it does."""
    for name in ("code", "redirect_uri", "code_verifier"):
        if name not in form:
            return invalid_request(f"{name} is missing")
    if found is None or found.asked.partner != slug:
        return invalid_grant("there is no such code")
    if found.redeemed is not None:
        return invalid_grant("this code was used before; what it gave is revoked")
    if found.code_expires is None or found.code_expires <= now:
        return invalid_grant("this code has expired")
    if form["redirect_uri"] != found.asked.redirect_uri:
        return invalid_grant("redirect_uri is not the one that was asked with")
    if not _VERIFIER.fullmatch(form["code_verifier"]):
        return invalid_grant("code_verifier is none (RFC 7636 section 4.1)")
    challenge = b64url(hashlib.sha256(form["code_verifier"].encode()).digest())
    if not hmac.compare_digest(challenge, found.asked.code_challenge):
        return invalid_grant("code_verifier does not fit the code_challenge")
    if found.asked.jkt != jkt:
        return invalid_grant("the proof is by another key than the request was bound to")
    return None
