"""The messenger's tables. Nothing else reads or writes them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from paraph.server.messenger.model import IGNORED, VISIBILITY, Event, Membership, Profile, Receipt
from paraph.server.messenger.room import TAIL_EVENTS, Room
from paraph.server.storage import Transaction, load_sql

END = 2**62
"""Above every position: 'as of now'."""


def newest_of_each(events: Iterable[Event]) -> list[Event]:
    """The newest of each state key among `events` (oldest first), in order of position."""
    newest: dict[tuple[str, str | None], Event] = {}
    for event in events:
        newest.pop((event.type, event.state_key), None)
        newest[event.type, event.state_key] = event
    return list(newest.values())


class _Ignored(msgspec.Struct):
    ignored_users: dict[str, Any] = {}


_ignored = msgspec.json.Decoder(_Ignored)


def ignored_users(content: bytes) -> frozenset[str]:
    """Whom an `m.ignored_user_list` names; nobody where it has another form."""
    try:
        return frozenset(_ignored.decode(content).ignored_users)
    except msgspec.ValidationError:
        return frozenset()


class Store:
    """Statements of one dialect, as functions over a transaction."""

    def __init__(self, dialect: str) -> None:
        self._sql = load_sql("paraph.server.messenger", dialect)
        self._add_event = self._sql.add_event

    # Events

    def add_event(self, tx: Transaction, event: Event, txn_key: bytes | None) -> bool:
        """Store an event that has its position; False if this device has sent the same request before."""
        return tx.add(
            self._add_event,
            {
                "position": event.position,
                "event_id": event.event_id,
                "room_id": event.room_id,
                "sender": event.sender,
                "device_id": event.device_id,
                "type": event.type,
                "state_key": event.state_key,
                "ts": event.ts,
                "nonce": event.nonce,
                "txn_id": event.txn_id,
                "txn_key": txn_key,
                "json": event.json,
            },
        )

    def event_id_of_txn(self, tx: Transaction, txn_key: bytes) -> str | None:
        """The event that this request wrote when it came first."""
        row = tx.row(self._sql.event_id_of_txn, {"txn_key": txn_key})
        return row[0] if row else None

    def event(self, tx: Transaction, room_id: str, event_id: str) -> Event | None:
        """An event of this room."""
        row = tx.row(self._sql.event, {"event_id": event_id})
        event = Event(*row) if row else None
        return event if event is not None and event.room_id == room_id else None

    def event_exists(self, tx: Transaction, event_id: str) -> bool:
        """Whether there is such an event, in whatever room."""
        return tx.row(self._sql.event, {"event_id": event_id}) is not None

    def events_backwards(self, tx: Transaction, room_id: str, after: int, upto: int, limit: int) -> list[Event]:
        """At most `limit` newest events in (after, upto], newest first."""
        params = {"room_id": room_id, "after": after, "upto": upto, "limit": limit}
        return [Event(*row) for row in tx.rows(self._sql.events_backwards, params)]

    def events_forwards(self, tx: Transaction, room_id: str, after: int, upto: int, limit: int) -> list[Event]:
        """At most `limit` oldest events in (after, upto], oldest first."""
        params = {"room_id": room_id, "after": after, "upto": upto, "limit": limit}
        return [Event(*row) for row in tx.rows(self._sql.events_forwards, params)]

    def events_between(self, tx: Transaction, after: int, upto: int) -> list[Event]:
        """Every event of every room in (after, upto], oldest first."""
        return [Event(*row) for row in tx.rows(self._sql.events_between, {"after": after, "upto": upto})]

    def encrypted_events(
        self, tx: Transaction, room_id: str, senders: Sequence[str], after: int, limit: int
    ) -> list[Event]:
        """At most `limit` oldest `m.room.encrypted` events after `after` by any of `senders`, none redacted."""
        names = msgspec.json.encode(list(senders)).decode()
        params = {"room_id": room_id, "after": after, "senders": names, "limit": limit}
        return [Event(*row) for row in tx.rows(self._sql.encrypted_events, params)]

    def encrypted_at(self, tx: Transaction, positions: Sequence[int]) -> list[Event]:
        """The `m.room.encrypted` events at these positions, in no order, none redacted."""
        asked = {"positions": msgspec.json.encode(list(positions)).decode()}
        return [Event(*row) for row in tx.rows(self._sql.encrypted_at, asked)]

    def redact(self, tx: Transaction, event_id: str, redacted_by: str, json: bytes) -> None:
        """Replace the stored client event by its redacted form."""
        tx.run(self._sql.redact_event, {"event_id": event_id, "redacted_by": redacted_by, "json": json})

    def successor(self, tx: Transaction, event: Event) -> Event | None:
        """The state event that replaced this one."""
        params = {"room_id": event.room_id, "type": event.type, "state_key": event.state_key, "after": event.position}
        row = tx.row(self._sql.next_of_key, params)
        return Event(*row) if row else None

    def rewrite(self, tx: Transaction, event: Event) -> None:
        """Replace the stored client event."""
        tx.run(self._sql.rewrite_event, {"event_id": event.event_id, "json": event.json})

    # State

    def load_room(self, tx: Transaction, room_id: str) -> Room | None:
        """The room as this transaction sees it; None if there is no such room."""
        state = self.state_at(tx, room_id, END)
        if not state:
            return None
        visibilities = self.state_history(tx, room_id, VISIBILITY, "", END)
        tail = self.events_backwards(tx, room_id, 0, END, TAIL_EVENTS // 2 + 1)
        receipt = tx.row(self._sql.last_receipt, {"room_id": room_id})
        tail.reverse()
        return Room.loaded(room_id, state, visibilities, tail, receipt[0] if receipt else 0)

    def load_state(self, tx: Transaction, room_id: str) -> Room | None:
        """A room's state as this transaction sees it, without its past; None if there is no such room."""
        state = self.state_at(tx, room_id, END)
        rules = [event for event in state if (event.type, event.state_key) == (VISIBILITY, "")]
        return Room.loaded(room_id, state, rules, [], 0) if state else None

    def state_at(self, tx: Transaction, room_id: str, upto: int) -> list[Event]:
        """The room's state as of position `upto`, oldest first."""
        return [Event(*row) for row in tx.rows(self._sql.state_at, {"room_id": room_id, "upto": upto})]

    def state_entry(self, tx: Transaction, room_id: str, kind: str, state_key: str, upto: int = END) -> Event | None:
        """One state event as of `upto`."""
        params = {"room_id": room_id, "type": kind, "state_key": state_key, "upto": upto}
        row = tx.row(self._sql.state_entry, params)
        return Event(*row) if row else None

    def state_of_type(self, tx: Transaction, room_id: str, kind: str) -> list[Event]:
        """The current state events of one type, one for each state key."""
        return [Event(*row) for row in tx.rows(self._sql.state_of_type, {"room_id": room_id, "type": kind})]

    def state_history(self, tx: Transaction, room_id: str, kind: str, state_key: str, upto: int) -> list[Event]:
        """Every state event that one key ever had up to `upto`, oldest first."""
        params = {"room_id": room_id, "type": kind, "state_key": state_key, "upto": upto}
        return [Event(*row) for row in tx.rows(self._sql.state_history, params)]

    # Memberships

    def put_membership(self, tx: Transaction, user_id: str, room_id: str, membership: str, position: int) -> None:
        """Note that somebody's membership changed at `position`."""
        params = {"user_id": user_id, "room_id": room_id, "membership": membership, "position": position}
        tx.run(self._sql.put_membership, params)

    def memberships_of(self, tx: Transaction, user_id: str) -> dict[str, Membership]:
        """A person's membership in every room not forgotten."""
        rows = tx.rows(self._sql.memberships_of, {"user_id": user_id})
        return {room_id: Membership(membership, position) for room_id, membership, position in rows}

    def forgotten_by(self, tx: Transaction, user_id: str) -> dict[str, Membership]:
        """What a person was last to every room that she has forgotten."""
        rows = tx.rows(self._sql.forgotten_by, {"user_id": user_id})
        return {room_id: Membership(membership, position) for room_id, membership, position in rows}

    def membership(self, tx: Transaction, user_id: str, room_id: str) -> Membership | None:
        """A person's membership in one room; None if never there, or forgotten."""
        row = tx.row(self._sql.membership, {"user_id": user_id, "room_id": room_id})
        return Membership(*row) if row else None

    def forget(self, tx: Transaction, user_id: str, room_id: str) -> None:
        """Take a room off a person's list."""
        tx.run(self._sql.forget, {"user_id": user_id, "room_id": room_id})

    def joined_rooms(self, tx: Transaction, user_id: str) -> list[str]:
        """Ids of the rooms that a person is joined to."""
        return [row[0] for row in tx.rows(self._sql.joined_rooms, {"user_id": user_id})]

    def is_joined(self, tx: Transaction, user_id: str, room_id: str) -> bool:
        """Whether somebody is joined to a room."""
        found = self.membership(tx, user_id, room_id)
        return found is not None and found.membership == "join"

    def has_been_in(self, tx: Transaction, user_id: str, room_id: str) -> bool:
        """Whether somebody is or was a member of a room that she has not forgotten, invited to it or banned from it."""
        return self.membership(tx, user_id, room_id) is not None

    def members(self, tx: Transaction, room_id: str, membership: str = "join") -> list[str]:
        """Who has this membership in a room."""
        return [row[0] for row in tx.rows(self._sql.members, {"room_id": room_id, "membership": membership})]

    def sharers(self, tx: Transaction, user_id: str) -> set[str]:
        """Everybody else who is joined to a room that this person is joined to."""
        return {row[0] for row in tx.rows(self._sql.sharers, {"user_id": user_id})}

    def share_a_room(self, tx: Transaction, user_id: str, other: str) -> bool:
        """Whether two people are joined to the same room."""
        return tx.row(self._sql.share_a_room, {"user_id": user_id, "other": other}) is not None

    def times(self, tx: Transaction, room_id: str) -> tuple[int, int | None]:
        """When a room was made, and when the newest message there that is left was sent (ms)."""
        began, last = (
            tx.row(found, {"room_id": room_id}) for found in (self._sql.room_began, self._sql.last_encrypted)
        )
        return (began[0] if began else 0), (last[0] if last else None)

    # Receipts, account data, profiles, filters

    def put_receipt(self, tx: Transaction, room_id: str, receipt: Receipt) -> None:
        """Keep how far somebody has read."""
        tx.run(self._sql.put_receipt, {"room_id": room_id, **msgspec.structs.asdict(receipt)})

    def receipts_of(self, tx: Transaction, room_id: str, user_id: str, kind: str) -> dict[str, int]:
        """Where a person's receipts of one kind stand in a room, by thread."""
        params = {"room_id": room_id, "user_id": user_id, "type": kind}
        return {row[0]: row[1] for row in tx.rows(self._sql.receipts_of, params)}

    def own_reads(self, tx: Transaction, rooms: Sequence[str], user_id: str) -> dict[str, dict[str, int]]:
        """How far a person has read in each of these rooms, by thread, whatever the kind of receipt."""
        found: dict[str, dict[str, int]] = {}
        params = {"rooms": msgspec.json.encode(rooms).decode(), "user_id": user_id}
        for room_id, thread, position in tx.rows(self._sql.own_reads, params):
            found.setdefault(room_id, {})[thread] = position
        return found

    def put_account_data(
        self, tx: Transaction, user_id: str, room_id: str, kind: str, content: bytes, position: int
    ) -> None:
        """Keep a person's own data; `room_id` is empty for global data."""
        tx.run(
            self._sql.put_account_data,
            {"user_id": user_id, "room_id": room_id, "type": kind, "content": content, "position": position},
        )

    def account_data(self, tx: Transaction, user_id: str, room_id: str, kind: str) -> bytes | None:
        """A person's own data of one type."""
        row = tx.row(self._sql.account_data, {"user_id": user_id, "room_id": room_id, "type": kind})
        return bytes(row[0]) if row else None

    def data_of_rooms(self, tx: Transaction, user_id: str, kind: str) -> list[tuple[str, bytes]]:
        """A person's own data of one type about each room that has any, as (room_id, content)."""
        rows = tx.rows(self._sql.data_of_rooms, {"user_id": user_id, "type": kind})
        return [(row[0], bytes(row[1])) for row in rows]

    def room_data(self, tx: Transaction, user_id: str, room_id: str) -> list[tuple[str, bytes]]:
        """A person's own data about one room, as (type, content)."""
        rows = tx.rows(self._sql.room_data, {"user_id": user_id, "room_id": room_id})
        return [(row[0], bytes(row[1])) for row in rows]

    def ignored(self, tx: Transaction, user_id: str) -> frozenset[str]:
        """The people whom a person ignores (`m.ignored_user_list`); none where the list makes no sense."""
        found = self.account_data(tx, user_id, "", IGNORED)
        return ignored_users(found) if found else frozenset()

    def account_data_after(
        self, tx: Transaction, user_id: str, after: int, upto: int
    ) -> list[tuple[str, str, bytes, int]]:
        """A person's data changed in (after, upto] as (room_id, type, content, position)."""
        params = {"user_id": user_id, "after": after, "upto": upto}
        return [(row[0], row[1], row[2], row[3]) for row in tx.rows(self._sql.account_data_after, params)]

    def forget_personal(self, tx: Transaction, user_id: str) -> None:
        """Forget what a person kept for herself alone."""
        tx.run(self._sql.forget_account_data, {"user_id": user_id})
        tx.run(self._sql.forget_filters, {"user_id": user_id})

    def profile(self, tx: Transaction, user_id: str) -> Profile:
        """How a person shows itself; empty if it never said."""
        row = tx.row(self._sql.profile, {"user_id": user_id})
        return Profile(*row) if row else Profile()

    def put_profile(self, tx: Transaction, user_id: str, profile: Profile) -> None:
        """Keep how a person shows itself."""
        tx.run(
            self._sql.put_profile,
            {
                "user_id": user_id,
                "displayname": profile.displayname,
                "avatar_url": profile.avatar_url,
                "folded": (profile.displayname or "").casefold(),
            },
        )

    def put_filter(self, tx: Transaction, user_id: str, filter_id: str, definition: bytes) -> None:
        """Keep a filter."""
        tx.run(self._sql.put_filter, {"user_id": user_id, "filter_id": filter_id, "definition": definition})

    def filter(self, tx: Transaction, user_id: str, filter_id: str) -> bytes | None:
        """A person's filter as it was uploaded."""
        row = tx.row(self._sql.filter, {"user_id": user_id, "filter_id": filter_id})
        return bytes(row[0]) if row else None
