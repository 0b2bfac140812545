"""A SQLite database read by another process than the server's: beside it, or while no server runs."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from paraph.server.storage.batches import Listeners
from paraph.server.storage.database import StorageError
from paraph.server.storage.sqlite import SqliteTransaction

T = TypeVar("T")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, to a database that is there. Raises StorageError.

    It may be the one that finishes what a killed process left in the write-ahead log, so it is not opened read-only.
    """
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    return connection


class SqliteReader:
    """Reads one moment of a database at a time; the server that writes it is not held up."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        """Open a database that is there. Raises StorageError."""
        self.connection = connect_to_read(path)

    async def read(self, fn: Callable[[SqliteTransaction], T]) -> T:
        """Run `fn` over the database as it is when `fn` first looks; it may take its time."""
        self.connection.execute("BEGIN")
        try:
            return fn(SqliteTransaction(self.connection, None, Listeners()))
        finally:
            self.connection.execute("ROLLBACK")

    async def close(self) -> None:
        """Close the database."""
        self.connection.close()
