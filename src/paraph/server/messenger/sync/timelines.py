"""What the timelines of several rooms show, found in the tables with one statement for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.model import Event
from paraph.server.messenger.relations.service import Relations
from paraph.server.messenger.rooms_at_once import Entry, RoomsAtOnce
from paraph.server.messenger.sync.parts import MAX_READ, Part
from paraph.server.messenger.sync.sections import Raw
from paraph.server.storage import Transaction

Wanted = Callable[[Event], bool] | None
"""Whether an event is wanted; None: all are."""


class Timelines:
    """Fills in the timelines of parts, as of `upto`."""

    def __init__(self, tables: RoomsAtOnce, relations: Relations, upto: int) -> None:
        self._tables = tables
        self._relations = relations
        self._upto = upto

    def find(self, tx: Transaction, parts: Sequence[Part], limit: int, wanted: Wanted) -> None:
        """Find what each timeline shows, and settle it.

        Most rooms need one look, those with much that is unwanted further ones.
        """
        pending, size = list(parts), limit + 1
        while pending:
            newest = self._tables.backwards(tx, [part.rest for part in pending], size)
            pending = [
                part
                for part in pending
                if part.take(found := newest.get(part.room_id, []), limit, len(found) == size, wanted)
            ]
            size = min(size * 4, MAX_READ)
        self._reveal(tx, parts, limit, wanted)
        for part in parts:
            part.settle()

    def _reveal(self, tx: Transaction, parts: Sequence[Part], limit: int, wanted: Wanted) -> None:
        """State that came while the person was not to see the room is shown once she is there, if it still holds."""
        hidden = {part.room_id: found for part in parts if not part.left and (found := part.hidden_state)}
        asked = [
            Entry(room_id, event.type, event.state_key or "", self._upto)
            for room_id, found in hidden.items()
            for event in found
        ]
        current = self._tables.state_entries(tx, asked)
        for part in parts:
            holds = {event.position for event in current.get(part.room_id, [])}
            shown = [event for event in hidden.get(part.room_id, []) if event.position in holds]
            if wanted is not None:
                shown = [event for event in shown if wanted(event)]
            if shown:
                part.show(shown, limit)

    def bundles(self, tx: Transaction, person: PersonPrincipal, parts: Sequence[Part]) -> dict[str, Raw]:
        """The bundles of everything shown, as this person sees each room: asked for at once, but for rooms left."""
        sights = {part.room_id: part.sight for part in parts if part.sight is not None}

        def sees(event: Event) -> bool:
            sight = sights.get(event.room_id)
            return sight is None or sight.sees(event)

        reader = replace(self._relations.reader(tx, person, self._upto), sees=sees)
        shown = [event for part in parts if not part.left for event in part.shown]
        found = self._relations.bundles.of(tx, reader, shown)
        for part in parts:
            if part.left:
                found |= self._relations.bundles.of(tx, replace(reader, upto=part.stretch.upto), part.shown)
        return found
