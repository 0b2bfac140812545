"""What a connection is asked before it is trusted, and the tables that the storage itself needs."""

from collections.abc import Iterable

from paraph.server.storage.database import NotDurable, StorageError
from paraph.server.storage.postgresql.wire import Wire

CHANNEL = "paraph"
"""What processes LISTEN to; a notification's payload is the newest position of the commit that sent it."""
LOCK = f"SELECT pg_advisory_xact_lock({int.from_bytes(b'paraph')})"
"""Taken by every writing transaction before anything else, and held until it has ended."""
MIN_VERSION = 150_000

_SESSION = b"""
SET idle_in_transaction_session_timeout = '10s';
SET standard_conforming_strings = on;
SET client_encoding = 'UTF8';
SET client_min_messages = warning;
SET jit = off;
SET enable_seqscan = off
"""
# Without enable_seqscan = off, a statement that is prepared while its table is small would go on reading the table
# whole when it has grown, until PostgreSQL next counts its rows. Every statement has an index to go by.
_SETTINGS = (
    "SELECT name, setting FROM pg_settings"
    " WHERE name IN ('synchronous_commit', 'fsync', 'full_page_writes', 'server_encoding')"
)
_DURABLE = {"synchronous_commit": ("on", "remote_apply"), "fsync": ("on",), "full_page_writes": ("on",)}
_ORDER = "SELECT 'Z' < 'a' AND 'z' < 'é' AND 'a b' < 'aa' AND '-b' < 'a'"
_TABLES = """
CREATE TABLE IF NOT EXISTS stream_position (
    one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
    last BIGINT NOT NULL,
    forgotten BIGINT NOT NULL
) WITH (fillfactor = 10);
INSERT INTO stream_position (last, forgotten) VALUES (0, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS announcements (
    position BIGINT PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL DEFAULT now(),
    body TEXT NOT NULL
);
"""


def connect(dsn: str, statements: Iterable[str]) -> Wire:
    """A checked connection on which `statements` are prepared. Raises NotDurable, StorageError, Lost."""
    wire = Wire(dsn)
    try:
        wire.command(_SESSION)
        _check(wire)
        for sql in statements:
            wire.prepare(sql)
    except BaseException:
        wire.close()
        raise
    return wire


def make_tables(dsn: str) -> int:
    """Make the storage's own tables if need be; returns the newest position."""
    wire = connect(dsn, ())
    try:
        wire.command(f"BEGIN; {LOCK}; {_TABLES} COMMIT".encode())
        row = wire.rows("SELECT last FROM stream_position")[0]
    finally:
        wire.close()
    return int(row[0])


def _check(wire: Wire) -> None:
    if wire.connection.info.server_version < MIN_VERSION:
        raise StorageError(f"PostgreSQL is too old: {wire.connection.info.server_version}; expected 15 or newer")
    settings = {row[0]: row[1] for row in wire.rows(_SETTINGS)}
    for name, good in _DURABLE.items():
        if settings[name] not in good:
            raise NotDurable(f"PostgreSQL's {name} is {settings[name]}; expected {' or '.join(good)}")
    if settings["server_encoding"] != "UTF8":
        raise StorageError(f"the database's encoding is {settings['server_encoding']}; expected UTF8")
    if not wire.rows(_ORDER)[0][0]:
        raise StorageError(
            "the database does not sort text by code points, as SQLite does;"
            " create it with: createdb --template=template0 --encoding=UTF8 --locale=C"
        )
