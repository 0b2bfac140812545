"""A partner's side of asking a person: push a request, send her to the page, redeem the code she comes back with."""

import hashlib
import hmac
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from paraph.protocol.authorization import TYPE
from paraph.protocol.base64 import b64url
from paraph.sdk.errors import ConsentRefusedError, TransportError, TrustError
from paraph.sdk.partner.auth import PartnerAuth


@dataclass(frozen=True, slots=True)
class Asking:
    """A request under way: send the person's browser to `url`, and keep the rest in *her* session with you.

    That session is what tells her from somebody who sent her the address: redeem only for the browser that holds it.
    """

    url: str
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Granted:
    """What a person granted: the grant, its details as they stand, and the tokens that see this grant alone.

    The access token is good for `expires_in` seconds from when it was given.
    """

    grant_id: str
    details: Mapping[str, Any]
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


class PartnerFlow:
    """The authorization code flow of one partner."""

    def __init__(self, auth: PartnerAuth, slug: str) -> None:
        self._auth = auth
        self._slug = slug

    async def ask(self, details: Mapping[str, Any], redirect_uri: str) -> Asking:
        """Push a request for `details` (docs/protocol.md section 8; `type` may be left out). Raises ProblemError."""
        state, verifier = randomness.token_urlsafe(24), randomness.token_urlsafe(48)
        answer = await self._auth.form(
            "/oauth/par",
            {
                "client_id": self._slug,
                "response_type": "code",
                "redirect_uri": redirect_uri,
                "state": state,
                "code_challenge": b64url(hashlib.sha256(verifier.encode()).digest()),
                "code_challenge_method": "S256",
                "authorization_details": msgspec.json.encode([{"type": TYPE, **details}]).decode(),
            },
        )
        request_uri = answer.get("request_uri")
        if not isinstance(request_uri, str):
            raise TransportError("the platform took the request and named none")
        query = urlencode({"client_id": self._slug, "request_uri": request_uri})
        return Asking(f"{self._auth.issuer}/oauth/authorize?{query}", redirect_uri, state, verifier)

    async def redeem(self, asking: Asking, address: str) -> Granted:
        """The tokens for the address at which the person's browser came back.

        Raises ConsentRefusedError where she declined, TrustError where the address does not answer this request
        (another state, or another platform's: RFC 9207), ProblemError.
        """
        answer = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        if not hmac.compare_digest(answer.get("state", "").encode(), asking.state.encode()):
            raise TrustError("this is the answer to another request: it was not asked for in this session")
        if answer.get("iss") != self._auth.issuer:
            raise TrustError(f"expected an answer of {self._auth.issuer}, found one of {answer.get('iss')}")
        if "error" in answer:
            raise ConsentRefusedError(f"nothing was granted: {answer['error']}")
        return await self._tokens(
            grant_type="authorization_code",
            code=answer.get("code", ""),
            redirect_uri=asking.redirect_uri,
            code_verifier=asking.verifier,
        )

    async def _tokens(self, **form: str) -> Granted:
        answer = await self._auth.form("/oauth/token", form)
        try:
            (details,) = answer["authorization_details"]
            tokens = str(answer["access_token"]), str(answer["refresh_token"])
            return Granted(str(answer["grant_id"]), details, *tokens, int(answer["expires_in"]))
        except (KeyError, TypeError, ValueError) as error:
            raise TransportError("the platform does not say what was granted") from error
