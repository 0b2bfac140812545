"""Rooms in memory, bounded, and always exactly what is durable.

A room enters only from inside a write: what the write's transaction sees *before* it changes anything, plus the
changes of every write behind it in the same batch, which arrive as callbacks in the same order. A state change that is
written but not yet durable leaves a mark; while memory is behind the mark, writes look at the tables instead.
"""

from collections import OrderedDict
from collections.abc import Callable

from paraph.server.messenger.model import Event
from paraph.server.messenger.room import Room
from paraph.server.messenger.store import Store
from paraph.server.storage import Transaction

MAX_ROOMS = 20_000
MAX_BYTES = 128 << 20


class Rooms:
    """The least recently used room goes first once there are too many, or they weigh too much."""

    def __init__(self, store: Store, *, max_rooms: int = MAX_ROOMS, max_bytes: int = MAX_BYTES) -> None:
        self._store = store
        self._held: OrderedDict[str, Room] = OrderedDict()
        self._marks: dict[str, int] = {}
        self._max_rooms = max_rooms
        self._max_bytes = max_bytes
        self._bytes = 0

    def held(self, room_id: str) -> Room | None:
        """The room as of the newest durable position, if it is in memory."""
        return self._held.get(room_id)

    def current(self, tx: Transaction, room_id: str) -> Room | None:
        """The room as a running write sees it, to look at only. Does not keep what it had to load."""
        room = self._held.get(room_id)
        mark = self._marks.get(room_id)
        if room is not None and (mark is None or mark == room.state_position):
            self._held.move_to_end(room_id)
            return room
        fresh = self._store.load_room(tx, room_id)
        if room is not None and fresh is not None:
            self._settle_mark(room, fresh.state_position)
        return fresh

    def working(self, tx: Transaction, room_id: str) -> tuple[Room, Room | None] | None:
        """As `current`, but the caller's own, to apply events to before they are durable; and `seen` for `durable`."""
        room = self.current(tx, room_id)
        if room is None:
            return None
        return (room.copy(), None) if room is self._held.get(room_id) else (room, room)

    def mark(self, event: Event) -> None:
        """A state event was written and is not durable yet."""
        if event.room_id in self._held:
            self._marks[event.room_id] = event.position

    def _settle_mark(self, room: Room, written: int) -> None:
        """A mark may be left over from a write that was rolled back; the tables know."""
        if written == room.state_position:
            self._marks.pop(room.room_id, None)
        else:
            self._marks[room.room_id] = written

    def durable(self, event: Event, seen: Room | None) -> Room | None:
        """An event is durable: take it in. `seen` is the room as the event's write loaded it, or None if it looked at
        a held one. Returns the held room, if there is one.
        """
        room = self._held.get(event.room_id)
        if room is None:
            if seen is None:
                return None
            room = seen
            self.install(seen)
        before = room.weight
        room.apply(event)
        self._bytes += room.weight - before
        if event.state_key is not None and self._marks.get(event.room_id) == room.state_position:
            del self._marks[event.room_id]
        self._make_space()
        return room

    def install(self, room: Room) -> None:
        """Keep a room that was loaded in a view of exactly what is durable, unless it is held already."""
        if room.room_id not in self._held:
            self._held[room.room_id] = room
            self._bytes += room.weight
            self._make_space()

    def __len__(self) -> int:
        return len(self._held)

    def clear(self) -> None:
        """Forget every room; whoever needs one loads it again."""
        self._held.clear()
        self._marks.clear()
        self._bytes = 0

    def replace(self, event: Event) -> None:
        """An event was rewritten: put its new form where it is held."""
        self.change(event.room_id, lambda room: room.replace(event))

    def change(self, room_id: str, change: Callable[[Room], None]) -> None:
        """Apply another durable change (a redaction, a receipt) to a held room."""
        room = self._held.get(room_id)
        if room is not None:
            before = room.weight
            change(room)
            self._bytes += room.weight - before

    def _make_space(self) -> None:
        while len(self._held) > 1 and (self._bytes > self._max_bytes or len(self._held) > self._max_rooms):
            room_id, room = self._held.popitem(last=False)
            self._bytes -= room.weight
            self._marks.pop(room_id, None)
