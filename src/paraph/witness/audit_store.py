"""`map-<log>.db`: how far a map auditor has followed one log, and the frontier of each key of the log's map.

All of it follows from the published leaves and is made again if it does not fit. So commits are not synced: after a
power cut the store may be some steps behind, never torn. Nothing in it is believed before the map made of it has the
root that is written beside it, and nothing is said against a log on its word alone.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from paraph.audit.epochs import Epochs
from paraph.audit.follower import Standing
from paraph.tlog.merkle import HASH_SIZE, Frontier
from paraph.tlog.prefix_map import unpack_frontier

_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (key BLOB NOT NULL PRIMARY KEY, frontier BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS standing (
    one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, peaks BLOB NOT NULL, epochs INTEGER NOT NULL,
    epoch_end INTEGER NOT NULL, epoch_time INTEGER NOT NULL, mapped INTEGER NOT NULL, map_root BLOB NOT NULL
) STRICT;
"""
_PRAGMAS = ("page_size = 1024", "journal_mode = WAL", "synchronous = NORMAL", "cache_size = -32768")
_ASKED = 256
"""Keys looked up by one statement."""


class AuditStore:
    """The tables of one log, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the database, or a new one in place of a file that is none."""
        self._path = path
        try:
            self._connection = _open(path)
        except sqlite3.DatabaseError:
            self._remove()
            self._connection = _open(path)

    def standing(self) -> tuple[Standing, bytes] | None:
        """Where the log was followed to, and the root of the map there; None at the beginning. Raises TlogError."""
        row = self._connection.execute("SELECT * FROM standing").fetchone()
        if row is None:
            return None
        _, size, peaks, count, end, time, mapped, root = row
        split = tuple(peaks[at : at + HASH_SIZE] for at in range(0, len(peaks), HASH_SIZE))
        Frontier(size, split)  # raises where the peaks are not those of the size
        return Standing(size, split, Epochs(count, end, time), mapped), root

    def labels(self) -> Iterator[tuple[bytes, Frontier]]:
        """Every key and its frontier, in the order of keys. Raises TlogError."""
        for key, frontier in self._connection.execute("SELECT key, frontier FROM labels ORDER BY key"):
            yield key, unpack_frontier(frontier)

    def frontiers(self, keys: Collection[bytes]) -> dict[bytes, Frontier]:
        """The frontiers of those keys that have leaves."""
        wanted, found = list(keys), dict[bytes, Frontier]()
        for start in range(0, len(wanted), _ASKED):
            some = wanted[start : start + _ASKED]
            marks = ",".join("?" * len(some))
            rows = self._connection.execute(f"SELECT key, frontier FROM labels WHERE key IN ({marks})", some)  # noqa: S608
            found.update((key, unpack_frontier(frontier)) for key, frontier in rows)
        return found

    def write(self, at: Standing, map_root: bytes, changes: Mapping[bytes, bytes]) -> None:
        """Keep a step: the packed frontiers that changed, and where the log was followed to; all of it or nothing."""
        epochs = at.epochs
        values = (at.size, b"".join(at.peaks), epochs.count, epochs.end, epochs.time, at.mapped, map_root)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?)", sorted(changes.items()))
            self._connection.execute("INSERT OR REPLACE INTO standing VALUES (1, ?, ?, ?, ?, ?, ?, ?)", values)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def clear(self) -> None:
        """Begin anew."""
        self.close()
        self._remove()
        self._connection = _open(self._path)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.executescript(_SCHEMA)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
