"""The sequencer runs in one process; every other one waits for that process to end, and then goes on where it stopped.

What the last leader had staged is finished first, by the code that finishes it after a crash: to the log it makes no
difference whether a process was started again or another one took over.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from paraph.server.ledger import store
from paraph.server.ledger.errors import LogStopped
from paraph.server.ledger.label_map import LabelMap
from paraph.server.ledger.leadership import Leadership
from paraph.server.ledger.log import Log
from paraph.server.ledger.sequencer import Sequencer
from paraph.server.storage import Database, StorageError

logger = structlog.get_logger("paraph.ledger")

STOPPED = "ledger.stopped"
"""Topic: why the log stopped, for the processes that do not write it."""
CANDIDACY = 0.5
"""Seconds between two looks whether the log is without a leader."""


class Leading:
    """This process's part in writing the log: all of it, or none for now."""

    def __init__(
        self,
        database: Database,
        leadership: Leadership,
        log: Log | None,
        build: Callable[[Log], Sequencer],
    ) -> None:
        """`log` is the one that `leadership` opened, or None where another process leads; `build` makes a sequencer."""
        self._database = database
        self._leadership = leadership
        self._build = build
        self.sequencer = None if log is None else build(log)
        self._log = log
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.stopped: LogStopped | None = None

    async def start(self) -> None:
        """Write the log if no other process does, and see to it that one does from now on.

        Raises LogStopped, StorageError or OSError.
        """
        if self.sequencer is not None and self._log is not None:
            if await self._may_write(self._log):
                await self.sequencer.start()
            else:
                await self._leave()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Finish the batch at hand, then let another process write."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        await self._leave()

    @property
    def label_map(self) -> LabelMap | None:
        """The verifiable map, while this process writes the log."""
        return None if self._log is None else self._log.label_map

    def wake(self) -> None:
        """Something was recorded."""
        if self.sequencer is not None:
            self.sequencer.wake()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            if self.sequencer is not None:
                await self._either(self.sequencer.ended)
            else:
                await self._either(None)
            if self._stopping.is_set():
                return
            try:
                await self._turn()
            except LogStopped as error:
                await self._stop_for_good(error)
                return
            except Exception:
                logger.exception("this process cannot write the log now")

    async def _turn(self) -> None:
        """The sequencer ended, or there was none for a while."""
        if self.sequencer is None:
            await self._try_to_lead()
        elif self.sequencer.stopped is not None:
            raise self.sequencer.stopped
        else:
            logger.warning("another process may write the log now")
            await self._leave()

    async def _try_to_lead(self) -> None:
        log = await asyncio.to_thread(self._leadership.claim)
        if log is None or not await self._confirmed(log):
            return
        self._log, self.sequencer = log, self._build(log)
        logger.info("this process writes the log now")
        try:
            await self.sequencer.start()
        except LogStopped:
            raise
        except BaseException:
            await self._leave()
            raise

    async def _confirmed(self, log: Log) -> bool:
        """As `_may_write`; a log that may not be written is closed, and left to others unless it must stop."""
        leads, stopped = False, False
        try:
            leads = await self._may_write(log)
        except LogStopped:
            stopped = True
            raise
        finally:
            if not leads:
                await asyncio.to_thread(log.close)
            if not leads and not stopped:
                await self._leadership.release()
        return leads

    async def _may_write(self, log: Log) -> bool:
        """Whether no process on another machine writes this log. Raises LogStopped if one did, and got further."""
        if not await self._leadership.take_role():
            return False
        known, here = await self._database.read(store.progress), await asyncio.to_thread(log.head)
        if known > here.size:
            raise LogStopped(
                f"the database knows a log of {known} leaves, and this data folder one of {here.size}: the folder is"
                " an old copy, or a copy of the one that another machine goes on with; signing would fork the log"
            )
        return True

    async def _leave(self) -> None:
        """Let another process write."""
        sequencer, self.sequencer, self._log = self.sequencer, None, None
        if sequencer is not None:
            await sequencer.stop()
        await self._leadership.release()

    async def _stop_for_good(self, error: LogStopped) -> None:
        """Keep the lock, so that no other process tries what must not be done, and tell them all."""
        self.stopped = error
        logger.critical("log stopped", reason=str(error))
        with contextlib.suppress(StorageError):
            await self._database.write(lambda tx: tx.announce(STOPPED, str(error)))

    async def _either(self, ended: "asyncio.Event | None") -> None:
        """Wait until the sequencer has ended, or for CANDIDACY seconds where there is none; or until this stops."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._stopping, ended) if event is not None]
        try:
            await asyncio.wait(waits, timeout=CANDIDACY if ended is None else None, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
