"""Sync: what happened since a token, or waiting until something does.

The waiter is registered before anything is read, so that nothing is missed in between. The answer ends at the newest
durable position. As long as memory reaches back to the token (the person's view, the room's tail), no SQL runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.filters.matching import EVERYTHING, Plan
from paraph.server.messenger.model import Membership
from paraph.server.messenger.presence.service import Presence
from paraph.server.messenger.push.rules import PUSH_RULES
from paraph.server.messenger.push.service import Push
from paraph.server.messenger.relations.service import Relations
from paraph.server.messenger.room import Room
from paraph.server.messenger.rooms_at_once import RoomsAtOnce
from paraph.server.messenger.sync.lazy import Lazy, Told
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
    ToDevice,
    encode,
)
from paraph.server.messenger.sync.tables import FromTables
from paraph.server.messenger.tokens import Token
from paraph.server.messenger.typing import Typing
from paraph.server.messenger.views import DeviceView, View
from paraph.server.storage import Transaction

ROOMS_PER_READ = 20
"""Rooms read from the tables before others get their turn on the event loop."""
COUNTS_KEPT = 5.0
"""Seconds for which a device's key counts are answered from memory."""
MAX_TO_DEVICE = 100
"""Messages to a device in one answer; further ones follow with the next."""
MAX_DEVICE_LISTS = 1_000
"""People in the device lists of one answer; further ones follow with the next."""


class DevicesSyncPart(Protocol):
    """What the devices room contributes."""

    @property
    def to_device(self) -> Sequence[Any]:
        """Messages to this device."""
        ...

    @property
    def to_device_upto(self) -> int:
        """How far these messages reach: less than the answer if there are more than fit."""
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
    def lists_upto(self) -> int:
        """How far these lists reach: less than the answer if there are more people than fit."""
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

    def sync_part(
        self,
        tx: Transaction,
        user_id: str,
        device_id: str,
        since: int,
        upto: int,
        *,
        to_device_since: int | None = None,
        limit: int | None = None,
        lists_since: int | None = None,
        lists_limit: int | None = None,
    ) -> DevicesSyncPart:
        """The device's share of (since, upto], with at most `limit` messages from `to_device_since` on, and so with
        the device lists.
        """
        ...

    async def acknowledge(self, user_id: str, device_id: str, upto: int) -> None:
        """Delete to-device messages up to `upto`: the device has them."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks of one sync. `since` is None for a first one; `wait` are seconds."""

    since: Token | None = None
    wait: float = 0.0
    plan: Plan = EVERYTHING
    full_state: bool = False
    state_after: bool = False
    presence: str = "online"


class Sync:
    """Answers GET /sync."""

    def __init__(
        self,
        core: Core,
        devices: DevicesForSync,
        typing_now: Typing,
        relations: Relations,
        presence: Presence,
        push: Push,
    ) -> None:
        self._core = core
        self._devices = devices
        self._typing = typing_now
        self._relations = relations
        self._presence = presence
        self._push = push
        self._tables = RoomsAtOnce(core.database.dialect)
        self._told = Told()

    async def answer(self, person: PersonPrincipal, asked: Asked) -> bytes:
        """The sync answer as JSON, after waiting at most `asked.wait` seconds for something to tell."""
        view = await self._core.view(person.user_id)
        since = asked.since
        if since is not None:
            await self._core.reach(since.position)
            await self._acknowledge(person, view.device(person.device_id), since.to_device)
        await self._presence.came(person, asked.presence)
        with self._presence.syncing(person.user_id):
            if since is None or asked.full_state or asked.wait <= 0:
                return encode((await self._build(person, asked))[0])
            until = asyncio.get_running_loop().time() + asked.wait
            while True:
                left = until - asyncio.get_running_loop().time()
                waiter = self._core.notifier.wait(person.user_id, max(left, 0))
                try:
                    answer, news = await self._build(person, asked)
                    if news or left <= 0 or self._core.notifier.stopped:
                        return encode(answer)
                    await waiter.done
                finally:
                    waiter.cancel()

    async def _acknowledge(self, person: PersonPrincipal, device: DeviceView, since: int) -> None:
        if device.unacknowledged is not None and since >= device.unacknowledged:
            device.unacknowledged = None
            await self._devices.acknowledge(person.user_id, person.device_id, since)

    async def _build(self, person: PersonPrincipal, asked: Asked) -> tuple[SyncAnswer, bool]:
        """The answer, and whether it says anything."""
        view = await self._core.view(person.user_id)
        window = self._window(person, view, asked)
        rooms = RoomSections({}, {}, {}, {})
        slow = self._from_memory(view, window, rooms)
        if slow:
            await self._from_tables(window, rooms, slow)
        answer = SyncAnswer("", {}, [])
        await self._add_account_data(view, window, rooms, answer)
        self._add_typing(view, window, rooms)
        await self._add_counts(view, window, rooms)
        reached, counts_changed = await self._add_devices(view, window, asked.since, answer)
        answer.next_batch = str(reached)
        if rooms.join or rooms.invite or rooms.leave or rooms.knock:
            answer.rooms = rooms
        await self._add_presence(view, window, answer)
        return answer, counts_changed or any(
            part is not msgspec.UNSET
            for part in (answer.rooms, answer.account_data, answer.presence, answer.to_device, answer.device_lists)
        )

    def _window(self, person: PersonPrincipal, view: View, asked: Asked) -> Window:
        """What this answer covers."""
        upto, plan = self._core.database.position, asked.plan
        since = None if asked.since is None else min(asked.since.position, upto)
        lazy = None
        if plan.state.lazy:
            device = view.device(person.device_id)
            if since is None or not device.lazy:
                device.lazy = self._told.begin()
            known = None if asked.full_state else since
            lazy = Lazy(self._told, device.lazy, known, upto, plan.state.redundant)
        return Window(person, since, upto, plan, asked.full_state, asked.state_after, view.ignored, lazy)

    def _from_memory(self, view: View, window: Window, rooms: RoomSections) -> dict[str, Membership]:
        """Fill in what memory knows; returns the rooms that need the tables."""
        since, wanted = window.since, window.plan.rooms
        if since is None or since < view.floor or window.full_state:
            rooms_known = view.rooms if since is None else view.forgotten | view.rooms
            return {room_id: there for room_id, there in rooms_known.items() if room_id in wanted}
        slow: dict[str, Membership] = {}
        for room_id in view.changed_since(since):
            membership = view.rooms.get(room_id) or view.forgotten.get(room_id)
            if membership is None or room_id not in wanted:
                continue
            room = self._core.rooms.held(room_id) if window.plan.plain else None
            stayed = membership.membership == "join" and membership.position <= since
            section = None
            if stayed and room is not None and _is_known(room, since, window.upto):
                section = from_memory(room, window, since)
            if section is None:
                slow[room_id] = membership
            elif section.timeline.events or section.ephemeral.events:
                rooms.join[room_id] = section
        return slow

    async def _from_tables(self, window: Window, rooms: RoomSections, slow: dict[str, Membership]) -> None:
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
        since, user_id, plan = window.since, window.person.user_id, window.plan
        if since is not None and since >= view.account_data_at:
            return
        rows = await self._core.database.read(
            lambda tx: self._core.store.account_data_after(tx, user_id, since or 0, window.upto)
        )
        everywhere: list[Raw] = []
        if since is None and not any(room_id == "" and kind == PUSH_RULES for room_id, kind, _, _ in rows):
            rows = [("", PUSH_RULES, self._push.default_content(user_id), 0), *rows]
        for room_id, kind, content, _ in rows:
            if room_id == "" and kind in plan.data:
                everywhere.append(data_event(kind, content))
            elif room_id in plan.rooms and plan.room_data.wants_type(kind, room_id) and _is_joined(view, room_id):
                section = rooms.join.setdefault(room_id, _nothing(window))
                section.account_data = Events([*section.account_data.events, data_event(kind, content)])
        if everywhere:
            answer.account_data = Events(everywhere)

    async def _add_counts(self, view: View, window: Window, rooms: RoomSections) -> None:
        """Say of every joined room in the answer how much of it is unread, as of the end of the answer."""
        apart = window.plan.definition.room.timeline.unread_thread_notifications
        joined = {room_id: there.position for room_id in rooms.join if (there := view.rooms.get(room_id)) is not None}
        for room_id, unread in (await self._push.unread(window.person.user_id, joined, window.upto, view)).items():
            section = rooms.join[room_id]
            section.unread_notifications = unread.main if apart else unread.total
            if apart and (threads := unread.threads):
                section.unread_thread_notifications = threads

    def _add_typing(self, view: View, window: Window, rooms: RoomSections) -> None:
        """Who types, where that changed since the device was told; for one that begins anew, wherever anybody does."""
        told, plan, anew = view.device(window.person.device_id).typing, window.plan, window.since is None
        if anew:
            told.update(view.typing)
        changed = [room_id for room_id, change in view.typing.items() if told.get(room_id) != change]
        for room_id in self._typing.rooms() if anew else changed:
            if not _is_joined(view, room_id) or room_id not in plan.rooms:
                continue
            told[room_id] = view.typing.get(room_id, 0)
            if plan.ephemeral.wants_type("m.typing", room_id):
                section = rooms.join.setdefault(room_id, _nothing(window))
                section.ephemeral = Events([*section.ephemeral.events, typing(self._typing.in_room(room_id))])

    async def _add_presence(self, view: View, window: Window, answer: SyncAnswer) -> None:
        device, plan = view.device(window.person.device_id), window.plan
        if "m.presence" not in plan.presence:
            return
        if window.since is None:
            found = await self._presence.everybody(window.person.user_id, device)
        else:
            found = self._presence.news(view, device, window.met)
        shown = [Raw(encode(event)) for event in found if event["sender"] in plan.presence_senders]
        if shown:
            answer.presence = Events(shown)

    async def _add_devices(
        self, view: View, window: Window, since: Token | None, answer: SyncAnswer
    ) -> tuple[Token, bool]:
        """Add what the devices room knows; how far the answer reaches, and whether the key counts are news."""
        person, upto = window.person, window.upto
        device = view.device(person.device_id)
        before, now, reached = device.counts, asyncio.get_running_loop().time(), Token(upto, upto, upto)
        known = before is not None and device.counts_at >= view.devices_at and now < device.counts_until
        if not known or since is None or since.behind < view.devices_at:
            part = await self._core.database.read(
                lambda tx: self._devices.sync_part(
                    tx,
                    person.user_id,
                    person.device_id,
                    window.since or 0,
                    upto,
                    to_device_since=0 if since is None else min(since.to_device, upto),
                    limit=MAX_TO_DEVICE,
                    lists_since=upto if since is None else min(since.lists, upto),
                    lists_limit=MAX_DEVICE_LISTS,
                )
            )
            device.counts = (dict(part.one_time_key_counts), list(part.unused_fallback_key_types))
            device.counts_at, device.counts_until = upto, now + COUNTS_KEPT
            if part.to_device:
                answer.to_device = ToDevice(list(part.to_device))
                reached = replace(reached, to_device=min(part.to_device_upto, upto))
                device.unacknowledged = reached.to_device
            if since is not None:
                reached = replace(reached, lists=min(part.lists_upto, upto))
                if reached.lists < upto:  # who was met or left in a room is named by the devices room too, in its turn
                    window.met, window.parted = set(), set()
                window.met.update(part.changed)
                window.parted.update(part.left)
        if device.counts is not None:
            answer.device_one_time_keys_count, answer.device_unused_fallback_key_types = device.counts
        if window.met or window.parted:
            await self._add_device_lists(window, answer)
        return reached, before is not None and before != device.counts

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


def _is_joined(view: View, room_id: str) -> bool:
    membership = view.rooms.get(room_id)
    return membership is not None and membership.membership == "join"


def _nothing(window: Window) -> JoinedRoom:
    return window.section([], [], False, window.upto, [], [])


def data_event(kind: str, content: bytes) -> Raw:
    """Account data as an event."""
    return Raw(encode({"type": kind, "content": Raw(content)}))
