"""A platform and its witnesses as real processes: started, awaited, stopped. None of them outlives who started it."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx

from paraph.tlog import note
from paraph.witness import folder

LEASHED = (sys.executable, "-m", "paraph.cli.leash")
SERVE = (*LEASHED, "serve")
PLAIN, AUDITOR = ("w1", "w2"), "auditor"
NAMES = (*PLAIN, AUDITOR)
QUORUM = """group witnesses all w1 w2
group map-auditors any auditor
group everybody all witnesses map-auditors
quorum everybody
"""
READY_WITHIN = 30.0
STOPPED_WITHIN = 10.0


class ServerFailed(Exception):
    """The server process did not come up; the message holds what it printed."""


class WitnessesFailed(Exception):
    """A witness process did not come up; the message holds what it printed."""


QUIET_PORTS = range(10_240, 32_768)


def free_port() -> int:
    """A TCP port of this machine that nobody listens on, for who has to be told it before the server starts.

    It lies below those that the system gives to outgoing connections, one of which could take it in the meantime.
    """
    for port in random.SystemRandom().sample(QUIET_PORTS, 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def begin(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command that writes to `log`. It holds one end of a pipe; the other goes when this process does.

    Ctrl-C at a terminal reaches this process alone, which stops the others when it has no more need of them.
    """
    with log.open("ab") as written:
        return subprocess.Popen(  # noqa: S603 (our own command)
            command,
            env=dict(environment),
            stdout=written,
            stderr=written,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )


def end(*processes: subprocess.Popen[bytes]) -> None:
    """Stop processes, politely first."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOPPED_WITHIN)
        if process.stdin is not None:
            process.stdin.close()


def own_environment() -> dict[str, str]:
    """This process's environment without the settings of a platform."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PARAPH_")}


class ServerProcess:
    """`paraph serve` over a data folder and a database of its own."""

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
        self._command = [*command, "--data", str(data), "--port", str(port)]
        self._environment = own_environment()
        self._environment |= {f"PARAPH_{name.upper()}": value for name, value in (settings or {}).items()}
        self._environment["PARAPH_DATABASE"] = database
        self._process: subprocess.Popen[bytes] | None = None
        self._log = data / "server.log"
        self.url = ""

    def __enter__(self) -> "ServerProcess":
        """Start and wait until it answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "server.json").unlink(missing_ok=True)
        self._process = begin(self._command, self._log, self._environment)
        try:
            self.url = self._wait(time.monotonic() + READY_WITHIN)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait(self, deadline: float) -> str:
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            try:
                url = str(json.loads((self.data / "server.json").read_bytes())["url"])
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
        if self._process is not None:
            end(self._process)


class Witnesses:
    """Three `paraph witness serve` for the log of a platform that has not started yet; all three have to cosign.

    Two of them and a map auditor. On one machine they show how it works, and prove little: real ones are run by others.
    """

    def __init__(
        self, root: Path, data: Path, port: int, *, origin: str = "localhost/log", clock: Path | None = None
    ) -> None:
        """Keep keys below `root`. The log's key is made here, in the platform's folder `data`: witnesses name it.

        `port` is the one at which the platform will be: the auditor reads the log there. `clock` is a sandbox's.
        """
        self._clock = [] if clock is None else ["--sandbox-clock", str(clock)]
        self._root = root
        self._url = f"http://127.0.0.1:{port}/log"
        self.log_key = data / "keys" / "log.key"
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them, politely first."""
        end(*self._processes)

    def _log_key(self) -> str:
        signer = note.Signer.generate(self._origin)
        self.log_key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.log_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(signer.skey + "\n")
        return signer.verifier.vkey

    def _start(self, name: str, vkey: str) -> str:
        """Start one; its public key."""
        data = self._root / name
        known = folder.create(data, f"demo.example/{name}").verifier.vkey
        command = [*LEASHED, "witness", "serve", "--data", str(data), "--port", "0", "--log", vkey]
        command += ["--audit-map", "--log-url", self._url] if name == AUDITOR else []
        command += self._clock
        self._processes.append(begin(command, data / "witness.log", own_environment()))
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
