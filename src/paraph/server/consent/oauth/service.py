"""The authorization server as consent wires it."""

from collections.abc import Callable

from paraph.server.consent.oauth.client import Clients
from paraph.server.consent.oauth.door import PartnerDoor
from paraph.server.consent.oauth.dpop import Proofs
from paraph.server.consent.oauth.tokens import Tokens
from paraph.server.storage import Database


class Authorization:
    """Everything of OAuth over one set of tables."""

    def __init__(self, database: Database, issuer: str, clock: Callable[[], int]) -> None:
        self.issuer = issuer
        self._database = database
        self.proofs = Proofs(database, issuer, clock)
        self.clients = Clients(database, issuer, clock)
        self.tokens = Tokens(database, self.clients, clock)
        self.door = PartnerDoor(self.tokens, self.proofs)

    async def start(self) -> None:
        """Read the keys that all processes share, or make them."""
        await self._database.write(self.proofs.nonces.load)
