"""The door of the Inbox API: an access token, and a proof that the caller holds the key it is bound to."""

from paraph.server.consent.oauth.dpop import ALGORITHMS, BadProof, Proofs
from paraph.server.consent.oauth.tokens import Tokens
from paraph.server.http import ApiError, PartnerPrincipal
from paraph.server.http.endpoint import Presented

_ALGS = " ".join(ALGORITHMS)
PARTNER_PATHS = ("/inbox/", "/oauth/")


class PartnerDoor:
    """Lets partners in (RFC 9449 section 7.1)."""

    def __init__(self, tokens: Tokens, proofs: Proofs) -> None:
        self._tokens = tokens
        self._proofs = proofs

    async def authenticate(self, presented: Presented) -> PartnerPrincipal:
        """The partner behind a request; raises ApiError 401 with the challenge that says what is missing."""
        if presented.scheme not in ("dpop", "bearer"):
            raise _refused("M_MISSING_TOKEN", None, "an access token is required, with the scheme DPoP")
        if presented.scheme == "bearer":
            raise _refused("M_UNKNOWN_TOKEN", "invalid_token", "tokens are bound to a key: the scheme is DPoP")
        principal = await self._tokens.principal(presented.token)
        if principal is None:
            message = "this endpoint needs a partner's access token, and this is not a live one"
            raise _refused("M_UNKNOWN_TOKEN", "invalid_token", message)
        try:
            proof = self._proofs.verify(presented.proofs, presented.method, presented.path, presented.token)
            if proof.jkt != principal.jkt:
                raise BadProof("invalid_token", "the token is bound to another key than the proof's")
            await self._proofs.use(proof)
        except BadProof as error:
            code = "M_UNKNOWN_TOKEN" if error.code == "invalid_token" else error.code.replace("_", "-")
            raise _refused(code, error.code, str(error)) from None
        return principal

    def headers(self, path: str) -> tuple[tuple[bytes, bytes], ...]:
        """What the answers of the partners' APIs carry: the nonce for the next proof (RFC 9449 section 8.2)."""
        if not path.startswith(PARTNER_PATHS):
            return ()
        return ((b"dpop-nonce", self._proofs.nonces.current().encode()),)


def _refused(code: str, error: str | None, message: str) -> ApiError:
    challenge = "DPoP " + (f'error="{error}", ' if error is not None else "") + f'algs="{_ALGS}"'
    return ApiError(401, code, message, headers=((b"www-authenticate", challenge.encode()),))
