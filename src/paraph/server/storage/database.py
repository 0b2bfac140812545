"""What every room asks of a database, whatever stands behind it.

`read(fn)` and `write(fn)` run a plain function over a `Transaction`. Writes that arrive together share one commit, each
in a savepoint of its own, and a caller resumes only after the commit is on disk: *durable before acknowledged*.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Row = tuple[Any, ...]
Params = Mapping[str, Any]


class StorageError(Exception):
    """The database could not do what was asked; nothing of the batch was kept."""


class QueueFull(StorageError):
    """More writes wait than `MAX_QUEUED`; this one was not taken."""


class DatabaseBusy(StorageError):
    """Another process holds this database."""


class NotDurable(StorageError):
    """The database's settings do not guarantee that a commit survives a power cut."""


MAX_QUEUED = 20_000
MAX_BATCH = 256


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

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """Execute a statement once for each set of parameters."""
        ...

    def next_position(self) -> int:
        """The next position of the server's one order (only while writing). A rolled-back one leaves a gap."""
        ...

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Run `callback` once this write is durable, before its caller resumes; never if it fails."""
        ...


class Database(Protocol):
    """A database that any number of tasks of one event loop share."""

    dialect: str

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn` over one consistent view. It must be short: it may hold up the event loop."""
        ...

    async def write(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn` in a savepoint of the next batch; return or raise what it did once that batch is durable.

        Raises QueueFull at once when too much waits, StorageError when the batch could not be committed.
        """
        ...

    @property
    def position(self) -> int:
        """The newest position that is durable."""
        ...

    async def close(self) -> None:
        """Finish what is queued and close."""
        ...
