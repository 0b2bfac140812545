"""What any database behind `Database` has to do. A dialect's test module subclasses this and gives `database`."""

import asyncio

import pytest

from paraph.server.storage import Database, Transaction
from paraph.server.storage.migrations import Migration, MigrationError, migrate

CREATE = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)"
ADD = "INSERT INTO note (id, text) VALUES (:id, :text)"
COUNT = "SELECT COUNT(*) FROM note"


class Refused(Exception):
    """What a test's write raises on purpose."""


def add(tx: Transaction, number: int) -> int:
    tx.run(ADD, {"id": number, "text": f"note {number}"})
    return number


def count(tx: Transaction) -> int:
    row = tx.row(COUNT)
    assert row is not None
    return int(row[0])


class DatabaseContract:
    """The behaviour that rooms rely on."""

    @pytest.fixture
    async def notes(self, database: Database) -> Database:
        await database.write(lambda tx: tx.run(CREATE))
        return database

    async def test_a_write_returns_what_its_function_returned(self, notes: Database) -> None:
        """The result of the function reaches the caller, and a read sees what it wrote."""
        assert await notes.write(lambda tx: add(tx, 7)) == 7
        assert await notes.read(lambda tx: tx.row("SELECT text FROM note WHERE id = :id", {"id": 7})) == ("note 7",)

    async def test_a_failing_write_takes_only_itself_back(self, notes: Database) -> None:
        """In a shared batch a write that raises leaves nothing; its neighbours stay."""

        def half(tx: Transaction) -> None:
            add(tx, 100)
            raise Refused

        results = await asyncio.gather(
            notes.write(lambda tx: add(tx, 1)),
            notes.write(half),
            notes.write(lambda tx: add(tx, 2)),
            return_exceptions=True,
        )
        assert results[0] == 1
        assert isinstance(results[1], Refused)
        assert results[2] == 2
        assert await notes.read(lambda tx: tx.rows("SELECT id FROM note ORDER BY id")) == [(1,), (2,)]

    async def test_a_constraint_violation_takes_only_itself_back(self, notes: Database) -> None:
        """An error that the database itself raises behaves like any other."""
        results = await asyncio.gather(*(notes.write(lambda tx: add(tx, 1)) for _ in range(5)), return_exceptions=True)
        assert [isinstance(result, Exception) for result in results].count(False) == 1
        assert await notes.read(count) == 1

    async def test_positions_rise_in_commit_order(self, notes: Database) -> None:
        """Positions are unique and rising, and `position` never runs ahead of what is durable."""

        def take(tx: Transaction) -> int:
            position = tx.next_position()
            assert notes.position < position
            return position

        taken = await asyncio.gather(*(notes.write(take) for _ in range(50)))
        assert sorted(set(taken)) == taken
        assert notes.position == taken[-1]

    async def test_after_commit_runs_once_and_only_on_success(self, notes: Database) -> None:
        """Callbacks of a write that failed never run; those of one that succeeded run before its caller resumes."""
        seen: list[str] = []

        def good(tx: Transaction) -> None:
            tx.after_commit(lambda: seen.append("good"))

        def bad(tx: Transaction) -> None:
            tx.after_commit(lambda: seen.append("bad"))
            raise Refused

        await notes.write(good)
        assert seen == ["good"]
        with pytest.raises(Refused):
            await notes.write(bad)
        assert seen == ["good"]

    async def test_a_read_sees_one_moment(self, notes: Database) -> None:
        """Two statements of one read agree even while writes are queued."""
        pending = [asyncio.create_task(notes.write(lambda tx, n=n: add(tx, n))) for n in range(20)]

        def twice(tx: Transaction) -> tuple[int, int]:
            return count(tx), count(tx)

        first, second = await notes.read(twice)
        assert first == second
        await asyncio.gather(*pending)
        assert await notes.read(count) == 20

    async def test_a_cancelled_caller_does_not_disturb_the_batch(self, notes: Database) -> None:
        """Whoever stops waiting loses the answer, not the write, and nobody else notices."""
        task = asyncio.create_task(notes.write(lambda tx: add(tx, 1)))
        await asyncio.sleep(0)
        other = asyncio.create_task(notes.write(lambda tx: add(tx, 2)))
        task.cancel()
        assert await other == 2
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_migrations_apply_once_and_notice_edits(self, database: Database) -> None:
        """A second start applies nothing; an edited file, or a database from the future, is refused."""
        first = Migration("room", 1, "CREATE TABLE one (id INTEGER PRIMARY KEY);\n")
        second = Migration(
            "room", 2, "-- two\nCREATE TABLE two (id INTEGER PRIMARY KEY);\nINSERT INTO two VALUES (1);\n"
        )
        assert await migrate(database, [first]) == 1
        assert await migrate(database, [first, second]) == 1
        assert await migrate(database, [first, second]) == 0
        with pytest.raises(MigrationError, match="changed after"):
            await migrate(database, [Migration("room", 1, "CREATE TABLE other (id INTEGER);"), second])
        with pytest.raises(MigrationError, match="lacks"):
            await migrate(database, [first])

    async def test_a_failing_migration_leaves_nothing(self, database: Database) -> None:
        """All files of a start are applied, or none."""
        good = Migration("room", 1, "CREATE TABLE one (id INTEGER PRIMARY KEY);")
        bad = Migration("room", 2, "CREATE TABLE two (id INTEGER PRIMARY KEY);\nINSERT INTO nowhere VALUES (1);")
        with pytest.raises(Exception, match="nowhere"):
            await migrate(database, [good, bad])
        assert await migrate(database, [good]) == 1
