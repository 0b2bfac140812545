"""Device lists: telling each person whose devices to look at again, and whose no longer."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from paraph.server.accounts.recent import Recent
from paraph.server.devices import list_store
from paraph.server.storage import Announcement, Database, Transaction

Notify = Callable[[Iterable[str], int], None]
"""(user ids, position): their syncs have something new as of this position, which is durable."""
SharesRoom = Callable[[Transaction, str], set[str]]

MAX_REMEMBERED = 100_000
_CHANGED, _NOTICE = "devices.changed", "devices.notice"
_changed = msgspec.json.Decoder(tuple[int, list[str]])
_noticed = msgspec.json.Decoder(tuple[int, str])


class ListsPart(NamedTuple):
    """Whom to look at again and whom to forget, both sorted, as far as `upto`."""

    changed: list[str]
    left: list[str]
    upto: int


class DeviceLists:
    """`shares_room(tx, user)` tells who shares a room with a person; `notify(users, position)` wakes their syncs."""

    def __init__(self, database: Database, notify: Notify, shares_room: SharesRoom) -> None:
        self._notify = notify
        self._shares_room = shares_room
        self._newest_change: int | None = None
        self._newest_notice: Recent[str, int] = Recent(MAX_REMEMBERED)
        database.listen(_CHANGED, self._heard_change)
        database.listen(_NOTICE, self._heard_notice)

    def note_changed(self, tx: Transaction, user_id: str) -> None:
        """The devices or identity of a person changed: everybody who shares a room with them looks again."""
        position = tx.next_position()
        list_store.put_change(tx, user_id, position)
        told = self._shares_room(tx, user_id) | {user_id}
        tx.announce(_CHANGED, msgspec.json.encode((position, sorted(told))).decode())

    def _heard_change(self, announcement: Announcement) -> None:
        position, told = _changed.decode(announcement.payload)
        if self._newest_change is not None:  # otherwise the first sync will read it
            self._newest_change = max(self._newest_change, position)
        self._notify(told, position)

    def note_shared(self, tx: Transaction, user_id: str, other: str) -> None:
        """`user_id` alone is to look at the devices of `other` (they met in a room, or `other` is a partner)."""
        self._note(tx, user_id, other, parted=False)

    def note_left(self, tx: Transaction, user_id: str, other: str) -> None:
        """`other` shares no room with `user_id` any more."""
        self._note(tx, user_id, other, parted=True)

    def _note(self, tx: Transaction, user_id: str, other: str, *, parted: bool) -> None:
        position = tx.next_position()
        list_store.put_notice(tx, user_id, other, parted, position)
        tx.announce(_NOTICE, msgspec.json.encode((position, user_id)).decode())

    def _heard_notice(self, announcement: Announcement) -> None:
        position, user_id = _noticed.decode(announcement.payload)
        known = self._newest_notice.get(user_id)
        if known is not None:
            self._newest_notice.put(user_id, max(known, position))
        self._notify((user_id,), position)

    def on_membership(self, tx: Transaction, user_id: str, members: Iterable[str], membership: str) -> None:
        """A person's membership in a room of these (other) members became `membership`.

        Call it in the write that changes the membership, once `shares_room` sees the new state.
        """
        others = set(members) - {user_id}
        if membership == "join":
            for other in others:
                self.note_shared(tx, user_id, other)
                self.note_shared(tx, other, user_id)
        elif membership in ("leave", "ban"):
            for other in others - self._shares_room(tx, user_id):
                self.note_left(tx, user_id, other)
                self.note_left(tx, other, user_id)

    def changes(self, tx: Transaction, user_id: str, since: int, upto: int, limit: int | None = None) -> ListsPart:
        """Whom to look at again and whom to forget, for the window (since, upto], or less if they are too many."""
        changed, left = self._changed(tx, user_id, since, upto), dict[str, int]()
        for other, parted, position in self._notices(tx, user_id, since, upto):
            told = left if parted else changed
            told[other] = max(position, told.get(other, 0))
        positions = sorted((*changed.values(), *left.values()))
        end = positions[limit - 1] if limit is not None and len(positions) > limit else upto
        return ListsPart(
            sorted(name for name, at in changed.items() if at <= end),
            sorted(name for name, at in left.items() if at <= end),
            end,
        )

    def _changed(self, tx: Transaction, user_id: str, since: int, upto: int) -> dict[str, int]:
        if self._newest_change is None:
            self._newest_change = list_store.newest_change(tx)
        if self._newest_change <= since:
            return {}
        found = list_store.changes(tx, since, upto)
        sharers = self._shares_room(tx, user_id) | {user_id} if found else set[str]()
        return {name: position for name, position in found.items() if name in sharers}

    def _notices(self, tx: Transaction, user_id: str, since: int, upto: int) -> list[tuple[str, bool, int]]:
        newest = self._newest_notice.get(user_id)
        if newest is None:
            newest = list_store.newest_notice(tx, user_id)
            self._newest_notice.put(user_id, newest)
        return list_store.notices(tx, user_id, since, upto) if newest > since else []
