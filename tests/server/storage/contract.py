"""What any database behind `Database` has to do. A dialect's test module subclasses this and gives `database`."""

import asyncio
import time
from collections.abc import Callable

import pytest

from paraph.server.storage import Announcement, Database, QueueFull, StorageError, Transaction, batches
from paraph.server.storage.migrations import Migration, MigrationError, migrate

CREATE = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)"
ADD = "INSERT INTO note (id, text) VALUES (:id, :text)"
ADD_ONCE = f"{ADD} ON CONFLICT DO NOTHING"
COUNT = "SELECT COUNT(*) FROM note"
STEP = 0.01
WITHIN = 30.0
"""Seconds: how often, and for how long, a test looks for what another task brings about."""


class Refused(Exception):
    """What a test's write raises on purpose."""


def add(tx: Transaction, number: int) -> int:
    tx.run(ADD, {"id": number, "text": f"note {number}"})
    return number


def add_once(tx: Transaction, number: int) -> bool:
    return tx.add(ADD_ONCE, {"id": number, "text": f"note {number}"})


def count(tx: Transaction) -> int:
    row = tx.row(COUNT)
    assert row is not None
    return int(row[0])


async def until(true: Callable[[], bool]) -> None:
    """Wait for a state that another task brings about."""
    deadline = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(STEP)


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

    async def test_what_is_added_is_known_to_be_there(self, notes: Database) -> None:
        """Among writes that add at the same time, each hears in the end whether its row is new."""
        told: list[str] = []

        def once(tx: Transaction, number: int) -> tuple[int, bool]:
            position = tx.next_position()
            fresh = add_once(tx, number)
            if fresh:
                tx.after_commit(lambda: told.append(f"new {number}"))
            return position, fresh

        numbers = [1, 2, 1, 3, 2, 1, 4]
        results = await asyncio.gather(*(notes.write(lambda tx, n=n: once(tx, n)) for n in numbers))
        assert [fresh for _, fresh in results] == [True, True, False, True, False, False, True]
        assert told == ["new 1", "new 2", "new 3", "new 4"]
        positions = [position for position, _ in results]
        assert positions == sorted(set(positions))
        assert await notes.read(count) == 4

    async def test_a_refused_addition_takes_only_its_write_back(self, notes: Database) -> None:
        """The error reaches the write that it belongs to, whatever its neighbours added before and after."""

        def pair(tx: Transaction, first: int, second: int) -> None:
            for number in (first, second):
                tx.add(ADD, {"id": number, "text": f"note {number}"})

        results = await asyncio.gather(
            *(notes.write(lambda tx, p=p: pair(tx, *p)) for p in ((1, 2), (3, 1), (4, 5), (6, 6), (7, 8))),
            return_exceptions=True,
        )
        assert [isinstance(result, Exception) for result in results] == [False, True, False, True, False]
        assert not any(isinstance(result, StorageError) for result in results)
        kept = await notes.read(lambda tx: tx.rows("SELECT id FROM note ORDER BY id"))
        assert kept == [(1,), (2,), (4,), (5,), (7,), (8,)]

    async def test_a_failing_write_takes_back_what_it_added(self, notes: Database) -> None:
        """Alone in its batch or among others, before or after its neighbours."""

        def half(tx: Transaction) -> None:
            add_once(tx, 100)
            raise Refused

        with pytest.raises(Refused):
            await notes.write(half)
        results = await asyncio.gather(
            *(notes.write(fn) for fn in (lambda tx: add_once(tx, 1), half, lambda tx: add_once(tx, 2))),
            return_exceptions=True,
        )
        assert results[0] is results[2] is True
        assert isinstance(results[1], Refused)
        assert await notes.read(lambda tx: tx.rows("SELECT id FROM note ORDER BY id")) == [(1,), (2,)]

    async def test_statements_keep_their_order_around_additions(self, notes: Database) -> None:
        """Whatever follows an addition, in its write or the next, finds the row; what came before does not."""

        def around(tx: Transaction, number: int) -> list[int]:
            found = [count(tx)]
            add_once(tx, number)
            found.append(count(tx))
            add_once(tx, number + 1)
            tx.run_many(
                "UPDATE note SET text = :text WHERE id = :id", [{"id": number + 1, "text": f"changed {number}"}]
            )
            add_once(tx, number + 2)
            changed = tx.run("DELETE FROM note WHERE id = :id", {"id": number + 2})
            return [*found, changed, count(tx)]

        results = await asyncio.gather(*(notes.write(lambda tx, n=n: around(tx, n)) for n in (10, 20)))
        assert results == [[0, 1, 1, 2], [2, 3, 1, 4]]
        kept = await notes.read(lambda tx: tx.rows("SELECT text FROM note ORDER BY id"))
        assert kept == [("note 10",), ("changed 10",), ("note 20",), ("changed 20",)]

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

    async def test_the_caller_resumes_before_whom_the_write_wakes(self, notes: Database) -> None:
        """Whoever waits for what a write brings has its turn after the one who wrote."""
        turns: list[str] = []
        woken = asyncio.Event()

        async def wait() -> None:
            await woken.wait()
            turns.append("woken")

        async def write() -> None:
            await notes.write(lambda tx: tx.after_commit(woken.set))
            turns.append("wrote")

        await asyncio.gather(wait(), write())
        assert turns == ["wrote", "woken"]

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

    async def test_a_function_that_refuses_costs_its_neighbours_nothing(self, notes: Database) -> None:
        """Whoever raises before it has written anything makes nobody's function run again."""
        runs: list[int] = []

        def write(tx: Transaction, number: int) -> None:
            runs.append(number)
            if number % 2:
                raise Refused
            add(tx, number)

        await asyncio.gather(*(notes.write(lambda tx, n=n: write(tx, n)) for n in range(6)), return_exceptions=True)
        assert runs == list(range(6))
        assert await notes.read(count) == 3

    async def test_values_come_back_as_they_went_in(self, database: Database) -> None:
        """Text, bytes, numbers and nothing survive unchanged; so do the sum of big numbers and the answer of EXISTS."""
        binary = {"sqlite": "BLOB", "postgresql": "BYTEA"}[database.dialect]
        real = {"sqlite": "REAL", "postgresql": "DOUBLE PRECISION"}[database.dialect]
        table = f"CREATE TABLE kept (id BIGINT PRIMARY KEY, text TEXT, data {binary}, number BIGINT, share {real})"
        values = [
            {
                "id": 1,
                "text": "ß %s :no ''\"\\ \U0001f600",
                "data": bytes(range(256)),
                "number": 2**63 - 1,
                "share": 0.1,
            },
            {"id": 2, "text": "", "data": b"", "number": -(2**63), "share": -1e300},
            {"id": 3, "text": None, "data": None, "number": None, "share": None},
            {"id": 4, "text": "x" * 100_000, "data": b"\0" * 100_000, "number": True, "share": 2.0},
        ]
        await database.write(lambda tx: tx.run(table))
        insert = "INSERT INTO kept (id, text, data, number, share) VALUES (:id, :text, :data, :number, :share)"
        await database.write(lambda tx: tx.run_many(insert, values))
        rows = await database.read(lambda tx: tx.rows("SELECT id, text, data, number, share FROM kept ORDER BY id"))
        assert rows == [tuple(value[name] for name in ("id", "text", "data", "number", "share")) for value in values]
        asked = "SELECT SUM(number), COUNT(*), EXISTS (SELECT 1 FROM kept WHERE id = :id), MAX(text) FROM kept"
        for number, found in ((4, 1), (5, 0)):
            row = await database.read(lambda tx, number=number: tx.row(asked, {"id": number}))
            assert row == (0, 4, found, values[0]["text"])

    async def test_a_write_learns_how_many_rows_it_changed(self, notes: Database) -> None:
        """Conflicts that change nothing count nothing; RETURNING gives rows."""

        def write(tx: Transaction) -> tuple[int, int, int, int, list[tuple[object, ...]]]:
            tx.run_many(ADD, [{"id": n, "text": str(n)} for n in range(300)])
            again = tx.run(f"{ADD} ON CONFLICT DO NOTHING", {"id": 1, "text": "other"})
            fresh = tx.run(f"{ADD} ON CONFLICT DO NOTHING", {"id": 300, "text": "300"})
            changed = tx.run("UPDATE note SET text = text || '!' WHERE id < :below", {"below": 7})
            gone = tx.run("DELETE FROM note WHERE id >= :least", {"least": 10})
            return again, fresh, changed, gone, tx.rows(f"{ADD} RETURNING id, text", {"id": 11, "text": "11"})

        assert await notes.write(write) == (0, 1, 7, 291, [(11, "11")])
        assert await notes.read(count) == 11

    async def test_announcements_are_heard_in_order_once_durable(self, notes: Database) -> None:
        """Listeners of a topic hear what durable writes announced, in order, before the writer resumes."""
        heard: list[Announcement] = []
        notes.listen("room", heard.append)

        def announce(tx: Transaction, number: int) -> None:
            add(tx, number)
            tx.announce("room", f"{number}: \0 ß")
            tx.announce("elsewhere", "not listened to")
            tx.after_commit(lambda: heard.append(Announcement("callback", str(number), local=True)))
            assert not heard
            if number == 1:
                raise Refused

        await asyncio.gather(*(notes.write(lambda tx, n=n: announce(tx, n)) for n in range(3)), return_exceptions=True)
        assert heard == [
            Announcement("room", "0: \0 ß", local=True),
            Announcement("callback", "0", local=True),
            Announcement("room", "2: \0 ß", local=True),
            Announcement("callback", "2", local=True),
        ]
        assert notes.lag < 60

    async def test_a_callback_that_fails_is_reported_and_the_others_run(self, notes: Database) -> None:
        """What is durable stays acknowledged, whatever goes wrong in memory afterwards."""
        reported: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        seen: list[str] = []

        def fail() -> None:
            raise Refused

        def write(tx: Transaction) -> str:
            tx.after_commit(fail)
            tx.after_commit(lambda: seen.append("second"))
            return "kept"

        assert await notes.write(write) == "kept"
        assert seen == ["second"]
        assert [type(context["exception"]) for context in reported] == [Refused]

    async def test_a_failing_read_leaves_the_next_one_alone(self, notes: Database) -> None:
        """Neither an exception nor a refused statement of one read shows in another."""

        def refuse(tx: Transaction) -> None:
            count(tx)
            raise Refused

        with pytest.raises(Refused):
            await notes.read(refuse)
        with pytest.raises(Exception, match="nowhere"):
            await notes.read(lambda tx: (count(tx), tx.rows("SELECT 1 FROM nowhere")))
        with pytest.raises(Exception, match="nowhere"):
            await notes.read(lambda tx: tx.rows("SELECT 1 FROM nowhere"))
        with pytest.raises(Exception, match=r"read.?only"):
            await notes.read(lambda tx: add(tx, 1))
        with pytest.raises(StorageError):
            await notes.read(lambda tx: tx.next_position())
        assert await notes.read(count) == 0

    async def test_a_full_queue_is_refused_at_once(self, notes: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond the bound a write is not taken; the ones inside it all go through."""
        monkeypatch.setattr(batches, "MAX_QUEUED", 3)
        tasks = [asyncio.create_task(notes.write(lambda tx, n=n: add(tx, n))) for n in range(5)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, QueueFull) for result in results] == [False, False, False, True, True]
        assert await notes.read(count) == 3

    async def test_closing_finishes_what_is_queued_and_takes_no_more(self, notes: Database) -> None:
        """Whoever was accepted is served; later ones are told."""
        last = asyncio.create_task(notes.write(lambda tx: add(tx, 1)))
        await asyncio.sleep(0)
        await notes.close()
        assert await last == 1
        with pytest.raises(StorageError, match="closed"):
            await notes.write(lambda tx: add(tx, 2))

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
