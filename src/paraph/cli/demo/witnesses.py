"""The demo's witnesses: processes of their own beside the platform. On one machine they show how it works, and prove
little: real ones are run by others.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from paraph.tlog import note
from paraph.witness import folder

SERVE = (sys.executable, "-m", "paraph", "witness", "serve")
NAMES = ("w1", "w2", "w3")
READY_WITHIN = 30.0


class WitnessesFailed(Exception):
    """A witness process did not come up; the message holds what it printed."""


class Witnesses:
    """Three `paraph witness serve` for the log of a platform that has not started yet; two of them are a quorum."""

    def __init__(self, root: Path, data: Path, *, origin: str = "localhost/log") -> None:
        """Keep keys below `root`. The log's key is made here, in the platform's folder `data`: witnesses name it."""
        self._root = root
        self._key = data / "keys" / "log.key"
        self._origin = origin
        self._processes: list[subprocess.Popen[bytes]] = []
        self.policy = root / "policy"
        """The file for the platform's setting `witnesses`."""

    def __enter__(self) -> "Witnesses":
        """Start them and write the policy."""
        vkey = self._log_key()
        lines = []
        try:
            for name in NAMES:
                known = folder.create(self._root / name, f"demo.example/{name}").verifier.vkey
                self._start(self._root / name, vkey)
                lines.append(f"witness {name} {known} {self._address(self._root / name)}\n")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        quorum = f"group majority 2 {' '.join(NAMES)}\nquorum majority\n"
        self.policy.write_text("".join(lines) + quorum, encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them, politely first."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def _log_key(self) -> str:
        signer = note.Signer.generate(self._origin)
        self._key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(signer.skey + "\n")
        return signer.verifier.vkey

    def _start(self, data: Path, vkey: str) -> None:
        command = [*SERVE, "--data", str(data), "--port", "0", "--log", vkey]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PARAPH_")}
        with (data / "witness.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(  # noqa: S603 (our own command)
                    command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
            )

    def _address(self, data: Path) -> str:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and self._processes[-1].poll() is None:
            try:
                return str(json.loads((data / "witness.json").read_bytes())["url"])
            except (OSError, ValueError):
                time.sleep(0.05)
        printed = (data / "witness.log").read_text(errors="replace")[-2000:]
        raise WitnessesFailed(f"a witness did not start:\n{printed}")
