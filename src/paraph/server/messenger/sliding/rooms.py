"""The rooms of a sliding sync's answer: each with what is new of it, or with all that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from paraph.server.http import PersonPrincipal
from paraph.server.messenger import events
from paraph.server.messenger.filters.matching import EVERYTHING
from paraph.server.messenger.model import Event, Membership
from paraph.server.messenger.relations.bundles import with_relations
from paraph.server.messenger.relations.service import Relations
from paraph.server.messenger.rooms_at_once import RoomsAtOnce, Stretch
from paraph.server.messenger.sliding.connections import Sent
from paraph.server.messenger.sliding.state import AVATAR, NAME, RequiredState, Told
from paraph.server.messenger.sliding.wanted import RoomWanted
from paraph.server.messenger.sync.lazy import Lazy
from paraph.server.messenger.sync.parts import Part
from paraph.server.messenger.sync.rooms import Window
from paraph.server.messenger.sync.sections import Raw
from paraph.server.messenger.sync.timelines import Timelines
from paraph.server.messenger.sync.waiting import Waiting
from paraph.server.messenger.visibility import Sight
from paraph.server.storage import Transaction

BUMPING = (
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.beacon_info",
)
"""Events that move a room to the top of a client's list."""
BUMP_DEPTH = 100
"""Events looked at for the newest of these."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A room that an answer may tell: what is wanted of it, what the client has of it, and what she is to it."""

    room_id: str
    wanted: RoomWanted
    sent: Sent | None
    there: Membership
    is_dm: bool


@dataclass(frozen=True, slots=True)
class Names:
    """How the two forms of an answer call the same things."""

    timeline: str = "timeline"
    stripped: str = "invite_state"
    expanded: str = "unstable_expanded_timeline"


@dataclass(frozen=True, slots=True)
class Span:
    """What one answer covers. `since` is where the answer before ended; None for a connection's first one."""

    person: PersonPrincipal
    since: int | None
    upto: int
    lazy: Lazy
    ignored: frozenset[str]
    names: Names = field(default_factory=Names)


class Rooms:
    """Builds the rooms of one answer."""

    def __init__(self, tables: RoomsAtOnce, relations: Relations, span: Span) -> None:
        self._tables = tables
        self._span = span
        self._timelines = Timelines(tables, relations, span.upto)
        window = Window(span.person, span.since, span.upto, EVERYTHING, ignored=span.ignored)
        self._waiting = Waiting(tables, window)

    def build(self, tx: Transaction, asked: Sequence[Asked]) -> dict[str, dict[str, Any]]:
        """What is told of these rooms; those of which nothing can be are missing."""
        by_id = {it.room_id: it for it in asked}
        kinds: dict[str, list[str]] = {"invite": [], "knock": []}
        for it in asked:
            kinds.get(it.there.membership, []).append(it.room_id)
        stripped = {
            room_id: room.invite_state.events for room_id, room in self._waiting.invited(tx, kinds["invite"]).items()
        }
        stripped |= {
            room_id: room.knock_state.events for room_id, room in self._waiting.knocked(tx, kinds["knock"]).items()
        }
        built = {room_id: self._waited(by_id[room_id], state) for room_id, state in stripped.items()}
        inside = [it for it in asked if it.there.membership in ("join", "leave", "ban")]
        return built | self._inside(tx, inside)

    def _waited(self, asked: Asked, state: list[Raw]) -> dict[str, Any]:
        return self._common(asked) | {"initial": True, self._span.names.stripped: state}

    def _common(self, asked: Asked) -> dict[str, Any]:
        found: dict[str, Any] = {"membership": asked.there.membership, "bump_stamp": asked.there.position}
        if asked.wanted.lists:
            found["lists"] = sorted(set(asked.wanted.lists))
        before = None if asked.sent is None else asked.sent.is_dm
        if asked.is_dm is not (before or False):
            found["is_dm"] = asked.is_dm
        return found

    # Rooms that she is or was in

    def _inside(self, tx: Transaction, asked: list[Asked]) -> dict[str, dict[str, Any]]:
        sights = self._sights(tx, asked)
        found = [told for it in asked if (told := self._begun(it, sights.get(it.room_id))) is not None]
        for limit in {told.wanted.timeline for told in found}:
            same = [told.part for told in found if told.wanted.timeline == limit]
            self._timelines.find(tx, same, limit, self._hears)
        RequiredState(self._tables, self._span.person.user_id, self._span.lazy).add(tx, found)
        rooms = [told.room_id for told in found]
        bumped = self._tables.bumped(tx, rooms, BUMPING, self._span.upto, BUMP_DEPTH)
        bundles = self._timelines.bundles(tx, self._span.person, [told.part for told in found])
        by_id = {it.room_id: it for it in asked}
        return {
            told.room_id: self._told(by_id[told.room_id], told, bundles)
            | _stamp(by_id[told.room_id], bumped.get(told.room_id, 0))
            for told in found
        }

    def _hears(self, event: Event) -> bool:
        return event.sender not in self._span.ignored or event.state_key is not None

    def _sights(self, tx: Transaction, asked: list[Asked]) -> dict[str, Sight]:
        needed = [it.room_id for it in asked if self._unseen(it) or _expands(it)]
        return Sight.load_all(self._tables, tx, needed, self._span.person.user_id, self._span.upto)

    @staticmethod
    def _unseen(asked: Asked) -> bool:
        """Whether the client begins anew with this room, or her part in it has changed since it was told."""
        sent = asked.sent
        return sent is None or sent.membership != "join" or asked.there.position > sent.position

    def _begun(self, asked: Asked, sight: Sight | None) -> Told | None:
        left, sent = asked.there.membership != "join", asked.sent
        upto = min(self._span.upto, asked.there.position) if left else self._span.upto
        if left and sight is not None and not sight.joined_within(0, upto):
            return None
        if sent is not None and sent.membership == "join" and (left or not self._unseen(asked)):
            expanded = _expands(asked)
            part = Part(Stretch(asked.room_id, 0 if expanded else sent.position, upto), sight, full=False, left=left)
            return Told(part, asked.wanted, sent, expanded)
        part = Part(Stretch(asked.room_id, 0, upto), sight, full=True, left=left)
        return Told(part, asked.wanted, None)

    def _told(self, asked: Asked, told: Told, bundles: dict[str, Raw]) -> dict[str, Any]:
        person, names, part = self._span.person, self._span.names, told.part
        shown = [
            Raw(
                with_relations(
                    events.shown(event, person.user_id, person.device_id, there), bundles.get(event.event_id)
                )
            )
            for event, there in zip(part.shown, part.memberships(), strict=True)
        ]
        found = self._common(asked) | {
            names.timeline: shown,
            "prev_batch": f"s{part.before}",
            "limited": part.limited,
            "num_live": self._live(told),
            "required_state": [Raw(event.json) for event in told.required],
        }
        if told.fresh:
            found["initial"] = True
        if told.expanded:
            found[names.expanded] = True
        return found | _called(told) | _people(told)

    def _live(self, told: Told) -> int:
        """How many of the shown events have just happened, and are not history."""
        since = self._span.since if told.sent is None else told.sent.position
        return 0 if since is None else sum(event.position > since for event in told.part.shown)


def _stamp(asked: Asked, bumped: int) -> dict[str, int]:
    joined = asked.there.membership == "join"
    return {"bump_stamp": bumped if joined and bumped else asked.there.position}


def _expands(asked: Asked) -> bool:
    """Whether more of the timeline is wanted now than when the room was sent."""
    return asked.sent is not None and asked.wanted.timeline > asked.sent.wanted.timeline


def _called(told: Told) -> dict[str, Any]:
    """Name and picture, if they may have changed; a name that is gone is null."""
    if not told.renamed:
        return {} if told.heroes is None or not told.moved else {"heroes": told.heroes}
    found: dict[str, Any] = {}
    for member, kind, key in (("name", NAME, "name"), ("avatar", AVATAR, "url")):
        event = told.called.get(kind)
        value = None if event is None else event.content.get(key)
        if isinstance(value, str) and value:
            found[member] = value
        elif not told.fresh and event is not None:
            found[member] = None
    return found if told.heroes is None else found | {"heroes": told.heroes}


def _people(told: Told) -> dict[str, int]:
    """How many are there, if that may have changed."""
    if told.members is None or not told.moved:
        return {}
    there = list(told.members.values())
    return {"joined_count": there.count("join"), "invited_count": there.count("invite")}
