"""Real processes on one PostgreSQL, killed; and a PostgreSQL that is killed under them."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from paraph.server.storage import NotDurable, StorageError, Transaction
from paraph.server.storage.postgresql import PostgresqlDatabase
from tests.server.storage.contract import until
from tests.server.storage.process import ADD, CREATE
from tests.support.postgresql import PostgresServer, PostgresUnavailable

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("PARAPH_KILLS", "4"))
WITHIN = 30.0
ROOT = Path(__file__).parents[3]


class Writer:
    """A writing process, and what it was told is durable."""

    def __init__(self, dsn: str, name: str, folder: Path) -> None:
        self.name = name
        self._out = folder / f"{name}.out"
        self._err = folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            command = [sys.executable, "-m", "tests.server.storage.process", dsn, name]
            self._process = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT)

    def acknowledged(self) -> dict[int, int]:
        """Position to number, of every whole line."""
        lines = self._out.read_text().split("\n")[:-1]
        return {int(position): int(number) for position, number in map(str.split, lines)}

    def wait_for_more(self, count: int = 50) -> None:
        """Return once `count` further writes were acknowledged."""
        target, deadline = len(self.acknowledged()) + count, time.monotonic() + WITHIN
        while len(self.acknowledged()) < target:
            assert self._process.poll() is None, self._err.read_text()
            assert time.monotonic() < deadline, "the process does not get on"
            time.sleep(0.01)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Observer(threading.Thread):
    """Looks at the table without a pause: whatever position is visible, all before it are visible too."""

    def __init__(self, dsn: str) -> None:
        super().__init__(daemon=True)
        self._dsn = dsn
        self.looks = 0
        self.wrong: list[tuple[int, int, int]] = []
        self.finish = threading.Event()

    def run(self) -> None:
        newest = 0
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self.finish.is_set():
                row = connection.execute(
                    "SELECT COALESCE(MAX(position), 0), COUNT(*), (SELECT last FROM stream_position) FROM entry"
                ).fetchone()
                assert row is not None
                if not newest <= row[0] == row[1] == row[2]:
                    self.wrong.append(row)
                newest = row[0]
                self.looks += 1


class Follower:
    """A process that only follows: it must be told of every position once, in order, when all of it is visible."""

    def __init__(self) -> None:
        self.upto = 0
        self.heard: list[int] = []
        self.wrong: list[tuple[int, int, int]] = []

    def follow(self, tx: Transaction, after: int, upto: int) -> None:
        row = tx.row("SELECT COUNT(*) FROM entry WHERE position > :after AND position <= :upto", locals())
        if after != self.upto or row != (upto - after,):
            self.wrong.append((self.upto, after, upto))
        self.upto = upto


@pytest.fixture
def killable() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test's own."""
    try:
        server = PostgresServer()
    except PostgresUnavailable as reason:
        pytest.skip(f"NO POSTGRESQL: {reason}")
    try:
        yield server.start()
    finally:
        server.remove()


async def test_killed_processes_lose_nothing_and_break_no_order(postgresql_dsn: str, tmp_path: Path) -> None:
    """kill -9 one of two writers again and again: what was acknowledged is there, and order was never broken."""
    database, follower = PostgresqlDatabase(postgresql_dsn), Follower()
    database.follow(follower.follow)
    database.listen("entry", lambda announcement: follower.heard.append(int(announcement.payload)))
    await database.write(lambda tx: tx.run(CREATE))
    observer = Observer(postgresql_dsn)
    observer.start()
    steady = Writer(postgresql_dsn, "steady", tmp_path)
    writers = [steady]
    for round_number in range(KILLS):
        victim = Writer(postgresql_dsn, f"victim-{round_number}", tmp_path)
        writers.append(victim)
        await asyncio.to_thread(victim.wait_for_more)
        await asyncio.sleep(random.uniform(0, 0.05))
        victim.kill()
        await asyncio.to_thread(steady.wait_for_more)
    steady.kill()
    observer.finish.set()
    await asyncio.to_thread(observer.join, WITHIN)
    last = await database.write(lambda tx: tx.next_position())  # has no row, and brings the follower up to date
    rows = await database.read(lambda tx: tx.rows("SELECT position, writer, number FROM entry ORDER BY position"))
    await database.close()
    _nothing_is_lost(writers, rows)
    assert [row[0] for row in rows] == list(range(1, last))
    assert follower.heard == [row[2] for row in rows]
    assert (observer.wrong, follower.wrong) == ([], [])
    assert observer.looks > 20 * KILLS


def _nothing_is_lost(writers: list[Writer], rows: list[tuple[int, str, int]]) -> None:
    stored = {position: (writer, number) for position, writer, number in rows}
    for writer in writers:
        acknowledged = writer.acknowledged()
        assert acknowledged
        assert {position: stored.get(position) for position in acknowledged} == {
            position: (writer.name, number) for position, number in acknowledged.items()
        }


async def test_a_killed_postgresql_loses_nothing(killable: PostgresServer) -> None:
    """PostgreSQL dies as in a power cut, while two processes write, and comes back: they go on by themselves."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    databases = [PostgresqlDatabase(killable.dsn()) for _ in range(2)]
    await databases[0].write(lambda tx: tx.run(CREATE))
    acknowledged: dict[int, int] = {}
    unknown, stop = 0, False

    def add(tx: Transaction, number: int) -> int:
        position = tx.next_position()
        tx.run(ADD, {"position": position, "writer": "one", "number": number})
        return position

    async def write(numbers: Iterator[int]) -> None:
        nonlocal unknown
        for number in numbers:
            if stop:
                return
            try:
                position = await databases[number % 2].write(lambda tx, n=number: add(tx, n))  # type: ignore[misc]
                acknowledged[position] = number
            except StorageError:
                unknown += 1

    async def until_more() -> None:
        enough = len(acknowledged) + 200
        await until(lambda: len(acknowledged) >= enough)

    tasks = [asyncio.create_task(write(iter(range(first, 10**9, 20)))) for first in range(20)]
    for _ in range(2):
        await until_more()
        await asyncio.to_thread(killable.stop, signal.SIGQUIT)
        await asyncio.to_thread(killable.start)
    await until_more()
    stop = True
    await asyncio.gather(*tasks)
    rows = await databases[0].read(lambda tx: tx.rows("SELECT position, number FROM entry"))
    for database in databases:
        await database.close()
    assert acknowledged.items() <= dict(rows).items()
    assert len(rows) <= len(acknowledged) + unknown


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_postgresql_that_would_lose_data_is_refused(killable: PostgresServer, setting: str) -> None:
    """Neither a start nor a connection made later accepts a server whose commits do not survive a power cut."""
    database = PostgresqlDatabase(killable.dsn())
    with psycopg.connect(killable.dsn(), autocommit=True) as admin:
        admin.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        admin.execute("SELECT pg_reload_conf()")
        await until(lambda: admin.execute(f"SHOW {setting}".encode()).fetchone() == ("off",))
    with pytest.raises(NotDurable, match=f"{setting} is off"):
        PostgresqlDatabase(killable.dsn())
    with psycopg.connect(killable.dsn(), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    with pytest.raises(StorageError, match=f"{setting} is off"):
        await database.write(lambda tx: tx.next_position())
    await database.close()
