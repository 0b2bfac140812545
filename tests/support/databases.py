"""The databases of a test: files, or databases of a real PostgreSQL, without the test's code knowing which.

Tests name a database by a path, as SQLite does. On PostgreSQL each path stands for a database of its own, which lasts
as long as the test; opening a path again finds what was written before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from paraph.server.storage import Database, migrate
from paraph.server.storage.migrations import load
from paraph.server.storage.sqlite import SqliteDatabase, SqliteTransaction
from tests.support.postgresql import PostgresServer

T = TypeVar("T")

_ROWS = "COPY (SELECT ctid, xmin, * FROM {table}) TO STDOUT (FORMAT binary)"


class Databases:
    """SQLite: a path is a file."""

    dialect = "sqlite"

    def setting(self, path: Path) -> str:
        """What the setting `database` says for this path."""
        return "sqlite"

    def open(self, path: Path) -> Database:
        """Open it, without migrations."""
        return SqliteDatabase(path)

    def stored(self, path: Path) -> bytes:
        """Every byte that is stored, as it is stored."""
        return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))

    def backup(self, path: Path) -> Callable[[], None]:
        """Copy a closed database; what is returned puts the copy back in its place."""
        content = path.read_bytes()

        def restore() -> None:
            path.write_bytes(content)

        return restore


class RehearsedDatabase(SqliteDatabase):
    """Runs each write's function once for nothing, as any database may: only the last run may leave anything."""

    async def write(self, fn: Callable[[SqliteTransaction], T]) -> T:
        """As `Database.write`, with a first run that is rolled back."""

        def twice(tx: SqliteTransaction) -> T:
            tx.connection.execute("SAVEPOINT rehearsal")
            with contextlib.suppress(Exception):
                fn(SqliteTransaction(tx.connection, self._positions, self._listeners))
            tx.connection.execute("ROLLBACK TO rehearsal")
            tx.connection.execute("RELEASE rehearsal")
            return fn(tx)

        return await super().write(twice)


class RehearsedDatabases(Databases):
    """SQLite files whose writes are all run twice."""

    def open(self, path: Path) -> Database:
        """Open it, without migrations."""
        return RehearsedDatabase(path)


class PostgresqlDatabases(Databases):
    """PostgreSQL: a path is a database of `server`, made when it is first named."""

    dialect = "postgresql"

    def __init__(self, server: PostgresServer, stack: contextlib.ExitStack) -> None:
        self._server = server
        self._stack = stack
        self._dsns: dict[Path, str] = {}

    def setting(self, path: Path) -> str:
        """Its URL."""
        if path not in self._dsns:
            self._dsns[path] = self._stack.enter_context(self._server.database())
        return self._dsns[path]

    def open(self, path: Path) -> Database:
        """Open it, without migrations."""
        from paraph.server.storage.postgresql import PostgresqlDatabase

        return PostgresqlDatabase(self.setting(path))

    def stored(self, path: Path) -> bytes:
        """Every row of every table, with what PostgreSQL knows of its last change."""
        with psycopg.connect(self.setting(path)) as connection:
            found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            tables = [name for (name,) in found]
            return b"".join(bytes(piece) for table in tables for piece in _copied(connection, table))

    def backup(self, path: Path) -> Callable[[], None]:
        """Copy a closed database; what is returned lets `path` mean the copy."""
        copy = self._stack.enter_context(self._server.database(template=self.setting(path)))
        return lambda: self._dsns.update({path: copy})


def _copied(connection: psycopg.Connection, table: str) -> Iterator[bytes]:
    with connection.cursor().copy(_ROWS.format(table=table).encode()) as copy:
        yield from map(bytes, copy)


_here = Databases()


def databases() -> Databases:
    """Those of the running test: SQLite unless the test uses the fixture `dialect`."""
    return _here


async def open_test_database(path: Path, rooms: Sequence[str]) -> Database:
    """The running test's database at `path`, with the tables of these rooms (package names)."""
    database = _here.open(path)
    try:
        await migrate(database, load(rooms, database.dialect))
    except BaseException:
        await database.close()
        raise
    return database


on_both_databases = pytest.mark.parametrize("server", ["sqlite", "postgresql"], indirect=True, scope="module")
"""Marks tests that share a server: once with one on SQLite, once with one on PostgreSQL."""


DIALECTS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
runs_writes_once = pytest.mark.parametrize("dialect", DIALECTS, indirect=True)
"""Marks tests that look at something which a write's function does before it is durable (a hook that they gave)."""

runs_on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
"""Marks tests that no statement of the database has a part in."""


@pytest.fixture(params=[*DIALECTS, pytest.param("rehearsed", marks=pytest.mark.slow)])
def dialect(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once on each database, and once on SQLite with every write run twice."""
    global _here  # noqa: PLW0603 (one test at a time runs in a process)
    with contextlib.ExitStack() as stack:
        if request.param == "postgresql":
            _here = PostgresqlDatabases(request.getfixturevalue("postgresql"), stack)
        elif request.param == "rehearsed":
            _here = RehearsedDatabases()
        try:
            yield request.param
        finally:
            _here = Databases()
