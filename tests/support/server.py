"""A real `paraph serve` process for tests: started on a free port, killed, restarted on the same data."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from paraph.cli.processes import free_port
from tests.support.witness import witness_policy

READY_WITHIN = 15.0
"""Seconds that a start may take on a busy machine."""
STOPPED_WITHIN = 10.0
OPEN_SETTINGS = {"registration": "open", "rate_limits": "off"}
"""What most tests want: anyone may sign up, and a fast test is not told to slow down."""


class StartError(AssertionError):
    """The process ended, or did not answer in time; the message carries the end of its log."""


class RunningServer:
    """One server process, its port and its data directory.

    Settings are given by their names in lower case (`registration="closed"`) and passed on as `PARAPH_*`
    variables, on top of `OPEN_SETTINGS`; a value of None leaves the server's own default. The port stays the
    same over `kill` and `restart`, so clients written against `url` survive them.

    Its log has a witness (tests.support.witness), since devices share with partners only under cosigned checkpoints;
    `witnessed=False`, or a setting `witnesses` of the test's own, leaves it out.
    """

    def __init__(self, data: Path, *, witnessed: bool = True, **settings: str | None) -> None:
        self.data = data
        self.log_path = data.with_name(f"{data.name}.log")
        self.port = free_port()
        watched = {"witnesses": str(witness_policy(data))} if witnessed and "witnesses" not in settings else {}
        self.settings = {**OPEN_SETTINGS, **watched, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the running server (also its process group)."""
        return self._running().pid

    @property
    def log(self) -> str:
        """Everything the server has written to stdout and stderr, over all its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self) -> RunningServer:
        """Start and return once `GET /_matrix/client/versions` answers 200."""
        if self._process is not None:
            raise RuntimeError("the server is running already")
        self.data.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command(self.data, self.port),
                env=environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def kill(self) -> None:
        """SIGKILL to the server and all its children, as a power cut would; nothing if it is not running."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """SIGTERM, wait, and return the exit status; fails if the server does not stop in time."""
        process = self._running()
        process.terminate()
        try:
            return process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running {STOPPED_WITHIN} s after SIGTERM\n{self.tail()}") from None
        finally:
            self.kill()

    def restart(self, **settings: str | None) -> RunningServer:
        """Start again on the same data and port, after a `kill` or (if still running) a `stop`."""
        if self._process is not None:
            self.stop()
        self.settings.update(settings)
        return self.start()

    def tail(self, lines: int = 40) -> str:
        """The last lines of the log, for failure messages."""
        return "\n".join(["--- end of the server's log ---", *self.log.splitlines()[-lines:]])

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process

    def _wait_until_ready(self) -> None:
        process = self._running()
        deadline = time.monotonic() + READY_WITHIN
        while not answers(self.port):
            if process.poll() is not None:
                raise StartError(f"exit status {process.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"no answer within {READY_WITHIN} s\n{self.tail()}")
            time.sleep(0.02)

    def __enter__(self) -> RunningServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def command(data: Path, port: int) -> list[str]:
    """The command line a person would type, with the `paraph` of the interpreter that runs the tests."""
    return [str(Path(sys.executable).with_name("paraph")), "serve", "--data", str(data), "--port", str(port)]


def environment(settings: dict[str, str | None]) -> dict[str, str]:
    """This process's environment without its own `PARAPH_*` variables, plus the given settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PARAPH_")}
    given = {f"PARAPH_{name.upper()}": value for name, value in settings.items() if value is not None}
    return {**inherited, "PYTHONUNBUFFERED": "1", **given}


def answers(port: int) -> bool:
    """Whether the server at this port answers `GET /_matrix/client/versions` with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_matrix/client/versions")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
