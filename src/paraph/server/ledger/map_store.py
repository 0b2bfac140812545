"""`map.db`: for each key of the verifiable map its frontier and where its leaves are in the log.

Each leaf's row names the leaf before it under the same key, and each key's row its last leaf. So places are only ever
added at the end of their table; a batch changes few pages beside those of its keys, and pages are small for their sake.

All of it follows from the published leaves and is made again if it is lost. So a commit need not be on disk when it
returns: after a power cut this store may be some batches behind the log, never torn, and catches up.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from paraph.server.ledger.errors import MapNotKept
from paraph.tlog.merkle import Frontier
from paraph.tlog.prefix_map import pack_frontier, unpack_frontier

Place = tuple[bytes, int, bytes]
"""Key, leaf index, leaf hash."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (
    key BLOB NOT NULL PRIMARY KEY, frontier BLOB NOT NULL, last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS places (leaf_index INTEGER PRIMARY KEY, leaf_hash BLOB NOT NULL, before INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO progress VALUES (1, 0);
"""
_PRAGMAS = (
    "page_size = 1024",
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "wal_autocheckpoint = 32000",
    "cache_size = -32768",
)
_PLACES = """
WITH RECURSIVE under AS (
    SELECT places.* FROM labels JOIN places ON leaf_index = last WHERE key = ?
    UNION ALL
    SELECT places.* FROM under JOIN places ON places.leaf_index = under.before AND under.before < under.leaf_index
)
SELECT leaf_index, leaf_hash FROM under WHERE leaf_index < ? ORDER BY leaf_index
"""
_ADD_PLACE = "INSERT INTO places VALUES (?, ?, coalesce(?, (SELECT last FROM labels WHERE key = ?)))"
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
        with self._reading:
            if self._closed:
                raise MapNotKept("the map is closed")
            return self._reader.execute(_PLACES, (key, below)).fetchall()

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

    def write(self, size: int, frontiers: Mapping[bytes, Frontier], places: Sequence[Place]) -> None:
        """Keep what the log's growth to `size` changed: all of it, or nothing; again: no change."""
        if self.size() >= size:
            return
        newest = {key: index for key, index, _ in places}
        labels = sorted((key, pack_frontier(frontier), newest[key]) for key, frontier in frontiers.items())
        self._main.execute("BEGIN IMMEDIATE")
        try:
            # Before the labels: a key's first leaf of the batch follows the last that its label names until now.
            self._main.executemany(_ADD_PLACE, _chained(places))
            self._main.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?, ?)", labels)
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

    def write(self, size: int, _frontiers: Mapping[bytes, Frontier], _places: Sequence[Place]) -> None:
        """Remember how far this process is; the tables are another's."""
        self._followed = size

    def clear(self) -> None:
        """Refuse: only the process that writes the log makes the tables again. Raises MapNotKept."""
        raise MapNotKept("map.db is not that of the published log now")


def _chained(places: Iterable[Place]) -> Iterator[tuple[int, bytes, int | None, bytes]]:
    """Index, hash, the index before it under the same key in this batch, key."""
    before: dict[bytes, int] = {}
    for key, index, hashed in places:
        yield index, hashed, before.get(key), key
        before[key] = index


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
