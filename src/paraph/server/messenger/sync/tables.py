"""Rooms' parts of a sync answer, built from the tables: the same as memory would give, for several rooms at once.

Each question goes to the database once for all rooms of a read, so an account with many rooms costs a handful of
statements for each read and not for each room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from paraph.server.messenger import events
from paraph.server.messenger.model import ENCRYPTION, MEMBER, Event, Membership
from paraph.server.messenger.relations.service import Relations
from paraph.server.messenger.rooms_at_once import Entry, RoomsAtOnce, Stretch
from paraph.server.messenger.store import END
from paraph.server.messenger.sync.rooms import Window, receipts, summary, timeline
from paraph.server.messenger.sync.sections import Events, InvitedRoom, JoinedRoom, KnockedRoom, Raw
from paraph.server.messenger.visibility import Sight
from paraph.server.storage import Transaction

_INVITE_STATE = (
    "m.room.create",
    "m.room.join_rules",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.canonical_alias",
    ENCRYPTION,
)


Section = JoinedRoom | InvitedRoom | KnockedRoom


@dataclass(slots=True)
class _Part:
    """One room's part in the making.

    `sight` is None for somebody joined all the time since the window began, who sees everything. `full`: with the whole
    state, not just what changed. `before` is the position where the timeline begins.
    """

    stretch: Stretch
    sight: Sight | None
    full: bool
    left: bool = False
    receipts: list[Raw] = field(default_factory=list)
    shown: list[Event] = field(default_factory=list)
    limited: bool = False
    before: int = 0
    state: list[Event] = field(default_factory=list)

    @property
    def room_id(self) -> str:
        """The room."""
        return self.stretch.room_id

    @property
    def tells(self) -> bool:
        """Whether the room has a place in the answer."""
        return bool(self.sight is not None or self.full or self.shown or self.receipts)

    @property
    def moved(self) -> bool:
        """Whether who is in the room has to be told, or to be compared."""
        return self.sight is not None or self.full or any(event.type == MEMBER for event in (*self.state, *self.shown))

    def take(self, newest: list[Event], limit: int) -> None:
        """Show the newest events (given newest first, one more than `limit` if there are more) that may be seen."""
        self.shown = _visible(newest[:limit], self.sight)
        self.limited = len(self.shown) < len(newest)
        self.before = self.shown[0].position - 1 if self.shown else self.stretch.upto


class FromTables:
    """Builds sections from the tables."""

    def __init__(self, tables: RoomsAtOnce, window: Window, relations: Relations) -> None:
        self._tables = tables
        self._window = window
        self._relations = relations

    def sections(self, tx: Transaction, rooms: Mapping[str, Membership]) -> dict[str, Section]:
        """Whatever this answer says of these rooms; those with nothing to say are missing."""
        since = self._window.since
        news = [room_id for room_id, there in rooms.items() if since is None or there.position > since]
        invited = [room_id for room_id in news if rooms[room_id].membership in ("invite", "knock")]
        joined = [room_id for room_id, there in rooms.items() if there.membership == "join"]
        left = [] if since is None else [room_id for room_id in news if rooms[room_id].membership not in _PRESENT]
        sights = self._sights(tx, [room_id for room_id in news if rooms[room_id].membership == "join"] + left)
        parts = [self._joined(room_id, sights.get(room_id)) for room_id in joined]
        there = [room_id for room_id in left if sights[room_id].joined_within(since or 0, rooms[room_id].position)]
        parts += [self._left(room_id, sights[room_id], rooms[room_id].position) for room_id in there]
        turned_down = {room_id: rooms[room_id].position for room_id in left if room_id not in there}
        return {**self._built(tx, parts, joined), **self._invited(tx, invited), **self._turned_down(tx, turned_down)}

    def _sights(self, tx: Transaction, rooms: Sequence[str]) -> dict[str, Sight]:
        return Sight.load_all(self._tables, tx, rooms, self._window.person.user_id, self._window.upto)

    def _joined(self, room_id: str, sight: Sight | None) -> _Part:
        """For somebody who is joined: all the time since the window began (then there is no sight), or since later."""
        part = self._part(room_id, sight, self._window.upto)
        part.full = part.full or self._window.full_state
        return part

    def _left(self, room_id: str, sight: Sight, when: int) -> _Part:
        """For somebody who left, or was put out, at `when`, having been there in this window."""
        part = self._part(room_id, sight, when)
        part.left = True
        return part

    def _part(self, room_id: str, sight: Sight | None, upto: int) -> _Part:
        since = self._window.since or 0
        if sight is None or sight.membership_at(since) == "join":
            return _Part(Stretch(room_id, since, upto), sight, full=False)
        return _Part(Stretch(room_id, sight.last_departure(since), upto), sight, full=True)

    def _built(self, tx: Transaction, parts: list[_Part], joined: list[str]) -> dict[str, Section]:
        window, tables = self._window, self._tables
        read = tables.receipts(tx, joined, window.since or 0, window.upto)
        newest = tables.backwards(tx, [part.stretch for part in parts], window.limit + 1)
        for part in parts:
            part.receipts = receipts(read.get(part.room_id, []), window.person.user_id)
            part.take(newest.get(part.room_id, []), window.limit)
        parts = [part for part in parts if part.tells]
        self._add_state(tx, parts)
        members = tables.members(tx, [part.room_id for part in parts if part.moved])
        bundles = self._bundles(tx, parts)
        return {part.room_id: self._section(part, members.get(part.room_id, {}), bundles) for part in parts}

    def _bundles(self, tx: Transaction, parts: list[_Part]) -> dict[str, Raw]:
        """The bundles of everything shown, as this person sees each room: asked for at once, but for rooms left."""
        sights = {part.room_id: part.sight for part in parts if part.sight is not None}

        def sees(event: Event) -> bool:
            sight = sights.get(event.room_id)
            return sight is None or sight.sees(event)

        reader = replace(self._relations.reader(tx, self._window.person, self._window.upto), sees=sees)
        shown = [event for part in parts if not part.left for event in part.shown]
        found = self._relations.bundles.of(tx, reader, shown)
        for part in parts:
            if part.left:
                found |= self._relations.bundles.of(tx, replace(reader, upto=part.stretch.upto), part.shown)
        return found

    def _add_state(self, tx: Transaction, parts: list[_Part]) -> None:
        """Add the state before the timeline: all of it, or what changed in the gap."""
        gaps = [part for part in parts if part.limited and not part.full]
        states = self._tables.state_at(tx, [_before(part) for part in parts if part.full])
        states |= self._tables.state_delta(tx, [_before(part) for part in gaps])
        for part in parts:
            part.state = states.get(part.room_id, [])

    def _section(self, part: _Part, members: dict[str, str], bundles: Mapping[str, Raw]) -> JoinedRoom:
        window = self._window
        if window.since is not None:
            self._note(part, members)
        state = Events([Raw(event.json) for event in part.state])
        section = JoinedRoom(
            timeline(window, part.shown, part.limited, bundles), state, Events(part.receipts), Events()
        )
        if part.moved and not part.left:
            section.summary = summary(members, window.person.user_id)
        return section

    def _note(self, part: _Part, members: dict[str, str]) -> None:
        """Look for people who began or ceased to matter."""
        window = self._window
        if part.sight is not None:
            here = {name for name, membership in members.items() if membership == "join"}
            if part.left:
                window.parted.update(here)
            else:
                window.met.update(here - {window.person.user_id})
        if not part.full:
            window.note([*part.state, *part.shown])

    def _turned_down(self, tx: Transaction, rooms: dict[str, int]) -> dict[str, JoinedRoom]:
        """Rooms that somebody was not in in this window, but may no longer join: an invitation that ended, a ban."""
        user_id = self._window.person.user_id
        own = self._tables.state_entries(tx, [Entry(room_id, MEMBER, user_id, when) for room_id, when in rooms.items()])
        return {
            room_id: JoinedRoom(timeline(self._window, own.get(room_id, []), False), Events(), Events(), Events())
            for room_id in rooms
        }

    def _invited(self, tx: Transaction, rooms: list[str]) -> dict[str, Section]:
        """Stripped state for somebody invited, with who invites; or for somebody who knocks."""
        user_id, upto = self._window.person.user_id, self._window.upto
        keys = [*((kind, "") for kind in _INVITE_STATE), (MEMBER, user_id)]
        found = self._tables.state_entries(tx, [Entry(room_id, *key, upto) for room_id in rooms for key in keys])
        own = [event for room_id in rooms for event in found.get(room_id, []) if event.state_key == user_id]
        knocking = {event.room_id for event in own if event.sender == user_id}
        inviters = self._tables.state_entries(
            tx, [Entry(event.room_id, MEMBER, event.sender, upto) for event in own if event.sender != user_id]
        )
        shown = {
            room_id: Events([Raw(events.stripped(event)) for event in (*inviters.get(room_id, []), *found[room_id])])
            for room_id in rooms
        }
        return {
            room_id: KnockedRoom(state) if room_id in knocking else InvitedRoom(state)
            for room_id, state in shown.items()
        }


_PRESENT = ("join", "invite", "knock")


def _before(part: _Part) -> Stretch:
    return Stretch(part.room_id, part.stretch.after, part.before)


def _visible(newest: list[Event], sight: Sight | None) -> list[Event]:
    """The newest stretch of events (given newest first) that may all be seen, oldest first."""
    if sight is None:
        return newest[::-1]
    everything_from = sight.last_change if sight.now == "join" else END
    shown: list[Event] = []
    for event in newest:
        if event.position < everything_from and not sight.sees(event):
            break
        shown.append(event)
    return shown[::-1]
