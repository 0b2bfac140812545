"""A room in memory: its state, who is in it, and the newest events ready to be sent out.

What is held here is exactly what is durable: it is loaded inside a write, and changed only by events whose
commit succeeded (see `rooms.py`). Nothing here touches a database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from paraph.server.messenger.model import (
    CREATE,
    ENCRYPTION,
    JOIN_RULES,
    MEMBER,
    POWER,
    VISIBILITY,
    Event,
    Receipt,
)
from paraph.server.messenger.power import Power
from paraph.server.messenger.relations.model import relation_of
from paraph.server.messenger.versions import RoomVersion, version_of

TAIL_EVENTS = 64
"""Newest events kept per room: what a device that is no further behind gets without SQL."""
RECENT_RECEIPTS = 64
_STATE_EVENT_BYTES = 900
_ROOM_BYTES = 2_000

StateKey = tuple[str, str]


class Room:
    """Current state and recent past of one room.

    `tail` holds every event with a position above `tail_from`; `receipts` every receipt above `receipts_from`.
    `related` holds at least the events of the tail that others relate to.
    `visibilities` is the whole history of `m.room.history_visibility` as (position, value). `allowed_rooms` are those
    whose members the join rule lets in.
    """

    __slots__ = (
        "allowed_rooms",
        "creators",
        "encrypted",
        "join_rule",
        "joined",
        "last_position",
        "memberships",
        "power",
        "predecessor",
        "receipts",
        "receipts_from",
        "related",
        "room_id",
        "state",
        "state_position",
        "tail",
        "tail_bytes",
        "tail_from",
        "version",
        "visibilities",
    )

    def __init__(self, room_id: str) -> None:
        self.room_id = room_id
        self.state: dict[StateKey, Event] = {}
        self.state_position = 0
        self.last_position = 0
        self.version = version_of(None)
        self.creators: tuple[str, ...] = ()
        self.predecessor: str | None = None
        self.encrypted = False
        self.join_rule = "invite"
        self.allowed_rooms: tuple[str, ...] = ()
        self.memberships: dict[str, str] = {}
        self.joined: dict[str, None] = {}
        self.power = Power(None)
        self.visibilities: list[tuple[int, str]] = []
        self.tail: deque[Event] = deque()
        self.tail_bytes = 0
        self.tail_from = 0
        self.receipts: dict[tuple[str, str, str], Receipt] = {}
        self.receipts_from = 0
        self.related: dict[str, None] = {}

    @classmethod
    def loaded(
        cls,
        room_id: str,
        state: Iterable[Event],
        visibilities: Iterable[Event],
        tail: list[Event],
        last_receipt: int,
    ) -> Room:
        """A room from its stored state (in order), all its visibility events, and its newest events (in order)."""
        room = cls(room_id)
        for event in state:
            room._set(event)
        room.visibilities = [(event.position, _visibility(event)) for event in visibilities]
        if len(tail) > TAIL_EVENTS:
            room.tail_from = tail[0].position
            tail = tail[1:]
        room.tail.extend(tail)
        for event in tail:
            room._relate(event)
        room.tail_bytes = sum(len(event.json) for event in tail)
        room.last_position = tail[-1].position if tail else 0
        room.receipts_from = last_receipt
        return room

    @property
    def weight(self) -> int:
        """Bytes of memory, roughly."""
        return self.tail_bytes + len(self.state) * _STATE_EVENT_BYTES + _ROOM_BYTES

    def copy(self) -> Room:
        """The same room, to be changed freely: what a write works on before anything is durable."""
        other = Room(self.room_id)
        for name in Room.__slots__:
            value = getattr(self, name)
            setattr(other, name, value.copy() if isinstance(value, dict | list | deque) else value)
        return other

    def apply(self, event: Event) -> None:
        """Take in a newer event; one already seen changes nothing."""
        if event.position <= self.last_position:
            return
        self.last_position = event.position
        self._relate(event)
        self.tail.append(event)
        self.tail_bytes += len(event.json)
        if len(self.tail) > TAIL_EVENTS:
            oldest = self.tail.popleft()
            self.tail_bytes -= len(oldest.json)
            self.tail_from = oldest.position
            self.related.pop(oldest.event_id, None)
        if event.state_key is not None:
            self._set(event)
            if event.type == VISIBILITY and event.state_key == "":
                self.visibilities.append((event.position, _visibility(event)))

    def _relate(self, event: Event) -> None:
        """Note what an event relates to. What relates to an event of the tail is newer, and so in the tail as well."""
        if b'"m.relates_to"' in event.json and (relation := relation_of(event.content)) is not None:
            self.related[relation.target_id] = None
            if len(self.related) > 2 * TAIL_EVENTS:
                held = {event.event_id for event in self.tail}
                self.related = {target: None for target in self.related if target in held}

    def has_related(self, after: int, upto: int) -> bool:
        """Whether another event may relate to one of those in (after, upto] of the tail."""
        return bool(self.related) and any(event.event_id in self.related for event in self.events_after(after, upto))

    def replace(self, event: Event) -> None:
        """Put the redacted form of an event where its original was."""
        for index, held in enumerate(self.tail):
            if held.event_id == event.event_id:
                self.tail_bytes += len(event.json) - len(held.json)
                self.tail[index] = event
        if event.state_key is not None:
            key = (event.type, event.state_key)
            if key in self.state and self.state[key].event_id == event.event_id:
                self._set(event)

    def _set(self, event: Event) -> None:
        key = event.state_key or ""
        self.state[event.type, key] = event
        self.state_position = max(self.state_position, event.position)
        if event.type == MEMBER:
            self._set_member(key, event)
        elif key == "":
            self._set_rule(event)

    def _set_member(self, user_id: str, event: Event) -> None:
        membership = str(event.content.get("membership", "leave"))
        self.memberships[user_id] = membership
        if membership == "join":
            self.joined[user_id] = None
        else:
            self.joined.pop(user_id, None)

    def _set_rule(self, event: Event) -> None:
        if event.type == CREATE:
            content = event.content
            self.version = version_of(content.get("room_version"))
            self.creators = _creators(event.sender, content, self.version)
            self.predecessor = _predecessor(content)
            self.power = Power(None, self.creators, self.version)
        elif event.type == POWER:
            self.power = Power(event.content, self.creators, self.version)
        elif event.type == ENCRYPTION:
            self.encrypted = True
        elif event.type == JOIN_RULES:
            content = event.content
            self.join_rule = str(content.get("join_rule", "invite"))
            self.allowed_rooms = _allowed_rooms(content)

    @property
    def knockable(self) -> bool:
        """Whether strangers may ask to be let in."""
        if self.join_rule == "knock":
            return self.version.knocks
        return self.join_rule == "knock_restricted" and self.version.knocks_restricted

    @property
    def restricted(self) -> bool:
        """Whether members of other rooms may join."""
        if self.join_rule == "restricted":
            return self.version.restricts
        return self.join_rule == "knock_restricted" and self.version.knocks_restricted

    @property
    def visibility(self) -> str:
        """Who may read what is said now (`m.room.history_visibility`)."""
        return self.visibilities[-1][1] if self.visibilities else "shared"

    def receive(self, receipt: Receipt) -> None:
        """Take in a newer receipt; one already seen changes nothing."""
        key = (receipt.user_id, receipt.type, receipt.thread_id)
        before = self.receipts.get(key)
        if receipt.position <= (self.receipts_from if before is None else before.position):
            return
        self.receipts.pop(key, None)
        self.receipts[key] = receipt
        if len(self.receipts) > RECENT_RECEIPTS:
            oldest = next(iter(self.receipts))
            self.receipts_from = self.receipts.pop(oldest).position

    def events_after(self, position: int, upto: int) -> list[Event]:
        """Every event in (position, upto]; only asked with `position >= tail_from`."""
        found: list[Event] = []
        for event in reversed(self.tail):
            if event.position <= position:
                break
            if event.position <= upto:
                found.append(event)
        found.reverse()
        return found

    def receipts_after(self, position: int) -> list[Receipt]:
        """Every receipt above `position`; only asked with `position >= receipts_from`."""
        found: list[Receipt] = []
        for receipt in reversed(self.receipts.values()):
            if receipt.position <= position:
                break
            found.append(receipt)
        return found


def _creators(sender: str, content: dict[str, Any], version: RoomVersion) -> tuple[str, ...]:
    further = content.get("additional_creators", []) if version.creators_above_all else []
    return tuple(dict.fromkeys([sender, *(name for name in further if isinstance(name, str))]))


def _predecessor(content: dict[str, Any]) -> str | None:
    """The room that this one replaced."""
    named = content.get("predecessor")
    room_id = named.get("room_id") if isinstance(named, dict) else None
    return room_id if isinstance(room_id, str) else None


def _allowed_rooms(content: dict[str, Any]) -> tuple[str, ...]:
    """Rooms whose members a restricted room lets in; conditions of other kinds count for nothing."""
    allow = content.get("allow")
    conditions = [entry for entry in allow if isinstance(entry, dict)] if isinstance(allow, list) else []
    return tuple(
        entry["room_id"]
        for entry in conditions
        if entry.get("type") == "m.room_membership" and isinstance(entry.get("room_id"), str)
    )


def _visibility(event: Event) -> str:
    return str(event.content.get("history_visibility", "shared"))
