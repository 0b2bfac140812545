"""What travels with an event under `unsigned` / `m.relations`: its newest edit, its thread, what refers to it.

Client-Server API, "Aggregations of child events". Nothing is stored ready-made: the rows of `relations` are counted
when an event that has any is served. Events of people whom the reader ignores take no part, except edits, which only
their own author can make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from paraph.server.messenger import events
from paraph.server.messenger.model import Event
from paraph.server.messenger.relations.model import REFERENCE, REPLACE, THREAD
from paraph.server.messenger.relations.store import RelationStore, Tally
from paraph.server.storage import Transaction

Raw = msgspec.Raw
_encode = msgspec.json.encode
_members = msgspec.json.Decoder(dict[str, Raw])


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: a device of a person, what she has got to (`upto`), whom she ignores, and which events she may see."""

    user_id: str
    device_id: str
    upto: int
    ignored: frozenset[str] = frozenset()
    sees: Callable[[Event], bool] = lambda _event: True


class Bundles:
    """Puts together `m.relations`."""

    def __init__(self, store: RelationStore) -> None:
        self._store = store

    def of(self, tx: Transaction, reader: Reader, found: Sequence[Event]) -> dict[str, Raw]:
        """By event id, what belongs under `m.relations`; events without any are missing."""
        tallies = self._tallies(tx, reader, [event.event_id for event in found])
        if not tallies:
            return {}
        targets = {event.event_id: event for event in found}
        return self._rendered(tx, reader, tallies, targets, self._latest(tx, reader, tallies))

    def _tallies(self, tx: Transaction, reader: Reader, event_ids: Sequence[str]) -> list[Tally]:
        if not event_ids:
            return []
        return self._store.tallies(tx, event_ids, reader.user_id, reader.upto, reader.ignored)

    def _latest(self, tx: Transaction, reader: Reader, tallies: Sequence[Tally]) -> dict[int, bytes]:
        """The newest event of each thread as the reader gets it, with its own edit, by position."""
        newest = self._store.events_at(tx, [tally.newest for tally in tallies if tally.rel_type == THREAD])
        visible = {position: event for position, event in newest.items() if reader.sees(event)}
        targets = {event.event_id: event for event in visible.values()}
        inner = self._rendered(tx, reader, self._tallies(tx, reader, list(targets)), targets, {})  # threads don't nest
        return {
            position: with_relations(_served(event, reader), inner.get(event.event_id))
            for position, event in visible.items()
        }

    def _rendered(
        self,
        tx: Transaction,
        reader: Reader,
        tallies: Sequence[Tally],
        targets: Mapping[str, Event],
        latest: Mapping[int, bytes],
    ) -> dict[str, Raw]:
        bundles: dict[str, dict[str, Raw]] = {}
        for tally in tallies:
            target, part = targets[tally.target_id], None
            if tally.rel_type == REPLACE and target.redacted_by is None:
                part = self._edit(tx, reader, tally.target_id)
            elif tally.rel_type == THREAD and tally.newest in latest:
                part = _thread(tally, latest[tally.newest], tally.participated or target.sender == reader.user_id)
            elif tally.rel_type == REFERENCE:
                part = self._references(tx, reader, tally.target_id)
            if part is not None:
                bundles.setdefault(tally.target_id, {})[tally.rel_type] = part
        return {target_id: Raw(_encode(bundle)) for target_id, bundle in bundles.items()}

    def _edit(self, tx: Transaction, reader: Reader, target_id: str) -> Raw | None:
        edit = self._store.newest_edit(tx, target_id, reader.upto)
        return Raw(_served(edit, reader)) if edit is not None and reader.sees(edit) else None

    def _references(self, tx: Transaction, reader: Reader, target_id: str) -> Raw:
        found = self._store.references(tx, target_id, reader.upto)
        chunk = [{"event_id": event_id} for event_id, sender in found if sender not in reader.ignored]
        return Raw(_encode({"chunk": chunk}))


def _thread(tally: Tally, latest: bytes, participated: bool) -> Raw:
    thread = {"latest_event": Raw(latest), "count": tally.count, "current_user_participated": participated}
    return Raw(_encode(thread))


def _served(event: Event, reader: Reader) -> bytes:
    return events.full_for_device(event, reader.user_id, reader.device_id)


def with_relations(served: bytes, bundle: Raw | None) -> bytes:
    """A client event with its bundle under `unsigned`."""
    if bundle is None:
        return served
    members = _members.decode(served)
    unsigned = _members.decode(members["unsigned"]) if "unsigned" in members else {}
    members["unsigned"] = Raw(_encode(unsigned | {"m.relations": bundle}))
    return _encode(members)
