"""Webhooks as `app.py` wires them: registering, telling, and the key that both sign with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paraph.server.inbox.opaque import Opaque
from paraph.server.inbox.webhooks.delivery import Delivery
from paraph.server.inbox.webhooks.service import Webhooks
from paraph.server.inbox.webhooks.signing import Signatures
from paraph.server.outgoing.sender import Sender
from paraph.server.storage import Database


class WebhookParts:
    """Everything about webhooks. `clock` gives milliseconds; `sender` is closed with the rest."""

    def __init__(self, database: Database, opaque: Opaque, clock: Callable[[], int], sender: Sender) -> None:
        self._opaque = opaque
        self._clock = clock
        self._sender = sender
        self.service = Webhooks(database, sender, self.signatures, clock)
        self.delivery = Delivery(database, sender, self.signatures, lambda: opaque.key("webhook ids"), clock)

    def signatures(self) -> Signatures:
        """What messages are signed with: one key for all processes, there once `opaque` has started."""
        return Signatures(self._opaque.key("webhook signatures"), self._clock)

    def jwks(self) -> Sequence[Mapping[str, Any]]:
        """The public keys, for `/oauth/jwks`."""
        return (self.signatures().jwk,)

    async def start(self) -> None:
        """Begin to tell endpoints, in the one process that does."""
        await self.delivery.start()

    async def stop(self) -> None:
        """Send nothing more."""
        await self.delivery.stop()
        await self._sender.close()
