"""PostgreSQL against the contract, and what is its own: several processes, lost connections, durability settings."""

from collections.abc import AsyncIterator

import pytest

from paraph.server.storage.postgresql import PostgresqlDatabase
from tests.server.storage.contract import DatabaseContract
from tests.support.postgresql import postgresql, postgresql_dsn  # noqa: F401


@pytest.fixture
async def database(postgresql_dsn: str) -> AsyncIterator[PostgresqlDatabase]:  # noqa: F811
    database = PostgresqlDatabase(postgresql_dsn)
    yield database
    await database.close()


class TestPostgresql(DatabaseContract):
    """The contract on PostgreSQL."""
