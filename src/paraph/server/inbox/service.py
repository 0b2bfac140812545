"""The inbox as `app.py` wires it: streams, reading, keys, over one set of tables."""

from collections.abc import Callable

from paraph.server.consent.service import Consent
from paraph.server.devices.service import Devices
from paraph.server.inbox.changes import Changes
from paraph.server.inbox.feed.filling import Feed
from paraph.server.inbox.keys import PartnerQueues
from paraph.server.inbox.opaque import Opaque
from paraph.server.inbox.reading import Reading
from paraph.server.inbox.source import MessengerSource
from paraph.server.ledger.service import Ledger
from paraph.server.messenger.core import Hooks
from paraph.server.messenger.service import Messenger
from paraph.server.storage import Database


class Inbox:
    """Everything that partners call. `clock` gives milliseconds."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        devices: Devices,
        messenger: Messenger,
        consent: Consent,
        hooks: Hooks,
        clock: Callable[[], int],
    ) -> None:
        """Wire the room together; `hooks` are the messenger's, which tells of each message."""
        source, notifier = MessengerSource(messenger), messenger.core.notifier
        self.opaque = Opaque(database)
        self.feed = Feed(database, consent, notifier, clock)
        self.reading = Reading(database, ledger, consent, source, self.opaque)
        self.changes = Changes(database, ledger, consent, source, self.feed, self.opaque, clock)
        self.queues = PartnerQueues(database, devices, consent, notifier, self.opaque)
        hooks.on_encrypted = self.feed.on_encrypted

    async def start(self) -> None:
        """Read the key behind the opaque strings."""
        await self.opaque.start()
