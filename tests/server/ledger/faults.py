"""A process that makes one thing fail at one durable step of another process: its child.

Started as `python -m tests.server.ledger.faults BASE DATABASE`, it reads one job a line, `{"data", "database", "step",
"mode"}` in JSON, forks a child that writes a log below `data` (a copy of BASE, which it makes first), and answers with
one line: how the child ended. The child counts every durable step that the ledger takes, whichever code takes it:
writes, syncs, renames, new folders, removals, what SQLite or PostgreSQL makes durable. At the step that the job names
it is killed, or the step fails.

What the child acknowledged, signed and counted is in files beside `data`, written in a way that outlives SIGKILL.
"""

import asyncio
import errno
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from psycopg.errors import DiskFull

from paraph.protocol import entry as protocol
from paraph.server.app import open_database
from paraph.server.config import Settings
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database, StorageError, Transaction, migrate
from paraph.server.storage.migrations import load
from paraph.server.storage.postgresql import PostgresqlDatabase
from paraph.server.storage.postgresql.wire import Lost
from paraph.tlog import checkpoint
from paraph.tlog.merkle import leaf_hash
from tests.server.ledger.support import NOON, PERSON, K, running_ledger

MODES = ("kill-before", "kill-after", "no-space", "half-written", "broken-before", "broken-after")
"""Killed before or after the step; the step fails before it did anything, half done (a write), or once it is done."""
BASE_LEAVES = 246
"""So that the log's first tile is completed, and its partial forms are collected, within the child's few batches."""
GROUPS = (3, 9, 1, 250, 2)
"""Records of each write of the child; each becomes a batch."""
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_real_write = os.write
_real_fsync = os.fsync


class Steps:
    """Counts durable steps, and lets one of them fail."""

    def __init__(self, data: Path, fail_at: int | None, mode: str) -> None:
        self.data = data
        self._fail_at = fail_at
        self._mode = mode
        self._count = 0
        self._lock = threading.Lock()
        self._names = Journal(data.with_name(f"{data.name}.steps"))

    def take(self, name: str, do: Callable[[], Any], error: type[Exception] = OSError, half: Any = None) -> Any:
        """One step: done, or failed as the job says."""
        if not self.fails(name):
            return do()
        if self._mode == "half-written" and half is not None:
            half()
        if self._mode.endswith("after"):
            try:
                do()
            finally:  # some steps find what they want done (a folder that is there), and say so by an error
                if self._mode == "kill-after":
                    os.kill(os.getpid(), signal.SIGKILL)
        number = errno.EIO if self._mode.startswith("broken") else errno.ENOSPC
        raise error(number, os.strerror(number)) if error is OSError else error(os.strerror(number))

    def fails(self, name: str) -> str:
        """Count one step; how it is to fail, "" if it is not. It is killed before it here."""
        with self._lock:
            self._count += 1
            fails = self._count == self._fail_at
        self._names.add(f"{name} ! {self._mode}" if fails else name)
        if fails and self._mode == "kill-before":
            os.kill(os.getpid(), signal.SIGKILL)
        return self._mode if fails else ""

    def name_of(self, place: Any, folder: int | None = None) -> str:
        """A path, or the path behind a descriptor, as it is called below the data folder."""
        if isinstance(place, int):
            place = Path(f"/proc/self/fd/{place}").readlink()
        elif folder is not None:
            place = Path(f"/proc/self/fd/{folder}").readlink() / place
        return str(place).removeprefix(f"{self.data}/")


class Journal:
    """Lines that are in the kernel's hands when `add` returns."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def add(self, line: str) -> None:
        """Append a line."""
        _real_write(self._handle, f"{line}\n".encode())


def watch_files(steps: Steps) -> None:
    """Put the steps before the system calls that change files."""

    def write(handle: int, data: Any) -> int:
        def half() -> None:
            _real_write(handle, bytes(data)[: len(data) // 2])

        return int(steps.take(f"write {steps.name_of(handle)}", lambda: _real_write(handle, data), half=half))

    os.write = write
    os.fsync = lambda handle: steps.take(f"sync {steps.name_of(int(handle))}", lambda: _real_fsync(handle))
    for name in ("rename", "replace", "mkdir", "unlink", "rmdir"):
        setattr(os, name, counted(steps, name, getattr(os, name)))


def counted(steps: Steps, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """A system call on a path as a step."""

    def run(path: Any, *rest: Any, **how: Any) -> Any:
        return steps.take(f"{name} {steps.name_of(path, how.get('dir_fd'))}", lambda: call(path, *rest, **how))

    return run


def watch_sqlite(steps: Steps) -> None:
    """Put the steps before whatever SQLite makes durable: a COMMIT, and a statement outside any transaction."""
    connect = sqlite3.connect

    class Connection(sqlite3.Connection):
        def __init__(self, path: Any, *rest: Any, **how: Any) -> None:
            super().__init__(path, *rest, **how)
            self.name = Path(str(path)).name
            self.writes = False

        def execute(self, sql: str, *params: Any) -> Any:
            word = sql.split(maxsplit=1)[0]
            if word == "BEGIN":
                self.writes = "IMMEDIATE" in sql
            if not ((word in _WRITES and not self.in_transaction) or (word == "COMMIT" and self.writes)):
                return super().execute(sql, *params)
            what = word if word == "COMMIT" else " ".join(sql.split()[:5])
            return steps.take(
                f"sqlite {self.name} {what}",
                lambda: super(Connection, self).execute(sql, *params),
                sqlite3.OperationalError,
            )

    sqlite3.connect = lambda *rest, **how: connect(*rest, **{"factory": Connection, **how})


def watch_postgresql(steps: Steps) -> None:
    """Put the steps before PostgreSQL's commits: it refuses one, or the connection breaks before or after it."""
    commit = PostgresqlDatabase._end

    async def end(self: PostgresqlDatabase, kept: Any) -> None:
        mode = steps.fails("postgresql COMMIT")
        if mode in ("no-space", "half-written"):
            raise DiskFull("could not write to file: no space left on device")
        if mode != "broken-before":
            await commit(self, kept)
        if mode == "kill-after":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode:
            self._writer.close()
            raise Lost("server closed the connection unexpectedly")

    PostgresqlDatabase._end = end  # type: ignore[method-assign]


def watch_signatures(data: Path) -> None:
    """Note down every signed tree before anybody gets it."""
    signed, sign = Journal(data.with_name(f"{data.name}.signed")), checkpoint.sign

    def noting(tree: checkpoint.Checkpoint, signer: Any) -> bytes:
        signed.add(f"{tree.size} {tree.root.hex()}")
        return sign(tree, signer)

    checkpoint.sign = noting


def records(ledger: Ledger, salt: str, count: int) -> Callable[[Transaction], list[bytes]]:
    """A write of `count` public records and one private entry; returns the hashes of their leaves."""

    def run(tx: Transaction) -> list[bytes]:
        leaves = []
        for number in range(count):
            made = ledger.record_public(tx, "notice", "marquee", {"text": f"{salt} {number}"})
            leaves.append(protocol.public_leaf("notice", "marquee", NOON, made["document"]))
        ledger.set_log_key(tx, PERSON, K)
        entry = ledger.record_private(tx, "device", PERSON, None, {"enrolment": {"salt": salt}})
        return [leaf_hash(leaf) for leaf in (*leaves, entry.leaf)]

    return run


async def opened(data: Path, setting: str) -> Database:
    """The ledger's database of a data folder: a file in it, or a PostgreSQL database."""
    database = open_database(Settings(data=data, database=setting))
    await migrate(database, load(["paraph.server.ledger"], database.dialect))
    return database


async def work(data: Path, setting: str, groups: tuple[int, ...]) -> None:
    """Record group by group; each is acknowledged when its write returns, and waited for until it is in the log."""
    acknowledged = Journal(data.with_name(f"{data.name}.acknowledged"))
    async with running_ledger(data, database=await opened(data, setting)) as (database, ledger):
        for group in groups:
            hashes = await insistent(database, ledger, group)
            for hashed in hashes:
                acknowledged.add(hashed.hex())
            async with asyncio.timeout(20):
                while await ledger.integrated(hashes[0], 1000) is None:
                    if ledger.stopped:
                        raise AssertionError(f"the log stopped: {ledger.stopped}")


async def insistent(database: Database, ledger: Ledger, group: int) -> list[bytes]:
    """The write of a group; again where the database says that it could not be kept."""
    while True:
        try:
            return await database.write(records(ledger, f"{os.getpid()} {time.monotonic_ns()}", group))
        except StorageError:
            continue


def child(data: Path, setting: str, step: int | None, mode: str, groups: tuple[int, ...] = GROUPS) -> int:
    """Run the work; exit status 0 when it is done, 3 when the start was refused, 4 for what must never happen."""
    steps = Steps(data, step, mode)
    watch_files(steps)
    watch_sqlite(steps)
    watch_postgresql(steps)
    watch_signatures(data)
    try:
        asyncio.run(work(data, setting, groups))
    except (OSError, StorageError, sqlite3.Error) as error:
        print(f"refused: {error}", file=sys.stderr)  # noqa: T201
        return 3
    except BaseException as error:
        print(f"broke: {error!r}", file=sys.stderr)  # noqa: T201
        return 4
    return 0


def forked(run: Callable[[], int]) -> int:
    """Run it in a child; its exit status, negative where a signal ended it."""
    pid = os.fork()
    if pid == 0:
        status = 4
        os.dup2(2, 1)  # what a server logs is no answer to a job
        try:
            status = run()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(base: Path, setting: str) -> None:
    """Make the base, then do one job for each line."""
    base.mkdir()
    status = forked(lambda: child(base, setting, None, "", (BASE_LEAVES - 100, 97)))
    print(json.dumps({"status": status}), flush=True)  # noqa: T201
    for line in sys.stdin:
        job = json.loads(line)
        status = forked(partial(child, Path(job["data"]), job["database"], job["step"], job["mode"]))
        print(json.dumps({"status": status}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
