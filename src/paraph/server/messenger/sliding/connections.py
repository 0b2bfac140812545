"""What each connection has been told: rooms, how far, and with which wishes.

An answer counts as received once its `pos` comes back. Until then what it told is kept apart, so that the same request
again gets the same again. All of it is in the memory of one process and bounded; a connection that is forgotten, or was
made by another process or before a restart, is answered with M_UNKNOWN_POS, and its client begins anew.
"""

from __future__ import annotations

import itertools
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.messenger.sliding.rooms_known import RoomsKnown
from paraph.server.messenger.sliding.wanted import RoomWanted
from paraph.server.messenger.tokens import split

MAX_CONNECTIONS = 20_000
MAX_PER_DEVICE = 10


@dataclass(frozen=True, slots=True)
class Sent:
    """A room as a connection has it: up to which position, what was wanted, and what the person was to it.

    `unread` are its notifications and highlights.
    """

    position: int
    wanted: RoomWanted
    membership: str
    is_dm: bool = False
    unread: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Progress:
    """Where one answer has brought a connection, beside its rooms."""

    position: int = 0
    lists: int = 0
    typing: dict[str, int] = field(default_factory=dict)


class Connection:
    """One connection of a device. `number` is its own in this process; `sequence` numbers its answers."""

    __slots__ = ("_acknowledged", "_pending", "_pending_progress", "_rooms", "known", "number", "progress", "sequence")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sequence = 0
        self.known = RoomsKnown()
        self.progress: Progress | None = None
        self._acknowledged = 0
        self._rooms: dict[str, Sent] = {}
        self._pending: dict[str, Sent] = {}
        self._pending_progress: Progress | None = None

    def resume(self, sequence: int) -> bool:
        """Go on from an answer: from the last one, which has arrived then, or once more from the one before."""
        if sequence == self.sequence:
            self._rooms.update(self._pending)
            self._acknowledged = sequence
            if self._pending_progress is not None:
                self.progress = self._pending_progress
        elif sequence != self._acknowledged:
            return False
        self._pending, self._pending_progress = {}, None
        return True

    @property
    def acknowledged(self) -> int:
        """The last answer that has arrived; 0 before any has."""
        return self._acknowledged

    def sent(self, room_id: str) -> Sent | None:
        """A room as the client has it, as far as that is known."""
        return self._rooms.get(room_id)

    @property
    def rooms(self) -> dict[str, Sent]:
        """All rooms that the client has."""
        return self._rooms

    def told(self, rooms: dict[str, Sent], progress: Progress) -> int:
        """An answer is about to leave; returns its number."""
        self._pending, self._pending_progress = rooms, progress
        self.sequence += 1
        return self.sequence


class Connections:
    """The connections of all devices; the least recently used goes first."""

    def __init__(self, *, max_connections: int = MAX_CONNECTIONS, max_per_device: int = MAX_PER_DEVICE) -> None:
        self._nonce = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._held: OrderedDict[tuple[str, str, str], Connection] = OrderedDict()
        self._of_device: dict[tuple[str, str], list[str]] = {}
        self._max = max_connections
        self._max_per_device = max_per_device

    def begin(self, person: PersonPrincipal, conn_id: str) -> Connection:
        """A new connection, in place of any of this name."""
        key = (person.user_id, person.device_id, conn_id)
        self._forget(key)
        connection = self._held[key] = Connection(next(self._numbers))
        of_device = self._of_device.setdefault(key[:2], [])
        of_device.append(conn_id)
        if len(of_device) > self._max_per_device:
            self._forget((*key[:2], of_device[0]))
        if len(self._held) > self._max:
            self._forget(next(iter(self._held)))
        return connection

    def resume(self, person: PersonPrincipal, conn_id: str, pos: str) -> Connection:
        """The connection that gave out `pos`, gone on from there; raises M_UNKNOWN_POS, M_INVALID_PARAM."""
        key = (person.user_id, person.device_id, conn_id)
        nonce, _, rest = (split(pos)[1] or "").partition(".")
        number, _, sequence = rest.partition(".")
        connection = self._held.get(key)
        known = connection is not None and nonce == self._nonce and number == str(connection.number)
        if connection is None or not known or not sequence.isdigit() or not connection.resume(int(sequence)):
            raise MatrixError(400, "M_UNKNOWN_POS", "this connection is not known here any more; begin a new one")
        self._held.move_to_end(key)
        of_device = self._of_device[key[:2]]
        of_device.remove(conn_id)
        of_device.append(conn_id)
        return connection

    def pos(self, connection: Connection, position: int) -> str:
        """The token of a connection's newest answer; its position can also be paged from."""
        return f"s{position}_{self._nonce}.{connection.number}.{connection.sequence}"

    def _forget(self, key: tuple[str, str, str]) -> None:
        if self._held.pop(key, None) is None:
            return
        of_device = self._of_device[key[:2]]
        of_device.remove(key[2])
        if not of_device:
            del self._of_device[key[:2]]

    def __len__(self) -> int:
        return len(self._held)
