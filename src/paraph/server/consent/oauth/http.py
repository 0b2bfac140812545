"""The authorization server over HTTP (docs/protocol.md section 8). Errors are OAuth errors (RFC 6749 section 5.2)."""

from paraph.server.consent.oauth.client import invalid_client
from paraph.server.consent.oauth.dpop import BadProof, Proof
from paraph.server.consent.oauth.form import parse_form
from paraph.server.consent.oauth.metadata import metadata
from paraph.server.consent.oauth.service import Authorization
from paraph.server.http import Access, Endpoint, OAuthError, Reply, Request

METADATA = "/.well-known/oauth-authorization-server"
MAX_FORM = 64 * 1024


def endpoints(authorization: Authorization) -> list[Endpoint]:
    """The endpoints of the authorization server."""
    handlers, anyone = Handlers(authorization), Access.PUBLIC
    return [
        Endpoint("GET", METADATA, anyone, handlers.metadata, "Authorization server metadata (RFC 8414)"),
        Endpoint("POST", "/oauth/token", anyone, handlers.token, "A partner's access token", "token", MAX_FORM),
    ]


class Handlers:
    """Parse, ask the services, render."""

    def __init__(self, authorization: Authorization) -> None:
        self._authorization = authorization

    async def metadata(self, _request: Request) -> Reply:
        """RFC 8414."""
        return Reply.json(metadata(self._authorization.issuer))

    async def token(self, request: Request) -> Reply:
        """RFC 6749 section 4.4, with RFC 7523 client authentication and DPoP (RFC 9449 section 5)."""
        form = _form(request)
        proof = await self._proof(request, "/oauth/token")
        return Reply.json((await self._authorization.tokens.issue(form, proof)).rendered())

    async def _proof(self, request: Request, path: str) -> Proof:
        """The proof that came with the request, used up. Before the assertion: a nonce costs the client no new one."""
        proofs = self._authorization.proofs
        try:
            proof = proofs.verify(request.all_headers(b"dpop"), request.method, path)
            await proofs.use(proof)
        except BadProof as error:
            raise OAuthError(400, error.code, str(error)) from None
        return proof


def _form(request: Request) -> dict[str, str]:
    if request.header(b"authorization") is not None:
        raise invalid_client("clients authenticate with private_key_jwt, not with a header")
    return parse_form(request.header(b"content-type"), request.body)
