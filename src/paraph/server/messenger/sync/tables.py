"""Rooms' parts of a sync answer, built from the tables: the same as memory would give, for several rooms at once.

Each question goes to the database once for all rooms of a read, so an account with many rooms costs a handful of
statements for each read and not for each room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from paraph.server.messenger.model import MEMBER, Event, Membership
from paraph.server.messenger.relations.service import Relations
from paraph.server.messenger.rooms_at_once import Entry, RoomsAtOnce, Stretch
from paraph.server.messenger.sync.parts import Part
from paraph.server.messenger.sync.rooms import Window, receipts
from paraph.server.messenger.sync.sections import InvitedRoom, JoinedRoom, KnockedRoom, Raw
from paraph.server.messenger.sync.state import StateBeside
from paraph.server.messenger.sync.timelines import Timelines
from paraph.server.messenger.sync.waiting import Waiting
from paraph.server.messenger.visibility import Sight
from paraph.server.storage import Transaction

Section = JoinedRoom | InvitedRoom | KnockedRoom


class FromTables:
    """Builds sections from the tables."""

    def __init__(self, tables: RoomsAtOnce, window: Window, relations: Relations) -> None:
        self._tables = tables
        self._window = window
        self._timelines = Timelines(tables, relations, window.upto)
        self._waiting = Waiting(tables, window)

    def sections(self, tx: Transaction, rooms: Mapping[str, Membership]) -> dict[str, Section]:
        """Whatever this answer says of these rooms; those with nothing to say are missing."""
        since = self._window.since
        news = [room_id for room_id, there in rooms.items() if since is None or there.position > since]
        kinds: dict[str, list[str]] = {kind: [] for kind in ("join", "invite", "knock", "leave", "ban")}
        for room_id in news:
            kinds[rooms[room_id].membership].append(room_id)
        left = self._left_rooms(tx, kinds["leave"], kinds["ban"])
        joined = [room_id for room_id, there in rooms.items() if there.membership == "join"]
        sights = Sight.load_all(self._tables, tx, kinds["join"] + left, self._window.person.user_id, self._window.upto)
        parts = [self._joined(room_id, sights.get(room_id)) for room_id in joined]
        there = [room_id for room_id in left if sights[room_id].joined_within(since or 0, rooms[room_id].position)]
        parts += [self._left(room_id, sights[room_id], rooms[room_id].position) for room_id in there]
        refused = {room_id: rooms[room_id].position for room_id in left if room_id not in there}
        return {
            **self._built(tx, parts, joined),
            **self._waiting.invited(tx, kinds["invite"]),
            **self._waiting.knocked(tx, kinds["knock"]),
            **self._refused(tx, refused),
        }

    def _left_rooms(self, tx: Transaction, left: list[str], banned: list[str]) -> list[str]:
        """Rooms for the leave section: on a first sync those that she left herself are told only if asked for."""
        window = self._window
        if window.since is not None or window.plan.include_leave:
            return left + banned
        user_id = window.person.user_id
        own = self._tables.state_entries(tx, [Entry(room_id, MEMBER, user_id, window.upto) for room_id in left])
        return [room_id for room_id in left if any(event.sender != user_id for event in own.get(room_id, []))] + banned

    def _joined(self, room_id: str, sight: Sight | None) -> Part:
        """For somebody who is joined: all the time since the window began (then there is no sight), or since later."""
        part = self._part(room_id, sight, self._window.upto)
        part.fresh = part.full and self._window.since is not None
        part.full = part.full or self._window.full_state
        return part

    def _left(self, room_id: str, sight: Sight, when: int) -> Part:
        """For somebody who left, or was put out, at `when`, having been there in this window."""
        part = self._part(room_id, sight, when)
        part.left = True
        part.full = part.full or self._window.full_state
        return part

    def _part(self, room_id: str, sight: Sight | None, upto: int) -> Part:
        since = self._window.since or 0
        if sight is None or sight.membership_at(since) == "join":
            return Part(Stretch(room_id, since, upto), sight, full=False)
        return Part(Stretch(room_id, sight.last_departure(since), upto), sight, full=True)

    def _built(self, tx: Transaction, parts: list[Part], joined: list[str]) -> dict[str, Section]:
        window, tables = self._window, self._tables
        read = tables.receipts(tx, joined, window.since or 0, window.upto)
        for part in parts:
            part.receipts = receipts(read.get(part.room_id, []), window.person.user_id, window.plan)
        self._timelines.find(tx, parts, window.plan.limit, self._wanted())
        told = [part for part in parts if part.tells or part.gap]
        state = StateBeside(tables, window)
        state.add(tx, told)
        told = [part for part in told if part.tells]
        bundles = self._timelines.bundles(tx, window.person, told)
        return {part.room_id: self._section(part, state, bundles) for part in told}

    def _wanted(self) -> Callable[[Event], bool] | None:
        window, timeline = self._window, self._window.plan.timeline
        if timeline.everything:
            return window.hears if window.ignored else None
        return lambda event: timeline.wants(event) and window.hears(event)

    # Sections

    def _section(self, part: Part, beside: StateBeside, bundles: Mapping[str, Raw]) -> JoinedRoom:
        window, summary = self._window, beside.summaries.get(part.room_id)
        if window.since is not None:
            self._note(part, beside.members.get(part.room_id, {}))
        read = [] if part.left else part.receipts
        there = part.memberships()
        section = window.section(part.shown, there, part.limited, part.before, part.state, read, bundles)
        if summary is not None and not part.left:
            section.summary = summary
        return section

    def _note(self, part: Part, here: dict[str, str]) -> None:
        """Her own coming or going: everybody there began or ceased to matter."""
        window = self._window
        joined = {name for name, membership in here.items() if membership == "join"}
        if part.sight is not None and part.left:
            window.parted.update(joined)
        elif part.sight is not None:
            window.met.update(joined - {window.person.user_id})

    def _refused(self, tx: Transaction, rooms: dict[str, int]) -> dict[str, Section]:
        """Rooms that somebody was not in in this window, but may no longer join: an invitation that ended, a ban."""
        window, user_id = self._window, self._window.person.user_id
        own = self._tables.state_entries(tx, [Entry(room_id, MEMBER, user_id, when) for room_id, when in rooms.items()])
        made: dict[str, Section] = {}
        for room_id, when in rooms.items():
            shown = [event for event in own.get(room_id, []) if window.plan.timeline.wants(event)]
            there = [str(event.content.get("membership", "leave")) for event in shown]
            made[room_id] = window.section(shown, there, False, shown[0].position - 1 if shown else when, [], [])
        return made
