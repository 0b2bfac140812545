"""The authorization server over HTTP (docs/protocol.md section 8). Errors are OAuth errors (RFC 6749 section 5.2)."""

from typing import Any
from urllib.parse import urlencode

import msgspec

from paraph.server.consent.errors import bad_document
from paraph.server.consent.oauth.client import invalid_client
from paraph.server.consent.oauth.consents import Shown
from paraph.server.consent.oauth.dpop import BadProof, Proof
from paraph.server.consent.oauth.form import parse_form
from paraph.server.consent.oauth.metadata import metadata
from paraph.server.consent.oauth.page import Pages
from paraph.server.consent.oauth.par import REQUEST_LIFETIME_MS
from paraph.server.consent.oauth.requests import OPEN, URN
from paraph.server.consent.oauth.service import Authorization
from paraph.server.http import Access, Endpoint, OAuthError, Reply, Request
from paraph.server.ledger.receipts import Receipts
from paraph.server.storage import Database

METADATA = "/.well-known/oauth-authorization-server"
CONSENT = "/_paraph/v1/consents/{consent_id}"
MAX_FORM = 64 * 1024
MAX_ANSWER = 128 * 1024
MAX_TIMEOUT_MS = 10_000


class AnswerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /consents/{consent_id}: a signed grant, or `declined`."""

    grant: dict[str, Any] | None = None
    declined: bool = False


def endpoints(authorization: Authorization, database: Database, receipts: Receipts) -> list[Endpoint]:
    """The endpoints of the authorization server."""
    oauth, people = Handlers(authorization, database), ConsentHandlers(authorization, receipts)
    anyone, partner, person, limit = Access.PUBLIC, Access.PARTNER, Access.PERSON, "oauth"
    grant = "/oauth/grants/{grant_id}"
    return [
        Endpoint("GET", METADATA, anyone, oauth.metadata, "Authorization server metadata (RFC 8414)"),
        Endpoint("GET", "/oauth/jwks", anyone, oauth.jwks, "Keys with which the platform signs webhooks (RFC 7517)"),
        Endpoint("POST", "/oauth/par", anyone, oauth.push, "Push an authorization request (RFC 9126)", limit, MAX_FORM),
        Endpoint("GET", "/oauth/authorize", anyone, oauth.authorize, "What a partner asks for, as a page", "pages"),
        Endpoint("POST", "/oauth/token", anyone, oauth.token, "A partner's tokens (RFC 6749)", "token", MAX_FORM),
        Endpoint("POST", "/oauth/introspect", anyone, oauth.introspect, "What a token is (RFC 7662)", limit, MAX_FORM),
        Endpoint("POST", "/oauth/revoke", anyone, oauth.revoke, "Give a token back (RFC 7009)", limit, MAX_FORM),
        Endpoint("GET", grant, partner, oauth.grant, "What a grant gives now (Grant Management)"),
        Endpoint("DELETE", grant, partner, oauth.give_up, "Give a grant up, for good (Grant Management)"),
        Endpoint("GET", CONSENT, person, people.look, "What a partner asks the caller for, and what became of it"),
        Endpoint(
            "POST",
            CONSENT,
            person,
            people.answer,
            "Grant what is asked for, or less, or decline",
            "default",
            MAX_ANSWER,
        ),
    ]


class Handlers:
    """What partners ask, and the page for people."""

    def __init__(self, authorization: Authorization, database: Database) -> None:
        self._authorization = authorization
        self._database = database
        self._pages = Pages()

    async def metadata(self, _request: Request) -> Reply:
        """RFC 8414."""
        return Reply.json(metadata(self._authorization.issuer))

    async def jwks(self, _request: Request) -> Reply:
        """RFC 7517 section 5."""
        return Reply.json({"keys": list(self._authorization.jwks())})

    async def push(self, request: Request) -> Reply:
        """RFC 9126, with the request bound to a key (RFC 9449 section 10)."""
        form = _form(request)
        proof = await self._proof(request, "/oauth/par") if request.all_headers(b"dpop") else None
        request_uri = await self._authorization.requests.push(form, proof)
        return Reply.json({"request_uri": request_uri, "expires_in": REQUEST_LIFETIME_MS // 1000}, 201)

    async def token(self, request: Request) -> Reply:
        """RFC 6749 sections 4.1.3, 4.4 and 6, with RFC 7523 client authentication and DPoP (RFC 9449 section 5)."""
        form = _form(request)
        proof = await self._proof(request, "/oauth/token")
        return Reply.json((await self._authorization.tokens.issue(form, proof)).rendered())

    async def introspect(self, request: Request) -> Reply:
        """RFC 7662: a partner asks about its own tokens."""
        return Reply.json(await self._authorization.tokens.introspect(_form(request)))

    async def revoke(self, request: Request) -> Reply:
        """RFC 7009: the same answer whatever the token was."""
        await self._authorization.tokens.revoke(_form(request))
        return Reply(200, b"")

    async def grant(self, request: Request) -> Reply:
        """Query a grant."""
        return Reply.json(await self._authorization.grant(request.partner, request.params["grant_id"]))

    async def give_up(self, request: Request) -> Reply:
        """Revoke a grant as the partner."""
        await self._authorization.give_up(request.partner, request.params["grant_id"])
        return Reply(204, b"")

    async def authorize(self, request: Request) -> Reply:
        """RFC 9126 section 4. Errors are shown and never sent to a redirect URI: nothing says whose call this is."""
        pairs = request.query_pairs()
        values = dict(pairs)
        if len(values) != len(pairs) or values.keys() != {"client_id", "request_uri"}:
            message = "This address must name client_id and request_uri, each once, and nothing else."
            return self._pages.refused(400, message)
        urn, _, request_id = values["request_uri"].rpartition(":")
        found = None if f"{urn}:" != URN else await self._shown(values["client_id"], request_id)
        if found is None:
            return self._pages.refused(400, "This request has run out, was answered before, or never was.")
        if found.version is None:
            return self._pages.refused(403, "Whoever asks has no agreement in force any more.")
        link = f"{self._authorization.issuer}/oauth/authorize?{urlencode(values)}"
        asked = found.request.asked
        return self._pages.asked(found.partner, asked.details, found.version, link, asked.expires)

    async def _shown(self, client_id: str, request_id: str) -> Shown | None:
        """What to show; a write only where it is looked at for the first time."""
        consents = self._authorization.consents
        found = await self._database.read(lambda tx: consents.found(tx, client_id, request_id))
        if found is None or found.request.status == OPEN:
            return found
        return await self._database.write(lambda tx: consents.shown(tx, client_id, request_id))

    async def _proof(self, request: Request, path: str) -> Proof:
        """The proof that came with the request, used up. Before the assertion: a nonce costs the client no new one."""
        proofs = self._authorization.proofs
        try:
            proof = proofs.verify(request.all_headers(b"dpop"), request.method, path)
            await proofs.use(proof)
        except BadProof as error:
            raise OAuthError(400, error.code, str(error)) from None
        return proof


class ConsentHandlers:
    """What a person's client asks."""

    def __init__(self, authorization: Authorization, receipts: Receipts) -> None:
        self._consents = authorization.consents
        self._receipts = receipts

    async def look(self, request: Request) -> Reply:
        """The request; the first person who asks is the one who may answer it."""
        timeout = request.query_int("timeout", 0, 0, MAX_TIMEOUT_MS)
        return Reply.json(await self._consents.look(request.person, request.params["consent_id"], timeout))

    async def answer(self, request: Request) -> Reply:
        """Grant or decline."""
        body, timeout = request.json(AnswerBody), request.query_int("timeout", 0, 0, MAX_TIMEOUT_MS)
        if (body.grant is None) != body.declined:
            raise bad_document("expected either a grant or declined: true")
        shown, made = await self._consents.answer(request.person, request.params["consent_id"], body.grant, timeout)
        return Reply.json(shown | ({} if made is None else made.answered(self._receipts)))


def _form(request: Request) -> dict[str, str]:
    if request.header(b"authorization") is not None:
        raise invalid_client("clients authenticate with private_key_jwt, not with a header")
    return parse_form(request.header(b"content-type"), request.body)
