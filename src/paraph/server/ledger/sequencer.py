"""The one task that turns waiting leaves into the log, batch by batch, in the process that leads (see `leading`)."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import structlog

from paraph.server.ledger import store
from paraph.server.ledger.errors import LogStopped
from paraph.server.ledger.log import Log
from paraph.server.ledger.metrics import LedgerMetrics
from paraph.server.ledger.model import Batch
from paraph.server.ledger.restored import Restored
from paraph.server.ledger.witnesses import Unwitnessed, Witnesses
from paraph.server.storage import Database, Transaction
from paraph.tlog.merkle import leaf_hash

T = TypeVar("T")

logger = structlog.get_logger("paraph.ledger")

PUBLISHED = "ledger.published"
"""Topic: the leaves `<start> <end>` (end excluded) are under a published checkpoint."""
MAX_BATCH = 4096
"""Leaves taken from the outbox for one epoch."""
LOOK = 1.0
"""Seconds after which an idle sequencer looks at the clocks again."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """Seconds: between batches, between epochs of an idle log, and before a failed batch is tried again."""

    interval: float = 0.1
    heartbeat: float = 240.0
    retry: float = 1.0


class Sequencer:
    """Takes unsequenced leaves, in batches, through `Log`; file work happens in one thread of its own."""

    def __init__(
        self,
        database: Database,
        log: Log,
        witnesses: Witnesses,
        *,
        clock: Callable[[], int],
        still_leads: Callable[[], Awaitable[bool]],
        cadence: Cadence,
        restored: Restored | None = None,
        metrics: LedgerMetrics | None = None,
    ) -> None:
        self._database = database
        self._log = log
        self._witnesses = witnesses
        self._clock = clock
        self._still_leads = still_leads
        self._cadence = cadence
        self._restored = restored
        self._metrics = metrics or LedgerMetrics()
        log.timed = self._metrics.timed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._agreed = False  # nothing is signed before a quorum of witnesses knows nothing newer
        self._unfinished = True  # what is staged may be from before a crash
        self._last, self._last_at = 0.0, clock()
        self._task: asyncio.Task[None] | None = None
        self.stopped: LogStopped | None = None
        self.ended = asyncio.Event()

    async def start(self) -> None:
        """Finish what a crash left, publish a first epoch, and go on in the background. Raises LogStopped or OSError.

        Where the witnesses do not answer, the first epoch is left to the background too; and where map auditors have to
        read it first, since this process answers them only once it has started.
        """
        try:
            if self._witnesses.audited:
                await self._agree()
            more = self._witnesses.audited or await self.run_batch()
        except Unwitnessed as error:
            logger.warning("no checkpoint is published", reason=str(error))
            more = True
        if more:
            self._woken.set()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Finish the batch at hand, then end."""
        self._stopping.set()
        self._woken.set()
        if self._task is not None:
            await self._task
        await self._witnesses.close()
        await self._in_thread(self._log.close)
        self._thread.shutdown()

    def wake(self) -> None:
        """Something was recorded."""
        self._woken.set()

    async def run_batch(self) -> bool:
        """Finish what is staged; then sequence up to MAX_BATCH waiting leaves and an epoch leaf.

        True if more may wait. Whatever it raises, calling it again goes on where it stopped.
        """
        self._last, self._last_at = time.monotonic(), self._clock()
        if not self._agreed:
            await self._agree()
        if self._unfinished:
            await self._finish()
        leaves = await self._database.read(lambda tx: store.unsequenced(tx, MAX_BATCH))
        self._unfinished = True
        with self._metrics.timed("stage"):
            await self._in_thread(lambda: self._log.stage(leaves, self._clock()))
        await self._finish()
        return len(leaves) == MAX_BATCH

    async def _agree(self) -> None:
        """Have the newest tree known here cosigned once more; where the folder was restored, again after a while."""
        quiet = self._restored if self._restored is not None and self._restored.pending else None
        if quiet is None or not quiet.asked or not quiet.seconds_left:
            over = quiet is None or not quiet.seconds_left
            await self._witnesses.cosign(await self._in_thread(self._log.signed))
            self._agreed = over
        if quiet is None:
            return
        if not quiet.asked:
            quiet.begin()
        if not self._agreed:
            raise Unwitnessed(
                f"this folder was restored from a backup: nothing is signed for {quiet.seconds_left} s, in which the"
                " original, if it still runs, would show itself to the witnesses"
            )
        await self._in_thread(quiet.end)

    async def _finish(self) -> None:
        extended = await self._in_thread(self._log.extend)
        if extended is not None:
            batch, hashes = extended
            with self._metrics.timed("witness"):
                cosigned = await self._witnesses.cosign(await self._in_thread(self._log.signed))
            with self._metrics.timed("publish"):
                await self._in_thread(lambda: self._log.publish(batch, cosigned))
            # The epoch leaf, the last one, is in no outbox.
            indexes = list(zip(hashes, range(batch.start, batch.end), strict=True))[:-1]
            await self._reconcile(batch.start)
            with self._metrics.timed("mark"):
                await self._database.write(lambda tx: self._mark(tx, batch, indexes))
            self._metrics.published(len(batch.leaves), batch.epoch.n)
        else:  # where a folder was caught up with the published log, nothing is staged
            await self._reconcile((await self._in_thread(self._log.head)).size)
        self._unfinished = False

    def _mark(self, tx: Transaction, batch: Batch, indexes: list[tuple[bytes, int]]) -> None:
        if store.progress(tx) < batch.end:  # else it was marked, and all were told, before the last leader ended
            store.mark(tx, indexes, batch.end, batch.epoch.time)
            tx.announce(PUBLISHED, f"{batch.start} {batch.end}")

    async def _reconcile(self, upto: int) -> None:
        """Where the database is behind the log, because it was restored from a backup, learn from the log.

        What the log holds already must not wait for it: it would get into the log a second time.
        """
        known = await self._database.read(store.progress)
        if known >= upto:
            return
        leaves = [item for item in await self._in_thread(lambda: self._log.leaves_after(known)) if item[0] < upto]
        indexes = [(leaf_hash(leaf), index) for index, leaf in leaves]
        # Time 0: how young the tree is gets known with the batch that follows.
        await self._database.write(lambda tx: store.mark(tx, indexes, upto, 0))
        logger.warning("the database was older than the log", records=len(leaves))

    async def _run(self) -> None:
        try:
            await self._run_batches()
        finally:
            self.ended.set()

    async def _run_batches(self) -> None:
        while not self._stopping.is_set():
            await self._until_due()
            await self._wait(self._stopping, self._cadence.interval - self._since())
            if self._stopping.is_set():
                return
            self._woken.clear()
            try:
                if not await self._still_leads():
                    return
                if await self.run_batch():
                    self._woken.set()
            except LogStopped as error:
                self.stopped = error
                return
            except Unwitnessed as error:
                logger.warning("no checkpoint is published", reason=str(error))
                self._woken.set()
                await self._wait(self._stopping, self._cadence.retry)
            except Exception:
                # This batch failed (disk full, I/O error). Nothing is lost: it is tried again.
                logger.exception("batch failed")
                self._metrics.failed()
                self._woken.set()
                await self._wait(self._stopping, self._cadence.retry)

    async def _until_due(self) -> None:
        """Until something waits, or the heartbeat is due by either clock."""
        while not self._woken.is_set() and (left := self._cadence.heartbeat - self._since()) > 0:
            await self._wait(self._woken, min(left, LOOK))

    def _since(self) -> float:
        """Seconds since the last batch. The one clock stands still while the machine sleeps, the other can be set."""
        return max(time.monotonic() - self._last, (self._clock() - self._last_at) / 1000)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)

    async def _in_thread(self, fn: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, fn)
