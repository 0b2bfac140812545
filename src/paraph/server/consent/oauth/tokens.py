"""Access tokens: opaque, five minutes, bound to a key, gone with the agreement and with the grant."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from paraph.server.consent import partner_store
from paraph.server.consent.oauth import token_store
from paraph.server.consent.oauth.client import Clients
from paraph.server.consent.oauth.dpop import Proof
from paraph.server.consent.oauth.form import required
from paraph.server.consent.oauth.token_store import ACCESS, Token
from paraph.server.http import OAuthError, PartnerPrincipal
from paraph.server.storage import Database, Transaction

TOKEN_PREFIX = "ppt_"  # noqa: S105 (a prefix that secret scanners can look for)
TOKEN_LIFETIME_MS = 300_000


@dataclass(frozen=True, slots=True)
class Issued:
    """What the token endpoint gives."""

    access_token: str

    def rendered(self) -> dict[str, object]:
        """The answer of RFC 6749 section 5.1."""
        return {
            "access_token": self.access_token,
            "token_type": "DPoP",
            "expires_in": TOKEN_LIFETIME_MS // 1000,
        }


class Tokens:
    """Issues tokens to partners and knows whose a token is."""

    def __init__(self, database: Database, clients: Clients, clock: Callable[[], int]) -> None:
        self._database = database
        self._clients = clients
        self._clock = clock

    async def issue(self, form: dict[str, str], proof: Proof) -> Issued:
        """A new token for whoever made the assertion in `form`; raises OAuthError (RFC 6749 section 5.2)."""
        if required(form, "grant_type") != "client_credentials":
            raise OAuthError(400, "unsupported_grant_type", "only client_credentials is supported")
        client = await self._clients.verified(form)

        def write(tx: Transaction) -> Issued | OAuthError:
            # What is refused is answered, not raised: that the assertion was used must be kept.
            return self._clients.use(tx, client) or self._for_partner(tx, client.slug, proof.jkt)

        outcome = await self._database.write(write)
        if isinstance(outcome, OAuthError):
            raise outcome
        return outcome

    def _for_partner(self, tx: Transaction, slug: str, jkt: str) -> Issued | OAuthError:
        now = self._clock()
        if partner_store.agreements(tx, slug).in_force(now) is None:
            return OAuthError(400, "unauthorized_client", f"{slug} has no agreement in force")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        kept = Token(ACCESS, slug, None, None, jkt, now, now + TOKEN_LIFETIME_MS)
        token_store.add_token(tx, hashed(token), kept)
        return Issued(token)

    async def principal(self, token: str) -> PartnerPrincipal | None:
        """Whose token this is; None once it has expired or the partner's agreement is no longer in force."""
        if not token.startswith(TOKEN_PREFIX) or not token.isascii():
            return None
        # Looked up by hash: how long it takes tells nothing about the token itself.
        return await self._database.read(lambda tx: self._principal(tx, hashed(token)))

    def _principal(self, tx: Transaction, token_hash: bytes) -> PartnerPrincipal | None:
        now, found = self._clock(), token_store.token(tx, token_hash)
        if found is None or found.kind != ACCESS or found.expires <= now:
            return None
        if partner_store.agreements(tx, found.partner).in_force(now) is None:
            return None
        return PartnerPrincipal(found.partner, found.grant_id, found.jkt)


def hashed(token: str) -> bytes:
    """A token as it is kept and looked up."""
    return hashlib.sha256(token.encode("ascii", "replace")).digest()
