"""The authorization server as consent wires it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paraph.protocol.authorization import granted_details
from paraph.server.consent import grant_store
from paraph.server.consent.grants import Grants
from paraph.server.consent.oauth.client import Clients
from paraph.server.consent.oauth.consents import Consents
from paraph.server.consent.oauth.door import PartnerDoor
from paraph.server.consent.oauth.dpop import Proofs
from paraph.server.consent.oauth.par import PushedRequests
from paraph.server.consent.oauth.tokens import Tokens
from paraph.server.consent.partners import Partners
from paraph.server.http import OAuthError, PartnerPrincipal
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database, Transaction


class Authorization:
    """Everything of OAuth over one set of tables.

    `jwks` gives the public keys with which the platform signs what it sends to partners; whoever has some sets it.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        grants: Grants,
        partners: Partners,
        issuer: str,
        clock: Callable[[], int],
    ) -> None:
        self.issuer = issuer
        self._database = database
        self._grants = grants
        self.partners = partners
        self._clock = clock
        self.jwks: Callable[[], Sequence[Mapping[str, Any]]] = tuple
        self.proofs = Proofs(database, issuer, clock)
        self.clients = Clients(database, issuer, clock)
        self.requests = PushedRequests(database, self.clients, clock)
        self.consents = Consents(database, ledger, grants, partners, issuer, clock)
        self.tokens = Tokens(database, self.clients, clock)
        self.door = PartnerDoor(self.tokens, self.proofs)

    async def start(self) -> None:
        """Read the keys that all processes share, or make them."""
        await self._database.write(self.proofs.nonces.load)

    async def grant(self, caller: PartnerPrincipal, grant_id: str) -> dict[str, Any]:
        """What a grant of the calling partner gives now; nothing while it is paused. Raises OAuthError 404."""

        def read(tx: Transaction) -> dict[str, Any]:
            held, now = grant_store.grant(tx, grant_id), self._clock()
            if held is None or not _is_callers(caller, grant_id, held.grant.partner):
                raise no_such_grant(grant_id)
            if not grant_store.is_open(tx, grant_id, now):
                raise no_such_grant(grant_id)
            scope = held.scope(self.partners.agreements(tx, caller.slug), now)
            details = [] if scope is None else [granted_details(held.grant, scope)]
            return {"grant_id": grant_id, "authorization_details": details}

        return await self._database.read(read)

    async def give_up(self, caller: PartnerPrincipal, grant_id: str) -> None:
        """Give a grant up, for good: the person's record says so. Raises OAuthError 404."""

        def write(tx: Transaction) -> None:
            held = grant_store.grant(tx, grant_id)
            if held is None or not _is_callers(caller, grant_id, held.grant.partner):
                raise no_such_grant(grant_id)
            self._grants.give_up(tx, caller.slug, grant_id)

        await self._database.write(write)


def _is_callers(caller: PartnerPrincipal, grant_id: str, partner: str) -> bool:
    return partner == caller.slug and caller.grant_id in (None, grant_id)


def no_such_grant(grant_id: str) -> OAuthError:
    """There is no such grant, it is not the caller's, or it is over (Grant Management section 7)."""
    return OAuthError(404, "invalid_request", f"you have no grant {grant_id[:40]!r}")
