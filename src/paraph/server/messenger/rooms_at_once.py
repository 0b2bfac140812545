"""The messenger's tables, asked about several rooms at once: one statement, however many rooms.

On PostgreSQL a statement costs more than what it finds: 500 rooms one after the other were 3,500 of them. What is asked
travels as JSON, the one kind of list that both dialects take apart. Results are by room; a room without any is missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from paraph.server.messenger.model import MEMBER, Event, Receipt
from paraph.server.messenger.store import newest_of_each
from paraph.server.storage import Row, Transaction, load_sql

_position = attrgetter("position")


class Stretch(msgspec.Struct, frozen=True):
    """The part of a room's history in (after, upto]."""

    room_id: str
    after: int
    upto: int


class Entry(msgspec.Struct, frozen=True):
    """One piece of a room's state as of `upto`."""

    room_id: str
    type: str
    state_key: str
    upto: int


class RoomsAtOnce:
    """Statements of one dialect, as functions over a transaction."""

    def __init__(self, dialect: str) -> None:
        self._sql = load_sql("paraph.server.messenger", dialect)

    def backwards(self, tx: Transaction, asked: Sequence[Stretch], limit: int) -> dict[str, list[Event]]:
        """At most `limit` newest events of each stretch, newest first."""
        if not asked:
            return {}
        found = _events(tx.rows(self._sql.rooms_backwards, {"asked": _json(asked), "limit": limit}))
        for events in found.values():
            events.reverse()
        return found

    def state_at(self, tx: Transaction, asked: Sequence[Stretch], *, members: bool = True) -> dict[str, list[Event]]:
        """Each room's state as of `upto`, oldest first, with or without `m.room.member`; `after` does not matter."""
        if not asked:
            return {}
        params = {"asked": _json(asked), "but": "" if members else MEMBER}
        return _events(tx.rows(self._sql.rooms_state_at, params))

    def state_delta(self, tx: Transaction, asked: Sequence[Stretch]) -> dict[str, list[Event]]:
        """The newest state event of each key among those in each stretch, oldest first."""
        if not asked:
            return {}
        found = _events(tx.rows(self._sql.rooms_state_between, {"asked": _json(asked)}))
        return {room_id: newest_of_each(events) for room_id, events in found.items()}

    def state_entries(self, tx: Transaction, asked: Sequence[Entry]) -> dict[str, list[Event]]:
        """The state events asked for, as far as they exist, oldest first."""
        return _events(tx.rows(self._sql.rooms_state_entries, {"asked": _json(asked)})) if asked else {}

    def state_history(
        self, tx: Transaction, rooms: Sequence[str], kind: str, state_key: str, upto: int
    ) -> dict[str, list[Event]]:
        """Every state event that one key ever had up to `upto` in each room, oldest first."""
        if not rooms:
            return {}
        params = {"rooms": _json(rooms), "type": kind, "state_key": state_key, "upto": upto}
        return _events(tx.rows(self._sql.rooms_state_history, params))

    def members(self, tx: Transaction, rooms: Sequence[str]) -> dict[str, dict[str, str]]:
        """Who is joined to or invited into each room, with the membership."""
        found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        if rooms:
            for room_id, user_id, membership in tx.rows(self._sql.rooms_members, {"rooms": _json(rooms)}):
                found[room_id][user_id] = membership
        return found

    def last_positions(self, tx: Transaction, rooms: Sequence[str]) -> dict[str, int]:
        """Where each room's newest event is."""
        if not rooms:
            return {}
        return {row[0]: row[1] or 0 for row in tx.rows(self._sql.rooms_last, {"rooms": _json(rooms)})}

    def bumped(
        self, tx: Transaction, rooms: Sequence[str], types: Sequence[str], upto: int, depth: int
    ) -> dict[str, int]:
        """Where each room's newest event of these types is, among its `depth` newest; 0 if there is none."""
        if not rooms:
            return {}
        params = {"rooms": _json(rooms), "types": _json(types), "upto": upto, "depth": depth}
        return {row[0]: row[1] or 0 for row in tx.rows(self._sql.rooms_bumped, params)}

    def former_members(self, tx: Transaction, rooms: Sequence[str]) -> dict[str, dict[str, str]]:
        """Who has left each room or is banned from it, a few of them, with the membership."""
        found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        if rooms:
            for room_id, user_id, membership in tx.rows(self._sql.rooms_former, {"rooms": _json(rooms)}):
                found[room_id][user_id] = membership
        return found

    def receipts(self, tx: Transaction, rooms: Sequence[str], after: int, upto: int) -> dict[str, list[Receipt]]:
        """Each room's receipts in (after, upto], oldest first."""
        found: defaultdict[str, list[Receipt]] = defaultdict(list)
        if rooms:
            for row in tx.rows(self._sql.rooms_receipts, {"rooms": _json(rooms), "after": after, "upto": upto}):
                found[row[0]].append(Receipt(*row[1:]))
        return found


def _events(rows: Iterable[Row]) -> dict[str, list[Event]]:
    """By room, oldest first: no statement promises an order across the rooms it is asked about."""
    found: defaultdict[str, list[Event]] = defaultdict(list)
    for row in rows:
        found[row[2]].append(Event(*row))
    for events in found.values():
        events.sort(key=_position)
    return found


def _json(asked: Sequence[object]) -> str:
    return msgspec.json.encode(asked).decode()
