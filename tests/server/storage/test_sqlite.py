"""SQLite against the contract, and what is its own: durability settings, the lock, full disks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paraph.server.storage import DatabaseBusy, wal
from paraph.server.storage.sqlite import SqliteDatabase
from tests.server.storage.contract import CREATE, DatabaseContract, add


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "paraph.db")
    yield database
    await database.close()


class TestSqlite(DatabaseContract):
    """The contract on SQLite."""


async def test_a_second_process_is_refused(database: SqliteDatabase) -> None:
    """One file, one process: the second one is told what to use instead."""
    with pytest.raises(DatabaseBusy, match="postgresql"):
        SqliteDatabase(database.path)


async def test_positions_go_on_after_a_restart(tmp_path: Path) -> None:
    """A position is never given twice, not even across restarts."""
    first = SqliteDatabase(tmp_path / "paraph.db")
    await first.write(lambda tx: [tx.next_position() for _ in range(5)])
    await first.close()
    second = SqliteDatabase(tmp_path / "paraph.db")
    assert await second.write(lambda tx: tx.next_position()) == 6
    await second.close()


async def test_writes_that_arrive_together_share_a_commit(database: SqliteDatabase) -> None:
    """A hundred concurrent writes cost a handful of commits."""
    await database.write(lambda tx: tx.run(CREATE))
    commits = 0

    def trace(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    database._writer.set_trace_callback(trace)
    await asyncio.gather(*(database.write(lambda tx, n=n: add(tx, n)) for n in range(100)))
    assert 1 <= commits <= 3


async def test_a_full_disk_fails_the_batch_and_the_next_one_works(database: SqliteDatabase) -> None:
    """When the disk is full nobody is told that something was kept; with room again, work goes on."""
    await database.write(lambda tx: tx.run("CREATE TABLE blob (data BLOB)"))
    pages = database._writer.execute("PRAGMA page_count").fetchone()[0]
    database._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    insert = "INSERT INTO blob VALUES (zeroblob(:size))"
    results = await asyncio.gather(
        database.write(lambda tx: tx.run(insert, {"size": 10})),
        database.write(lambda tx: tx.run(insert, {"size": 1_000_000})),
        return_exceptions=True,
    )
    kept = [result for result in results if not isinstance(result, Exception)]
    assert isinstance(results[1], Exception)
    rows = await database.read(lambda tx: tx.row("SELECT COUNT(*) FROM blob"))
    assert rows == (len(kept),)
    database._writer.execute("PRAGMA max_page_count = 100000")
    await database.write(lambda tx: tx.run(insert, {"size": 10}))


async def test_the_wal_is_copied_beside_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy writer's WAL begins anew long before SQLite itself would see to it, and nothing is lost."""
    monkeypatch.setattr(wal, "AHEAD", 200)
    database = SqliteDatabase(tmp_path / "paraph.db")
    await database.write(lambda tx: tx.run("CREATE TABLE blob (data BLOB)"))
    insert = "INSERT INTO blob VALUES (randomblob(40000))"
    longest = 0
    for _ in range(200):
        await asyncio.gather(*(database.write(lambda tx: tx.run(insert)) for _ in range(4)))
        longest = max(longest, (tmp_path / "paraph.db-wal").stat().st_size // 4096)
    # 200 batches of 40 pages are 8,000: below SQLite's own limit, and yet the file stayed short.
    assert longest < 4_000
    assert await database.read(lambda tx: tx.row("SELECT COUNT(*) FROM blob")) == (800,)
    await database.close()
    again = SqliteDatabase(tmp_path / "paraph.db")
    assert await again.read(lambda tx: tx.row("SELECT COUNT(*) FROM blob")) == (800,)
    await again.close()
