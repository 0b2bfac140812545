"""Which events of a page of history are handed out: what the reader may see, wants to hear and asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paraph.server.messenger.filters.matching import Events
from paraph.server.messenger.filters.model import RoomEventFilter, parse_room_events
from paraph.server.messenger.model import Event
from paraph.server.messenger.relations.store import RelationStore
from paraph.server.messenger.visibility import Sight
from paraph.server.storage import Transaction


@dataclass(frozen=True, slots=True)
class PageFilter:
    """A filter of one page of history, as it came and ready to be asked."""

    definition: RoomEventFilter
    events: Events

    @classmethod
    def parse(cls, text: str | None) -> PageFilter:
        """Raises M_INVALID_PARAM."""
        definition = RoomEventFilter() if not text else parse_room_events(text.encode(errors="replace"))
        return cls(definition, Events(definition))


EVERYTHING = PageFilter.parse(None)


class Choice:
    """Chooses among the events of one room for one reader, within a transaction."""

    def __init__(
        self, tx: Transaction, relations: RelationStore, sight: Sight, ignored: frozenset[str], wanted: PageFilter
    ) -> None:
        self._tx = tx
        self._relations = relations
        self._sight = sight
        self._ignored = ignored
        self._wanted = wanted

    def of(self, batch: Sequence[Event]) -> set[int]:
        """The positions of those to hand out; one statement more if it matters what relates to them."""
        events, definition = self._wanted.events, self._wanted.definition
        kept = [event for event in batch if self._heard(event) and self._sight.sees(event) and events.wants(event)]
        kinds, senders = definition.related_by_rel_types, definition.related_by_senders
        if kinds is not None or senders is not None:
            related = self._relations.related(self._tx, [event.event_id for event in kept], kinds, senders)
            kept = [event for event in kept if event.event_id in related]
        return {event.position for event in kept}

    def _heard(self, event: Event) -> bool:
        return event.sender not in self._ignored or event.state_key is not None
