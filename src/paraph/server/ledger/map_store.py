"""`map.db`: for each key of the verifiable map its frontier and where its leaves are in the log.

All of it follows from the published leaves and is made again if it is lost. So a commit need not be on disk when it
returns: after a power cut this store may be some batches behind the log, never torn, and catches up.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from paraph.server.ledger.errors import MapNotKept
from paraph.tlog.merkle import Frontier
from paraph.tlog.prefix_map import pack_frontier, unpack_frontier

Place = tuple[bytes, int, bytes]
"""Key, leaf index, leaf hash."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (key BLOB NOT NULL PRIMARY KEY, frontier BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS places (
    key BLOB NOT NULL, leaf_index INTEGER NOT NULL, leaf_hash BLOB NOT NULL, PRIMARY KEY (key, leaf_index)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO progress VALUES (1, 0);
"""
_PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "wal_autocheckpoint = 8000", "cache_size = -32768")
_ASKED = 256
"""Keys looked up by one statement."""


class _Tables:
    """What is read alike by whoever writes `map.db` and by whoever follows it."""

    _main: sqlite3.Connection
    _reader: sqlite3.Connection

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._closed = False

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within it, `size` and `labels` are of one moment."""
        self._main.execute("BEGIN")
        try:
            yield
        finally:
            self._main.execute("ROLLBACK")

    def size(self) -> int:
        """Size of the log whose leaves are in."""
        return int(self._main.execute("SELECT size FROM progress").fetchone()[0])

    def labels(self) -> Iterator[tuple[bytes, Frontier]]:
        """Every key and its frontier, in the order of keys."""
        for key, frontier in self._main.execute("SELECT key, frontier FROM labels ORDER BY key"):
            yield key, unpack_frontier(frontier)

    def places(self, key: bytes, below: int) -> list[tuple[int, bytes]]:
        """Index and hash of each leaf under a key in the log of size `below`, in log order; from any thread."""
        asked = "SELECT leaf_index, leaf_hash FROM places WHERE key = ? AND leaf_index < ? ORDER BY leaf_index"
        with self._reading:
            if self._closed:
                raise MapNotKept("the map is closed")
            return self._reader.execute(asked, (key, below)).fetchall()

    def close(self) -> None:
        """Close the database."""
        with self._reading:
            self._closed = True
            self._reader.close()
        self._main.close()


class MapStore(_Tables):
    """The tables of `map.db`, for the one process and thread that writes the log."""

    def __init__(self, path: Path) -> None:
        """Open the database, or a new one in place of a file that is none."""
        super().__init__()
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._main = _open(path)
        except sqlite3.DatabaseError:
            self._remove()
            self._main = _open(path)
        self._reader = _open(path)

    def frontiers(self, keys: Collection[bytes]) -> dict[bytes, Frontier]:
        """The frontiers of those keys that have leaves."""
        wanted, found = list(keys), dict[bytes, Frontier]()
        for start in range(0, len(wanted), _ASKED):
            some = wanted[start : start + _ASKED]
            marks = ",".join("?" * len(some))
            rows = self._main.execute(f"SELECT key, frontier FROM labels WHERE key IN ({marks})", some)  # noqa: S608
            found.update((key, unpack_frontier(frontier)) for key, frontier in rows)
        return found

    def write(self, size: int, frontiers: Mapping[bytes, Frontier], places: Iterable[Place]) -> None:
        """Keep what the log's growth to `size` changed: all of it, or nothing."""
        packed = sorted((key, pack_frontier(frontier)) for key, frontier in frontiers.items())
        self._main.execute("BEGIN IMMEDIATE")
        try:
            self._main.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?)", packed)
            self._main.executemany("INSERT OR REPLACE INTO places VALUES (?, ?, ?)", sorted(places))
            self._main.execute("UPDATE progress SET size = ?", (size,))
            self._main.execute("COMMIT")
        except BaseException:
            if self._main.in_transaction:
                self._main.execute("ROLLBACK")
            raise

    def clear(self) -> None:
        """Begin anew."""
        self.close()
        self._remove()
        self._main, self._reader, self._closed = _open(self._path), _open(self._path), False

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


class FollowedStore(_Tables):
    """The same tables in a process that does not write the log. They are at least as far as the published log.

    What is further than this process has followed is left out: a frontier is made of the leaves up to there.
    """

    def __init__(self, path: Path) -> None:
        """Open for reading. Raises MapNotKept if the process that writes the log has not made it yet."""
        super().__init__()
        self._followed: int | None = None
        try:
            self._main, self._reader = _open_to_read(path), _open_to_read(path)
        except sqlite3.OperationalError as error:
            raise MapNotKept(f"map.db cannot be read: {error}") from error

    def size(self) -> int:
        """Size that this process has followed; at first, that of the tables."""
        if self._followed is None:
            self._followed = super().size()
        return self._followed

    def frontiers(self, keys: Collection[bytes]) -> dict[bytes, Frontier]:
        """The frontiers of those keys that had leaves at `size`."""
        found = {}
        for key in keys:
            places = self.places(key, self.size())
            if places:
                frontier = found[key] = Frontier()
                for _, hashed in places:
                    frontier.append(hashed)
        return found

    def write(self, size: int, _frontiers: Mapping[bytes, Frontier], _places: Iterable[Place]) -> None:
        """Remember how far this process is; the tables are another's."""
        self._followed = size

    def clear(self) -> None:
        """Refuse: only the process that writes the log makes the tables again. Raises MapNotKept."""
        raise MapNotKept("map.db is not that of the published log now")


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


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
