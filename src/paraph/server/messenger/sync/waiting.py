"""Rooms that somebody waits to be in: invitations, and rooms where she asked to be let in."""

from __future__ import annotations

from paraph.server.messenger import events
from paraph.server.messenger.blocking import blocks_invitations
from paraph.server.messenger.model import ENCRYPTION, MEMBER, Event
from paraph.server.messenger.rooms_at_once import Entry, RoomsAtOnce
from paraph.server.messenger.sync.rooms import Window
from paraph.server.messenger.sync.sections import Events, InvitedRoom, KnockedRoom, Raw
from paraph.server.storage import Transaction

STRIPPED_STATE = (
    "m.room.create",
    "m.room.join_rules",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.canonical_alias",
    ENCRYPTION,
)
"""What is shown of a room to somebody outside (Client-Server API, "Stripped state")."""


class Waiting:
    """Builds the sections of invitations and knocks."""

    def __init__(self, tables: RoomsAtOnce, window: Window) -> None:
        self._tables = tables
        self._window = window

    def invited(self, tx: Transaction, rooms: list[str]) -> dict[str, InvitedRoom]:
        """Stripped state for somebody invited, with who invites; nothing from people whom she ignores, and nothing at
        all while she takes no invitations."""
        if not rooms or blocks_invitations(tx, self._window.person.user_id):
            return {}
        told = {
            room_id: found
            for room_id, found in self._stripped(tx, rooms).items()
            if not any(event.sender in self._window.ignored for event in found if self._own(event))
        }
        inviters = self._tables.state_entries(
            tx,
            [
                Entry(event.room_id, MEMBER, event.sender, self._window.upto)
                for found in told.values()
                for event in found
                if self._own(event)
            ],
        )
        return {room_id: InvitedRoom(_shown([*inviters.get(room_id, []), *found])) for room_id, found in told.items()}

    def knocked(self, tx: Transaction, rooms: list[str]) -> dict[str, KnockedRoom]:
        """Stripped state for somebody who knocked."""
        return {room_id: KnockedRoom(_shown(found)) for room_id, found in self._stripped(tx, rooms).items()}

    def _own(self, event: Event) -> bool:
        return event.type == MEMBER and event.state_key == self._window.person.user_id

    def _stripped(self, tx: Transaction, rooms: list[str]) -> dict[str, list[Event]]:
        keys = [*((kind, "") for kind in STRIPPED_STATE), (MEMBER, self._window.person.user_id)]
        return self._tables.state_entries(
            tx, [Entry(room_id, *key, self._window.upto) for room_id in rooms for key in keys]
        )


def _shown(found: list[Event]) -> Events:
    return Events([Raw(events.stripped(event)) for event in found])
