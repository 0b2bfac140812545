"""Where messages come from: the narrow interface between the Inbox API and whatever server holds the rooms."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from paraph.server.messenger.model import StoredEvent
from paraph.server.messenger.service import Messenger
from paraph.server.storage import Transaction


class MessageSource(Protocol):
    """Rooms, their members, and the encrypted events in them."""

    def joined_rooms(self, tx: Transaction, user_id: str) -> Iterable[str]:
        """Rooms that a person is in."""

    def members(self, tx: Transaction, room_id: str) -> Iterable[str]:
        """Who is in a room; nobody for a room that does not exist."""

    def is_closed(self, tx: Transaction, room_id: str) -> bool:
        """Whether a member closed the room to partners."""

    def encrypted_events(
        self, tx: Transaction, room_id: str, senders: Sequence[str], after: int, limit: int
    ) -> list[StoredEvent]:
        """At most `limit` `m.room.encrypted` events by `senders` above a position, oldest first."""

    def event(self, tx: Transaction, room_id: str, event_id: str) -> StoredEvent | None:
        """One event of a room."""


class MessengerSource:
    """`MessageSource` over this server's own messenger."""

    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger
        self.joined_rooms = messenger.joined_rooms
        self.members = messenger.members
        self.is_closed = messenger.is_closed
        self.encrypted_events = messenger.encrypted_events

    def event(self, tx: Transaction, room_id: str, event_id: str) -> StoredEvent | None:
        """One event of a room."""
        found = self._messenger.core.store.event(tx, room_id, event_id)
        if found is None:
            return None
        event: dict[str, Any] = {
            "type": found.type,
            "sender": found.sender,
            "event_id": found.event_id,
            "origin_server_ts": found.ts,
            "room_id": found.room_id,
        }
        return StoredEvent(found.position, event)
