"""Reading a room on request: state, members, history. From the tables, as of the newest durable position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.messenger import events
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import forbidden, not_found
from paraph.server.messenger.filters.choice import EVERYTHING, Choice, PageFilter
from paraph.server.messenger.model import CLOSED, MEMBER, Event, StoredEvent
from paraph.server.messenger.rooms_at_once import Entry, RoomsAtOnce, Stretch
from paraph.server.messenger.store import END
from paraph.server.messenger.tokens import split
from paraph.server.messenger.visibility import Sight
from paraph.server.storage import Transaction

MAX_PAGE = 1_000
MAX_SCAN = 3_000
"""Events looked at for one page, visible or not."""


def parse_token(token: str) -> int:
    """The position in a token of sync or of a page; raises M_INVALID_PARAM."""
    return split(token)[0]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of history: events in the asked order, and the token to go on from (None at the end).

    `members` are the membership events of those who sent them, where members are loaded lazily.
    """

    sight: Sight
    events: list[Event]
    start: int
    end: int | None
    members: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Context:
    """An event, what is before and after it, and the room's state after the last of that."""

    event: Event
    before: Page
    after: Page
    state: list[Event]


class Reading:
    """Answers questions about rooms."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._tables = RoomsAtOnce(core.database.dialect)

    def sight(self, tx: Transaction, room_id: str, user_id: str) -> tuple[Sight, int]:
        """The person's sight and the position up to which it reaches; raises M_FORBIDDEN for strangers.

        Members look at the room as it is, and so does everybody where everybody may read it. Whoever left looks at it
        as it was then, until she forgets it.
        """
        upto = self._core.database.position
        sight = Sight.load(self._core.store, tx, room_id, user_id, upto)
        if sight.now == "join" or sight.open:
            return sight, upto
        departure = sight.departure
        if departure is None or self._core.store.membership(tx, user_id, room_id) is None:
            raise forbidden(f"{user_id} is not and was not joined to {room_id}")
        return sight, min(upto, departure)

    def _event(self, tx: Transaction, room_id: str, user_id: str, event_id: str) -> tuple[Event, Sight, int]:
        """An event, the sight in which it is, and how far that reaches; raises M_NOT_FOUND."""
        try:
            sight, upto = self.sight(tx, room_id, user_id)
        except MatrixError:
            raise not_found(f"there is no event {event_id[:80]} that you may see") from None
        return self._in_sight(tx, room_id, event_id, sight, upto), sight, upto

    def _in_sight(self, tx: Transaction, room_id: str, event_id: str, sight: Sight, upto: int) -> Event:
        found = self._core.store.event(tx, room_id, event_id)
        if found is None or found.position > upto or not sight.sees(found):
            raise not_found(f"there is no event {event_id[:80]} that you may see")
        return found

    async def event(self, person: PersonPrincipal, room_id: str, event_id: str) -> tuple[Event, Sight]:
        """One event; raises M_NOT_FOUND if there is none that the person may see."""
        return (await self._core.look(lambda tx: self._event(tx, room_id, person.user_id, event_id)))[:2]

    async def messages(
        self,
        person: PersonPrincipal,
        room_id: str,
        direction: str | None,
        start: int | None,
        to: int | None,
        limit: int,
        wanted: PageFilter = EVERYTHING,
    ) -> Page:
        """History from `start` (default: the newest, or the oldest) towards `to`, at most `limit` events.

        Raises M_FORBIDDEN, and M_INVALID_PARAM for a direction other than `b` and `f`.
        """

        def read(tx: Transaction) -> Page:
            sight, upto = self.sight(tx, room_id, person.user_id)
            look = self._look(tx, room_id, person, sight, wanted)
            if check_dir(direction):
                page = self._backwards(look, min(upto, END if start is None else start), to or 0, limit)
            else:
                page = self._forwards(look, start or 0, min(upto, END if to is None else to), limit)
            return self._with_members(look, page, upto)

        await self._core.reach(max(start or 0, to or 0))
        return await self._core.look(read)

    def _look(self, tx: Transaction, room_id: str, person: PersonPrincipal, sight: Sight, wanted: PageFilter) -> _Look:
        ignored = self._core.ignored(tx, person.user_id)
        return _Look(tx, room_id, sight, wanted, Choice(tx, self._core.relations.store, sight, ignored, wanted))

    def _backwards(self, look: _Look, start: int, to: int, limit: int) -> Page:
        fetch = self._core.store.events_backwards
        return _page(lambda at: fetch(look.tx, look.room_id, to, at, limit), look, start, limit, step=-1)

    def _forwards(self, look: _Look, start: int, upto: int, limit: int) -> Page:
        fetch = self._core.store.events_forwards
        return _page(lambda at: fetch(look.tx, look.room_id, at, upto, limit), look, start, limit, step=0)

    def _with_members(self, look: _Look, page: Page, upto: int) -> Page:
        if not look.wanted.events.lazy or not page.events:
            return page
        return replace(page, members=self._senders(look, page.events, upto))

    def _senders(self, look: _Look, shown: Sequence[Event], upto: int) -> list[Event]:
        """The membership events of whoever sent these events, as they were at the newest of them."""
        at = min(upto, max(event.position for event in shown))
        names = dict.fromkeys(event.sender for event in shown)
        asked = [Entry(look.room_id, MEMBER, user_id, at) for user_id in names]
        return self._tables.state_entries(look.tx, asked).get(look.room_id, [])

    async def context(
        self, person: PersonPrincipal, room_id: str, event_id: str, limit: int, wanted: PageFilter = EVERYTHING
    ) -> Context:
        """An event and its surroundings.

        Raises M_FORBIDDEN for strangers, whether there is such an event or not, and M_NOT_FOUND if there is none that
        the person may see.
        """

        def read(tx: Transaction) -> Context:
            sight, upto = self.sight(tx, room_id, person.user_id)
            found = self._in_sight(tx, room_id, event_id, sight, upto)
            look = self._look(tx, room_id, person, sight, wanted)
            half, at = limit // 2, found.position
            before = self._backwards(look, at - 1, 0, half) if half else Page(sight, [], at - 1, at - 1)
            rest = limit - half
            after = self._forwards(look, at, upto, rest) if rest else Page(sight, [], at, at)
            last = after.events[-1].position if after.events else at
            return Context(found, before, after, self._state_around(look, [found, *before.events, *after.events], last))

        return await self._core.look(read)

    def _state_around(self, look: _Look, shown: list[Event], upto: int) -> list[Event]:
        """The room's state, with all members or with those who sent what is shown."""
        lazy = look.wanted.events.lazy
        stretch = Stretch(look.room_id, 0, upto)
        state = self._tables.state_at(look.tx, [stretch], members=not lazy).get(look.room_id, [])
        return state + self._senders(look, shown, upto) if lazy else state

    async def state(self, person: PersonPrincipal, room_id: str) -> list[Event]:
        """The room's state now, or as it was when the person left."""

        def read(tx: Transaction) -> list[Event]:
            _, upto = self.sight(tx, room_id, person.user_id)
            return self._core.store.state_at(tx, room_id, upto)

        return await self._core.look(read)

    async def state_entry(self, person: PersonPrincipal, room_id: str, kind: str, state_key: str) -> Event:
        """One piece of state; raises M_NOT_FOUND."""

        def read(tx: Transaction) -> Event:
            _, upto = self.sight(tx, room_id, person.user_id)
            found = self._core.store.state_entry(tx, room_id, kind, state_key, upto)
            if found is None:
                raise not_found(f"the room has no state {kind} with key {state_key!r}")
            return found

        return await self._core.look(read)

    async def members(
        self, person: PersonPrincipal, room_id: str, at: int | None, wanted: str | None, unwanted: str | None
    ) -> list[Event]:
        """Membership events as of `at`, optionally of one kind, or of all but one."""

        def read(tx: Transaction) -> list[Event]:
            _, upto = self.sight(tx, room_id, person.user_id)
            return self._members_at(tx, room_id, upto if at is None else min(at, upto))

        await self._core.reach(at or 0)
        found = await self._core.look(read)
        kept = [(event, event.content.get("membership")) for event in found]
        return [event for event, kind in kept if wanted in (None, kind) and kind != unwanted]

    def _members_at(self, tx: Transaction, room_id: str, upto: int) -> list[Event]:
        """The membership events as of `upto`; of the time before the room had any, whoever made it joining.

        The token of a timeline that holds the whole room (`prev_batch`) is from before its first event.
        """
        found = [event for event in self._core.store.state_at(tx, room_id, upto) if event.type == MEMBER]
        first = self._core.store.events_forwards
        return found or [event for event in first(tx, room_id, 0, END, 2) if event.type == MEMBER]

    async def joined_members(self, person: PersonPrincipal, room_id: str) -> dict[str, dict[str, Any]]:
        """Display name and avatar of each joined member; for joined members only."""

        def read(tx: Transaction) -> list[Event]:
            sight, upto = self.sight(tx, room_id, person.user_id)
            if sight.now != "join":
                raise forbidden("only joined members may list the members")
            return [event for event in self._core.store.state_at(tx, room_id, upto) if event.type == MEMBER]

        contents = {event.state_key or "": event.content for event in await self._core.look(read)}
        return {
            user_id: {"display_name": content.get("displayname"), "avatar_url": content.get("avatar_url")}
            for user_id, content in contents.items()
            if content.get("membership") == "join"
        }

    # What higher rooms of the server ask (`MessageSource`)

    def encrypted_events(
        self, tx: Transaction, room_id: str, senders: Sequence[str], after: int, limit: int
    ) -> list[StoredEvent]:
        """At most `limit` encrypted events by `senders` after `after`, oldest first, never beyond what is durable."""
        upto = self._core.database.position
        found = self._core.store.encrypted_events(tx, room_id, senders, after, limit)
        return [_stored(event) for event in found if event.position <= upto]

    def encrypted_at(self, tx: Transaction, positions: Sequence[int]) -> dict[int, StoredEvent]:
        """The encrypted events at these positions that are not redacted, by position."""
        return {event.position: _stored(event) for event in self._core.store.encrypted_at(tx, positions)}

    def is_closed(self, tx: Transaction, room_id: str) -> bool:
        """Whether anybody has closed the room to partners; whoever closed it and left has left it closed."""
        return any(event.content.get("closed") is True for event in self._core.store.state_of_type(tx, room_id, CLOSED))


@dataclass(frozen=True, slots=True)
class _Look:
    """Looking at one room's history for one person, within a transaction."""

    tx: Transaction
    room_id: str
    sight: Sight
    wanted: PageFilter
    choice: Choice


def _page(fetch: Callable[[int], list[Event]], look: _Look, start: int, limit: int, step: int) -> Page:
    """Fetch and keep what may be seen and is wanted until there is enough, no more, or enough was looked at.

    The token after an event is its position + `step`.
    """
    found: list[Event] = []
    at, scanned = start, 0
    while True:
        batch = fetch(at)
        chosen = look.choice.of(batch)
        for event in batch:
            at = event.position + step
            if event.position in chosen:
                found.append(event)
                if len(found) == limit:
                    return Page(look.sight, found, start, at)
        scanned += len(batch)
        if len(batch) < limit:
            return Page(look.sight, found, start, None)
        if scanned >= MAX_SCAN:
            return Page(look.sight, found, start, at)


def _stored(event: Event) -> StoredEvent:
    return StoredEvent(event.position, msgspec.json.decode(events.full(event)), event.device_id, event.nonce)


def check_dir(value: str | None) -> bool:
    """Whether `dir` asks for history backwards; raises M_INVALID_PARAM."""
    if value not in ("b", "f"):
        raise MatrixError(400, "M_INVALID_PARAM", f"dir must be b or f, not {str(value)[:10]!r}")
    return value == "b"
