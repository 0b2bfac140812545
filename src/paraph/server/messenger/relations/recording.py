"""What a send has to know of relations, and leaves behind: rules, and a row for each event that relates to another.

A message without `m.relates_to` never gets here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paraph.server.http import MatrixError
from paraph.server.messenger.model import ENCRYPTED, Event
from paraph.server.messenger.relations.model import ANNOTATION, MAX_HOPS, REPLACE, THREAD, Relation
from paraph.server.messenger.relations.store import RelationStore
from paraph.server.messenger.store import Store
from paraph.server.storage import Transaction


class Recorder:
    """Part of the write that stores an event."""

    def __init__(self, events: Store, dialect: str) -> None:
        self._events = events
        self.store = RelationStore(dialect)

    def check(self, tx: Transaction, event: Event, relation: Relation) -> Event | None:
        """The event that is related to; None if this room has none such, and then there is no relation.

        Raises M_DUPLICATE_ANNOTATION for the same reaction again, M_UNKNOWN for a thread that would begin at an event
        which relates to another itself (Client-Server API, "Validation of m.thread relationships").
        """
        target = self._events.event(tx, event.room_id, relation.target_id)
        if target is None:
            return None
        if relation.rel_type == ANNOTATION and relation.key is not None:
            if self.store.is_annotated(tx, event.sender, event.type, relation):
                raise MatrixError(400, "M_DUPLICATE_ANNOTATION", "you have reacted to this event in this way already")
        elif relation.rel_type == THREAD and self.store.parent(tx, target.event_id) is not None:
            raise MatrixError(400, "M_UNKNOWN", "no thread can begin at an event that relates to another one itself")
        return target

    def record(
        self, tx: Transaction, event: Event, relation: Relation, target: Event, content: Mapping[str, Any]
    ) -> None:
        """Keep the relation of an event that has its position."""
        valid = relation.rel_type != REPLACE or self._is_valid_edit(tx, event, target, content)
        self.store.add(tx, event, relation, valid)

    def _is_valid_edit(self, tx: Transaction, event: Event, target: Event, content: Mapping[str, Any]) -> bool:
        """Client-Server API, "Validity of replacement events", as far as it can be seen without decrypting."""
        if event.sender != target.sender or event.type != target.type:
            return False
        if event.state_key is not None or target.state_key is not None:
            return False
        parent = self.store.parent(tx, target.event_id)
        if parent is not None and parent.rel_type == REPLACE:
            return False
        return event.type == ENCRYPTED or isinstance(content.get("m.new_content"), dict)

    def forget(self, tx: Transaction, event: Event) -> None:
        """The event was redacted: what it related to went with its content."""
        self.store.remove(tx, event)

    def thread_of(self, tx: Transaction, event_id: str) -> str | None:
        """The root of the thread that an event is in; None in the main timeline, where roots are as well."""
        for _ in range(MAX_HOPS):
            relation = self.store.parent(tx, event_id)
            if relation is None:
                return None
            if relation.rel_type == THREAD:
                return relation.target_id
            event_id = relation.target_id
        return None

    def top_of(self, tx: Transaction, event_id: str) -> str:
        """The event at which the chain of relations ends, followed at most `MAX_HOPS` steps."""
        for _ in range(MAX_HOPS):
            relation = self.store.parent(tx, event_id)
            if relation is None:
                break
            event_id = relation.target_id
        return event_id
