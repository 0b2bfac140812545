"""Versioned migrations: each room's numbered SQL files, applied once, in order, in one transaction.

A room keeps `migrations/<dialect>/NNNN_name.sql`. The hash of every applied file is kept: a file that was edited after
it was applied, or a database newer than the program, refuses to start.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from paraph.server.storage.database import Database, StorageError, Transaction

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class MigrationError(StorageError):
    """The database's schema history and the program's disagree."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file of one room."""

    room: str
    number: int
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the file's text, hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(rooms: Sequence[str], dialect: str) -> list[Migration]:
    """The migrations of `rooms` (package names), in room order, then by number; numbers run from 1 without gaps."""
    found = []
    for room in rooms:
        folder = resources.files(room) / "migrations" / dialect
        if not folder.is_dir():
            continue
        files = sorted((entry for entry in folder.iterdir()), key=lambda entry: entry.name)
        for expected, entry in enumerate(files, start=1):
            match = _NAME.fullmatch(entry.name)
            if match is None or int(match[1]) != expected:
                raise MigrationError(f"{room}: {entry.name} should be numbered {expected:04}")
            found.append(Migration(room.rpartition(".")[2], expected, entry.read_text(encoding="utf-8")))
    return found


async def migrate(database: Database, migrations: Sequence[Migration]) -> int:
    """Bring the schema up to date; returns how many files were applied. All or none."""
    return await database.write(lambda tx: _apply_all(tx, migrations))


def _apply_all(tx: Transaction, migrations: Sequence[Migration]) -> int:
    tx.run(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (room TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (room, number))"
    )
    rows = tx.rows("SELECT room, number, digest FROM schema_migrations")
    applied = {(room, number): digest for room, number, digest in rows}
    known = {(migration.room, migration.number) for migration in migrations}
    if unknown := sorted(applied.keys() - known):
        raise MigrationError(f"the database has migrations that this program lacks: {unknown}")
    return sum(_apply(tx, migration, applied.get((migration.room, migration.number))) for migration in migrations)


def _apply(tx: Transaction, migration: Migration, digest: str | None) -> bool:
    if digest is None:
        for statement in statements(migration.sql):
            tx.run(statement)
        tx.run(
            "INSERT INTO schema_migrations (room, number, digest) VALUES (:room, :number, :digest)",
            {"room": migration.room, "number": migration.number, "digest": migration.digest},
        )
        return True
    if digest != migration.digest:
        raise MigrationError(f"{migration.room}/{migration.number:04} was changed after it was applied")
    return False


def statements(sql: str) -> Iterator[str]:
    """The statements of a script, one at a time (a driver's own script runner would commit in between)."""
    buffer = ""
    for line in sql.splitlines(keepends=True):
        buffer += line
        if sqlite3.complete_statement(buffer):
            yield buffer.strip()
            buffer = ""
    if any(line.strip() and not line.strip().startswith("--") for line in buffer.splitlines()):
        raise MigrationError(f"a statement does not end: {buffer.strip()[:80]!r}")
