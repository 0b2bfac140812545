"""Where messages come from: the narrow interface between the Inbox API and whatever server holds the rooms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from paraph.server.messenger.model import StoredEvent
from paraph.server.messenger.service import Messenger
from paraph.server.storage import Transaction


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from: position in the server's one order, type, sender and its device, time in ms."""

    position: int
    type: str
    sender: str
    device_id: str
    ts: int

    @classmethod
    def of(cls, stored: StoredEvent) -> "Origin":
        """That of an event at hand."""
        event = stored.event
        return cls(stored.position, event["type"], event["sender"], stored.device_id, event["origin_server_ts"])


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

    def encrypted_at(self, tx: Transaction, positions: Sequence[int]) -> Mapping[int, StoredEvent]:
        """The `m.room.encrypted` events at these positions that are not redacted, by position."""

    def origin(self, tx: Transaction, room_id: str, event_id: str) -> Origin | None:
        """Where one event of a room comes from; None if there is no such event."""


class MessengerSource:
    """`MessageSource` over this server's own messenger."""

    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger
        self.joined_rooms = messenger.joined_rooms
        self.members = messenger.members
        self.is_closed = messenger.is_closed
        self.encrypted_events = messenger.encrypted_events
        self.encrypted_at = messenger.encrypted_at

    def origin(self, tx: Transaction, room_id: str, event_id: str) -> Origin | None:
        """Where one event of a room comes from."""
        found = self._messenger.event(tx, room_id, event_id)
        return None if found is None else Origin(found.position, found.type, found.sender, found.device_id, found.ts)
