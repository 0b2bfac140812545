"""A person's rooms as a connection's lists need them: in order of their last event, and fit to be filtered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from paraph.server.messenger.core import Core
from paraph.server.messenger.model import CREATE, ENCRYPTION, MEMBER, Event, Membership
from paraph.server.messenger.rooms_at_once import Entry, RoomsAtOnce
from paraph.server.messenger.sliding.model import Filters
from paraph.server.messenger.views import View
from paraph.server.storage import Transaction

NAME, SPACE_CHILD = "m.room.name", "m.space.child"
_LISTED = ("join", "invite", "knock", "ban")


@dataclass(frozen=True, slots=True)
class Facts:
    """What filters ask about a room."""

    encrypted: bool = False
    kind: str | None = None
    name: str = ""

    @classmethod
    def of(cls, state: dict[str, Event]) -> Facts:
        """From the pieces of state that matter, by type."""
        create, name = state.get(CREATE), state.get(NAME)
        kind = create.content.get("type") if create is not None else None
        shown = name.content.get("name") if name is not None else None
        return cls(
            ENCRYPTION in state, kind if isinstance(kind, str) else None, shown if isinstance(shown, str) else ""
        )


@dataclass(frozen=True, slots=True)
class Own:
    """A person's own data about rooms: with whom she talks alone, and her tags."""

    direct: frozenset[str]
    tags: dict[str, frozenset[str]]

    @classmethod
    def load(cls, core: Core, tx: Transaction, user_id: str) -> Own:
        """As the tables have it; what makes no sense counts as nothing."""
        found = core.store.account_data(tx, user_id, "", "m.direct")
        direct = _decoded(found, dict[str, list[str]])
        tags = {
            room_id: frozenset(_decoded(content, _Tags, _Tags({})).tags)
            for room_id, content in core.store.data_of_rooms(tx, user_id, "m.tag")
        }
        return cls(frozenset(room_id for rooms in (direct or {}).values() for room_id in rooms), tags)


class _Tags(msgspec.Struct):
    tags: dict[str, Any] = {}


def _decoded(content: bytes | None, kind: Any, default: Any = None) -> Any:
    if content is None:
        return default
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError:
        return default


class RoomsKnown:
    """What one connection knows of its person's rooms; brought up to date before each answer."""

    __slots__ = ("_facts", "_position", "_put_out", "activity", "own", "own_at")

    def __init__(self) -> None:
        self.activity: dict[str, int] = {}
        self.own = Own(frozenset(), {})
        self.own_at = -1
        self._facts: dict[str, Facts] = {}
        self._put_out: set[str] = set()
        self._position = -1

    def refresh(self, core: Core, tables: RoomsAtOnce, tx: Transaction, user_id: str, view: View, upto: int) -> None:
        """Take in what has changed; one statement, if any, for all rooms that are not in memory."""
        changed = set(view.rooms) - self.activity.keys()
        changed |= set(view.rooms) if self._position < view.floor else set(view.changed_since(self._position))
        elsewhere: list[str] = []
        for room_id in changed:
            self._facts.pop(room_id, None)
            membership = view.rooms.get(room_id)
            room = core.rooms.held(room_id)
            if membership is None:
                self.activity.pop(room_id, None)
            elif membership.membership != "join":
                self.activity[room_id] = membership.position
            elif room is not None:
                self.activity[room_id] = room.last_position
            else:
                elsewhere.append(room_id)
        self.activity |= tables.last_positions(tx, elsewhere)
        left = [room_id for room_id in changed if room_id in view.rooms and view.rooms[room_id].membership == "leave"]
        own = tables.state_entries(tx, [Entry(room_id, MEMBER, user_id, upto) for room_id in left])
        self._put_out -= changed
        self._put_out |= {room_id for room_id, events in own.items() if any(it.sender != user_id for it in events)}
        self._position = upto
        if self.own_at < view.account_data_at:
            self.own, self.own_at = Own.load(core, tx, user_id), upto

    def listed(self, view: View, sent: Collection[str]) -> list[str]:
        """Every room that a list may hold, the one with the newest event first.

        Rooms that she left herself are in it if this connection has them, those that she was put out of always.
        """
        rooms = [
            room_id
            for room_id, there in view.rooms.items()
            if there.membership in _LISTED or room_id in sent or room_id in self._put_out
        ]
        rooms.sort(key=lambda room_id: -self.activity.get(room_id, 0))
        return rooms

    def fitting(
        self, core: Core, tables: RoomsAtOnce, tx: Transaction, view: View, rooms: list[str], filters: Filters
    ) -> list[str]:
        """Those of the rooms that a list's filters want."""
        if filters.asks_facts:
            self._learn(core, tables, tx, rooms)
        spaces = None if filters.spaces is None else _in_spaces(core, tx, view, filters.spaces)
        return [
            room_id
            for room_id in rooms
            if self._fits(room_id, view.rooms[room_id], filters) and (spaces is None or room_id in spaces)
        ]

    def _fits(self, room_id: str, there: Membership, wanted: Filters) -> bool:
        tags = self.own.tags.get(room_id, frozenset())
        if wanted.is_dm is not None and (room_id in self.own.direct) is not wanted.is_dm:
            return False
        if wanted.invited is not None and (there.membership == "invite") is not wanted.invited:
            return False
        if wanted.tags is not None and tags.isdisjoint(wanted.tags):
            return False
        if wanted.not_tags is not None and not tags.isdisjoint(wanted.not_tags):
            return False
        return not wanted.asks_facts or _is_so(self._facts[room_id], wanted)

    def _learn(self, core: Core, tables: RoomsAtOnce, tx: Transaction, rooms: list[str]) -> None:
        elsewhere: list[str] = []
        for room_id in rooms:
            if room_id in self._facts:
                continue
            room = core.rooms.held(room_id)
            if room is None:
                elsewhere.append(room_id)
            else:
                state = {kind: room.state[kind, ""] for kind in (CREATE, ENCRYPTION, NAME) if (kind, "") in room.state}
                self._facts[room_id] = Facts.of(state)
        asked = [
            Entry(room_id, kind, "", self._position) for room_id in elsewhere for kind in (CREATE, ENCRYPTION, NAME)
        ]
        found = tables.state_entries(tx, asked)
        for room_id in elsewhere:
            self._facts[room_id] = Facts.of({event.type: event for event in found.get(room_id, [])})


def _is_so(facts: Facts, wanted: Filters) -> bool:
    if wanted.is_encrypted is not None and facts.encrypted is not wanted.is_encrypted:
        return False
    if wanted.room_types is not None and facts.kind not in wanted.room_types:
        return False
    if wanted.not_room_types is not None and facts.kind in wanted.not_room_types:
        return False
    return wanted.room_name_like is None or wanted.room_name_like.casefold() in facts.name.casefold()


def _in_spaces(core: Core, tx: Transaction, view: View, spaces: list[str]) -> set[str]:
    """The rooms that these spaces name as theirs, as far as the person is joined to them."""
    found: set[str] = set()
    for space in spaces:
        there = view.rooms.get(space)
        if there is not None and there.membership == "join":
            children = core.store.state_of_type(tx, space, SPACE_CHILD)
            found.update(event.state_key for event in children if event.state_key and event.content.get("via"))
    return found
