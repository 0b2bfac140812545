"""Both databases hold the same tables, and on both every statement of every room finds its rows by an index."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from paraph.server.app import ROOMS
from paraph.server.storage import Database, Transaction, load_sql, migrate
from paraph.server.storage.migrations import load
from paraph.server.storage.postgresql import PostgresqlDatabase
from paraph.server.storage.postgresql.placeholders import translate
from paraph.server.storage.postgresql.setup import connect
from paraph.server.storage.sqlite import SqliteDatabase
from tests.support.databases import databases, open_test_database, runs_writes_once

KINDS = {"INTEGER": "bigint", "BLOB": "bytea", "TEXT": "text"}
WHOLE = {
    "consent.partners",  # the list of all partners
    "consent.people_with_versions",  # once, at the start
    "directory.count_listed",  # an index, up to a limit
    "ledger.identity",  # one row
    "ledger.known_identity",  # the same row
    "ledger.progress",  # one row
    "ledger.waiting_kinds",  # an index that holds what waits and nothing else
    "ledger.freshness",  # that row, and the first one of an index that holds nothing but what waits
    "ledger.set_progress",
    "ledger.unsequenced",  # an index that holds nothing else
    "ledger.count_unsequenced",
    "push.any_pusher",  # the first one there is
    "push.push_progress",  # one row
    "push.waiting_pushers",  # a table that holds what waits and nothing else
    "relations.descendants",  # the ones found so far, level by level
    "webhooks.active_webhooks",  # at most five of each partner
}
"""The statements that may read a table or an index from end to end."""


class Schema(NamedTuple):
    """What a schema comes to, whatever its dialect."""

    columns: set[tuple[str, str, str, bool]]
    """Table, column, kind as PostgreSQL calls it, whether it is always there."""
    keys: set[tuple[str, tuple[str, ...]]]
    """Table and columns of primary keys and other unique constraints."""
    indexes: set[tuple[str, str, tuple[str, ...], bool, bool]]
    """Name, table, columns, whether unique, whether of some rows only."""


def sqlite_schema(tx: Transaction) -> Schema:
    found = Schema(set(), set(), set())
    for (table,) in tx.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        primary: dict[int, str] = {}
        for _, name, kind, always, _, place in tx.rows(f"PRAGMA table_info({table})"):
            found.columns.add((table, name, KINDS[kind], bool(always or place)))
            if place:
                primary[place] = name
        if primary:
            found.keys.add((table, tuple(primary[place] for place in sorted(primary))))
        for _, index, unique, origin, partial in tx.rows(f"PRAGMA index_list({table})"):
            columns = tuple(row[2] for row in tx.rows(f"PRAGMA index_info({index})"))
            if origin == "c":
                found.indexes.add((index, table, columns, bool(unique), bool(partial)))
            elif origin == "u":
                found.keys.add((table, columns))
    return found


POSTGRESQL_COLUMNS = """
SELECT table_name, column_name, data_type, CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END
FROM information_schema.columns WHERE table_schema = 'public'
"""
POSTGRESQL_INDEXES = """
SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid, n, false), i.indisunique,
    i.indpred IS NOT NULL, EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = i.indexrelid AND contype IN ('p', 'u'))
FROM pg_index AS i, generate_series(1, i.indnkeyatts) AS n
WHERE i.indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace) ORDER BY 1, n
"""


def postgresql_schema(tx: Transaction) -> Schema:
    columns = {(table, name, kind, bool(always)) for table, name, kind, always in tx.rows(POSTGRESQL_COLUMNS)}
    found = Schema(columns, set(), set())
    indexes: dict[tuple[Any, ...], list[str]] = {}
    for index, table, column, unique, partial, constraint in tx.rows(POSTGRESQL_INDEXES):
        indexes.setdefault((index, table, unique, partial, constraint), []).append(column.strip('"'))
    for (index, table, unique, partial, constraint), names in indexes.items():
        if constraint:
            found.keys.add((table, tuple(names)))
        else:
            found.indexes.add((index, table, tuple(names), bool(unique), bool(partial)))
    return found


STORAGE = {"stream_position", "announcements", "schema_migrations"}
"""Tables that the storage makes for itself, differently in each dialect."""
SCHEMA = re.compile(r"^(CREATE (?:TABLE|UNIQUE INDEX|INDEX) \w+|ALTER TABLE \w+ ADD COLUMN \w+)", re.MULTILINE)


def test_every_migration_has_its_twin() -> None:
    """Each file is there in both dialects, and both make the same things in the same order."""
    for room in ROOMS:
        folders = [resources.files(room) / "migrations" / dialect for dialect in ("sqlite", "postgresql")]
        ours, theirs = [
            {file.name: SCHEMA.findall(file.read_text(encoding="utf-8")) for file in folder.iterdir()}
            for folder in folders
        ]
        assert ours == theirs
        assert ours


@pytest.mark.slow
async def test_both_have_the_same_tables_columns_keys_and_indexes(tmp_path: Path, postgresql_dsn: str) -> None:
    """Nothing is missing in either, and nothing may be null, or be there twice, in one of them only."""
    ours = await _schema(SqliteDatabase(tmp_path / "paraph.db"), sqlite_schema)
    theirs = await _schema(PostgresqlDatabase(postgresql_dsn), postgresql_schema)
    assert len(ours.columns) > 100
    for one, other in zip(ours, theirs, strict=True):
        assert {found for found in one ^ other if not {found[0], found[1]} & STORAGE} == set()


async def _schema(database: Database, read: Callable[[Transaction], Schema]) -> Schema:
    try:
        await migrate(database, load(ROOMS, database.dialect))
        return await database.read(read)
    finally:
        await database.close()


@runs_writes_once
async def test_no_statement_of_any_room_reads_a_whole_table(dialect: str, tmp_path: Path) -> None:
    """The plan of each is a search by an index, except of those that are for reading everything."""
    path = tmp_path / "paraph.db"
    await (await open_test_database(path, ROOMS)).close()
    plans = sqlite_plans(path) if dialect == "sqlite" else postgresql_plans(databases().setting(path))
    assert {name: tables for name, tables in plans.items() if tables and name not in WHOLE} == {}
    assert plans.keys() >= WHOLE


def statements(dialect: str) -> dict[str, str]:
    """The text of every statement of every room."""
    rooms = {room.rpartition(".")[2]: vars(load_sql(room, dialect)) for room in ROOMS}
    return {f"{room}.{name}": sql for room, named in rooms.items() for name, sql in named.items()}


def sqlite_plans(path: Path) -> dict[str, set[str]]:
    """The tables that each statement reads whole."""
    connection, found = sqlite3.connect(path), {}
    for name, sql in statements("sqlite").items():
        params = dict.fromkeys(re.findall(r":(\w+)", sql), "1")
        lines = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", params)]
        found[name] = {line.split()[1] for line in lines if line.startswith("SCAN ")} - {"json_each", "CONSTANT"}
    connection.close()
    return found


def postgresql_plans(dsn: str) -> dict[str, set[str]]:
    """The tables that each statement reads whole on a connection of ours, prepared when the tables had one page."""
    wire = connect(dsn, ())
    wire.command(b"ANALYZE")
    plans = {
        name: "\n".join(line for (line,) in wire.connection.execute(f"EXPLAIN (GENERIC_PLAN) {translate(sql).text}"))
        for name, sql in statements("postgresql").items()
    }
    wire.close()
    return {name: set(re.findall(r"Seq Scan on (\w+)", plan)) for name, plan in plans.items()}
