"""Group commit for several processes that agree on one order.

Each batch of writes takes one lock (of the database, until its transaction ends) before anything else, so the batches
of all processes follow each other: commit order is position order, and position n is never visible before n-1 is
settled. Under that lock, before its first function runs, a batch takes in what other processes have committed since.

A process waits for the lock, for what is added and for the commit without holding up its event loop; statements that
need an answer run on the loop, some 50 microseconds each. See docs/adr/0008.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypeVar

import msgspec
import psycopg

from paraph.server.storage.batches import GroupCommit, Write, abandon, report
from paraph.server.storage.database import Announcement, CommitUnknown, Row, StorageError, Transaction
from paraph.server.storage.postgresql.role import AdvisoryRole
from paraph.server.storage.postgresql.setup import CHANNEL, LOCK, connect, make_tables
from paraph.server.storage.postgresql.transaction import BEGIN_READING, COMMIT, Ahead, Reading, Writing
from paraph.server.storage.postgresql.watch import Watch
from paraph.server.storage.postgresql.wire import Lost, Step, Wire

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that reads and writes wait for a PostgreSQL that has gone away to come back."""
WARY = 16
"""Batches that wait for every answer after one that believed in vain: repeated requests come in crowds."""
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 1.0

_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_STATE = "SELECT last, forgotten FROM stream_position"
_NEWS = "SELECT position, body FROM announcements WHERE position > :after ORDER BY position"
_MOVE = "UPDATE stream_position SET last = :last"
_ANNOUNCE = "INSERT INTO announcements (position, body) VALUES (:position, :body)"
_NOTIFY = f"SELECT pg_notify('{CHANNEL}', :position)"
_OLD = "SELECT MAX(position) FROM announcements WHERE at < now() - INTERVAL '1 hour'"
_FORGET = "DELETE FROM announcements WHERE position <= :upto"
_FORGOTTEN = "UPDATE stream_position SET forgotten = :upto"
_WRITING = (_BEGIN, LOCK, _STATE, _NEWS, _MOVE, _ANNOUNCE, _NOTIFY, COMMIT)
_ANNOUNCED = msgspec.json.Decoder(list[tuple[str, str]])
_READING = (BEGIN_READING, _STATE, _NEWS, COMMIT)


class Care(IntEnum):
    """How a batch is run. What goes wrong is rolled back, and the batch run again with the care that it needs."""

    BELIEVING = 1
    """What is added is believed to change one row before PostgreSQL has answered."""
    AWAITING = 2
    """Every answer is waited for."""
    GUARDED = 3
    """And each write has a savepoint of its own."""


class PostgresqlDatabase(GroupCommit):
    """`Database` on a PostgreSQL database that any number of processes may share."""

    dialect = "postgresql"

    def __init__(self, dsn: str, *, patience: float = PATIENCE) -> None:
        """Connect, and make sure that commits are durable. `dsn`: as libpq takes it, `postgresql://...`.

        Raises NotDurable, and StorageError where PostgreSQL cannot be reached, is too old, or would sort text
        differently from SQLite.
        """
        super().__init__()
        self._dsn = dsn
        self._patience = patience
        self._seen = make_tables(dsn)
        self._writer = connect(dsn, _WRITING)
        self._reader = connect(dsn, _READING)
        self._given = self._base = self._seen  # the newest position handed out; the one before this batch's first
        self._committing = False
        self._restoring: asyncio.Task[None] | None = None
        self._fresh = time.monotonic()
        self._stale = False
        self._wary = 0  # batches still to be run without believing anything
        self._watch = Watch(dsn, lambda: self._seen, self._look_now, self._look, self._tidy)

    @property
    def position(self) -> int:
        """The newest position that is durable and that this process knows of."""
        return self._seen

    @property
    def lag(self) -> float:
        """Seconds since this process last knew of everything that others had committed."""
        return time.monotonic() - self._fresh

    def role(self, name: str) -> AdvisoryRole:
        """A role among the processes on this database."""
        return AdvisoryRole(self._dsn, name)

    async def close(self) -> None:
        """Commit what is queued, then hang up."""
        if self._closed:
            return
        await self._finish()
        await self._watch.close()
        if self._restoring is not None:
            await asyncio.gather(self._restoring, return_exceptions=True)
        self._reader.close()
        self._writer.close()

    # Reading

    async def read(self, fn: Callable[[Any], T]) -> T:
        """Run `fn` over one consistent view; it must be short. It is run again if the connection breaks under it."""
        self._watch.start()
        if self._stale:
            raise StorageError("this process was out of touch with its database for too long; start it again")
        if self._reader.alive:
            with contextlib.suppress(Lost):
                return self._read_now(fn)
        if self._restoring is None:
            self._restoring = asyncio.create_task(self._restore_reader())
        await asyncio.shield(self._restoring)
        return self._read_now(fn)

    def _read_now(self, fn: Callable[[Any], T]) -> T:
        tx = Reading(self._reader, self._listeners)
        try:
            return fn(tx)
        finally:
            tx.end()

    async def _restore_reader(self) -> None:
        try:
            self._reader = await self._reconnect(_READING, time.monotonic() + self._patience)
        finally:
            self._restoring = None

    async def _reconnect(self, statements: tuple[str, ...], give_up: float) -> Wire:
        """A new connection once PostgreSQL lets us in; raises Lost after `give_up` (of `time.monotonic`)."""
        delay = 0.0
        while True:
            try:
                return await asyncio.to_thread(connect, self._dsn, statements)
            except Lost:
                if time.monotonic() > give_up:
                    raise
            delay = min(2 * delay + _FIRST_DELAY, _LONGEST_DELAY)
            await asyncio.sleep(delay)

    # Writing

    async def _commit(self, batch: list[Write]) -> None:
        self._watch.start()
        try:
            await self._run_until_ready(batch)
        except Exception as error:
            self._undo()
            abandon(batch, StorageError, f"the batch could not be committed: {error}")
            if not isinstance(error, StorageError):
                report("a batch of writes failed", error)
            return
        await self._conclude(batch)

    async def _run_until_ready(self, batch: list[Write]) -> None:
        """Run the batch's functions in a transaction that can be committed, with as much care as that takes.

        While nothing has been sent to be committed, a broken connection is no reason to give up.
        """
        give_up = time.monotonic() + self._patience
        care = Care.AWAITING if self._wary else Care.BELIEVING
        self._wary = max(self._wary - 1, 0)
        while True:
            try:
                if not self._writer.alive:
                    self._writer = await self._reconnect(_WRITING, give_up)
                await self._begin()
                ahead = Ahead(self._writer) if care is Care.BELIEVING else None
                needed = self._apply(batch, care, ahead)
                if needed is care and (ahead is None or await ahead.proved()):
                    return
                if ahead is not None and ahead.wrong:
                    self._wary = WARY
                self._writer.command(b"ROLLBACK")
                care = max(needed, Care.AWAITING)
            except Lost:
                if time.monotonic() > give_up:
                    raise

    async def _begin(self) -> None:
        """Start the transaction, wait for the lock, and take in what others have committed."""
        wire = self._writer
        steps: list[Step] = [(_BEGIN, {}), (LOCK, {}), (_STATE, {}), (_NEWS, {"after": self._seen})]
        _, _, state, news = await wire.exchange(steps)
        last, forgotten = wire.decoded(_STATE, state)[0]
        self._absorb(Writing(wire, self._listeners, _none), last, forgotten, wire.decoded(_NEWS, news))
        self._given = self._base = max(self._given, last)

    def _take(self) -> int:
        self._given += 1
        return self._given

    def _apply(self, batch: list[Write], care: Care, ahead: Ahead | None) -> Care:
        """Run every function; returns the care that it takes: more than `care` if there is something to undo.

        A function that raises before it has written anything leaves nothing to undo: most refusals cost nothing.
        """
        wire, release = self._writer, b""
        for write in batch:
            if care is Care.GUARDED:
                wire.command(release + b"SAVEPOINT one")
                release = b"RELEASE SAVEPOINT one;"
            write.effects = tx = Writing(wire, self._listeners, self._take, ahead)
            write.result, write.error = None, None
            try:
                write.result = write.fn(tx)
                if wire.failed:
                    raise StorageError("a write went on after the database had refused a statement of it")
            except Exception as error:
                write.error = error
            if not wire.alive:
                raise Lost("the connection to PostgreSQL broke in the middle of a batch")
            if ahead is not None and ahead.wrong:
                return Care.AWAITING
            if write.error is not None and (tx.wrote or wire.failed):
                if care is Care.GUARDED:
                    wire.command(b"ROLLBACK TO SAVEPOINT one")
                elif len(batch) > 1:
                    return Care.GUARDED
        return care

    async def _conclude(self, batch: list[Write]) -> None:
        """Commit what was not refused, and say so to everybody."""
        kept = [write for write in batch if write.error is None]
        self._committing = True
        try:
            if kept:
                await self._end(kept)
            else:
                self._undo()
        except Lost as error:
            abandon(batch, CommitUnknown, f"the connection broke during the commit; nobody knows how it ended: {error}")
        except Exception as error:
            self._undo()
            abandon(batch, StorageError, f"the batch could not be committed: {error}")
        else:
            for write in batch:
                write.settle()
        finally:
            self._committing = False
        self._watch.look_again()

    async def _end(self, kept: list[Write]) -> None:
        """Write down the newest position and the announcements, commit, and wait for the disk."""
        announced = [pair for write in kept if write.effects for pair in write.effects.announced]
        if announced and self._given == self._base:
            self._take()
        steps: list[Step] = []
        if self._given != self._base:
            steps = [(_MOVE, {"last": self._given}), (_NOTIFY, {"position": str(self._given)})]
        if announced:
            steps.append((_ANNOUNCE, {"position": self._given, "body": msgspec.json.encode(announced).decode()}))
        results = await self._writer.exchange([*steps, (COMMIT, {})])
        if results[-1].command_status != b"COMMIT":
            raise StorageError("PostgreSQL rolled the batch back")
        if self._given != self._base:
            self._seen = self._given
        self._fresh = time.monotonic()

    def _undo(self) -> None:
        with contextlib.suppress(Lost, psycopg.Error):
            if self._writer.alive:
                self._writer.command(b"ROLLBACK")

    # What other processes did

    def _catch_up(self, tx: Transaction) -> None:
        """Take in what others have committed, outside of a batch. What this process commits just now is not theirs."""
        if self._committing:
            return
        state = tx.row(_STATE)
        assert state is not None
        last, forgotten = state
        self._absorb(tx, last, forgotten, tx.rows(_NEWS, {"after": self._seen}) if last > self._seen else [])

    def _look_now(self) -> None:
        self._read_now(self._catch_up)

    async def _look(self) -> None:
        await self.read(self._catch_up)

    async def _tidy(self) -> None:
        """Remove announcements that no process in touch can still need."""
        old = await self.read(lambda tx: tx.row(_OLD))
        if old is not None and old[0] is not None:
            await self.write(lambda tx: (tx.run(_FORGET, {"upto": old[0]}), tx.run(_FORGOTTEN, {"upto": old[0]})))

    def _absorb(self, tx: Transaction, last: int, forgotten: int, news: list[Row]) -> None:
        after = self._seen
        if after < forgotten:
            self._stale = True
            raise StorageError("this process was out of touch with its database for too long; start it again")
        if last > after:
            self._listeners.follow(tx, after, last)
            for position, body in news:
                if position > after:
                    for topic, payload in _ANNOUNCED.decode(body):
                        self._listeners.tell(Announcement(topic, payload, local=False))
            self._seen = last
        self._fresh = time.monotonic()


def _none() -> int:
    raise StorageError("whoever follows other processes does not write")
