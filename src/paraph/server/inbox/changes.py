"""The stream of changes: everything that a partner is to know of all its grants, in one order, resumable for ever.

What a partner gets of it is decided when it reads, under the grants as they are then, in the write transaction that
records the accesses; so nothing that stood in the stream can leave after the revocation was acknowledged. Nothing is
left out in silence: what no longer may be read is said to be withheld, with a cursor for `messages` that leads back to
it, should the grant give it again.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from paraph.server.consent.access import LiveGrant, Named
from paraph.server.consent.service import Consent
from paraph.server.inbox import serving
from paraph.server.inbox.feed import filling
from paraph.server.inbox.feed import store as feed_store
from paraph.server.inbox.feed.filling import DEVICES, DRAFT, MESSAGE, Feed
from paraph.server.inbox.feed.store import Row
from paraph.server.inbox.opaque import Opaque, bad_state
from paraph.server.inbox.reading import Cursors, rendered
from paraph.server.inbox.receipts import answered
from paraph.server.inbox.serving import READ, Accesses, Coverage, Source
from paraph.server.inbox.source import MessageSource, Origin
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.receipts import Receipts
from paraph.server.ledger.service import Ledger
from paraph.server.messenger.model import StoredEvent
from paraph.server.storage import Database, Transaction

STATE = "state"
MAX_LOOKS = 8
"""Stretches with nothing for the caller in them that one request passes; behind them it says that there is more."""
MAX_AT_ONE_POSITION = 200
"""Grants of one person that may cover one message: as many as she may have open."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """How far a stream was read: every row up to `position`; where `room` is set, the last one only up to there.

    Of a history, everything before `room` (in the order of ids), and in it everything up to `at`.
    """

    position: int = 0
    room: str | None = None
    at: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """What a partner asks for: its stream for a purpose (under one grant alone: `only`) from a place on."""

    slug: str
    purpose: str
    only: str | None
    place: Place
    limit: int


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: changes, the place after them, whether there are more, and the access entries."""

    changes: list[Json]
    place: Place
    more: bool
    accesses: list[Recorded]

    def answered(self, receipts: Receipts, state: str) -> Json:
        """The answer of docs/protocol.md section 8, once the accesses are durable."""
        return {
            "changes": self.changes,
            "state": state,
            "more": self.more,
            "accesses": [answered(receipts, recorded) for recorded in self.accesses],
        }


class States:
    """Places as partners carry them: good for one partner, one purpose and one grant (or none)."""

    def __init__(self, opaque: Opaque) -> None:
        self._opaque = opaque

    def made(self, ask: Ask, place: Place) -> str:
        """The state for a place."""
        members: Json = {"purpose": ask.purpose, "only": ask.only, "position": f"{place.position:016x}"}
        if place.room is not None:
            members |= {"room": place.room, "at": f"{place.at:016x}"}
        return self._opaque.seal(STATE, ask.slug, members)

    def place(self, slug: str, purpose: str, only: str | None, text: str) -> Place:
        """The place behind a state, the beginning for none. Raises Problem `bad-state`."""
        if not text:
            return Place()
        members = self._opaque.open(STATE, slug, text)
        if (members["purpose"], members["only"]) != (purpose, only):
            raise bad_state("this state belongs to the stream of another purpose or another grant's token")
        return Place(int(members["position"], 16), members.get("room"), int(members.get("at", "0"), 16))


class Changes:
    """Serves the streams."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        consent: Consent,
        source: MessageSource,
        stream: Feed,
        opaque: Opaque,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._consent = consent
        self._source = source
        self._feed = stream
        self._clock = clock
        self._cursors = Cursors(opaque)
        self.states = States(opaque)

    async def read(self, ask: Ask, timeout_ms: int) -> Json:
        """The next changes of a stream, waiting for some. Raises Problem, and LogNotFresh with the log behind."""
        loop = asyncio.get_running_loop()
        until, looks = loop.time() + timeout_ms / 1000, MAX_LOOKS
        while True:
            left = until - loop.time()
            # The waiter stands before the look, or a change that comes in between would not wake it.
            waiter = self._feed.wait(ask.slug, max(left, 0))
            try:
                news, next_end = await self._database.read(lambda tx, ask=ask: self._peek(tx, ask))  # type: ignore[misc]
                if news:
                    page = await self._database.write(lambda tx, ask=ask: self._serve(tx, ask))  # type: ignore[misc]
                    looks -= page.more
                    if page.changes or not looks:
                        return self._answered(ask, page)
                    ask = replace(ask, place=page.place)
                    if page.more:
                        continue
                if left <= 0 or waiter.stopped:
                    return self._answered(ask, Page([], ask.place, False, []))
                waiter.within(None if next_end is None else (next_end - self._clock()) / 1000)
                await waiter.done
            finally:
                waiter.cancel()

    def _answered(self, ask: Ask, page: Page) -> Json:
        return page.answered(self._ledger.receipts, self.states.made(ask, page.place))

    def _peek(self, tx: Transaction, ask: Ask) -> tuple[bool, int | None]:
        """Whether there may be something to serve, and when the next grant runs out (ms)."""
        self._ledger.check_fresh(tx)
        next_end = self._feed.next_end(tx, ask.slug)
        if ask.place.room is not None or (next_end is not None and next_end <= self._clock()):
            return True, next_end
        return bool(self._rows(tx, ask, ask.place.position, 1)), next_end

    def _rows(self, tx: Transaction, ask: Ask, after: int, limit: int) -> list[Row]:
        # Never beyond what is durable: a place must not lie ahead of what is still to be written.
        return feed_store.rows(tx, ask.slug, after, self._database.position, limit, ask.only)

    def _serve(self, tx: Transaction, ask: Ask) -> Page:
        self._ledger.check_fresh(tx)
        expired = self._feed.note_run_out(tx, ask.slug)
        made = _Serving(tx, ask, self._consent, self._source, self._cursors, self._database.dialect)
        page = made.page(self._begun(tx, ask), self._groups(tx, ask), self._ledger)
        return replace(page, more=True) if expired else page

    def _begun(self, tx: Transaction, ask: Ask) -> list[Row]:
        """The row that was read in part, if there is one."""
        if ask.place.room is None:
            return []
        after = ask.place.position - 1
        return feed_store.rows(tx, ask.slug, after, ask.place.position, 1, ask.only)

    def _groups(self, tx: Transaction, ask: Ask) -> tuple[list[list[Row]], bool]:
        """What follows the place, by position, each complete; and whether there is more than that."""
        most = ask.limit + MAX_AT_ONE_POSITION
        rows = self._rows(tx, ask, ask.place.position, most)
        groups = [list(group) for _, group in groupby(rows, key=lambda row: row.position)]
        if len(rows) == most and len(groups) > 1:
            groups.pop()  # it may go on
        return groups[: ask.limit], len(groups) > ask.limit or len(rows) == most


class _Serving:
    """One answer in the making, in one write transaction."""

    def __init__(
        self, tx: Transaction, ask: Ask, consent: Consent, source: MessageSource, cursors: Cursors, dialect: str
    ) -> None:
        self._tx = tx
        self._ask = ask
        self._consent = consent
        self._source = source
        self._cursors = cursors
        self._coverage = Coverage(tx, dialect, ask.slug)
        self._accesses = Accesses()
        self._changes: list[Json] = []
        self._named: dict[str, Named] = {}
        self._events: dict[int, StoredEvent] = {}
        self._sources: dict[str, Source] = {}
        self._devices: dict[str, list[Json]] = {}
        self._closed: dict[str, bool] = {}
        self._members: dict[str, frozenset[str]] = {}
        self._withheld: set[tuple[str, str | None, str]] = set()

    def page(self, begun: list[Row], found: tuple[list[list[Row]], bool], ledger: Ledger) -> Page:
        """Decide, record."""
        groups, more = found
        self._prepare([*begun, *(row for group in groups for row in group)])
        place = self._place(begun, groups)
        more = more or place.room is not None or place.position < (groups[-1][0].position if groups else 0)
        accesses = self._accesses.record(self._tx, ledger, self._ask.slug, self._ask.purpose)
        return Page(self._changes, place, more, accesses)

    def _prepare(self, rows: list[Row]) -> None:
        grant_ids = {row.grant_id: None for row in rows}
        self._named = self._consent.live.named(self._tx, self._ask.slug, grant_ids)
        positions = [row.position for row in rows if row.kind == MESSAGE]
        if positions:
            self._events = dict(self._source.encrypted_at(self._tx, positions))

    def _place(self, begun: list[Row], groups: list[list[Row]]) -> Place:
        """Go through the rows as far as one answer reaches; how far that was."""
        place = self._ask.place
        if begun:
            place = self._history(begun[0], place)
            if place.room is not None:
                return place
        for group in groups:
            if len(self._changes) >= self._ask.limit:
                return place
            place = Place(group[0].position)
            match group[0].kind:
                case filling.MESSAGE:
                    self._message(group)
                case filling.HISTORY:
                    place = self._history(group[0], Place(group[0].position, ""))
                case kind:
                    self._told(kind, group)
            if place.room is not None:
                return place
        return place

    # -- what is told --

    def _told(self, kind: str, group: list[Row]) -> None:
        """What became of a grant, whose devices changed, what became of a draft."""
        for row in group:
            about = row.about or {}
            if kind == DRAFT:
                self._changes.append({"kind": DRAFT, "grant_id": row.grant_id, **about})
                continue
            change: Json = {"kind": kind, "grant_id": row.grant_id, "person": row.person, **about}
            named = self._named.get(row.grant_id)
            live = None if named is None else named.live
            if live is not None and (kind == DEVICES or about.get("what") in ("made", "amended", "resumed")):
                change["grant"] = rendered(live, self._devices_of(row.person))
            self._changes.append(change)

    def _devices_of(self, person: str) -> list[Json]:
        if person not in self._devices:
            self._devices[person] = self._consent.grants.enrolled_devices(self._tx, person)
        return self._devices[person]

    # -- what is read --

    def _message(self, group: list[Row]) -> None:
        """A message under each grant that covered it when it was sent: served under the oldest that gives it now."""
        asked = self._for_this_purpose(group)
        if not asked:
            return  # it was never granted for this purpose: another stream has it
        row, room_id = asked[0], asked[0].room_id or ""
        event = self._events.get(row.position)
        if event is None:
            self._withhold(row.grant_id, room_id, "redacted")
            return
        fitting = [live for one in asked if (live := self._live(one.grant_id, room_id)) is not None]
        if not fitting or not self._is_in(row.person, room_id):
            self._withhold(row.grant_id, room_id, "not-granted", row.position)
            return
        if self._is_closed(room_id):
            self._withhold(row.grant_id, room_id, "closed", row.position)
            return
        source = self._source_of(min(fitting, key=lambda live: live.held.seq))
        if source.opens(Origin.of(event)):
            self._give(event, source)

    def _for_this_purpose(self, group: Iterable[Row]) -> list[Row]:
        purpose = self._ask.purpose
        return [
            row
            for row in group
            if (named := self._named.get(row.grant_id)) is not None and purpose in named.held.grant.purposes
        ]

    def _live(self, grant_id: str, room_id: str | None = None) -> LiveGrant | None:
        """The grant if it lets this be read for the purpose now, in the room if one is named."""
        live = self._named[grant_id].live
        if live is None or READ not in live.scope.verbs or self._ask.purpose not in live.scope.purposes:
            return None
        return live if room_id is None or live.scope.covers(room_id) else None

    def _source_of(self, live: LiveGrant) -> Source:
        if live.grant_id not in self._sources:
            if not self._sources:
                self._coverage.look(self._events)
            devices = self._consent.grants.enrolled_ids(self._tx, live.person)
            self._sources[live.grant_id] = Source(live, devices, self._coverage)
        return self._sources[live.grant_id]

    def _is_in(self, person: str, room_id: str) -> bool:
        if room_id not in self._members:
            self._members[room_id] = frozenset(self._source.members(self._tx, room_id))
        return person in self._members[room_id]

    def _is_closed(self, room_id: str) -> bool:
        if room_id not in self._closed:
            self._closed[room_id] = self._source.is_closed(self._tx, room_id)
        return self._closed[room_id]

    def _give(self, event: StoredEvent, source: Source, **more: Any) -> None:
        shown = serving.shown(self._tx, self._source.origin, event, source)
        self._changes.append({"kind": MESSAGE, "grant_id": source.live.grant_id, "event": shown, **more})
        self._accesses.add(source.live, event.event)

    def _withhold(self, grant_id: str, room_id: str | None, why: str, position: int | None = None) -> None:
        """Say that something of a room was left out; once in an answer for each room and reason."""
        if (grant_id, room_id, why) in self._withheld:
            return
        self._withheld.add((grant_id, room_id, why))
        change: Json = {"kind": "withheld", "grant_id": grant_id, "room_id": room_id, "why": why}
        if position is not None and room_id is not None:
            change["since"] = self._cursors.made(self._ask.slug, room_id, position - 1)
        self._changes.append(change)

    # -- history --

    def _history(self, row: Row, place: Place) -> Place:
        """Older words under a grant, from `place` on: room by room, as far as this answer reaches."""
        done = Place(row.position)
        if not self._for_this_purpose([row]):
            return done
        live = self._live(row.grant_id)
        if live is None:
            self._withhold(row.grant_id, None, "not-granted")
            return done
        rooms = sorted(room for room in self._source.joined_rooms(self._tx, row.person) if live.scope.covers(room))
        for room_id in (room for room in rooms if room >= (place.room or "")):
            after = place.at if room_id == place.room else 0
            if self._is_closed(room_id):
                self._withhold(row.grant_id, room_id, "closed", after + 1)
                continue
            left = self._ask.limit - len(self._changes)
            if left <= 0:
                return Place(row.position, room_id, after)
            found = self._source.encrypted_events(self._tx, room_id, [row.person], after, self._ask.limit)
            before = [event for event in found if event.position < live.held.seq]
            end = self._give_older(before, live, left)
            if end is not None:
                return Place(row.position, room_id, end)
            if len(before) == self._ask.limit:
                return Place(row.position, room_id, before[-1].position)
        return done

    def _give_older(self, events: list[StoredEvent], live: LiveGrant, most: int) -> int | None:
        """Serve at most `most` of these; the position of the last one looked at if that was not all."""
        source, given = self._source_of(live), 0
        for event in events:
            if not source.opens(Origin.of(event)):
                continue
            if given == most:
                return event.position - 1
            self._give(event, source, older=True)
            given += 1
        return None
