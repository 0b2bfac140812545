"""The state beside the timelines of a sync answer, who is in the rooms, and what the rooms are called by."""

from __future__ import annotations

from typing import Any

from paraph.server.messenger.model import MEMBER
from paraph.server.messenger.rooms_at_once import Entry, RoomsAtOnce, Stretch
from paraph.server.messenger.sync.lazy import Lazy, senders
from paraph.server.messenger.sync.parts import Part, overlaid
from paraph.server.messenger.sync.rooms import NAMES, Window, names, summary
from paraph.server.storage import Transaction


class StateBeside:
    """Adds to each part its state before the timeline (or after it); then knows members and summaries by room."""

    def __init__(self, tables: RoomsAtOnce, window: Window) -> None:
        self._tables = tables
        self._window = window
        self.members: dict[str, dict[str, str]] = {}
        self.summaries: dict[str, dict[str, Any]] = {}

    def add(self, tx: Transaction, parts: list[Part]) -> None:
        """Complete these parts, whose timelines are settled."""
        self._add_state(tx, parts)
        self._add_members(tx, [part for part in parts if part.moved])
        lazy, wanted = self._window.lazy, self._window.plan.state
        if self._window.since is not None:
            for part in parts:
                if not part.full:
                    self._window.note(part.changes)
        if lazy is not None:
            self._load_lazily(tx, parts, lazy)
        for part in parts:
            if not wanted.everything:
                part.state = [event for event in part.state if wanted.wants(event)]
            if lazy is not None:
                lazy.tell([*part.state, *part.shown])

    def _add_state(self, tx: Transaction, parts: list[Part]) -> None:
        after = self._window.state_after
        whole = [part for part in parts if part.full]
        gaps = [part for part in parts if not part.full and (part.gap or after)]
        everybody = self._window.lazy is None
        found = self._tables.state_at(tx, [self._stretch(part) for part in whole], members=everybody)
        found |= self._tables.state_delta(tx, [self._stretch(part) for part in gaps])
        for part in parts:
            part.state = found.get(part.room_id, [])
            if not after:
                part.state = overlaid(part.state, part.beside())

    def _stretch(self, part: Part) -> Stretch:
        return Stretch(part.room_id, part.stretch.after, self._upto(part))

    def _upto(self, part: Part) -> int:
        return part.stretch.upto if self._window.state_after else part.before

    def _add_members(self, tx: Transaction, parts: list[Part]) -> None:
        user_id, rooms = self._window.person.user_id, [part.room_id for part in parts]
        self.members = self._tables.members(tx, rooms)
        alone = [room_id for room_id in rooms if not self.members.get(room_id, {}).keys() - {user_id}]
        for room_id, former in self._tables.former_members(tx, alone).items():
            self.members[room_id] = former | self.members.get(room_id, {})
        named = self._named(tx, parts)
        self.summaries = {
            room_id: summary(self.members.get(room_id, {}), user_id, room_id in named) for room_id in rooms
        }

    def _named(self, tx: Transaction, parts: list[Part]) -> set[str]:
        """The rooms that have a name: as the whole state says where it is there, else as the tables do."""
        rest = [part.room_id for part in parts if not part.full]
        asked = [Entry(room_id, kind, "", self._window.upto) for room_id in rest for kind in NAMES]
        found = self._tables.state_entries(tx, asked)
        for part in parts:
            if part.full:
                given = {event.type: event for event in (*part.state, *part.shown) if event.type in NAMES}
                found[part.room_id] = [event for event in given.values() if event.state_key == ""]
        return {room_id for room_id, events in found.items() if any(names(event) for event in events)}

    def _load_lazily(self, tx: Transaction, parts: list[Part], lazy: Lazy) -> None:
        """Of the members, those that the timeline and the room's name call for; and, in a whole state, oneself."""
        asked = [
            Entry(part.room_id, MEMBER, user_id, self._upto(part) if part.full else max(self._upto(part), part.begin))
            for part in parts
            for user_id in self._needed(part)
        ]
        found = self._tables.state_entries(tx, asked)
        for part in parts:
            given = {event.state_key for event in part.state if event.type == MEMBER}
            members = [event for event in found.get(part.room_id, []) if event.state_key not in given]
            part.state += [event for event in members if part.full or lazy.needs(event)]

    def _needed(self, part: Part) -> list[str]:
        called_by = self.summaries.get(part.room_id, {}).get("m.heroes", [])
        own = [self._window.person.user_id] if part.full else []
        return list(dict.fromkeys([*senders(part.shown), *called_by, *own]))
