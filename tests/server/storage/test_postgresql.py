"""PostgreSQL against the contract, and what is its own: batches, other processes, lost connections, its settings."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import psycopg
import pytest

from paraph.server.storage import Announcement, CommitUnknown, NotDurable, StorageError, Transaction
from paraph.server.storage.postgresql import PostgresqlDatabase
from paraph.server.storage.postgresql import watch as watch_module
from paraph.server.storage.postgresql.database import WARY
from paraph.server.storage.postgresql.setup import LOCK
from paraph.server.storage.postgresql.transaction import MAX_AHEAD, Writing
from paraph.server.storage.postgresql.values import ValueNotStorable
from paraph.server.storage.postgresql.wire import Lost, Step
from tests.server.storage.contract import (
    ADD,
    CREATE,
    STEP,
    WITHIN,
    DatabaseContract,
    Refused,
    add,
    add_once,
    count,
    until,
)

KILL_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"


@pytest.fixture
async def database(postgresql_dsn: str) -> AsyncIterator[PostgresqlDatabase]:
    database = PostgresqlDatabase(postgresql_dsn)
    yield database
    await database.close()


@pytest.fixture
async def other(postgresql_dsn: str, database: PostgresqlDatabase) -> AsyncIterator[PostgresqlDatabase]:
    """What another server process has: connections and memory of its own, on the same database."""
    other = PostgresqlDatabase(postgresql_dsn)
    yield other
    await other.close()


@pytest.fixture
def admin(postgresql_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgresql_dsn, autocommit=True) as connection:
        yield connection


class TestPostgresql(DatabaseContract):
    """The contract on PostgreSQL."""


class TestBatches:
    """How writes share transactions."""

    async def test_writes_that_arrive_together_share_a_commit(self, database: PostgresqlDatabase) -> None:
        """A hundred concurrent writes cost a handful of transactions: one exchange to begin, one to commit."""
        await database.write(lambda tx: tx.run(CREATE))
        exchanges, exchange = 0, database._writer.exchange

        async def counted(steps: Sequence[Step]) -> Any:
            nonlocal exchanges
            exchanges += 1
            return await exchange(steps)

        database._writer.exchange = counted  # type: ignore[method-assign]
        await asyncio.gather(*(database.write(lambda tx, n=n: add(tx, n)) for n in range(100)))
        assert 2 <= exchanges <= 6

    async def test_a_batch_that_has_to_be_undone_runs_again(self, database: PostgresqlDatabase) -> None:
        """Only the last run of a function counts: its result, its position, its callbacks and announcements."""
        await database.write(lambda tx: tx.run(CREATE))
        runs: list[int] = []
        heard: list[str] = []
        database.listen("added", lambda announcement: heard.append(announcement.payload))

        def write(tx: Transaction, number: int) -> int:
            runs.append(number)
            position = tx.next_position()
            add(tx, number)
            tx.announce("added", str(position))
            if number == 2:
                raise Refused
            return position

        results = await asyncio.gather(
            *(database.write(lambda tx, n=n: write(tx, n)) for n in range(4)), return_exceptions=True
        )
        kept = [result for result in results if isinstance(result, int)]
        assert runs == [0, 1, 2, 0, 1, 2, 3]
        assert isinstance(results[2], Refused)
        assert kept == sorted(set(kept))
        assert heard == [str(position) for position in kept]
        assert database.position == kept[-1]
        assert await database.read(count) == 3

    async def test_a_write_that_swallows_a_refusal_fails(self, database: PostgresqlDatabase) -> None:
        """After a refused statement nothing of the write can be kept, so it is not acknowledged either."""
        await database.write(lambda tx: (tx.run(CREATE), add(tx, 1)))

        def swallow(tx: Transaction) -> str:
            with pytest.raises(psycopg.errors.UniqueViolation):
                add(tx, 1)
            return "fine"

        results = await asyncio.gather(
            database.write(lambda tx: add(tx, 2)), database.write(swallow), return_exceptions=True
        )
        assert results[0] == 2
        assert isinstance(results[1], StorageError)
        with pytest.raises(StorageError, match="refused a statement"):
            await database.write(swallow)

    async def test_a_refusal_at_the_commit_fails_the_batch(self, database: PostgresqlDatabase) -> None:
        """A constraint that is checked last takes the batch with it, and the next batch is free of it."""
        await database.write(lambda tx: tx.run("CREATE TABLE late (id INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
        before = await database.write(lambda tx: tx.next_position())

        def twice(tx: Transaction) -> None:
            tx.next_position()
            tx.run_many("INSERT INTO late VALUES (:id)", [{"id": 1}, {"id": 1}])

        with pytest.raises(StorageError, match="could not be committed"):
            await database.write(twice)
        assert database.position == before
        assert await database.write(lambda tx: tx.next_position()) > before + 1

    async def test_text_with_nul_is_refused_before_it_is_sent(self, database: PostgresqlDatabase) -> None:
        """PostgreSQL has no NUL in text; whoever tries is told, and alone."""
        await database.write(lambda tx: tx.run(CREATE))
        results = await asyncio.gather(
            database.write(lambda tx: tx.run(ADD, {"id": 1, "text": "a\0b"})),
            database.write(lambda tx: add(tx, 2)),
            return_exceptions=True,
        )
        assert isinstance(results[0], ValueNotStorable)
        assert results[1] == 2

    async def test_lists_are_arrays(self, database: PostgresqlDatabase) -> None:
        """`= ANY(:names)` takes lists of text, bytes and numbers, whatever characters they hold."""
        odd = ['"', "\\", "{a,b}", "", "NULL", "ß\n", "'"]
        assert await database.read(
            lambda tx: [tx.row("SELECT :one = ANY(:all)", {"one": text, "all": odd}) for text in [*odd, "a"]]
        ) == [(True,)] * len(odd) + [(False,)]
        found = await database.read(
            lambda tx: tx.row(
                "SELECT CAST(:b AS BYTEA) = ANY(:all), CAST(:n AS BIGINT) = ANY(:numbers)",
                {"b": b"\0\xff", "all": [b"", b"\0\xff"], "n": 2**40, "numbers": {1, 2**40}},
            )
        )
        assert found == (True, True)

    async def test_a_column_that_sqlite_lacks_is_refused(self, database: PostgresqlDatabase) -> None:
        """A result that would mean something else on SQLite does not get through unnoticed."""
        with pytest.raises(ValueNotStorable, match="CAST"):
            await database.read(lambda tx: tx.row("SELECT now()"))
        numbers = "SELECT 10000::NUMERIC, -123456789012345678901::NUMERIC, 0::NUMERIC, 1.5::NUMERIC, -0.00025::NUMERIC"
        row = await database.read(lambda tx: tx.row(numbers))
        assert row == (10000, -123456789012345678901, 0, 1.5, -0.00025)


class TestBelieving:
    """What is added is believed before PostgreSQL has answered."""

    async def test_additions_wait_for_no_answer(
        self, database: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Additions travel together while others use the event loop, and each function runs once."""
        await database.write(lambda tx: tx.run(CREATE))
        await database.write(lambda tx: add_once(tx, 1000))  # the second use prepares the statement, and waits for that
        runs: list[int] = []

        def blocked(*_: object) -> None:
            raise AssertionError("a batch of additions waited")

        def once(tx: Transaction, number: int) -> bool:
            runs.append(number)
            return add_once(tx, number)

        await database.write(lambda tx: add_once(tx, 1001))
        monkeypatch.setattr(database._writer, "execute", blocked)
        monkeypatch.setattr(database._writer, "together_ready", blocked)
        results = await asyncio.gather(*(database.write(lambda tx, n=n: once(tx, n)) for n in range(50)))
        assert results == [True] * 50
        assert runs == list(range(50))
        assert await database.read(count) == 52

    async def test_who_believed_in_vain_is_told(self, database: PostgresqlDatabase) -> None:
        """The batch runs again with the truth, its first run forgotten; then batches wait for a while."""
        await database.write(lambda tx: (tx.run(CREATE), add_once(tx, 1)))
        believed: list[bool] = []

        def once(tx: Transaction) -> bool:
            believed.append(add_once(tx, 1))
            return believed[-1]

        assert await database.write(once) is False
        assert believed == [True, False]
        for _ in range(WARY):
            assert await database.write(once) is False
        assert believed == [True, False, *[False] * WARY]
        assert await database.write(once) is False
        assert believed[-2:] == [True, False]

    async def test_what_follows_from_a_vain_belief_is_forgotten(self, database: PostgresqlDatabase) -> None:
        """A function that raises only because it believed has not failed."""
        await database.write(lambda tx: (tx.run(CREATE), add_once(tx, 1)))

        def doubtful(tx: Transaction) -> str:
            if add_once(tx, 1):
                raise Refused
            return "again"

        assert await database.write(doubtful) == "again"
        results = await asyncio.gather(database.write(lambda tx: add_once(tx, 2)), database.write(doubtful))
        assert tuple(results) == (True, "again")

    async def test_a_belief_is_tested_before_anything_else_is_answered(self, database: PostgresqlDatabase) -> None:
        """A read behind a refused addition does not go on with it, alone in the batch or not."""
        await database.write(lambda tx: (tx.run(CREATE), add(tx, 1)))

        def look(tx: Transaction) -> int:
            tx.add(ADD, {"id": 1, "text": "other"})
            return count(tx)

        with pytest.raises(psycopg.errors.UniqueViolation):
            await database.write(look)
        database._wary = 0
        results = await asyncio.gather(
            database.write(lambda tx: add_once(tx, 2)),
            database.write(look),
            database.write(count),
            return_exceptions=True,
        )
        assert isinstance(results[1], psycopg.errors.UniqueViolation)
        assert [results[0], results[2]] == [True, 2]

    async def test_only_so_many_are_ahead(self, database: PostgresqlDatabase) -> None:
        """A write may add any number; what is held of it is bounded."""
        await database.write(lambda tx: tx.run(CREATE))
        many, seen = 3 * MAX_AHEAD + 5, 0

        def write(tx: Writing) -> None:
            nonlocal seen
            for number in range(many):
                assert add_once(tx, number)
                assert tx._ahead is not None
                seen = max(seen, len(tx._ahead._calls))

        await database.write(write)
        assert seen == MAX_AHEAD - 1
        assert await database.read(count) == many

    async def test_a_parameter_that_does_not_fit_is_its_own_writes_error(self, database: PostgresqlDatabase) -> None:
        """It is found when the statement is taken, not when others wait for it."""
        await database.write(lambda tx: tx.run(CREATE))
        results = await asyncio.gather(
            database.write(lambda tx: add_once(tx, 1)),
            database.write(lambda tx: tx.add(ADD, {"id": 2, "text": "a\0b"})),
            database.write(lambda tx: add_once(tx, 3)),
            return_exceptions=True,
        )
        assert isinstance(results[1], ValueNotStorable)
        assert results[0] is results[2] is True

    async def test_additions_cut_off_before_their_answer_run_again(
        self, database: PostgresqlDatabase, admin: psycopg.Connection[Any]
    ) -> None:
        """The connection breaks while they are ahead: nothing was committed, and nothing is there twice."""
        await database.write(lambda tx: tx.run(CREATE))
        runs: list[int] = []

        def write(tx: Transaction, number: int) -> bool:
            runs.append(number)
            fresh = add_once(tx, number)
            if runs == [0, 1, 2]:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", (tx.connection.info.backend_pid,))
            return fresh

        results = await asyncio.gather(*(database.write(lambda tx, n=n: write(tx, n)) for n in range(5)))
        assert results == [True] * 5
        assert runs[-5:] == list(range(5))
        assert await database.read(count) == 5


class TestProcesses:
    """Several server processes on one database."""

    async def test_positions_of_two_processes_are_one_order(
        self, database: PostgresqlDatabase, other: PostgresqlDatabase
    ) -> None:
        """No position is given twice, and each batch begins behind everything that was committed before it."""
        both = [database, other] * 40
        taken = await asyncio.gather(*(each.write(lambda tx: tx.next_position()) for each in both))
        assert sorted(taken) == list(range(1, 81))
        await until(lambda: database.position == other.position == 80)

    async def test_a_write_knows_what_another_process_committed(
        self, database: PostgresqlDatabase, other: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without any notification, listeners have run before the next write function does: nothing stale is used."""
        monkeypatch.setattr(watch_module.Watch, "start", lambda self: None)
        members = {"kicked"}
        stretches: list[tuple[int, int, int]] = []
        database.listen("kick", lambda announcement: members.discard(announcement.payload))
        database.follow(lambda tx, after, upto: stretches.append((after, upto, count(tx))))
        await database.write(lambda tx: (tx.run(CREATE), tx.next_position()))
        await other.write(lambda tx: (add(tx, tx.next_position()), tx.announce("kick", "kicked")))
        await other.write(lambda tx: add(tx, tx.next_position()))
        assert members == {"kicked"}

        def send(tx: Transaction) -> tuple[set[str], int]:
            return set(members), tx.next_position()

        assert await database.write(send) == (set(), 4)
        assert stretches == [(1, 3, 2)]
        assert await database.write(send) == (set(), 5)
        assert stretches == [(1, 3, 2)]

    async def test_news_wake_an_idle_process(
        self, database: PostgresqlDatabase, other: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A notification is enough: announcements arrive in commit order, and `position` covers what a read sees."""
        monkeypatch.setattr(watch_module, "POLL", 3600.0)
        heard: list[Announcement] = []
        database.listen("news", heard.append)
        await database.write(lambda tx: tx.run(CREATE))
        await until(lambda: database._watch._polls == 1)
        for number in range(1, 6):
            await other.write(lambda tx, n=number: (add(tx, n), tx.announce("news", str(n))))
            await until(lambda n=number: len(heard) == n)  # type: ignore[misc]
            assert database.position == other.position
            assert await database.read(count) == number
        assert heard == [Announcement("news", str(number), local=False) for number in range(1, 6)]

    async def test_own_commits_are_not_news(
        self, database: PostgresqlDatabase, other: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A process that hears of its own commit before the commit has answered tells its listeners once, as local."""
        monkeypatch.setattr(watch_module, "POLL", 3600.0)
        heard: list[Announcement] = []
        stretches: list[tuple[int, int]] = []
        database.listen("news", heard.append)
        database.follow(lambda tx, after, upto: stretches.append((after, upto)))
        await database.write(lambda tx: None)
        await until(lambda: database._watch._polls == 1)
        exchange = database._writer.exchange

        async def slow(steps: Sequence[Step]) -> Any:
            results = await exchange(steps)
            if steps[-1][0] == "COMMIT":
                await until(lambda: database._watch._heard == 1)
            return results

        database._writer.exchange = slow  # type: ignore[method-assign]
        await database.write(lambda tx: tx.announce("news", "mine"))
        await other.write(lambda tx: tx.announce("news", "theirs"))
        await until(lambda: len(heard) > 1)
        assert heard == [Announcement("news", "mine", local=True), Announcement("news", "theirs", local=False)]
        assert stretches == [(1, 2)]

    async def test_news_arrive_without_notifications(
        self, database: PostgresqlDatabase, other: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The poll alone brings them: a notification may be missed."""
        monkeypatch.setattr(watch_module, "POLL", 0.05)
        monkeypatch.setattr(watch_module.Watch, "look_again", lambda self: None)
        heard: list[Announcement] = []
        database.listen("news", heard.append)
        await database.write(lambda tx: None)
        await other.write(lambda tx: tx.announce("news", "late"))
        await until(lambda: bool(heard))
        assert database.lag < WITHIN

    async def test_a_follower_that_fails_is_asked_again(
        self, database: PostgresqlDatabase, other: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Until what others did is taken in, no write runs on memory that may be stale."""
        monkeypatch.setattr(watch_module.Watch, "start", lambda self: None)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        asked: list[int] = []

        def follow(tx: Transaction, after: int, upto: int) -> None:
            asked.append(upto)
            if len(asked) == 1:
                raise Refused("not now")

        database.follow(follow)
        await other.write(lambda tx: tx.next_position())
        with pytest.raises(StorageError, match="not now"):
            await database.write(lambda tx: tx.next_position())
        assert await database.write(lambda tx: tx.next_position()) == 2
        assert asked == [1, 1]

    async def test_waiting_for_another_process_does_not_hold_up_the_loop(
        self, database: PostgresqlDatabase, admin: psycopg.Connection[Any]
    ) -> None:
        """While another process writes, reads and other tasks go on."""
        await database.write(lambda tx: tx.run(CREATE))
        admin.execute(f"BEGIN; {LOCK}")
        write = asyncio.create_task(database.write(lambda tx: add(tx, 1)))
        for _ in range(20):
            assert await database.read(count) == 0
            await asyncio.sleep(STEP)
        assert not write.done()
        admin.execute("COMMIT")
        assert await write == 1

    async def test_old_announcements_go_and_a_process_that_missed_them_stops(
        self,
        database: PostgresqlDatabase,
        other: PostgresqlDatabase,
        admin: psycopg.Connection[Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Announcements are kept for an hour; a process that was out of touch for longer must not go on as if not."""
        monkeypatch.setattr(watch_module.Watch, "start", lambda self: None)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        for _ in range(3):
            await other.write(lambda tx: tx.announce("news", "old"))
        admin.execute("UPDATE announcements SET at = at - INTERVAL '61 minutes' WHERE position <= 2")
        await other._tidy()
        assert admin.execute("SELECT position FROM announcements").fetchall() == [(3,)]
        with pytest.raises(StorageError, match="start it again"):
            await database.write(lambda tx: None)
        with pytest.raises(StorageError, match="start it again"):
            await database.read(lambda tx: None)
        assert await other.write(lambda tx: tx.next_position()) == 4


class TestLostConnections:
    """PostgreSQL goes away and comes back."""

    async def test_a_lost_connection_is_replaced(
        self, database: PostgresqlDatabase, other: PostgresqlDatabase, admin: psycopg.Connection[Any]
    ) -> None:
        """Reads, writes and notifications go on by themselves after all connections were cut."""
        heard: list[Announcement] = []
        database.listen("news", heard.append)
        await database.write(lambda tx: tx.run(CREATE))
        admin.execute(f"{KILL_OTHERS} AND pid <> pg_backend_pid()".encode())
        assert await database.read(count) == 0
        assert await database.write(lambda tx: add(tx, 1)) == 1
        assert await other.write(lambda tx: (add(tx, 2), tx.announce("news", "heard")))
        await until(lambda: bool(heard))
        assert await database.read(count) == 2

    async def test_a_batch_cut_off_in_the_middle_runs_again(
        self, database: PostgresqlDatabase, admin: psycopg.Connection[Any]
    ) -> None:
        """Nothing was committed, so nothing is lost and nothing is there twice."""
        await database.write(lambda tx: tx.run(CREATE))
        runs: list[int] = []

        def write(tx: Transaction, number: int) -> int:
            runs.append(number)
            if runs == [0, 1, 2]:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", (tx.connection.info.backend_pid,))
            return add(tx, number)

        results = await asyncio.gather(*(database.write(lambda tx, n=n: write(tx, n)) for n in range(5)))
        assert results == list(range(5))
        assert runs == [0, 1, 2, 0, 1, 2, 3, 4]
        assert await database.read(count) == 5

    @pytest.mark.parametrize("committed", [True, False])
    async def test_nobody_is_told_that_a_commit_without_an_answer_was_kept(
        self, database: PostgresqlDatabase, committed: bool
    ) -> None:
        """Its callers hear that nobody knows; if it was kept after all, memory learns of it like of another's."""
        await database.write(lambda tx: tx.run(CREATE))
        heard: list[Announcement] = []
        stretches: list[tuple[int, int]] = []
        database.listen("news", heard.append)
        database.follow(lambda tx, after, upto: stretches.append((after, upto)))
        wire, exchange = database._writer, database._writer.exchange

        async def cut(steps: Sequence[Step]) -> Any:
            if steps[-1][0] == "COMMIT":
                if committed:
                    await exchange(steps)
                wire.close()
                raise Lost("cut")
            return await exchange(steps)

        wire.exchange = cut  # type: ignore[method-assign]
        with pytest.raises(CommitUnknown):
            await database.write(lambda tx: (add(tx, tx.next_position()), tx.announce("news", "kept")))
        last = await database.write(lambda tx: tx.next_position())
        assert last == 2
        assert await database.read(count) == int(committed)
        assert heard == ([Announcement("news", "kept", local=False)] if committed else [])
        assert stretches == ([(0, 1)] if committed else [])

    async def test_patience_ends(self, postgresql_dsn: str, admin: psycopg.Connection[Any]) -> None:
        """Where PostgreSQL stays away, reads and writes fail, and work again once it is back."""
        name = admin.info.dbname
        database = PostgresqlDatabase(postgresql_dsn, patience=0.1)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await database.write(lambda tx: tx.run(CREATE))
        with psycopg.connect(postgresql_dsn.replace(name, "postgres"), autocommit=True) as elsewhere:
            elsewhere.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false".encode())
            admin.execute(f"{KILL_OTHERS} AND pid <> pg_backend_pid()".encode())
            with pytest.raises(StorageError):
                await database.write(lambda tx: add(tx, 1))
            with pytest.raises(StorageError):
                await database.read(count)
            elsewhere.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true".encode())
        assert await database.write(lambda tx: add(tx, 2)) == 2
        assert await database.read(count) == 1
        await database.close()


class TestSettings:
    """A PostgreSQL that would break a promise is refused at the start."""

    @pytest.mark.parametrize("value", ["off", "local", "remote_write"])
    async def test_a_commit_that_does_not_wait_for_the_disk_is_refused(
        self, postgresql_dsn: str, admin: psycopg.Connection[Any], value: str
    ) -> None:
        """synchronous_commit has to be on, or better."""
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET synchronous_commit = {value}".encode())
        with pytest.raises(NotDurable, match=f"synchronous_commit is {value}"):
            PostgresqlDatabase(postgresql_dsn)

    async def test_another_sort_order_is_refused(self, postgresql_dsn: str, admin: psycopg.Connection[Any]) -> None:
        """Ranges of text mean the same on both databases: by code point."""
        # An operator that stands in for a locale, which this build of PostgreSQL may not have.
        admin.execute("CREATE SCHEMA english")
        admin.execute(
            "CREATE FUNCTION english.below(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE"
            " AS 'SELECT lower($1) OPERATOR(pg_catalog.<) lower($2)'"
        )
        admin.execute("CREATE OPERATOR english.< (LEFTARG = text, RIGHTARG = text, FUNCTION = english.below)")
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET search_path = english, pg_catalog, public".encode())
        with pytest.raises(StorageError, match="code points"):
            PostgresqlDatabase(postgresql_dsn)

    async def test_an_unreachable_server_is_a_storage_error(self, tmp_path: Any) -> None:
        """The operator reads one line about it."""
        with pytest.raises(StorageError, match="cannot be reached"):
            PostgresqlDatabase(f"postgresql://postgres@/nowhere?host={tmp_path}")
