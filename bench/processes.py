"""Servers under measurement: started as processes of their own, their cost read from the operating system."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import defaultdict
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType

from bench.databases import SQLITE, Database
from paraph.cli.processes import free_port

READY_WITHIN = 20.0
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


class Server:
    """A server process (and its children) on a port of its own, killed on leaving the context."""

    def __init__(self, name: str, directory: Path, database: Database = SQLITE) -> None:
        self.name = name
        self.port = free_port()
        self.data = directory / name
        self._database = database
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The command line of this server."""
        if self.name == "floor":
            return [sys.executable, "-m", "bench.floor", str(self.data), str(self.port)]
        paraph = str(Path(sys.executable).with_name("paraph"))
        return [paraph, "serve", "--data", str(self.data), "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        """Anyone may sign up, and nobody is told to slow down."""
        settings = {"registration": "open", "rate_limits": "off", "database": self._database.setting}
        return {**os.environ, **{f"PARAPH_{name.upper()}": value for name, value in settings.items()}}

    def __enter__(self) -> Server:
        self.data.mkdir(parents=True, exist_ok=True)
        with self._log().open("wb") as log:
            self._process = subprocess.Popen(
                self.command(), env=self.environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._wait_until_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def pid(self) -> int:
        """The server's first process."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server's first process."""
        os.kill(self.pid, number)

    def cpu_ms(self) -> float:
        """Processor time, user and system, that the process tree and its database's have used so far."""
        return sum(cpu_ticks(pid) for pid in tree([self.pid, *self._database.pids])) * TICK_MS

    def rss_mb(self) -> float:
        """Resident memory of the server's process tree in megabytes (10^6 bytes), without a database server's."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in tree([self.pid]))
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _log(self) -> Path:
        return self.data.with_name(f"{self.name}.log")

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_WITHIN
        while not answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = self._log().read_text(errors="replace")[-4000:]
                raise SystemExit(f"{self.name} did not start\n{log}")
            time.sleep(0.02)


def tree(roots: list[int]) -> list[int]:
    """These processes and all their descendants."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := stat_fields(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found = list(roots)
    for pid in found:
        found.extend(children[pid])
    return found


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (field 3 of proc(5)); empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_ticks(pid: int) -> int:
    """utime + stime, and the same of children that have ended and been waited for."""
    return sum(int(field) for field in stat_fields(pid)[11:15])


def raise_file_limit() -> int:
    """As many open files as the system allows, for this process and the servers it starts; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def answers(port: int) -> bool:
    """Whether the server answers 200 when asked for its versions."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_matrix/client/versions")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
