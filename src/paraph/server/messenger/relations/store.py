"""The tables of relations and threads. `events` is only read here, by position or id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from paraph.server.messenger.model import Event
from paraph.server.messenger.relations.model import MAX_HOPS, THREAD, Relation
from paraph.server.storage import Transaction, load_sql

MAX_REFERENCES = 100
"""References listed in one bundle."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which children of an event are asked for: those in (after, upto], by relation and event type ("" is any)."""

    room_id: str
    target_id: str
    rel_type: str
    type: str
    after: int
    upto: int
    limit: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What is known of one kind of children of an event, without reading them."""

    target_id: str
    rel_type: str
    count: int
    newest: int
    participated: bool


class RelationStore:
    """Statements of one dialect, as functions over a transaction."""

    def __init__(self, dialect: str) -> None:
        self._sql = load_sql("paraph.server.messenger.relations", dialect)

    def related(
        self,
        tx: Transaction,
        event_ids: Sequence[str],
        rel_types: Sequence[str] | None,
        senders: Sequence[str] | None,
    ) -> set[str]:
        """Which of these events something relates to: in one of these ways, from one of these people (None: any)."""
        if not event_ids:
            return set()
        params = {
            "targets": _json(event_ids),
            "any_type": int(rel_types is None),
            "rel_types": _json(rel_types or ()),
            "any_sender": int(senders is None),
            "senders": _json(senders or ()),
        }
        return {row[0] for row in tx.rows(self._sql.related, params)}

    def add(self, tx: Transaction, event: Event, relation: Relation, valid: bool) -> None:
        """Keep an event's relation; a thread becomes the room's newest."""
        tx.run(
            self._sql.add_relation,
            {
                "position": event.position,
                "event_id": event.event_id,
                "room_id": event.room_id,
                "target_id": relation.target_id,
                "rel_type": relation.rel_type,
                "type": event.type,
                "sender": event.sender,
                "ts": event.ts,
                "key": relation.key,
                "valid": int(valid),
            },
        )
        if relation.rel_type == THREAD:
            self._put_thread(tx, relation.target_id, event.room_id, event.position)

    def _put_thread(self, tx: Transaction, root_id: str, room_id: str, latest: int) -> None:
        tx.run(self._sql.put_thread, {"root_id": root_id, "room_id": room_id, "latest": latest})

    def remove(self, tx: Transaction, event: Event) -> None:
        """The event relates to nothing any more."""
        relation = self.parent(tx, event.event_id)
        if relation is None:
            return
        tx.run(self._sql.remove_relation, {"position": event.position})
        if relation.rel_type != THREAD:
            return
        root = {"root_id": relation.target_id}
        latest = tx.row(self._sql.latest_in_thread, root)
        if latest is None:
            tx.run(self._sql.remove_thread, root)
        else:
            self._put_thread(tx, relation.target_id, event.room_id, latest[0])

    def parent(self, tx: Transaction, event_id: str) -> Relation | None:
        """What an event relates to."""
        row = tx.row(self._sql.parent, {"event_id": event_id})
        return Relation(*row) if row else None

    def parents(self, tx: Transaction, event_ids: Iterable[str]) -> dict[str, Relation]:
        """What each of these events relates to; those that relate to nothing are missing."""
        asked = {"event_ids": msgspec.json.encode(list(event_ids)).decode()}
        return {row[0]: Relation(row[1], row[2]) for row in tx.rows(self._sql.parents, asked)}

    def is_annotated(self, tx: Transaction, sender: str, kind: str, relation: Relation) -> bool:
        """Whether somebody has annotated the same event with the same key already."""
        params = {"target_id": relation.target_id, "sender": sender, "type": kind, "key": relation.key}
        return tx.row(self._sql.same_annotation, params) is not None

    def is_thread(self, tx: Transaction, event_id: str) -> bool:
        """Whether a thread begins at this event."""
        return tx.row(self._sql.is_thread, {"root_id": event_id}) is not None

    def children(self, tx: Transaction, wanted: Wanted, *, backwards: bool) -> list[Event]:
        """Events that relate to the target directly, from the end that is asked for."""
        sql = self._sql.children_backwards if backwards else self._sql.children_forwards
        params = {name: getattr(wanted, name) for name in Wanted.__slots__}
        return [Event(*row) for row in tx.rows(sql, params)]

    def descendants(self, tx: Transaction, wanted: Wanted, *, backwards: bool) -> list[Event]:
        """As `children`, with what relates to those in turn, `MAX_HOPS` levels down."""
        params = {name: getattr(wanted, name) for name in Wanted.__slots__ if name != "limit"}
        found = sorted(
            (row[0] for row in tx.rows(self._sql.descendants, {**params, "depth": MAX_HOPS})), reverse=backwards
        )
        events = self.events_at(tx, found[: wanted.limit])
        return sorted(events.values(), key=lambda event: event.position, reverse=backwards)

    def events_at(self, tx: Transaction, positions: Sequence[int]) -> dict[int, Event]:
        """Events by position."""
        if not positions:
            return {}
        asked = {"positions": msgspec.json.encode(list(positions)).decode()}
        return {row[0]: Event(*row) for row in tx.rows(self._sql.events_at, asked)}

    def threads(
        self, tx: Transaction, room_id: str, upto: int, participant: str, limit: int
    ) -> list[tuple[int, Event]]:
        """Threads of a room by their newest event, newest first: that event's position, and the root."""
        params = {"room_id": room_id, "upto": upto, "participant": participant, "limit": limit}
        return [(row[0], Event(*row[1:])) for row in tx.rows(self._sql.threads_of_room, params)]

    def tallies(
        self, tx: Transaction, targets: Sequence[str], user_id: str, upto: int, ignored: Iterable[str]
    ) -> list[Tally]:
        """What can be bundled with these events: counts, by event and relation."""
        asked = {
            "targets": msgspec.json.encode(targets).decode(),
            "ignored": msgspec.json.encode(list(ignored)).decode(),
            "user_id": user_id,
            "upto": upto,
        }
        return [Tally(row[0], row[1], row[2], row[3], bool(row[4])) for row in tx.rows(self._sql.bundled, asked)]

    def newest_edit(self, tx: Transaction, target_id: str, upto: int) -> Event | None:
        """The newest valid edit of an event."""
        row = tx.row(self._sql.newest_edit, {"target_id": target_id, "upto": upto})
        return Event(*row) if row else None

    def references(self, tx: Transaction, target_id: str, upto: int) -> list[tuple[str, str]]:
        """Events that refer to this one, oldest first, with their senders."""
        params = {"target_id": target_id, "upto": upto, "limit": MAX_REFERENCES}
        return [(row[0], row[1]) for row in tx.rows(self._sql.references, params)]


def _json(names: Sequence[str]) -> str:
    return msgspec.json.encode(names).decode()
