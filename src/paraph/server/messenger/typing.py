"""Who is typing: in memory only, and forgotten after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from paraph.server.messenger.core import Core
from paraph.server.storage import Announcement, Transaction

MAX_TIMEOUT = 30.0
_TYPING = "messenger.typing"
_typing = msgspec.json.Decoder(tuple[str, str, bool, float])


class Typing:
    """People typing, by room. Each change of a room has a number, so that each device is told once.

    No table knows of it: it is announced, and each process keeps its own memory and timers.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._rooms: dict[str, dict[str, asyncio.TimerHandle]] = {}
        self._changes = 0
        core.database.listen(_TYPING, self._hear)

    def announce(self, tx: Transaction, room_id: str, user_id: str, typing: bool, timeout: float) -> None:
        """Tell every process that somebody types (for `timeout` seconds at most) or stopped."""
        tx.announce(_TYPING, msgspec.json.encode((room_id, user_id, typing, timeout)).decode())

    def _hear(self, announcement: Announcement) -> None:
        room_id, user_id, typing, timeout = _typing.decode(announcement.payload)
        self.set(room_id, self._core.members_here(room_id), user_id, typing, timeout)

    def set(self, room_id: str, members: Iterable[str], user_id: str, typing: bool, timeout: float) -> None:
        """Note that somebody types (for `timeout` seconds at most) or stopped; `members` are told if it is news."""
        there = self._rooms.setdefault(room_id, {})
        timer = there.pop(user_id, None)
        if timer is not None:
            timer.cancel()
        members = list(members)
        if typing:
            stop = asyncio.get_running_loop().call_later(
                min(timeout, MAX_TIMEOUT), self.set, room_id, members, user_id, False, 0.0
            )
            there[user_id] = stop
        if not there:
            del self._rooms[room_id]
        if typing != (timer is not None):
            self._tell(room_id, members)

    def _tell(self, room_id: str, members: list[str]) -> None:
        self._changes += 1
        for member in members:
            view = self._core.views.held(member)
            if view is not None:
                view.typing[room_id] = self._changes
        self._core.notifier.wake(members)

    def in_room(self, room_id: str) -> list[str]:
        """Who types in a room."""
        return list(self._rooms.get(room_id, ()))

    def rooms(self) -> Iterable[str]:
        """Where anybody types."""
        return self._rooms.keys()

    def stop(self) -> None:
        """Forget everybody."""
        for there in self._rooms.values():
            for timer in there.values():
                timer.cancel()
        self._rooms.clear()
