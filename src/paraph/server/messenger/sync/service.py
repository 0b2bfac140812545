"""Sync: what happened since a token, or waiting until something does.

The waiter is registered before anything is read, so that nothing is missed in between. The answer ends at the newest
durable position. As long as memory reaches back to the token (the person's view, the room's tail), no SQL runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.model import Membership
from paraph.server.messenger.pushrules import default_ruleset
from paraph.server.messenger.relations.service import Relations
from paraph.server.messenger.room import Room
from paraph.server.messenger.rooms_at_once import RoomsAtOnce
from paraph.server.messenger.sync.rooms import Window, from_memory, typing
from paraph.server.messenger.sync.sections import (
    DeviceLists,
    Events,
    InvitedRoom,
    JoinedRoom,
    KnockedRoom,
    Raw,
    RoomSections,
    SyncAnswer,
    Timeline,
    ToDevice,
    encode,
)
from paraph.server.messenger.sync.tables import FromTables
from paraph.server.messenger.typing import Typing
from paraph.server.messenger.views import DeviceView, View
from paraph.server.storage import Transaction

ROOMS_PER_READ = 20
"""Rooms read from the tables before others get their turn on the event loop."""
COUNTS_KEPT = 5.0
"""Seconds for which a device's key counts are answered from memory."""


class DevicesSyncPart(Protocol):
    """What the devices room contributes."""

    @property
    def to_device(self) -> Sequence[Any]:
        """Messages to this device."""
        ...

    @property
    def changed(self) -> Iterable[str]:
        """People whose devices changed."""
        ...

    @property
    def left(self) -> Iterable[str]:
        """People whose devices are no longer followed."""
        ...

    @property
    def one_time_key_counts(self) -> dict[str, int]:
        """Unclaimed one-time keys by algorithm."""
        ...

    @property
    def unused_fallback_key_types(self) -> Sequence[str]:
        """Algorithms whose fallback key is unused."""
        ...


class DevicesForSync(Protocol):
    """What sync asks the devices room."""

    def sync_part(self, tx: Transaction, user_id: str, device_id: str, since: int, upto: int) -> DevicesSyncPart:
        """The device's share of (since, upto]."""
        ...

    async def acknowledge(self, user_id: str, device_id: str, upto: int) -> None:
        """Delete to-device messages up to `upto`: the device has them."""
        ...


class Sync:
    """Answers GET /sync."""

    def __init__(self, core: Core, devices: DevicesForSync, typing_now: Typing, relations: Relations) -> None:
        self._core = core
        self._devices = devices
        self._typing = typing_now
        self._relations = relations
        self._tables = RoomsAtOnce(core.database.dialect)

    async def answer(
        self, person: PersonPrincipal, since: int | None, wait: float, limit: int, full_state: bool = False
    ) -> bytes:
        """The sync answer as JSON, after waiting at most `wait` seconds for something to tell."""
        view = await self._core.view(person.user_id)
        if since is not None:
            await self._core.reach(since)
            await self._acknowledge(person, view.device(person.device_id), since)
        if since is None or full_state or wait <= 0:
            return encode((await self._build(person, since, limit, full_state))[0])
        until = asyncio.get_running_loop().time() + wait
        while True:
            left = until - asyncio.get_running_loop().time()
            waiter = self._core.notifier.wait(person.user_id, max(left, 0))
            try:
                answer, news = await self._build(person, since, limit, False)
                if news or left <= 0 or self._core.notifier.stopped:
                    return encode(answer)
                await waiter.done
            finally:
                waiter.cancel()

    async def _acknowledge(self, person: PersonPrincipal, device: DeviceView, since: int) -> None:
        if device.unacknowledged is not None and since >= device.unacknowledged:
            device.unacknowledged = None
            await self._devices.acknowledge(person.user_id, person.device_id, since)

    async def _build(
        self, person: PersonPrincipal, since: int | None, limit: int, full_state: bool
    ) -> tuple[SyncAnswer, bool]:
        """The answer, and whether it says anything."""
        view = await self._core.view(person.user_id)
        upto = self._core.database.position
        if since is not None:
            since = min(since, upto)
        window = Window(person, since, upto, limit, full_state)
        rooms = RoomSections({}, {}, {})
        slow = self._from_memory(view, window, rooms)
        if slow:
            await self._from_tables(view, window, rooms, slow)
        answer = SyncAnswer(f"s{upto}", {}, [])
        await self._add_account_data(view, window, rooms, answer)
        self._add_typing(view, window, rooms)
        counts_changed = await self._add_devices(view, window, answer)
        if rooms.join or rooms.invite or rooms.leave or rooms.knock:
            answer.rooms = rooms
        return answer, counts_changed or any(
            part is not msgspec.UNSET
            for part in (answer.rooms, answer.account_data, answer.to_device, answer.device_lists)
        )

    def _from_memory(self, view: View, window: Window, rooms: RoomSections) -> dict[str, Membership]:
        """Fill in what memory knows; returns the rooms that need the tables."""
        since = window.since
        if since is None or since < view.floor or window.full_state:
            return dict(view.rooms)
        slow: dict[str, Membership] = {}
        for room_id in view.changed_since(since):
            membership = view.rooms.get(room_id)
            if membership is None:
                continue
            room = self._core.rooms.held(room_id)
            stayed = membership.membership == "join" and membership.position <= since
            if stayed and room is not None and _is_known(room, since, window.upto):
                section = from_memory(room, window, since)
                if section.timeline.events or section.ephemeral.events:
                    rooms.join[room_id] = section
            else:
                slow[room_id] = membership
        return slow

    async def _from_tables(self, view: View, window: Window, rooms: RoomSections, slow: dict[str, Membership]) -> None:
        """Fill in rooms from the tables, a few per read; `upto` keeps the reads consistent with each other."""
        tables, entries = FromTables(self._tables, window, self._relations), list(slow.items())
        for start in range(0, len(entries), ROOMS_PER_READ):
            if start:
                await asyncio.sleep(0)
            part = dict(entries[start : start + ROOMS_PER_READ])
            found = await self._core.database.read(partial(tables.sections, rooms=part))
            for room_id, section in found.items():
                if isinstance(section, InvitedRoom):
                    rooms.invite[room_id] = section
                elif isinstance(section, KnockedRoom):
                    rooms.knock[room_id] = section
                else:
                    (rooms.join if part[room_id].membership == "join" else rooms.leave)[room_id] = section

    async def _add_account_data(self, view: View, window: Window, rooms: RoomSections, answer: SyncAnswer) -> None:
        since, user_id = window.since, window.person.user_id
        if since is not None and since >= view.account_data_at:
            return
        rows = await self._core.database.read(
            lambda tx: self._core.store.account_data_after(tx, user_id, since or 0, window.upto)
        )
        everywhere: list[Raw] = []
        if since is None and not any(room_id == "" and kind == "m.push_rules" for room_id, kind, _, _ in rows):
            everywhere.append(_data_event("m.push_rules", encode(default_ruleset(user_id))))
        for room_id, kind, content, _ in rows:
            if room_id == "":
                everywhere.append(_data_event(kind, content))
            elif (membership := view.rooms.get(room_id)) is not None and membership.membership == "join":
                section = rooms.join.setdefault(room_id, _nothing(window))
                section.account_data = Events([*section.account_data.events, _data_event(kind, content)])
        if everywhere:
            answer.account_data = Events(everywhere)

    def _add_typing(self, view: View, window: Window, rooms: RoomSections) -> None:
        told = view.device(window.person.device_id).typing
        for room_id, change in view.typing.items():
            membership = view.rooms.get(room_id)
            if told.get(room_id) == change or membership is None or membership.membership != "join":
                continue
            told[room_id] = change
            now = self._typing.in_room(room_id)
            if now or window.since is not None:
                section = rooms.join.setdefault(room_id, _nothing(window))
                section.ephemeral = Events([*section.ephemeral.events, typing(now)])

    async def _add_devices(self, view: View, window: Window, answer: SyncAnswer) -> bool:
        """Add what the devices room knows; returns whether the key counts are news."""
        person, since, upto = window.person, window.since, window.upto
        device = view.device(person.device_id)
        before, now = device.counts, asyncio.get_running_loop().time()
        known = before is not None and device.counts_at >= view.devices_at and now < device.counts_until
        if not known or since is None or since < view.devices_at:
            part = await self._core.database.read(
                lambda tx: self._devices.sync_part(tx, person.user_id, person.device_id, since or 0, upto)
            )
            device.counts = (dict(part.one_time_key_counts), list(part.unused_fallback_key_types))
            device.counts_at, device.counts_until = upto, now + COUNTS_KEPT
            if part.to_device:
                answer.to_device = ToDevice(list(part.to_device))
                device.unacknowledged = upto
            if since is not None:
                window.met.update(part.changed)
                window.parted.update(part.left)
        if device.counts is not None:
            answer.device_one_time_keys_count, answer.device_unused_fallback_key_types = device.counts
        if window.met or window.parted:
            await self._add_device_lists(window, answer)
        return before is not None and before != device.counts

    async def _add_device_lists(self, window: Window, answer: SyncAnswer) -> None:
        user_id, store = window.person.user_id, self._core.store
        left = await self._core.database.read(
            lambda tx: [name for name in window.parted if not store.share_a_room(tx, user_id, name)]
        )
        changed = sorted(window.met - set(left))
        if changed or left:
            answer.device_lists = DeviceLists(changed, sorted(left))


def _is_known(room: Room, since: int, upto: int) -> bool:
    """Whether memory knows all that happened in a room, and nothing of it has to be served with a bundle."""
    return room.tail_from <= since and room.receipts_from <= since and not room.has_related(since, upto)


def _nothing(window: Window) -> JoinedRoom:
    return JoinedRoom(Timeline([], False, f"s{window.upto}"), Events(), Events(), Events())


def _data_event(kind: str, content: bytes) -> Raw:
    return Raw(encode({"type": kind, "content": Raw(content)}))
