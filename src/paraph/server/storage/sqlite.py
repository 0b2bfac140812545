"""SQLite behind `Database`: one writer, group commit, readers on a connection of their own.

Statements run on the event loop (each takes microseconds, and a second thread would only fight for the interpreter
lock); the commit, which waits for the disk, runs in a thread while the next batch gathers. See docs/adr/0003.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from paraph.server.storage.batches import Effects, GroupCommit, Listeners, Write, abandon
from paraph.server.storage.database import DatabaseBusy, NotDurable, Params, Row, StorageError
from paraph.server.storage.role import OnlyProcess
from paraph.server.storage.wal import WalKeeper

T = TypeVar("T")

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 16000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32000",
)


class SqliteTransaction(Effects):
    """A transaction over one sqlite3 connection."""

    __slots__ = ("_positions", "connection")

    def __init__(self, connection: sqlite3.Connection, positions: "_Positions | None", listeners: Listeners) -> None:
        super().__init__(listeners)
        self.connection = connection
        self._positions = positions

    def rows(self, sql: str, params: Params = {}) -> list[Row]:  # noqa: B006 (never changed)
        """Every row of a query."""
        return self.connection.execute(sql, params).fetchall()

    def row(self, sql: str, params: Params = {}) -> Row | None:  # noqa: B006
        """The first row of a query, or None."""
        found: Row | None = self.connection.execute(sql, params).fetchone()
        return found

    def run(self, sql: str, params: Params = {}) -> int:  # noqa: B006
        """Execute a statement; returns how many rows it changed."""
        return self.connection.execute(sql, params).rowcount

    def add(self, sql: str, params: Params) -> bool:
        """Execute a statement that should change one row; returns whether it did."""
        return self.connection.execute(sql, params).rowcount == 1

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """Execute a statement once for each set of parameters."""
        self.connection.executemany(sql, params)

    def next_position(self) -> int:
        """The next position of the server's one order."""
        if self._positions is None:
            raise StorageError("a reading transaction has no positions to give")
        return self._positions.take()


class _Positions:
    """The counter behind the one order: taken in memory, its newest value written once a batch."""

    __slots__ = ("durable", "last")

    def __init__(self, last: int) -> None:
        self.last = last
        self.durable = last

    def take(self) -> int:
        self.last += 1
        return self.last


class SqliteDatabase(GroupCommit):
    """`Database` on one SQLite file; refuses a file that another process holds."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._lock = _lock_file(path)
        self._writer = _connect(path)
        self._positions = _Positions(_last_position(self._writer))
        self._reader = _connect(path)
        self._reader.execute("PRAGMA query_only = ON")
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._wal = WalKeeper(_connect(path), self._writer)

    @property
    def position(self) -> int:
        """The newest position that is durable."""
        return self._positions.durable

    @property
    def lag(self) -> float:
        """Nobody else writes here."""
        return 0.0

    async def read(self, fn: Callable[[Any], T]) -> T:
        """Run `fn` over one consistent view; it must be short."""
        self._reader.execute("BEGIN")
        try:
            return fn(SqliteTransaction(self._reader, None, self._listeners))
        finally:
            self._reader.execute("COMMIT")

    def role(self, name: str) -> OnlyProcess:
        """Every role is this process's: the file is."""
        return OnlyProcess()

    async def close(self) -> None:
        """Commit what is queued, then close both connections and release the file."""
        if self._closed:
            return
        await self._finish()
        self._committer.shutdown()
        self._wal.close()
        self._reader.close()
        self._writer.close()
        os.close(self._lock)

    async def _commit(self, batch: list[Write]) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._apply(batch)
            await loop.run_in_executor(self._committer, self._writer.execute, "COMMIT")
        except sqlite3.Error as error:
            self._abandon(batch, error)
            return
        self._positions.durable = self._positions.last
        for write in batch:
            write.settle()
        await self._wal.after(len(batch), self._committer)

    def _apply(self, batch: list[Write]) -> None:
        execute, before = self._writer.execute, self._positions.last
        execute("BEGIN IMMEDIATE")
        for write in batch:
            execute("SAVEPOINT one")
            write.effects = transaction = SqliteTransaction(self._writer, self._positions, self._listeners)
            try:
                write.result = write.fn(transaction)
            except Exception as error:
                if not self._writer.in_transaction:  # SQLite gave up the whole batch (full disk, I/O error)
                    raise sqlite3.OperationalError(str(error)) from error
                write.error = error
                execute("ROLLBACK TO one")
            execute("RELEASE one")
        if self._positions.last != before:
            execute("UPDATE stream_position SET last = ?", (self._positions.last,))

    def _abandon(self, batch: list[Write], error: sqlite3.Error) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        abandon(batch, StorageError, f"the batch could not be committed: {error}")


def _lock_file(path: Path) -> int:
    """Hold `<path>.lock` for this process's lifetime; the kernel lets go of it even after kill -9."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise DatabaseBusy(
            f"{path} is in use by another process; several processes need database = postgresql"
        ) from None
    return handle


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    for pragma in _PRAGMAS:
        connection.execute(pragma).fetchall()
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    level = connection.execute("PRAGMA synchronous").fetchone()[0]
    if (mode, level) != ("wal", 2):
        raise NotDurable(f"{path}: journal_mode is {mode}, synchronous is {level}; expected wal and 2 (FULL)")
    return connection


def _last_position(connection: sqlite3.Connection) -> int:
    connection.execute("CREATE TABLE IF NOT EXISTS stream_position (last INTEGER NOT NULL)")
    row = connection.execute("SELECT last FROM stream_position").fetchone()
    if row is None:
        connection.execute("INSERT INTO stream_position (last) VALUES (0)")
        return 0
    return int(row[0])
