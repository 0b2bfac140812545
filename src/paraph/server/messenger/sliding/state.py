"""The state of the rooms of an answer: what was asked for, and by what the rooms are called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from paraph.server.messenger.model import MEMBER, Event
from paraph.server.messenger.rooms_at_once import Entry, RoomsAtOnce, Stretch
from paraph.server.messenger.sliding.connections import Sent
from paraph.server.messenger.sliding.wanted import RoomWanted
from paraph.server.messenger.sync.lazy import Lazy
from paraph.server.messenger.sync.parts import Part
from paraph.server.messenger.sync.rooms import heroes, names
from paraph.server.storage import Transaction

NAME, ALIAS, AVATAR = "m.room.name", "m.room.canonical_alias", "m.room.avatar"
_CALLED = (NAME, ALIAS, AVATAR)


@dataclass(slots=True)
class Told:
    """A joined or left room in the making: `changed` is its new state, `required` what of it the client wants."""

    part: Part
    wanted: RoomWanted
    sent: Sent | None
    expanded: bool = False
    changed: list[Event] = field(default_factory=list)
    required: list[Event] = field(default_factory=list)
    called: dict[str, Event] = field(default_factory=dict)
    members: dict[str, str] | None = None
    heroes: list[dict[str, str]] | None = None

    @property
    def room_id(self) -> str:
        """The room."""
        return self.part.room_id

    @property
    def fresh(self) -> bool:
        """Whether the client has to replace whatever it has of the room."""
        return self.sent is None

    @property
    def renamed(self) -> bool:
        """Whether what the room is called by may have changed."""
        return self.fresh or any(event.type in _CALLED and event.state_key == "" for event in self.changed)

    @property
    def moved(self) -> bool:
        """Whether who is in the room has to be told."""
        return self.fresh or any(event.type == MEMBER for event in self.changed)


class RequiredState:
    """Adds state to rooms, a few statements for all of them."""

    def __init__(self, tables: RoomsAtOnce, user_id: str, lazy: Lazy) -> None:
        self._tables = tables
        self._user_id = user_id
        self._lazy = lazy

    def add(self, tx: Transaction, rooms: list[Told]) -> None:
        """Complete these rooms, whose timelines are settled."""
        self._add_changes(tx, [told for told in rooms if not told.fresh])
        self._add_asked(tx, [told for told in rooms if self._asks_more(told)])
        self._add_lazily(tx, [told for told in rooms if told.wanted.lazy])
        self._add_called(tx, [told for told in rooms if told.renamed or told.moved])
        for told in rooms:
            told.required = sorted({event.position: event for event in told.required}.values(), key=_position)
            if told.wanted.lazy:
                self._lazy.tell([*told.required, *told.part.shown])

    def _add_changes(self, tx: Transaction, rooms: list[Told]) -> None:
        """What changed since the room was sent. Of members that come as they speak, all, unless there is a gap."""
        found = self._tables.state_delta(
            tx, [Stretch(told.room_id, told.sent.position, told.part.stretch.upto) for told in rooms if told.sent]
        )
        for told in rooms:
            told.changed = found.get(told.room_id, [])
            every_member = told.wanted.lazy and not told.part.limited
            told.required = [
                event
                for event in told.changed
                if told.wanted.wants(event.type, event.state_key or "") or (every_member and event.type == MEMBER)
            ]

    @staticmethod
    def _asks_more(told: Told) -> bool:
        return told.sent is None or told.wanted.state != told.sent.wanted.state

    def _add_asked(self, tx: Transaction, rooms: list[Told]) -> None:
        """The state that the client does not have yet: of a new room, or because it asks for more now."""
        found: dict[str, list[Event]] = {}
        for members in (False, True):
            whole = [told for told in rooms if told.wanted.whole and told.wanted.members is members]
            found |= self._tables.state_at(tx, [told.part.stretch for told in whole], members=members)
        named = [Entry(told.room_id, *key, told.part.stretch.upto) for told in rooms for key in told.wanted.keys]
        for room_id, events in self._tables.state_entries(tx, named).items():
            found[room_id] = [*found.get(room_id, []), *events]
        for told in rooms:
            before = None if told.sent is None else told.sent.wanted
            told.required += [
                event
                for event in found.get(told.room_id, [])
                if told.wanted.wants(event.type, event.state_key or "")
                and (before is None or not before.wants(event.type, event.state_key or ""))
            ]

    def _add_lazily(self, tx: Transaction, rooms: list[Told]) -> None:
        """The members whose events the timeline shows, and those it is about, unless the client has them."""
        asked = [
            Entry(told.room_id, MEMBER, user_id, told.part.stretch.upto)
            for told in rooms
            for user_id in _named(told.part.shown)
        ]
        found = self._tables.state_entries(tx, asked)
        for told in rooms:
            told.required += [event for event in found.get(told.room_id, []) if told.fresh or self._lazy.needs(event)]

    def _add_called(self, tx: Transaction, rooms: list[Told]) -> None:
        asked = [Entry(told.room_id, kind, "", told.part.stretch.upto) for told in rooms for kind in _CALLED]
        called = self._tables.state_entries(tx, asked)
        here = self._tables.members(tx, [told.room_id for told in rooms])
        alone = [told.room_id for told in rooms if not here.get(told.room_id, {}).keys() - {self._user_id}]
        former = self._tables.former_members(tx, alone)
        for told in rooms:
            told.called = {event.type: event for event in called.get(told.room_id, [])}
            told.members = former.get(told.room_id, {}) | here.get(told.room_id, {})
        self._add_heroes(tx, [told for told in rooms if not _is_named(told)])

    def _add_heroes(self, tx: Transaction, rooms: list[Told]) -> None:
        who = {told.room_id: heroes(told.members or {}, self._user_id) for told in rooms}
        asked = [
            Entry(told.room_id, MEMBER, name, told.part.stretch.upto) for told in rooms for name in who[told.room_id]
        ]
        found = self._tables.state_entries(tx, asked)
        for told in rooms:
            contents = {event.state_key or "": event.content for event in found.get(told.room_id, [])}
            told.heroes = [_hero(name, contents.get(name, {})) for name in who[told.room_id]]


def _is_named(told: Told) -> bool:
    return any(kind in told.called and names(told.called[kind]) for kind in (NAME, ALIAS))


def _hero(user_id: str, content: dict[str, Any]) -> dict[str, str]:
    shown = {name: content[name] for name in ("displayname", "avatar_url") if isinstance(content.get(name), str)}
    return {"user_id": user_id, **shown}


def _named(shown: Iterable[Event]) -> list[str]:
    people: dict[str, None] = {}
    for event in shown:
        people[event.sender] = None
        if event.type == MEMBER and event.state_key:
            people[event.state_key] = None
    return list(people)


def _position(event: Event) -> int:
    return event.position
