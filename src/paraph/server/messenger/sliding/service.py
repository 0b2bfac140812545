"""Sliding sync: a client names the rooms that it looks at, and is told what is new of them since it last asked.

As with sync, the waiter is registered before anything is read, and an answer ends at the newest durable position.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.presence.service import Presence
from paraph.server.messenger.push.service import Push
from paraph.server.messenger.relations.service import Relations
from paraph.server.messenger.rooms_at_once import RoomsAtOnce
from paraph.server.messenger.sliding.connections import Connection, Connections, Sent
from paraph.server.messenger.sliding.extensions import ExtensionsBuilder, Seen, to_device_since
from paraph.server.messenger.sliding.model import Range, Request
from paraph.server.messenger.sliding.rooms import Asked, Names, Rooms, Span
from paraph.server.messenger.sliding.wanted import RoomWanted
from paraph.server.messenger.sync.lazy import Lazy, Told
from paraph.server.messenger.sync.service import DevicesForSync
from paraph.server.messenger.tokens import split
from paraph.server.messenger.typing import Typing
from paraph.server.messenger.views import View
from paraph.server.storage import Transaction

ROOMS_PER_READ = 20
"""Rooms read before others get their turn on the event loop."""
MAX_TIMEOUT_MS = 60_000


@dataclass(slots=True)
class _Looked:
    """The rooms that a request looks at, with what is wanted of each; and its lists, whole and as far as looked at."""

    wanted: dict[str, RoomWanted]
    counts: dict[str, int]
    lists: dict[str, list[str]]
    subscribed: list[str]


@dataclass(frozen=True, slots=True)
class _Work:
    """One request and its connection, with what each list and subscription wants of its rooms."""

    person: PersonPrincipal
    request: Request
    connection: Connection
    lists: dict[str, RoomWanted]
    subscribed: dict[str, RoomWanted]
    names: Names


class Sliding:
    """Answers sliding sync requests."""

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
        self._relations = relations
        self._presence = presence
        self._push = push
        self._tables = RoomsAtOnce(core.database.dialect)
        self._extensions = ExtensionsBuilder(core, devices, typing_now, self._tables, push)
        self._told = Told()
        self.connections = Connections()

    async def answer(self, person: PersonPrincipal, request: Request, names: Names) -> bytes:
        """The answer as JSON. Raises M_UNKNOWN_POS, M_INVALID_PARAM; then nothing has changed."""
        configs = {name: RoomWanted.of(it, person.user_id, name) for name, it in request.lists.items()}
        subscribed = {it: RoomWanted.of(config, person.user_id) for it, config in request.room_subscriptions.items()}
        since = to_device_since(request.extensions.to_device)
        if request.pos is not None:
            await self._core.reach(split(request.pos)[0])
            connection = self.connections.resume(person, request.conn_id, request.pos)
        else:
            connection = self.connections.begin(person, request.conn_id)
        if request.extensions.to_device.enabled and since:
            await self._devices.acknowledge(person.user_id, person.device_id, since)
        work = _Work(person, request, connection, configs, subscribed, names)
        await self._presence.came(person, request.set_presence)
        with self._presence.syncing(person.user_id):
            return await self._when_there_is_news(work)

    async def _when_there_is_news(self, work: _Work) -> bytes:
        wait = min(work.request.timeout, MAX_TIMEOUT_MS) / 1000 if work.request.pos is not None else 0.0
        until = asyncio.get_running_loop().time() + wait
        while True:
            left = until - asyncio.get_running_loop().time()
            waiter = self._core.notifier.wait(work.person.user_id, max(left, 0))
            try:
                answer, news = await self._build(work)
                if news or left <= 0 or self._core.notifier.stopped:
                    return msgspec.json.encode(answer)
                await waiter.done
            finally:
                waiter.cancel()

    async def _build(self, work: _Work) -> tuple[dict[str, Any], bool]:
        """The answer, and whether it says anything."""
        core, person, connection = self._core, work.person, work.connection
        view, upto = await core.view(person.user_id), core.database.position
        since = None if connection.progress is None else connection.progress.position
        lazy = Lazy(self._told, connection.number, connection.acknowledged, connection.sequence + 1, False)
        span = Span(person, since, upto, lazy, view.ignored, work.names)
        looked = await core.database.read(lambda tx: self._look(tx, work, view, upto))
        asked = [
            it
            for room_id, wanted in looked.wanted.items()
            if (it := self._asked(connection, view, room_id, wanted)) is not None
        ]
        rooms = await self._rooms(span, asked)
        sent = {it.room_id: Sent(upto, it.wanted, it.there.membership, it.is_dm) for it in asked if it.room_id in rooms}
        await self._add_unread(span, view, looked, connection, rooms, sent)
        seen = Seen(looked.lists, looked.subscribed, list(connection.rooms), _timelines(rooms, connection, work.names))
        extensions, news, progress = await core.database.read(
            lambda tx: self._extensions.build(tx, work.request.extensions, view, span, connection.progress, seen)
        )
        connection.told(sent, progress)
        answer: dict[str, Any] = {
            "pos": self.connections.pos(connection, upto),
            "lists": {name: {"count": count} for name, count in looked.counts.items()},
            "rooms": rooms,
            "extensions": extensions,
        }
        if work.request.txn_id is not None:
            answer["txn_id"] = work.request.txn_id
        return answer, bool(rooms) or news

    def _look(self, tx: Transaction, work: _Work, view: View, upto: int) -> _Looked:
        """Find out which rooms the lists and subscriptions are about."""
        known = work.connection.known
        known.refresh(self._core, self._tables, tx, work.person.user_id, view, upto)
        everything = known.listed(view, work.connection.rooms.keys())
        looked = _Looked({}, {}, {}, [room_id for room_id in work.subscribed if room_id in view.rooms])
        for name, config in work.request.lists.items():
            fitting = known.fitting(self._core, self._tables, tx, view, everything, config.filters)
            looked.counts[name] = len(fitting)
            looked.lists[name] = fitting if config.windows is None else _within(fitting, config.windows)
            for room_id in looked.lists[name]:
                _want(looked.wanted, room_id, work.lists[name])
        for room_id in looked.subscribed:
            _want(looked.wanted, room_id, work.subscribed[room_id])
        return looked

    def _asked(self, connection: Connection, view: View, room_id: str, wanted: RoomWanted) -> Asked | None:
        """What the answer is to tell of a room; None if the client has it all."""
        sent, there, known = connection.sent(room_id), view.rooms[room_id], connection.known
        is_dm = room_id in known.own.direct
        if sent is not None:
            more = wanted.timeline > sent.wanted.timeline or not wanted.state <= sent.wanted.state
            gone = there.membership in ("leave", "ban") and sent.membership == there.membership
            if known.activity.get(room_id, 0) <= sent.position and (gone or not more) and is_dm is sent.is_dm:
                return None
        return Asked(room_id, wanted, sent, there, is_dm)

    async def _add_unread(
        self,
        span: Span,
        view: View,
        looked: _Looked,
        connection: Connection,
        rooms: dict[str, dict[str, Any]],
        sent: dict[str, Sent],
    ) -> None:
        """Say how much is unread: of every joined room that is told, and of others if it has changed by reading."""
        touched = looked.wanted.keys() & connection.rooms.keys()
        if span.since is not None and span.since >= view.floor:
            touched &= set(view.changed_since(span.since))
        joined = {
            room_id: there.position
            for room_id in rooms.keys() | touched
            if (there := view.rooms.get(room_id)) is not None and there.membership == "join"
        }
        for room_id, unread in (await self._push.unread(span.person.user_id, joined, span.upto)).items():
            now = (unread.main.notification_count, unread.main.highlight_count)
            before = sent.get(room_id) or connection.sent(room_id)
            if before is not None and (room_id in rooms or before.unread != now):
                told = rooms.setdefault(room_id, {"membership": "join"})
                told["notification_count"], told["highlight_count"] = now
                sent[room_id] = replace(before, unread=now)

    async def _rooms(self, span: Span, asked: list[Asked]) -> dict[str, dict[str, Any]]:
        """Tell the rooms, a few per read."""
        builder = Rooms(self._tables, self._relations, span)
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(asked), ROOMS_PER_READ):
            if start:
                await asyncio.sleep(0)
            part = asked[start : start + ROOMS_PER_READ]
            found |= await self._core.database.read(partial(builder.build, asked=part))
        return found


def _want(wanted: dict[str, RoomWanted], room_id: str, more: RoomWanted) -> None:
    wanted[room_id] = wanted[room_id] | more if room_id in wanted else more


def _within(rooms: list[str], windows: Iterable[Range]) -> list[str]:
    """The rooms at these indices (both ends included), each once, in their order."""
    found: dict[str, None] = {}
    for first, last in windows:
        found |= dict.fromkeys(rooms[first : last + 1])
    return list(found)


def _timelines(rooms: dict[str, dict[str, Any]], connection: Connection, names: Names) -> dict[str, set[str]]:
    """The ids of the events shown by each room that is told for the first time."""
    return {
        room_id: {_event_id.decode(event).event_id for event in room.get(names.timeline, [])}
        for room_id, room in rooms.items()
        if connection.sent(room_id) is None
    }


class _Identified(msgspec.Struct):
    event_id: str


_event_id = msgspec.json.Decoder(_Identified)
