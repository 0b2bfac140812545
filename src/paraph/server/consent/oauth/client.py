"""Who calls an OAuth endpoint: a partner, by a signed assertion and nothing else."""

from collections.abc import Callable, Mapping

from paraph.server.consent import partner_store
from paraph.server.consent.oauth import assertion as assertions
from paraph.server.consent.oauth import token_store
from paraph.server.consent.oauth.assertion import Assertion
from paraph.server.consent.oauth.form import invalid_request, required
from paraph.server.consent.oauth.jose import BadToken
from paraph.server.http import OAuthError
from paraph.server.storage import Database, Transaction

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Clients:
    """Authenticates partners (`private_key_jwt`)."""

    def __init__(self, database: Database, issuer: str, clock: Callable[[], int]) -> None:
        self._database = database
        self.issuer = issuer
        self._clock = clock

    async def verified(self, form: Mapping[str, str]) -> Assertion:
        """The assertion in a form, checked but for its having been used. Raises OAuthError."""
        if "client_secret" in form:
            raise invalid_request("clients authenticate with private_key_jwt alone")
        if required(form, "client_assertion_type") != ASSERTION_TYPE:
            raise invalid_request(f"client_assertion_type must be {ASSERTION_TYPE}")
        text = required(form, "client_assertion")
        if len(text) > assertions.MAX_ASSERTION_BYTES:
            raise invalid_request(f"an assertion has at most {assertions.MAX_ASSERTION_BYTES} bytes")
        try:
            found = await self._verify(text)
        except BadToken as error:
            raise invalid_client(str(error)) from None
        if form.get("client_id", found.slug) != found.slug:
            raise invalid_client("client_id names another client than the assertion")
        return found

    async def _verify(self, text: str) -> Assertion:
        slug = assertions.unverified_issuer(text)
        partner = await self._database.read(lambda tx: partner_store.partner(tx, slug))
        if partner is None:
            raise BadToken("no client is registered under this iss")
        return assertions.verify(text, partner.client_jwk, slug=slug, issuer=self.issuer, now=self._clock())

    def use(self, tx: Transaction, found: Assertion) -> OAuthError | None:
        """Use an assertion, once; what to answer where it was used before."""
        token_store.drop_expired(tx, self._clock())
        if token_store.use_assertion(tx, found.slug, found.jti, found.expires):
            return None
        return invalid_client("this assertion was used before; make one with a new jti")


def invalid_client(message: str) -> OAuthError:
    """The client did not authenticate (RFC 6749 section 5.2)."""
    return OAuthError(401, "invalid_client", message)
