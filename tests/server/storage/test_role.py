"""A role is held by one process at a time, and lost with its connection."""

import psycopg
import pytest

from paraph.server.storage.postgresql import PostgresqlDatabase

pytestmark = pytest.mark.slow


async def test_one_process_holds_a_role_at_a_time(postgresql_dsn: str) -> None:
    """Taken by one it is refused to the other, until the first leaves it; other roles are other roles."""
    first, second = PostgresqlDatabase(postgresql_dsn), PostgresqlDatabase(postgresql_dsn)
    here, there = first.role("log"), second.role("log")
    assert await here.take()
    assert await here.take()
    assert not await there.take()
    assert (await here.held(), await there.held()) == (True, False)
    other = second.role("other")
    assert await other.take()
    await here.release()
    assert await there.take()
    assert not await here.take()
    for role in (here, there, other):
        await role.release()
    await first.close()
    await second.close()


async def test_a_broken_connection_loses_the_role(postgresql_dsn: str) -> None:
    """The process learns of it when it asks; another one can have the role at once, and it may be taken back later."""
    database = PostgresqlDatabase(postgresql_dsn)
    here, there = database.role("log"), database.role("log")
    assert await here.take()
    with psycopg.connect(postgresql_dsn, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    assert await there.take()
    assert not await here.held()
    assert not await here.take()
    await there.release()
    assert await here.take()
    await here.release()
    await database.close()
