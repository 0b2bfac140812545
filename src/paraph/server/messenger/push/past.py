"""What somebody was notified of, newest first: what is unread, and what was highlighted and read.

Nothing is kept for this: rooms are walked backwards, and events held against the rules of today.
"""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger import events
from paraph.server.messenger.core import Core
from paraph.server.messenger.model import Event
from paraph.server.messenger.push.counts import MAIN, UNTHREADED, HeldRoom, thread_in
from paraph.server.messenger.push.rules import RulesOf
from paraph.server.messenger.rooms_at_once import RoomsAtOnce, Stretch
from paraph.server.storage import Transaction

PER_ROOM = 50
"""Events of each room looked at for one page."""


class Past:
    """Answers GET /notifications."""

    def __init__(self, core: Core, rules: RulesOf) -> None:
        self._core = core
        self._rules = rules
        self._tables = RoomsAtOnce(core.database.dialect)

    async def page(
        self, person: PersonPrincipal, start: int | None, limit: int, *, highlights: bool
    ) -> tuple[list[dict[str, Any]], int | None]:
        """At most `limit` notifications up to `start`, and where the next page begins (None at the end)."""
        view = await self._core.view(person.user_id)
        joined = {room_id: there.position for room_id, there in view.rooms.items() if there.membership == "join"}
        upto = self._core.database.position if start is None else min(start, self._core.database.position)
        return await self._core.database.read(lambda tx: self._page(tx, person, joined, upto, limit, highlights))

    def _page(
        self, tx: Transaction, person: PersonPrincipal, joined: dict[str, int], upto: int, limit: int, highlights: bool
    ) -> tuple[list[dict[str, Any]], int | None]:
        asked = [Stretch(room_id, since, upto) for room_id, since in joined.items()]
        newest = self._tables.backwards(tx, asked, PER_ROOM)
        # Below the oldest event of a room that has more, other events may be missing.
        floors = [found[-1].position for found in newest.values() if len(found) == PER_ROOM]
        floor = max(floors, default=0)
        reads = self._core.store.own_reads(tx, list(joined), person.user_id)
        found: list[dict[str, Any]] = []
        merged = sorted((event for each in newest.values() for event in each), key=lambda one: -one.position)
        for event in merged:
            if event.position < floor:
                break
            shown = self._shown(tx, person, event, reads.get(event.room_id, {}), highlights)
            if shown is not None:
                found.append(shown)
                if len(found) == limit:
                    return found, event.position - 1
        return found, floor - 1 if floors else None

    def _shown(
        self, tx: Transaction, person: PersonPrincipal, event: Event, reads: dict[str, int], highlights: bool
    ) -> dict[str, Any] | None:
        """The notification that an event was, if it is to be listed."""
        evaluator, ignored = self._rules.load(tx, person.user_id)
        room = self._core.room_now(tx, event.room_id)
        if event.sender == person.user_id or event.sender in ignored or room is None:
            return None
        outcome = evaluator.outcome(event, person.user_id, HeldRoom(room, person.user_id))
        if not outcome.notify or (highlights and not outcome.highlight):
            return None
        thread = thread_in(event, lambda event_id: self._core.relations.thread_of(tx, event_id))
        read = event.position <= max(reads.get(UNTHREADED, 0), reads.get(thread or MAIN, 0))
        if read and not outcome.highlight:
            return None
        return {
            "actions": outcome.actions,
            "event": msgspec.Raw(events.for_device(event, person.user_id, person.device_id)),
            "profile_tag": None,
            "read": read,
            "room_id": event.room_id,
            "ts": event.ts,
        }
