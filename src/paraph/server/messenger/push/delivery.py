"""Telling push gateways: one process does, from what is durable, and tries again what was not taken.

Sending a message costs nothing more where nobody has a pusher. Where people do, the process that has the role looks
at what was written since it last looked, holds it against the rules of those with pushers in the room, and keeps what
is to be told in a table before anything is sent. A notification that was read meanwhile is not sent any more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import structlog

from paraph.server.messenger.core import Core
from paraph.server.messenger.model import MEMBER, Event, Receipt
from paraph.server.messenger.push import gateway, store
from paraph.server.messenger.push.counts import HeldRoom, Unread
from paraph.server.messenger.push.pushers import CHANGED
from paraph.server.messenger.push.service import Push
from paraph.server.messenger.push.store import Pusher, Waiting
from paraph.server.outgoing.sender import BadTarget, Sender, Unreachable
from paraph.server.storage import Announcement, StorageError, Transaction

log = structlog.get_logger("paraph.push")

MAX_STRETCH = 500
"""Positions looked at in one write."""
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 1_000, 3_600_000
"""After a failure; it doubles with each in a row."""
MAX_AGE_MS = 24 * 3_600_000
"""Of an event; what is older is nothing to wake anybody for."""
ROUND_EVERY = 0.05
LOOK_EVERY = 1.0
"""Seconds after which one looks though nothing was heard of: other processes write as well."""
CANDIDACY = 5.0
MAX_UNDER_WAY = 50
HTTP_OK = 200


class Delivery:
    """Sends to everybody's gateways while this process holds the role."""

    def __init__(self, core: Core, push: Push, sender: Sender, clock: Callable[[], int]) -> None:
        self._core = core
        self._push = push
        self._sender = sender
        self._clock = clock
        self._role = core.database.role("pushers")
        self._wake = asyncio.Event()
        self._under_way: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._looked: int | None = None
        self._leads = False
        self._any = True
        self._have_read: set[str] = set()
        self._shown: dict[tuple[str, str, str], int] = {}
        core.database.listen(CHANGED, self._changed)

    async def start(self) -> None:
        """Begin to send, in the process that has the role."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send nothing more; what was under way is sent again by whoever comes next."""
        self._core.published = None
        tasks = [task for task in (self._task, *self._under_way.values()) if task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._role.release()
        await self._sender.close()

    def received(self, _room_id: str, receipt: Receipt) -> None:
        """Somebody has read something: what an app shows as unread may be too much now."""
        if self._any and self._leads:
            self._have_read.add(receipt.user_id)
            self._wake.set()

    def _changed(self, _announcement: Announcement) -> None:
        self._any = True
        self._wake.set()

    async def _run(self) -> None:
        while True:
            pause = CANDIDACY
            try:
                self._leads = await self._role.held() or await self._role.take()
                if self._leads:
                    pause = await self.round()
                else:
                    self._looked = None
                    self._have_read.clear()
            except (StorageError, OSError) as error:
                log.warning("push gateways could not be told", error=str(error))
            await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()
        await asyncio.sleep(ROUND_EVERY)

    async def round(self) -> float:
        """Look at what was written, and begin to send what is due; seconds after which to look again."""
        if not self._any:
            return CANDIDACY
        self._any = await self._core.database.read(store.exist)
        self._core.published = self._wake.set if self._any else None
        if not self._any:
            self._looked = None
            self._have_read.clear()
            return CANDIDACY
        await self._look()
        await self._send_counts()
        return await self._send()

    async def _look(self) -> None:
        if self._looked is None:
            known = await self._core.database.read(store.progress)
            self._looked = self._core.database.position if known is None else known
        while self._looked < (newest := self._core.database.position):
            upto = min(newest, self._looked + MAX_STRETCH)
            found = await self._core.database.read(partial(self._found, after=self._looked, upto=upto))
            if found:
                await self._core.database.write(partial(_keep, found=found, upto=upto))
            self._looked = upto

    def _found(self, tx: Transaction, after: int, upto: int) -> list[Waiting]:
        """What pushers are to be told of the events in (after, upto]."""
        found: list[Waiting] = []
        oldest = self._clock() - MAX_AGE_MS
        events = [event for event in self._core.store.events_between(tx, after, upto) if event.ts >= oldest]
        rooms = store.in_rooms(tx, self._core.database.dialect, sorted({event.room_id for event in events}))
        for event in events:
            pushers = rooms.get(event.room_id, [])
            if event.type == MEMBER and event.state_key is not None:
                pushers = pushers + [new for new in store.of(tx, event.state_key) if new not in pushers]
            found += self._of_event(tx, event, pushers)
        return found

    def _of_event(self, tx: Transaction, event: Event, pushers: list[Pusher]) -> list[Waiting]:
        found: list[Waiting] = []
        interested = [pusher for pusher in pushers if pusher.user_id != event.sender and pusher.since < event.position]
        room = self._core.room_now(tx, event.room_id) if interested else None
        for pusher in interested:
            evaluator, ignored = self._push.rules.load(tx, pusher.user_id)
            if room is None or event.sender in ignored:
                continue
            outcome = evaluator.outcome(event, pusher.user_id, HeldRoom(room, pusher.user_id))
            if outcome.notify:
                found.append(Waiting(pusher, event.position, outcome.tweaks))
        return found

    async def _send(self) -> float:
        now = self._clock()
        waiting = await self._core.database.read(lambda tx: store.waiting(tx, 2 * MAX_UNDER_WAY))
        for push in waiting:
            name = (push.pusher.user_id, push.pusher.app_id, push.pusher.pushkey)
            free = name not in self._under_way and len(self._under_way) < MAX_UNDER_WAY
            if free and push.pusher.next_attempt <= now:
                self._begin(name, self._deliver(push))
        later = [push.pusher.next_attempt - now for push in waiting if push.pusher.next_attempt > now]
        return min([LOOK_EVERY, *(wait / 1000 for wait in later)])

    async def _send_counts(self) -> None:
        """Begin to tell the apps of people who have read something how much is left. What fails is not tried again."""
        for user_id in sorted(self._have_read)[: MAX_UNDER_WAY - len(self._under_way)]:
            self._have_read.discard(user_id)
            pushers = await self._core.database.read(partial(store.of, user_id=user_id))
            for pusher in pushers:
                name = (user_id, pusher.app_id, pusher.pushkey)
                if name not in self._under_way:
                    self._begin(name, self._deliver_count(name, pusher))
                else:
                    self._have_read.add(user_id)

    async def _deliver_count(self, name: tuple[str, str, str], pusher: Pusher) -> None:
        left = _total(await self._unread(pusher.user_id))
        if self._shown.get(name) == left:
            return
        status, answer = await self._post(pusher, gateway.count(pusher, left))
        if status == HTTP_OK:
            self._shown[name] = left
            if gateway.rejects(answer, pusher.pushkey):
                await self._core.database.write(lambda tx: store.remove(tx, *name))

    def _begin(self, name: tuple[str, str, str], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way[name] = task
        task.add_done_callback(lambda _task: self._done(name))

    def _done(self, name: tuple[str, str, str]) -> None:
        del self._under_way[name]
        self._wake.set()

    async def _deliver(self, push: Waiting) -> None:
        try:
            body = await self._body(push)
            if body is None:
                await self._core.database.write(lambda tx: store.done(tx, push))
                return
            status, answer = await self._post(push.pusher, body)
            await self._core.database.write(lambda tx: self._settle(tx, push, status, answer))
        except StorageError as error:  # it is sent again: gateways tell by the event's id that it is the same
            log.warning("what became of a push could not be kept", error=str(error))

    async def _body(self, push: Waiting) -> bytes | None:
        """What to send; None if the person has read the event, or it is gone."""
        unread = await self._unread(push.pusher.user_id)

        def read(tx: Transaction) -> tuple[Event | None, Any]:
            event = self._core.relations.store.events_at(tx, [push.position]).get(push.position)
            return event, None if event is None else self._core.room_now(tx, event.room_id)

        event, room = await self._core.database.read(read)
        if event is None or room is None or event.redacted_by is not None or event.ts < self._clock() - MAX_AGE_MS:
            return None
        if event.room_id in unread and event.event_id not in unread[event.room_id].found:
            return None
        left = _total(unread)
        self._shown[push.pusher.user_id, push.pusher.app_id, push.pusher.pushkey] = left
        return gateway.notification(push, event, room, left)

    async def _unread(self, user_id: str) -> dict[str, Unread]:
        """What a person has not read, by room."""
        view = await self._core.view(user_id)
        joined = {room_id: there.position for room_id, there in view.rooms.items() if there.membership == "join"}
        return await self._push.unread(user_id, joined, self._core.database.position, view)

    async def _post(self, pusher: Pusher, body: bytes) -> tuple[int, bytes]:
        try:
            answer = await self._sender.post(str(pusher.settings["url"]), {}, body)
        except (BadTarget, Unreachable) as error:
            log.info("a push gateway was not told", app_id=pusher.app_id, why=str(error))
            return 0, b""
        return answer.status, answer.body

    def _settle(self, tx: Transaction, push: Waiting, status: int, answer: bytes) -> None:
        pusher = push.pusher
        if status == HTTP_OK and gateway.rejects(answer, pusher.pushkey):
            store.remove(tx, pusher.user_id, pusher.app_id, pusher.pushkey)
        elif status == HTTP_OK:
            store.done(tx, push)
            if pusher.failures:
                store.tried(tx, pusher, 0, 0)
        else:
            pause = min(FIRST_PAUSE_MS << min(pusher.failures, 12), LONGEST_PAUSE_MS)
            store.tried(tx, pusher, pusher.failures + 1, self._clock() + pause)


def _total(unread: Mapping[str, Unread]) -> int:
    return sum(one.total.notification_count for one in unread.values())


def _keep(tx: Transaction, found: list[Waiting], upto: int) -> None:
    for push in found:
        store.add(tx, push)
    store.set_progress(tx, upto)
