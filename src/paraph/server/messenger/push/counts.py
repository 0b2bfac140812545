"""How much is unread: notifications and highlights by room and thread, for each person.

Nothing is counted when a message is sent. When a person syncs, the events since her last sync are held against her
rules and the notifications among them remembered, in memory, until she reads them; after a restart the newest events
that she has not read are looked at again. At most `MAX_COUNTED` of a room count: more than that shows as that many.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from paraph.server.messenger.core import Core
from paraph.server.messenger.model import MEMBER, REDACTION, Event, Receipt
from paraph.server.messenger.push.evaluator import RoomFacts
from paraph.server.messenger.push.rules import Known, RulesOf
from paraph.server.messenger.relations.model import THREAD, relation_of
from paraph.server.messenger.room import Room
from paraph.server.messenger.rooms_at_once import RoomsAtOnce, Stretch
from paraph.server.messenger.views import View
from paraph.server.storage import Transaction

MAX_COUNTED = 200
MAX_ROOMS = 100_000
MAX_NOTICES = 1_000_000
"""Of all people together, in memory; what was loaded longest ago is forgotten first."""
MAIN = "main"
UNTHREADED = ""


class Count(msgspec.Struct):
    """What a client shows beside a room or a thread."""

    highlight_count: int = 0
    notification_count: int = 0


class Notice(NamedTuple):
    """One unread notification; `thread` is `main` or the id of a thread's root."""

    position: int
    thread: str
    highlight: bool


class Unread:
    """One person in one room: what she has not read of the events up to `upto`, oldest first, by these rules."""

    __slots__ = ("_counts", "found", "read", "rules", "upto")

    def __init__(self, upto: int, read: dict[str, int], rules: Known) -> None:
        self.upto = upto
        self.rules = rules
        self.read = read
        self.found: dict[str, Notice] = {}
        self._counts: dict[str, Count] = {}

    def is_read(self, position: int, thread: str) -> bool:
        """Whether a receipt covers this place in this thread."""
        return position <= self.read.get(UNTHREADED, 0) or position <= self.read.get(thread, 0)

    def add(self, event_id: str, notice: Notice) -> None:
        """One more; the oldest goes where there are too many."""
        if len(self.found) >= MAX_COUNTED:
            self.remove(next(iter(self.found)))
        self.found[event_id] = notice
        count = self._counts.setdefault(notice.thread, Count())
        count.notification_count += 1
        count.highlight_count += notice.highlight

    def remove(self, event_id: str) -> None:
        """Not any more, if it was one."""
        notice = self.found.pop(event_id, None)
        if notice is None:
            return
        count = self._counts[notice.thread]
        count.notification_count -= 1
        count.highlight_count -= notice.highlight
        if count.notification_count == 0:
            del self._counts[notice.thread]

    def read_up_to(self, position: int, thread: str) -> None:
        """She has read a thread up to there or, with an unthreaded receipt, all of the room."""
        if position <= self.read.get(thread, 0):
            return
        self.read[thread] = position
        if thread == UNTHREADED or thread in self._counts:
            for event_id in [
                name for name, notice in self.found.items() if self.is_read(notice.position, notice.thread)
            ]:
                self.remove(event_id)

    @property
    def total(self) -> Count:
        """Of all threads together."""
        counts = self._counts.values()
        return Count(sum(one.highlight_count for one in counts), sum(one.notification_count for one in counts))

    @property
    def main(self) -> Count:
        """Of the main timeline."""
        return self._counts.get(MAIN, Count())

    @property
    def threads(self) -> dict[str, Count]:
        """Of each thread that has any."""
        return {thread: count for thread, count in self._counts.items() if thread != MAIN}


class _NeedsTables(Exception):
    """What memory holds does not say in which thread an event is."""


ThreadOf = Callable[[str], str | None]


class Counts:
    """Unread counts of everybody who syncs here."""

    def __init__(self, core: Core, rules: RulesOf) -> None:
        self._core = core
        self._rules = rules
        self._tables = RoomsAtOnce(core.database.dialect)
        self._held: OrderedDict[tuple[str, str], Unread] = OrderedDict()
        self._notices = 0

    def received(self, room_id: str, receipt: Receipt) -> None:
        """A receipt is durable."""
        unread = self._held.get((receipt.user_id, room_id))
        if unread is not None:
            before = len(unread.found)
            unread.read_up_to(receipt.event_position, receipt.thread_id)
            self._notices += len(unread.found) - before

    def clear(self) -> None:
        """Forget everything; whoever syncs is counted from the tables."""
        self._held.clear()
        self._notices = 0

    def from_memory(self, user_id: str, room_id: str, upto: int, view: View | None) -> Unread | None:
        """As of `upto`, if memory knows, else None; a view knows where nothing has happened."""
        unread = self._held.get((user_id, room_id))
        if unread is None or unread.rules is not self._rules.held(user_id):
            return None
        at = unread.upto
        if at >= upto or (view is not None and at >= view.floor and at >= view.recent.get(room_id, 0)):
            return unread
        room = self._core.rooms.held(room_id)
        if room is None or at < room.tail_from:
            return None
        try:
            self._take(unread, user_id, room.events_after(at, upto), HeldRoom(room, user_id), _unknown)
        except _NeedsTables:
            return None
        unread.upto = upto
        return unread

    def from_tables(self, tx: Transaction, user_id: str, rooms: Mapping[str, int], upto: int) -> dict[str, Unread]:
        """As of `upto`, for rooms by the position where she joined: a few statements, however many rooms."""
        rules = self._rules.load(tx, user_id)
        own = self._core.store.own_reads(tx, list(rooms), user_id)
        reads = {room_id: {UNTHREADED: since, **own.get(room_id, {})} for room_id, since in rooms.items()}
        for room_id, since in rooms.items():
            reads[room_id][UNTHREADED] = max(reads[room_id][UNTHREADED], since)
        asked = [Stretch(room_id, read[UNTHREADED], upto) for room_id, read in reads.items()]
        newest = self._tables.backwards(tx, asked, MAX_COUNTED)
        members = self._tables.members(tx, [room_id for room_id in rooms if self._core.rooms.held(room_id) is None])
        found: dict[str, Unread] = {}
        for room_id, read in reads.items():
            unread = found[room_id] = Unread(upto, read, rules)
            events = newest.get(room_id, [])[::-1]
            facts = self._facts(tx, room_id, user_id, members)
            self._take(unread, user_id, events, facts, partial(self._core.relations.thread_of, tx))
            unread.upto = upto
        self._keep(user_id, found)
        return found

    def _keep(self, user_id: str, found: Mapping[str, Unread]) -> None:
        """Hold what was read from the tables, in the read itself: receipts that come later are applied to it."""
        for room_id, unread in found.items():
            held = self._held.pop((user_id, room_id), None)
            self._notices -= 0 if held is None else len(held.found)
            self._held[user_id, room_id] = unread
        while len(self._held) > MAX_ROOMS or (self._notices > MAX_NOTICES and len(self._held) > 1):
            _, gone = self._held.popitem(last=False)
            self._notices -= len(gone.found)

    def _facts(
        self, tx: Transaction, room_id: str, user_id: str, members: Mapping[str, Mapping[str, str]]
    ) -> RoomFacts:
        room = self._core.rooms.held(room_id)
        if room is not None:
            return HeldRoom(room, user_id)
        joined = sum(membership == "join" for membership in members.get(room_id, {}).values())
        return _StoredRoom(lambda: self._core.store.load_room(tx, room_id) or Room(room_id), user_id, joined)

    def _take(
        self, unread: Unread, user_id: str, events: Iterable[Event], room: RoomFacts, thread_of: ThreadOf
    ) -> None:
        evaluator, ignored = unread.rules
        before = len(unread.found)
        for event in events:
            if event.sender == user_id:
                self._note_own(unread, event, thread_of)
            elif event.type == REDACTION:
                unread.remove(_redacts(event))
            elif event.sender not in ignored and (outcome := evaluator.outcome(event, user_id, room)).notify:
                thread = thread_in(event, thread_of)
                if not unread.is_read(event.position, thread):
                    unread.add(event.event_id, Notice(event.position, thread, outcome.highlight))
            unread.upto = event.position
        self._notices += len(unread.found) - before

    def _note_own(self, unread: Unread, event: Event, thread_of: ThreadOf) -> None:
        """Whoever says something in a thread has read it."""
        if unread.found:
            unread.read_up_to(event.position, thread_in(event, thread_of))
        if event.type == REDACTION:
            unread.remove(_redacts(event))


class HeldRoom:
    """A room in memory as rules ask about it."""

    __slots__ = ("_room", "_user_id", "members")

    def __init__(self, room: Room, user_id: str) -> None:
        self._room = room
        self._user_id = user_id
        self.members = len(room.joined)

    def display_name(self) -> str | None:
        """The person's own name in the room."""
        member = self._room.state.get((MEMBER, self._user_id))
        name = None if member is None else member.content.get("displayname")
        return name if isinstance(name, str) else None

    def may_notify(self, sender: str, key: str) -> bool:
        """Whether somebody's power level is enough for notifications of this kind."""
        return self._room.power.of(sender) >= self._room.power.to_notify(key)


class _StoredRoom:
    """A room that is not in memory; names and power levels are read when they are asked for."""

    __slots__ = ("_load", "_user_id", "members")

    def __init__(self, load: Callable[[], Room], user_id: str, members: int) -> None:
        self._load = load
        self._user_id = user_id
        self.members = members

    def display_name(self) -> str | None:
        """As `HeldRoom`."""
        return HeldRoom(self._load(), self._user_id).display_name()

    def may_notify(self, sender: str, key: str) -> bool:
        """As `HeldRoom`."""
        return HeldRoom(self._load(), self._user_id).may_notify(sender, key)


def thread_in(event: Event, thread_of: ThreadOf) -> str:
    """The thread that an event is in, following what it relates to (Client-Server API, "Threaded read receipts")."""
    if b'"m.relates_to"' not in event.json:
        return MAIN
    relation = relation_of(event.content)
    if relation is None:
        return MAIN
    return relation.target_id if relation.rel_type == THREAD else thread_of(relation.target_id) or MAIN


def _unknown(_event_id: str) -> str | None:
    raise _NeedsTables


class _Redacts(msgspec.Struct):
    redacts: str = ""


class _Redaction(msgspec.Struct):
    content: _Redacts
    redacts: str = ""


def _redacts(event: Event) -> str:
    try:
        found = msgspec.json.decode(event.json, type=_Redaction)
    except msgspec.ValidationError:
        return ""
    return found.content.redacts or found.redacts
