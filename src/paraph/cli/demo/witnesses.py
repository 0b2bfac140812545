"""The demo's witnesses: two, and a map auditor, as processes of their own beside the platform. On one machine they show
how it works, and prove little: real ones are run by others.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from paraph.cli.demo.evidence import Witnessed
from paraph.tlog import note, policy
from paraph.witness import folder

SERVE = (sys.executable, "-m", "paraph", "witness", "serve")
PLAIN, AUDITOR = ("w1", "w2"), "auditor"
NAMES = (*PLAIN, AUDITOR)
QUORUM = """group witnesses all w1 w2
group map-auditors any auditor
group everybody all witnesses map-auditors
quorum everybody
"""
READY_WITHIN = 30.0


class WitnessesFailed(Exception):
    """A witness process did not come up; the message holds what it printed."""


class Witnesses:
    """Three `paraph witness serve` for the log of a platform that has not started yet; all three have to cosign."""

    def __init__(self, root: Path, data: Path, port: int, *, origin: str = "localhost/log") -> None:
        """Keep keys below `root`. The log's key is made here, in the platform's folder `data`: witnesses name it.

        `port` is the one at which the platform will be: the auditor reads the log there.
        """
        self._root = root
        self._log = data / "log"
        self._url = f"http://127.0.0.1:{port}/log"
        self._key = data / "keys" / "log.key"
        self._origin = origin
        self._processes: list[subprocess.Popen[bytes]] = []
        self.policy = root / "policy"
        """The file for the platform's setting `witnesses`."""

    def __enter__(self) -> "Witnesses":
        """Start them and write the policy."""
        vkey = self._log_key()
        try:
            keys = {name: self._start(name, vkey) for name in NAMES}
            lines = [f"witness {name} {keys[name]} {self._address(self._root / name)}\n" for name in NAMES]
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.policy.write_text("".join(lines) + QUORUM, encoding="utf-8")
        return self

    def witnessed(self) -> Witnessed:
        """What the policy says of the newest published checkpoint. Raises TlogError or OSError."""
        signed, now = (self._log / "checkpoint").read_bytes(), int(time.time())
        log = note.Signer.from_skey(self._key.read_text(encoding="utf-8").removesuffix("\n")).verifier
        trusted = policy.parse(self.policy.read_bytes()).for_log(log)
        found = trusted.check(signed, now)
        return Witnessed(found.checkpoint.size, sorted(found.times), trusted.map_audited, max(now - found.time, 0))

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

    def _start(self, name: str, vkey: str) -> str:
        """Start one; its public key."""
        data = self._root / name
        known = folder.create(data, f"demo.example/{name}").verifier.vkey
        command = [*SERVE, "--data", str(data), "--port", "0", "--log", vkey]
        command += ["--audit-map", "--log-url", self._url] if name == AUDITOR else []
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PARAPH_")}
        with (data / "witness.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(  # noqa: S603 (our own command)
                    command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
            )
        return known

    def _address(self, data: Path) -> str:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and all(process.poll() is None for process in self._processes):
            try:
                return str(json.loads((data / "witness.json").read_bytes())["url"])
            except (OSError, ValueError):
                time.sleep(0.05)
        printed = (data / "witness.log").read_text(errors="replace")[-2000:]
        raise WitnessesFailed(f"a witness did not start:\n{printed}")
