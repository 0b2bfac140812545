"""What every room asks of a database, whatever stands behind it.

`read(fn)` and `write(fn)` run a plain function over a `Transaction`. Writes that arrive together share one commit, each
in a savepoint of its own, and a caller resumes only after the commit is on disk: *durable before acknowledged*.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from paraph.server.storage.load import Load
from paraph.server.storage.role import Role

T = TypeVar("T")

Row = tuple[Any, ...]
Params = Mapping[str, Any]


class StorageError(Exception):
    """The database could not do what was asked; nothing of the batch was kept."""


class CommitUnknown(StorageError):
    """The connection broke while the commit was under way: the batch is kept as a whole, or not at all."""


class QueueFull(StorageError):
    """More writes wait than `MAX_QUEUED`; this one was not taken."""


class DatabaseBusy(StorageError):
    """Another process holds this database."""


class NotDurable(StorageError):
    """The database's settings do not guarantee that a commit survives a power cut."""


MAX_QUEUED = 4_000
"""Writes that may wait: a second of them on SQLite. Sends meet the gate (http/gate.py) long before."""
MAX_BATCH = 256


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a durable write tells every process. `local`: it was written by this one."""

    topic: str
    payload: str
    local: bool


class Transaction(Protocol):
    """One room's view of a running transaction. SQL takes `:name` parameters."""

    connection: Any

    def rows(self, sql: str, params: Params = ...) -> list[Row]:
        """Every row of a query."""
        ...

    def row(self, sql: str, params: Params = ...) -> Row | None:
        """The first row of a query, or None."""
        ...

    def run(self, sql: str, params: Params = ...) -> int:
        """Execute a statement; returns how many rows it changed."""
        ...

    def add(self, sql: str, params: Params) -> bool:
        """Execute a statement that should change one row; returns whether it did.

        True may come before the database has answered. If the answer then is another, the function that believed it is
        run again, and told.
        """
        ...

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """Execute a statement once for each set of parameters."""
        ...

    def next_position(self) -> int:
        """The next position of the server's one order (only while writing). A rolled-back one leaves a gap."""
        ...

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Run `callback` once this write is durable, before its caller resumes; never if it fails."""
        ...

    def announce(self, topic: str, payload: str) -> None:
        """Call every process's listeners of `topic` once this write is durable, in commit order; never if it fails.

        In this process that happens among the write's `after_commit` callbacks, in the order they were asked for.
        `payload` is best short (an id): what it is about can be read from the tables.
        """
        ...


Listener = Callable[[Announcement], None]
Follower = Callable[[Transaction, int, int], None]


class Database(Protocol):
    """A database that any number of tasks of one event loop share."""

    dialect: str
    load: Load

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn` over one consistent view. It must be short: it may hold up the event loop."""
        ...

    async def write(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn` in a savepoint of the next batch; return or raise what it did once that batch is durable.

        `fn` may be run more than once; only its last run counts, with the positions, callbacks and announcements of
        that run. It must let the database's own errors through: after one, nothing more of it can be kept.
        Raises QueueFull at once when too much waits, StorageError when the batch could not be committed, and
        CommitUnknown when nobody can say whether it was.
        """
        ...

    @property
    def position(self) -> int:
        """The newest position that is durable and that this process knows of."""
        ...

    @property
    def lag(self) -> float:
        """Seconds since this process last knew of everything that others had committed; 0.0 where there are none."""
        ...

    def listen(self, topic: str, callback: Listener) -> None:
        """Call `callback(announcement)` for each announcement on `topic`, of this process and of others.

        It runs on the event loop and must not touch the database: it drops or changes what is in memory, and wakes.
        One from another process arrives before any later write function of this process runs, and at the latest a
        second after its commit. After a lost connection one may arrive again: the callback has to bear that.
        """
        ...

    def follow(self, callback: Follower) -> None:
        """Call `callback(tx, after, upto)` when other processes have committed the positions in (after, upto].

        It may read through `tx`, which sees exactly what is durable up to `upto`, and must not write. It runs before
        the announcements of that stretch, and `position` becomes `upto` after both. If it raises, the stretch is
        offered again later, and no write runs before it has succeeded. Never called where one process is alone.
        """
        ...

    def role(self, name: str) -> Role:
        """A role that at most one of the processes on this database holds at a time; not taken yet."""
        ...

    async def close(self) -> None:
        """Finish what is queued and close."""
        ...
