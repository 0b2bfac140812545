"""`checkpoints.db`: what the log has promised, in a store of its own.

The main database may one day be restored from a backup; the signed head must never go back with it, or the log would
sign two different trees of one size. So the head moves only by compare-and-set, here, and is durable before it shows.
"""

import sqlite3
from pathlib import Path

from paraph.server.ledger.errors import LogStopped
from paraph.server.ledger.model import Batch, Head
from paraph.tlog.merkle import EMPTY_ROOT

_SCHEMA = """
CREATE TABLE IF NOT EXISTS head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL, root BLOB NOT NULL, epochs INTEGER NOT NULL, time INTEGER NOT NULL, note BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS staged (
    one INTEGER PRIMARY KEY CHECK (one = 1), start INTEGER NOT NULL, leaves BLOB NOT NULL
) STRICT;
"""
_LENGTH = 4
"""Bytes before each staged leaf that give its length, big-endian."""


class CheckpointStore:
    """The signed head and the one staged batch; every change is on disk when its method returns."""

    _parsed: tuple[tuple[int, bytes], Batch] | None = None
    """The newest row of `staged` seen here, and what it says."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 4000"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        if self._connection.execute("PRAGMA synchronous").fetchone()[0] != 2:
            raise LogStopped(f"{path}: synchronous is not FULL, a commit would not be durable")
        self._connection.executescript(_SCHEMA)

    def head(self) -> Head | None:
        """The newest signed tree, or None where no log was ever begun."""
        row = self._connection.execute("SELECT size, root, epochs, time, note FROM head").fetchone()
        return None if row is None else Head(*row)

    @classmethod
    def moment(cls, connection: sqlite3.Connection) -> tuple[Head | None, Batch | None]:
        """Head and staged batch of one moment, through anybody's connection to such a database."""
        store = cls.__new__(cls)
        store._connection = connection
        connection.execute("BEGIN")
        try:
            return store.head(), store.staged()
        finally:
            connection.execute("ROLLBACK")

    def replace(self, head: Head) -> None:
        """Stand where the published log does, whatever was known before: for a folder in which nothing is signed."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("DELETE FROM staged")
        self._connection.execute("DELETE FROM head")
        row = (1, head.size, head.root, head.epochs, head.time, head.note)
        self._connection.execute("INSERT INTO head VALUES (?, ?, ?, ?, ?, ?)", row)
        self._connection.execute("COMMIT")

    def begin(self) -> Head:
        """Begin a new, empty log; nothing is signed yet."""
        self._connection.execute("INSERT INTO head VALUES (1, 0, ?, 0, 0, x'')", (EMPTY_ROOT,))
        return Head(0, EMPTY_ROOT, 0, 0, b"")

    def staged(self) -> Batch | None:
        """The batch that was staged last, whether or not it was finished."""
        row = self._connection.execute("SELECT start, leaves FROM staged").fetchone()
        if row is None:
            return None
        if self._parsed is None or self._parsed[0] != row:
            self._parsed = row, Batch(row[0], _unpack(row[1]))
        return self._parsed[1]

    def stage(self, batch: Batch) -> None:
        """Fix the next batch, bytes and order; raises LogStopped if the one before it is not finished."""
        head, before = self.head(), self.staged()
        if head is None or head.size != batch.start or (before is not None and before.end != head.size):
            raise LogStopped(f"a batch that begins at {batch.start} cannot be staged: another is unfinished")
        row = batch.start, _pack(batch.leaves)
        self._connection.execute("INSERT OR REPLACE INTO staged VALUES (1, ?, ?)", row)
        self._parsed = row, batch

    def advance(self, old: Head, new: Head) -> None:
        """Move the head from `old` to `new`; raises LogStopped if it is not `old` (compare-and-set)."""
        changed = self._connection.execute(
            "UPDATE head SET size = ?, root = ?, epochs = ?, time = ?, note = ? WHERE size = ? AND root = ?",
            (new.size, new.root, new.epochs, new.time, new.note, old.size, old.root),
        ).rowcount
        if changed != 1 or new.size <= old.size:
            raise LogStopped(f"the head is not the tree of size {old.size} that this process extends")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def _pack(leaves: tuple[bytes, ...]) -> bytes:
    return b"".join(len(leaf).to_bytes(_LENGTH, "big") + leaf for leaf in leaves)


def _unpack(data: bytes) -> tuple[bytes, ...]:
    leaves, at = [], 0
    while at < len(data):
        start = at + _LENGTH
        at = start + int.from_bytes(data[at:start], "big")
        leaves.append(data[start:at])
    return tuple(leaves)
