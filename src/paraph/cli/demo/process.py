"""A real server process for the demo: started, awaited, stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx

from paraph.cli.demo.attack import Stored

SERVE = (sys.executable, "-m", "paraph", "serve")


class ServerFailed(Exception):
    """The server process did not come up; the message holds what it printed."""


def free_port() -> int:
    """A TCP port of this machine that nobody listens on, for who has to be told it before the server starts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class ServerProcess:
    """`paraph serve` on a free port over a data folder and a database of its own."""

    def __init__(
        self,
        data: Path,
        *,
        command: Sequence[str] = SERVE,
        database: str = "sqlite",
        settings: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        """`port` 0 takes a free one."""
        self.data = data
        self.stored = Stored(data, database)
        self._command = [*command, "--data", str(data), "--port", str(port)]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("PARAPH_")}
        self._environment |= {f"PARAPH_{name.upper()}": value for name, value in (settings or {}).items()}
        self._environment["PARAPH_DATABASE"] = database
        self._process: subprocess.Popen[bytes] | None = None
        self._log = data / "server.log"
        self.url = ""

    def __enter__(self) -> "ServerProcess":
        """Start and wait until it answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "server.json").unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own command)
                self._command, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.url = self._wait(time.monotonic() + 30)
        return self

    def _wait(self, deadline: float) -> str:
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            try:
                url: str = httpx.Response(200, content=(self.data / "server.json").read_bytes()).json()["url"]
                httpx.get(f"{url}/_matrix/client/versions", timeout=2).raise_for_status()
            except (OSError, ValueError, httpx.HTTPError):
                time.sleep(0.05)
                continue
            return url
        raise ServerFailed(f"the server did not start:\n{self._log.read_text(errors='replace')[-2000:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, politely first."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
