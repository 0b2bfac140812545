"""Filters made ready to be asked: is this event wanted?

A filter is compiled once and kept (`service.py`); asking about an event takes no JSON unless `contains_url` is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from paraph.server.messenger.filters.model import EventFilter, Filter, RoomEventFilter, RoomFilter
from paraph.server.messenger.model import Event

DEFAULT_TIMELINE = 20
MAX_TIMELINE = 100


class Names:
    """Wanted and unwanted names; in patterns `*` stands for any text. Unwanted wins."""

    __slots__ = ("_any", "_patterns", "_unwanted", "_unwanted_patterns", "_wanted", "everything")

    def __init__(self, wanted: Sequence[str] | None, unwanted: Sequence[str] | None, *, patterns: bool = False) -> None:
        self.everything = wanted is None and not unwanted
        self._any = wanted is None
        self._wanted, self._patterns = _split(wanted or (), patterns)
        self._unwanted, self._unwanted_patterns = _split(unwanted or (), patterns)

    def __contains__(self, name: str) -> bool:
        """Whether a name is wanted."""
        if self.everything:
            return True
        if name in self._unwanted or any(_fits(pattern, name) for pattern in self._unwanted_patterns):
            return False
        return self._any or name in self._wanted or any(_fits(pattern, name) for pattern in self._patterns)


def _split(names: Sequence[str], patterns: bool) -> tuple[frozenset[str], list[list[str]]]:
    if not patterns:
        return frozenset(names), []
    return frozenset(name for name in names if "*" not in name), [name.split("*") for name in names if "*" in name]


def _fits(parts: list[str], name: str) -> bool:
    """Whether `name` has the pattern's parts in order, the first at its beginning and the last at its end.

    Each part is taken where it comes first: that is right, and linear in the name, whatever the pattern.
    """
    first, *middle, last = parts
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


class _Url(msgspec.Struct):
    url: Any = None


class _HasUrl(msgspec.Struct):
    content: _Url


_has_url = msgspec.json.Decoder(_HasUrl)


class Events:
    """Which room events are wanted. `everything`: all of them, so that nothing need be asked."""

    __slots__ = ("_contains_url", "_senders", "_types", "everything", "lazy", "limit", "redundant", "rooms")

    def __init__(self, wanted: RoomEventFilter, default_limit: int = DEFAULT_TIMELINE) -> None:
        self.limit = min(default_limit if wanted.limit is None else wanted.limit, MAX_TIMELINE)
        self.lazy = wanted.lazy_load_members
        self.redundant = wanted.include_redundant_members
        self.rooms = Names(wanted.rooms, wanted.not_rooms)
        self._types = Names(wanted.types, wanted.not_types, patterns=True)
        self._senders = Names(wanted.senders, wanted.not_senders)
        self._contains_url = wanted.contains_url
        self.everything = (
            self._types.everything and self._senders.everything and self.rooms.everything and self._contains_url is None
        )

    def wants(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return self.everything or (
            event.type in self._types
            and event.sender in self._senders
            and event.room_id in self.rooms
            and (self._contains_url is None or _with_url(event) is self._contains_url)
        )

    def wants_type(self, kind: str, room_id: str = "") -> bool:
        """Whether something that has no sender (typing, receipts, account data) is wanted."""
        return self.everything or (kind in self._types and (not room_id or room_id in self.rooms))


def _with_url(event: Event) -> bool:
    return isinstance(_has_url.decode(event.json).content.url, str)


Wants = Callable[[Event], bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """A sync's filter, ready to be asked.

    `plain`: room timelines and state are whole but for the limit and lazily loaded members, so memory can answer.
    `dressed`: events are handed out in another form than the usual one.
    """

    definition: Filter
    rooms: Names
    include_leave: bool
    timeline: Events
    state: Events
    ephemeral: Events
    room_data: Events
    presence: Names
    presence_senders: Names
    data: Names
    fields: tuple[tuple[str, ...], ...] | None
    federation: bool
    plain: bool
    dressed: bool

    @property
    def limit(self) -> int:
        """How many events a timeline may have."""
        return self.timeline.limit


def compiled(definition: Filter) -> Plan:
    """A filter made ready."""
    room: RoomFilter = definition.room
    timeline, state = Events(room.timeline), Events(room.state)
    federation, fields = definition.event_format == "federation", _fields(definition.event_fields)
    return Plan(
        definition,
        Names(room.rooms, room.not_rooms),
        room.include_leave,
        timeline,
        state,
        Events(room.ephemeral),
        Events(room.account_data),
        _types(definition.presence),
        Names(definition.presence.senders, definition.presence.not_senders),
        _types(definition.account_data),
        fields,
        federation,
        timeline.everything and state.everything and timeline.limit > 0 and not federation and fields is None,
        federation or fields is not None,
    )


def _types(wanted: EventFilter) -> Names:
    return Names(wanted.types, wanted.not_types, patterns=True)


def _fields(names: Sequence[str] | None) -> tuple[tuple[str, ...], ...] | None:
    return None if names is None else tuple(_path(name) for name in names)


def _path(name: str) -> tuple[str, ...]:
    r"""`content.a\.b` names the member `a.b` of `content`: a dot or a backslash behind a backslash is itself."""
    parts, at = [""], 0
    while at < len(name):
        letter = name[at]
        if letter == "\\" and name[at + 1 : at + 2] in (".", "\\"):
            at += 1
            parts[-1] += name[at]
        elif letter == ".":
            parts.append("")
        else:
            parts[-1] += letter
        at += 1
    return tuple(parts)


EVERYTHING = compiled(Filter())
"""No filter."""
