"""Pushed authorization requests (RFC 9126): the only way to ask a person for anything."""

import re
import secrets
from collections.abc import Callable, Mapping

from paraph.protocol.authorization import InboxDetails, check_asked, parse_details
from paraph.protocol.errors import ProtocolError
from paraph.server.consent import partner_store
from paraph.server.consent.oauth import requests
from paraph.server.consent.oauth.client import Clients
from paraph.server.consent.oauth.dpop import Proof
from paraph.server.consent.oauth.form import invalid_request, required
from paraph.server.consent.oauth.requests import URN, Asked
from paraph.server.http import OAuthError
from paraph.server.storage import Database, Transaction

REQUEST_LIFETIME_MS = 300_000
MAX_STATE = 512
_HASH = re.compile(r"[A-Za-z0-9_-]{43}")
# Not to be ignored as unknown: whoever sends one expects something else to happen.
_UNSUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "invalid_request",
    "scope": "invalid_scope",
    "resource": "invalid_target",
    "audience": "invalid_target",
    "grant_management_action": "invalid_request",
}


class PushedRequests:
    """Takes requests in."""

    def __init__(self, database: Database, clients: Clients, clock: Callable[[], int]) -> None:
        self._database = database
        self._clients = clients
        self._clock = clock

    async def push(self, form: Mapping[str, str], proof: Proof | None) -> str:
        """Keep a request and return its `request_uri`; raises OAuthError."""
        client = await self._clients.verified(form)

        def write(tx: Transaction) -> Asked | OAuthError:
            # Returned, not raised: that the assertion was used must be kept.
            refusal = self._clients.use(tx, client)
            if refusal is not None:
                return refusal
            try:
                asked = self._asked(tx, client.slug, form, proof)
            except OAuthError as error:
                return error
            requests.add(tx, asked)
            return asked

        outcome = await self._database.write(write)
        if isinstance(outcome, OAuthError):
            raise outcome
        return URN + outcome.id

    def _asked(self, tx: Transaction, slug: str, form: Mapping[str, str], proof: Proof | None) -> Asked:
        _check_kind(form)
        redirect_uri = required(form, "redirect_uri")
        if redirect_uri not in partner_store.redirect_uris(tx, slug):
            raise invalid_request("redirect_uri is not one that is registered for this client, character by character")
        return Asked(
            id=secrets.token_urlsafe(32),
            partner=slug,
            redirect_uri=redirect_uri,
            state=_state(form),
            code_challenge=_challenge(form),
            jkt=_jkt(form, proof),
            details=self._details(tx, slug, form),
            expires=self._clock() + REQUEST_LIFETIME_MS,
        )

    def _details(self, tx: Transaction, slug: str, form: Mapping[str, str]) -> InboxDetails:
        agreement = partner_store.agreements(tx, slug).in_force(self._clock())
        if agreement is None:
            raise OAuthError(400, "unauthorized_client", f"{slug} has no agreement in force")
        try:
            details = parse_details(required(form, "authorization_details"))
            check_asked(details, agreement, self._clock())
        except ProtocolError as error:
            raise OAuthError(400, "invalid_authorization_details", str(error)) from None
        return details


def _check_kind(form: Mapping[str, str]) -> None:
    """The one kind of request there is: a code, in the query of the redirect."""
    for name, code in _UNSUPPORTED.items():
        if name in form:
            raise OAuthError(400, code, f"{name} is not supported here")
    if required(form, "response_type") != "code":
        raise OAuthError(400, "unsupported_response_type", "response_type must be code")
    if form.get("response_mode", "query") != "query":
        raise invalid_request("response_mode must be query")


def _state(form: Mapping[str, str]) -> str | None:
    state = form.get("state")
    if state is not None and not (0 < len(state) <= MAX_STATE and state.isprintable()):
        raise invalid_request(f"state has 1 to {MAX_STATE} printable characters")
    return state


def _challenge(form: Mapping[str, str]) -> str:
    """RFC 7636 with S256 alone."""
    if form.get("code_challenge_method") != "S256":
        raise invalid_request("code_challenge_method must be S256")
    challenge = required(form, "code_challenge")
    if not _HASH.fullmatch(challenge):
        raise invalid_request("code_challenge must be base64url(SHA-256(code_verifier))")
    return challenge


def _jkt(form: Mapping[str, str], proof: Proof | None) -> str:
    """The key that the tokens will be bound to (RFC 9449 section 10)."""
    named = form.get("dpop_jkt")
    if named is None and proof is None:
        raise invalid_request("name the key of your proofs: by dpop_jkt, or by a DPoP header")
    if proof is not None and named not in (None, proof.jkt):
        raise OAuthError(400, "invalid_dpop_proof", "dpop_jkt names another key than the proof's")
    jkt = named or (proof.jkt if proof is not None else "")
    if not _HASH.fullmatch(jkt):
        raise invalid_request("dpop_jkt must be the SHA-256 thumbprint of a JWK (RFC 7638)")
    return jkt
