"""A real `paraph witness serve` process for tests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.support.server import environment

PARAPH = (str(Path(sys.executable).with_name("paraph")),)
READY_WITHIN = 20.0
"""Seconds that a start may take on a busy machine."""


class RunningWitness:
    """One witness process on a folder that `keygen` made, watching the log with this key."""

    def __init__(self, data: Path, vkey: str, *more: str, port: int = 0, command: Sequence[str] = PARAPH) -> None:
        """`more` are further options of `paraph witness serve`."""
        self.data = data
        (data / "witness.json").unlink(missing_ok=True)
        arguments = ["witness", "serve", "--data", str(data), "--port", str(port), "--log", vkey, *more]
        self._log = (data / "witness.log").open("ab")
        self.process = subprocess.Popen(
            [*command, *arguments], env=environment({}), stdin=subprocess.DEVNULL, stderr=self._log
        )
        try:
            self.url = self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def submit(self, body: bytes) -> httpx.Response:
        """POST /add-checkpoint."""
        return httpx.post(f"{self.url}/add-checkpoint", content=body, timeout=10)

    def kill(self) -> None:
        """SIGKILL, as a power cut would; nothing if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()

    def _wait_until_ready(self) -> str:
        deadline = time.monotonic() + READY_WITHIN
        while not (self.data / "witness.json").exists():
            assert self.process.poll() is None, (self.data / "witness.log").read_text()
            assert time.monotonic() < deadline, "the witness did not start in time"
            time.sleep(0.02)
        return str(json.loads((self.data / "witness.json").read_text())["url"])
