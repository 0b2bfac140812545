"""The messenger: rooms, membership, state, sending and sync, as app.py builds it and other rooms see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from paraph.server.messenger.by_time import ByTime
from paraph.server.messenger.complaints.service import Complaints
from paraph.server.messenger.core import Core, Hooks
from paraph.server.messenger.creation import Creation
from paraph.server.messenger.directory.aliases import Aliases
from paraph.server.messenger.directory.listing import Listing
from paraph.server.messenger.filters.service import Filters
from paraph.server.messenger.membership import Memberships
from paraph.server.messenger.model import Event, StoredEvent
from paraph.server.messenger.overview.hierarchy import Hierarchy
from paraph.server.messenger.overview.service import Overview
from paraph.server.messenger.personal import Personal
from paraph.server.messenger.presence.service import Presence
from paraph.server.messenger.profiles.service import Profiles
from paraph.server.messenger.push.past import Past
from paraph.server.messenger.push.pushers import Pushers
from paraph.server.messenger.push.service import Push
from paraph.server.messenger.reading import Reading
from paraph.server.messenger.receipts.service import Receipts
from paraph.server.messenger.relations.service import Relations
from paraph.server.messenger.search.service import Searching
from paraph.server.messenger.sending import Sending
from paraph.server.messenger.sliding.service import Sliding
from paraph.server.messenger.succession import Succession
from paraph.server.messenger.sync.service import DevicesForSync, Sync
from paraph.server.messenger.typing import Typing
from paraph.server.messenger.upgrade import Upgrade
from paraph.server.storage import Database, Transaction


class Messenger:
    """Everything about rooms. Also the `MessageSource` of the Inbox API.

    `exists(tx, user_id)` says whether a person has an account; `devices` contributes to sync; `hooks` may be filled
    in after construction, by rooms that are built later; `clock` gives milliseconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        exists: Callable[[Transaction, str], bool],
        devices: DevicesForSync,
        hooks: Hooks,
        clock: Callable[[], int],
        *,
        server_name: str,
        require_encryption: bool = True,
        push_anywhere: bool = False,
        presence: bool = True,
    ) -> None:
        self.core = Core(
            database,
            exists,
            hooks,
            clock,
            server_name=server_name,
            require_encryption=require_encryption,
        )
        self.typing = Typing(self.core)
        self.memberships = Memberships(self.core)
        self.profiles = Profiles(self.core, self.memberships)
        self.aliases = Aliases(self.core)
        self.listing = Listing(self.core)
        self.creation = Creation(self.core, self.memberships, self.aliases, self.listing)
        self.upgrade = Upgrade(self.core, self.creation, self.listing)
        self.overview = Overview(self.core)
        self.hierarchy = Hierarchy(self.core)
        self.sending = Sending(self.core, self.memberships, self.aliases)
        self.reading = Reading(self.core)
        self.by_time = ByTime(self.core, self.reading)
        self.complaints = Complaints(self.core, self.reading)
        self.relations = Relations(self.core, self.reading)
        self.personal = Personal(self.core, self.typing)
        self.filters = Filters(self.core)
        self.presence = Presence(self.core, enabled=presence)
        self.receipts = Receipts(self.core, self.personal)
        self.push = Push(self.core, self.personal)
        self.pushers = Pushers(self.core, clock, anywhere=push_anywhere)
        self.past = Past(self.core, self.push.rules)
        self.searching = Searching(self.core, self.relations)
        self.succession = Succession(self.core, self.personal, self.push.rules)
        self.receipts.on_receipt.append(self.push.counts.received)
        self.sliding = Sliding(self.core, devices, self.typing, self.relations, self.presence, self.push)
        self.sync = Sync(self.core, devices, self.typing, self.relations, self.presence, self.push)

    def stop(self) -> None:
        """Wake every long poll; from now on sync answers at once."""
        self.typing.stop()
        self.presence.stop()
        self.core.notifier.stop()

    # For the devices room

    def devices_changed(self, user_ids: Iterable[str], position: int) -> None:
        """Something that the devices room contributes to these people's syncs is new as of `position`: to-device
        messages, device lists, key counts. To be called once that is durable, in whichever process it was written
        (`Transaction.announce`); wakes their long polls.
        """
        user_ids = list(user_ids)
        for user_id in user_ids:
            view = self.core.views.held(user_id)
            if view is not None:
                view.devices_changed(position)
        self.core.notifier.wake(user_ids)

    def shares_room(self, tx: Transaction, user_id: str) -> set[str]:
        """Everybody else who is joined to a room that this person is joined to."""
        return self.core.store.sharers(tx, user_id)

    # For consent and inbox (`MessageSource`)

    def joined_rooms(self, tx: Transaction, user_id: str) -> list[str]:
        """Ids of the rooms that a person is joined to, sorted."""
        return self.core.store.joined_rooms(tx, user_id)

    def members(self, tx: Transaction, room_id: str) -> list[str]:
        """Who is joined to a room, sorted; empty for an unknown room."""
        return self.core.store.members(tx, room_id)

    def encrypted_events(
        self, tx: Transaction, room_id: str, senders: Sequence[str], after: int, limit: int
    ) -> list[StoredEvent]:
        """At most `limit` durable `m.room.encrypted` events by `senders` with a position above `after`, oldest first.

        Redacted events are left out. `StoredEvent.event` is the complete client event, room id included.
        """
        return self.reading.encrypted_events(tx, room_id, senders, after, limit)

    def encrypted_at(self, tx: Transaction, positions: Sequence[int]) -> dict[int, StoredEvent]:
        """The `m.room.encrypted` events at these positions, by position; redacted ones are left out."""
        return self.reading.encrypted_at(tx, positions)

    def event(self, tx: Transaction, room_id: str, event_id: str) -> Event | None:
        """One event of a room, as it is stored; None if there is no such event."""
        return self.core.store.event(tx, room_id, event_id)

    def times(self, tx: Transaction, room_id: str) -> tuple[int, int | None]:
        """When a room was made, and when the newest message there that is left was sent (ms)."""
        return self.core.store.times(tx, room_id)

    def is_closed(self, tx: Transaction, room_id: str) -> bool:
        """Whether a member has closed the room to partners (it stays closed when that member leaves)."""
        return self.reading.is_closed(tx, room_id)

    def redact_for(self, tx: Transaction, room_id: str, author: str, target_id: str, content: dict[str, Any]) -> str:
        """Redact an author's own event in her name, in a running write; returns the redaction's id.

        Raises M_FORBIDDEN, M_NOT_FOUND.
        """
        return self.sending.redact_for(tx, room_id, author, target_id, content)

    def put_platform_state(
        self, tx: Transaction, room_id: str, event_type: str, state_key: str, sender: str, content: dict[str, Any]
    ) -> str:
        """Write a state event of the platform's own (`org.paraph.*`) in a running write; returns its event id.

        Raises M_NOT_FOUND for an unknown room, ValueError for another type.
        """
        return self.sending.put_platform_state(tx, room_id, event_type, state_key, sender, content)
