"""Whether people are here: in memory only, told to those who share a room, and forgotten when the server stops.

Syncing makes somebody `online`; without a sync for a while she is `offline`, and without doing anything for longer
`unavailable`. A sync that changes nothing costs a look into a dictionary; only a change of state costs a query (who
shares a room) and an announcement, by which every process learns of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import forbidden, invalid
from paraph.server.messenger.events import check_name
from paraph.server.messenger.model import Event
from paraph.server.messenger.presence.model import PRESENCES, Said, Status
from paraph.server.messenger.views import DeviceView, View
from paraph.server.storage import Announcement

SWEEP_EVERY = 5.0
"""Seconds between looks for people who are gone or idle."""
MAX_STATUSES = 50_000
_PRESENCE, _ALIVE = "messenger.presence", "messenger.alive"
_said = msgspec.json.Decoder(tuple[str, Said])
_alive = msgspec.json.Decoder(list[str])


class Presence:
    """Everybody's presence. Where it is switched off, nobody is ever here, and what people say of it is not kept."""

    def __init__(self, core: Core, *, enabled: bool = True) -> None:
        self._core = core
        self.enabled = enabled
        self._statuses: dict[str, Status] = {}
        self._changes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        if enabled:
            core.on_sent = self._acted
            core.database.listen(_PRESENCE, self._hear)
            core.database.listen(_ALIVE, self._hear_alive)

    # What people do

    @contextmanager
    def syncing(self, user_id: str) -> Iterator[None]:
        """While this lasts, somebody syncs."""
        status = self._statuses.get(user_id)
        if status is None:
            yield
            return
        status.syncing += 1
        try:
            yield
        finally:
            status.syncing -= 1
            status.seen = self._core.clock()

    async def came(self, person: PersonPrincipal, presence: str) -> None:
        """A device syncs and says how its person is by it; `offline` says nothing. Raises M_INVALID_PARAM."""
        if presence not in PRESENCES:
            raise invalid(f"set_presence must be one of {', '.join(PRESENCES)}")
        if not self.enabled:
            return
        status, now = self._statuses.get(person.user_id), self._core.clock()
        if status is not None:
            said = status.synced(person.device_id, presence, now)
        else:
            said = None if presence == "offline" else Said(presence, None, now)
        if said is not None:
            await self._say(person.user_id, said)

    async def set(self, person: PersonPrincipal, presence: str, message: str | None) -> None:
        """Say whether one is here, and a word about it."""
        if presence not in PRESENCES:
            raise invalid(f"presence must be one of {', '.join(PRESENCES)}")
        if message is not None:
            check_name("status_msg", message)
        if self.enabled:
            await self._say(
                person.user_id, Said(presence, message, self._core.clock(), chosen=presence == "unavailable")
            )

    async def status(self, person: PersonPrincipal, user_id: str) -> dict[str, Any]:
        """Whether somebody is here; of oneself, or of people one shares a room with."""
        if user_id != person.user_id and not await self._core.look(
            lambda tx: self._core.store.share_a_room(tx, person.user_id, user_id)
        ):
            raise forbidden("presence is shown to people who share a room")
        status = self._statuses.get(user_id)
        return {"presence": "offline"} if status is None else status.content(self._core.clock())

    def _acted(self, event: Event) -> None:
        """Somebody sent an event: whoever was taken for idle is not."""
        status = self._statuses.get(event.sender)
        if status is not None:
            status.active = event.ts
            if status.idle:
                self._later(event.sender, Said("online", status.message, event.ts))

    # Changes

    async def _say(self, user_id: str, said: Said) -> None:
        payload = msgspec.json.encode((user_id, said)).decode()
        await self._core.database.write(lambda tx: tx.announce(_PRESENCE, payload))

    def _later(self, user_id: str, said: Said) -> None:
        self._start(self._say(user_id, said))

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hear(self, announcement: Announcement) -> None:
        user_id, said = _said.decode(announcement.payload)
        status = self._statuses.get(user_id)
        if status is None:
            if said.presence == "offline" and said.message is None:
                return
            status = self._statuses[user_id] = Status()
            self._make_space()
        if not status.take(said):
            return
        self._changes += 1
        status.change = self._changes
        self._sweep_soon()
        self._start(self._tell(user_id, self._changes))

    async def _tell(self, user_id: str, change: int) -> None:
        """Wake everybody who syncs here and shares a room with her."""
        sharers = await self._core.database.read(lambda tx: self._core.store.sharers(tx, user_id))
        told = [name for name in (user_id, *sharers) if self._core.views.held(name) is not None]
        for name in told:
            view = self._core.views.held(name)
            if view is not None:
                view.presence.pop(user_id, None)
                view.presence[user_id] = change
        self._core.notifier.wake(told)

    def _make_space(self) -> None:
        if len(self._statuses) > MAX_STATUSES:
            gone = next((name for name, status in self._statuses.items() if status.presence == "offline"), None)
            self._statuses.pop(gone or next(iter(self._statuses)))

    # Time

    def _sweep_soon(self) -> None:
        if self._timer is None and not self._core.notifier.stopped:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_EVERY, self._sweep)

    def _sweep(self) -> None:
        """Find who has gone or does nothing, and keep other processes from thinking so of those who are here."""
        self._timer = None
        now = self._core.clock()
        for user_id, status in list(self._statuses.items()):
            said = status.now(now)
            if said is not None:
                self._later(user_id, said)
        here = [name for name, status in self._statuses.items() if status.is_here(now)]
        if here and self._core.database.dialect == "postgresql":
            self._start(self._keep_alive(here))
        if any(status.presence != "offline" for status in self._statuses.values()):
            self._sweep_soon()

    async def _keep_alive(self, here: list[str]) -> None:
        payload = msgspec.json.encode(here).decode()
        await self._core.database.write(lambda tx: tx.announce(_ALIVE, payload))

    def _hear_alive(self, announcement: Announcement) -> None:
        if not announcement.local:
            for user_id in _alive.decode(announcement.payload):
                status = self._statuses.get(user_id)
                if status is not None:
                    status.seen = self._core.clock()

    # For sync

    def news(self, view: View, device: DeviceView, met: Iterable[str]) -> list[dict[str, Any]]:
        """`m.presence` events that a device has not had: of changes, and of people whom she just met."""
        if not self.enabled:
            return []
        told, names = device.presence, dict.fromkeys(met)
        for user_id, change in reversed(view.presence.items()):
            if change <= told:
                break
            names[user_id] = None
        device.presence = self._changes
        return self._events(names)

    async def everybody(self, user_id: str, device: DeviceView) -> list[dict[str, Any]]:
        """`m.presence` events for a first sync: of oneself and everybody who shares a room."""
        if not self.enabled:
            return []
        device.presence = self._changes
        sharers = await self._core.database.read(lambda tx: self._core.store.sharers(tx, user_id))
        return self._events((user_id, *sharers))

    def _events(self, names: Iterable[str]) -> list[dict[str, Any]]:
        now = self._core.clock()
        return [
            {"type": "m.presence", "sender": name, "content": status.content(now)}
            for name in names
            if (status := self._statuses.get(name)) is not None
        ]

    def stop(self) -> None:
        """Nothing is told any more."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
