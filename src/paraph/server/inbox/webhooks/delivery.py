"""Telling endpoints: one process does, many changes in a row are one message, and what fails is tried for days.

Nothing is written when something changes. What is to be told follows from how far each endpoint was told, and so is
told after a crash as well.
"""

import asyncio
import contextlib
import hmac
import random
from collections.abc import Callable

import structlog

from paraph.protocol.base64 import b64url
from paraph.server.inbox.feed import store as feed_store
from paraph.server.inbox.feed.filling import FED
from paraph.server.inbox.webhooks import store
from paraph.server.inbox.webhooks.signing import CHANGED, Signatures
from paraph.server.inbox.webhooks.store import GONE, UNREACHABLE, Webhook
from paraph.server.outgoing.sender import Sender, Unreachable
from paraph.server.outgoing.target import BadTarget
from paraph.server.storage import Announcement, Database, StorageError, Transaction

log = structlog.get_logger("paraph.webhooks")

MINUTE_MS = 60_000
PAUSES_MS = (5_000, 5 * MINUTE_MS, *(hours * 60 * MINUTE_MS for hours in (0.5, 2, 5, 10, 14, 20, 24)))
"""After each failure in a row, less or more a fifth; after the last, three days later, the endpoint is given up."""
JITTER = 0.2
AT_MOST_EVERY_MS = 2_000
"""Between two messages that an endpoint takes."""
ROUND_EVERY = 0.25
"""Seconds between two looks at what is to be told, however much changes."""
LOOK_EVERY = 30.0
"""Seconds after which one looks though nothing was heard of."""
CANDIDACY = 5.0
"""Seconds between two looks whether any process sends."""
MAX_UNDER_WAY = 50
TAKEN = range(200, 300)
HTTP_GONE = 410


class Delivery:
    """Sends to every partner's endpoints while this process holds the role."""

    def __init__(
        self,
        database: Database,
        sender: Sender,
        signatures: Callable[[], Signatures],
        name_key: Callable[[], bytes],
        clock: Callable[[], int],
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`name_key` gives the key that message ids are made with; `jitter` numbers from 0 to 1."""
        self._database = database
        self._role = database.role("webhooks")
        self._sender = sender
        self._signatures = signatures
        self._name_key = name_key
        self._clock = clock
        self._jitter = jitter
        self._wake = asyncio.Event()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        database.listen(FED, self._heard)

    async def start(self) -> None:
        """Begin to send, in the process that has the role."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send nothing more; what was under way is tried again by whoever comes next."""
        tasks = [task for task in (self._task, *self._under_way.values()) if task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._role.release()

    def _heard(self, _announcement: Announcement) -> None:
        self._wake.set()

    async def _run(self) -> None:
        while True:
            pause = CANDIDACY
            try:
                leads = await self._role.held() or await self._role.take()
                if leads:
                    pause = await self.round()
            except (StorageError, OSError) as error:
                leads = False
                log.warning("webhooks could not be looked at", error=str(error))
            await self._rest(pause, leads=leads)

    async def _rest(self, seconds: float, *, leads: bool) -> None:
        """Until something is due or, where this process sends, something changed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await (self._wake if leads else asyncio.Event()).wait()
        self._wake.clear()
        await asyncio.sleep(ROUND_EVERY)

    async def round(self) -> float:
        """Begin to send what is due; seconds after which something is due that is not yet."""
        pending, now = await self._database.read(self._pending), self._clock()
        later = [hook.next_attempt - now for hook, _ in pending if hook.next_attempt > now]
        for hook, newest in pending:
            busy = hook.webhook_id in self._under_way or len(self._under_way) >= MAX_UNDER_WAY
            if not busy and hook.next_attempt <= now:
                task = asyncio.create_task(self._deliver(hook, newest))
                self._under_way[hook.webhook_id] = task
                task.add_done_callback(lambda _task, name=hook.webhook_id: self._done(name))  # type: ignore[misc]
        return min([LOOK_EVERY, *(wait / 1000 for wait in later)])

    def _done(self, webhook_id: str) -> None:
        del self._under_way[webhook_id]
        self._wake.set()

    def _pending(self, tx: Transaction) -> list[tuple[Webhook, int]]:
        """Endpoints that have not been told everything, each with up to where there is something to tell."""
        newest: dict[str, int] = {}
        found = []
        for hook in store.active(tx):
            if hook.partner not in newest:
                newest[hook.partner] = feed_store.newest(tx, hook.partner)
            if newest[hook.partner] > hook.told:
                found.append((hook, newest[hook.partner]))
        return found

    async def _deliver(self, hook: Webhook, newest: int) -> None:
        headers, body = self._signatures().message(self._name(hook), CHANGED)
        try:
            status, why = (await self._sender.post(hook.url, headers, body)).status, ""
        except (BadTarget, Unreachable) as error:
            status, why = 0, str(error)
        try:
            await self._database.write(lambda tx: self._settle(tx, hook, newest, status))
        except StorageError as error:  # it is sent again: endpoints tell by the id that it is the same
            log.warning("a webhook's outcome could not be kept", error=str(error))
        if status not in TAKEN:
            log.info("a webhook was not taken", partner=hook.partner, status=status, why=why)

    def _settle(self, tx: Transaction, hook: Webhook, newest: int, status: int) -> None:
        now = self._clock()
        if status in TAKEN:
            store.told(tx, hook, newest, now + AT_MOST_EVERY_MS)
        elif status == HTTP_GONE:
            store.failed(tx, hook, now, now, GONE)
        elif hook.failures >= len(PAUSES_MS):
            store.failed(tx, hook, now, now, UNREACHABLE)
        else:
            pause = PAUSES_MS[hook.failures] * (1 + JITTER * (2 * self._jitter() - 1))
            store.failed(tx, hook, now, now + int(pause), None)

    def _name(self, hook: Webhook) -> str:
        """The message's id: the same for each attempt, and it says nothing to whoever reads it."""
        named = f"{hook.webhook_id} {hook.told}".encode()
        return f"msg_{b64url(hmac.digest(self._name_key(), named, 'sha256'))[:22]}"
