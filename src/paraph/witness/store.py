"""`witness.db`: the newest checkpoint cosigned of each log, and the contradictions met.

A cosignature is a promise about all that the witness ever cosigned. So each step from one checkpoint to the next is one
transaction, decided and on disk before the answer leaves, and a lost database is not begun anew under the same key.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from paraph.tlog.checkpoint import Checkpoint
from paraph.witness.errors import WitnessError

_SCHEMA = """
CREATE TABLE witness (one INTEGER PRIMARY KEY CHECK (one = 1), vkey TEXT NOT NULL) STRICT;
CREATE TABLE cosigned (
    origin TEXT PRIMARY KEY, origin_hash TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL, root BLOB NOT NULL, time INTEGER NOT NULL, note BLOB NOT NULL
) STRICT;
CREATE TABLE contradiction (
    origin TEXT NOT NULL, size INTEGER NOT NULL, time INTEGER NOT NULL, known BLOB NOT NULL, refused BLOB NOT NULL,
    PRIMARY KEY (origin, size)
) STRICT;
"""
# Made at each opening where they are missing: a witness made by an older version has none yet. The tables above are
# made once, since a witness without them has lost its memory.
_LATER = """
CREATE TABLE IF NOT EXISTS fault (
    origin TEXT NOT NULL, leaf_index INTEGER NOT NULL, leaf BLOB NOT NULL, time INTEGER NOT NULL, reason TEXT NOT NULL,
    note BLOB NOT NULL, PRIMARY KEY (origin, leaf_index, leaf)
) STRICT;
CREATE TABLE IF NOT EXISTS endorsed (
    origin TEXT NOT NULL, predecessor BLOB NOT NULL, text BLOB NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (origin, predecessor)
) STRICT;
"""
MOST_FAULTS = 64
"""Faults that are kept of a log; it could sign any number of them."""


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint with when it was cosigned (seconds since 1970) and the note that shows it."""

    checkpoint: Checkpoint
    time: int
    note: bytes


@dataclass(frozen=True, slots=True)
class FoundContradiction:
    """Two notes of one origin and size that the log signed with different roots, and when the second came."""

    origin: str
    size: int
    time: int
    known: bytes
    refused: bytes


@dataclass(frozen=True, slots=True)
class FoundFault:
    """A leaf that breaks the rules of leaves, epochs or the map, and a tree that the log signed over it."""

    origin: str
    leaf_index: int
    leaf: bytes
    time: int
    reason: str
    note: bytes


class WitnessStore:
    """One connection to the state of one witness. Not for several threads at once; several processes are safe."""

    def __init__(self, path: Path, vkey: str) -> None:
        """Open the state of the witness with this key. Raises WitnessError if it is missing or another's."""
        if not path.is_file():
            raise WitnessError(
                f"{path} is missing: a witness that forgot what it cosigned must not go on; retire its key"
            )
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(path, vkey)
        except (sqlite3.Error, WitnessError) as error:
            self._connection.close()
            raise WitnessError(str(error)) from error

    @staticmethod
    def create(path: Path, vkey: str) -> None:
        """Begin the empty state of a new witness, durably. Raises WitnessError if there is one."""
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise WitnessError(f"{path} exists already; a witness's state is never overwritten") from None
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN; {_SCHEMA}")
            connection.execute("INSERT INTO witness VALUES (1, ?)", (vkey,))
            connection.commit()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)

    def _prepare(self, path: Path, vkey: str) -> None:
        for pragma in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        if self._connection.execute("PRAGMA synchronous").fetchone()[0] != 2:
            raise WitnessError(f"{path}: synchronous is not FULL, a commit would not be durable")
        owner = self._connection.execute("SELECT vkey FROM witness").fetchone()
        if owner != (vkey,):
            raise WitnessError(f"{path} is the state of another witness than {vkey}")
        self._connection.executescript(_LATER)

    def advance(self, origin: str, decide: Callable[[Cosigned | None], Cosigned]) -> Cosigned:
        """Replace the newest checkpoint of a log by what `decide` makes of it; durable when this returns.

        Nobody else can move it in between. Whatever `decide` raises leaves it as it is.
        """
        with self._transaction():
            new = decide(self.newest(origin))
            self._connection.execute(
                "INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?, ?, ?, ?)",
                (origin, origin_hash(origin), new.checkpoint.size, new.checkpoint.root, new.time, new.note),
            )
        return new

    def newest(self, origin: str) -> Cosigned | None:
        """What was cosigned last of a log."""
        return next(iter(self._select("WHERE origin = ?", origin)), None)

    def by_hash(self, wanted: str) -> Cosigned | None:
        """The same, by `origin_hash`."""
        return next(iter(self._select("WHERE origin_hash = ?", wanted)), None)

    def all(self) -> list[Cosigned]:
        """What was cosigned last of each log."""
        return self._select("ORDER BY origin")

    def keep_contradiction(self, found: FoundContradiction) -> None:
        """Keep the proof that a log signed two trees of one size; the first for each size."""
        values = (found.origin, found.size, found.time, found.known, found.refused)
        self._connection.execute("INSERT OR IGNORE INTO contradiction VALUES (?, ?, ?, ?, ?)", values)

    def contradictions(self) -> list[FoundContradiction]:
        """Every proof that was kept."""
        rows = self._connection.execute("SELECT origin, size, time, known, refused FROM contradiction ORDER BY 1, 2")
        return [FoundContradiction(*row) for row in rows]

    def keep_fault(self, found: FoundFault) -> None:
        """Keep a fault that a map auditor found, durably; the first of each leaf, and MOST_FAULTS of a log."""
        row = (found.origin, found.leaf_index, found.leaf, found.time, found.reason, found.note)
        self._connection.execute(
            "INSERT OR IGNORE INTO fault SELECT ?, ?, ?, ?, ?, ?"
            " WHERE (SELECT count(*) FROM fault WHERE origin = ?) < ?",
            (*row, found.origin, MOST_FAULTS),
        )

    def endorse(self, origin: str, predecessor: bytes, text: bytes, time: int) -> bool:
        """Remember the one policy that this witness wants to follow an older one, durably; False if it was another."""
        values = (origin, predecessor, text, time)
        self._connection.execute("INSERT OR IGNORE INTO endorsed VALUES (?, ?, ?, ?)", values)
        found = self._connection.execute(
            "SELECT text FROM endorsed WHERE origin = ? AND predecessor = ?", (origin, predecessor)
        ).fetchone()
        return bool(found[0] == text)

    def faults(self) -> list[FoundFault]:
        """Every fault that was kept."""
        rows = self._connection.execute("SELECT origin, leaf_index, leaf, time, reason, note FROM fault ORDER BY 1, 2")
        return [FoundFault(*row) for row in rows]

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _select(self, where: str, *values: str) -> list[Cosigned]:
        rows = self._connection.execute(f"SELECT origin, size, root, time, note FROM cosigned {where}", values)  # noqa: S608
        return [Cosigned(Checkpoint(origin, size, root), time, note) for origin, size, root, time, note in rows]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def origin_hash(origin: str) -> str:
    """How `GET /<origin hash>/checkpoint` names a log: SHA-256 of its origin, in hex (C2SP tlog-witness)."""
    return sha256(origin.encode()).hexdigest()
