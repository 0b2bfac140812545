"""A guard stands before every write of whoever asks, inside the write."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paraph.server.storage import Transaction, guarding
from paraph.server.storage.sqlite import SqliteDatabase
from tests.server.storage.contract import CREATE, Refused, add, count


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "paraph.db")
    await database.write(lambda tx: tx.run(CREATE))
    yield database
    await database.close()


def closed(tx: Transaction) -> None:
    """Lets a write pass while the table is empty."""
    if count(tx):
        raise Refused


async def test_a_guard_sees_what_the_writes_before_it_did(notes: SqliteDatabase) -> None:
    """Two writes in one batch: the first passes, and what it did refuses the second."""
    with guarding(closed):
        results = await asyncio.gather(
            notes.write(lambda tx: add(tx, 1)), notes.write(lambda tx: add(tx, 2)), return_exceptions=True
        )
    assert results[0] == 1
    assert isinstance(results[1], Refused)
    assert await notes.read(count) == 1


async def test_a_guard_is_for_the_writes_asked_for_within(notes: SqliteDatabase) -> None:
    """Neither those of others at the same time nor later ones; a task begun within is within."""
    await notes.write(lambda tx: add(tx, 1))
    other = asyncio.create_task(notes.write(lambda tx: add(tx, 2)))
    with guarding(closed):
        task = asyncio.create_task(notes.write(lambda tx: add(tx, 3)))
        with pytest.raises(Refused):
            await notes.write(lambda tx: add(tx, 4))
    await notes.write(lambda tx: add(tx, 5))
    assert await other == 2
    with pytest.raises(Refused):
        await task
    assert await notes.read(lambda tx: tx.rows("SELECT id FROM note ORDER BY id")) == [(1,), (2,), (5,)]
