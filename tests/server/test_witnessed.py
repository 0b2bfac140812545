"""A real server with real witnesses, as an operator would start them; killed, restored, refused."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from paraph.audit.replay import replay
from paraph.audit.sources import DirectorySource
from paraph.tlog import note, policy
from paraph.tlog.policy import Cosigned, Policy
from paraph.witness import folder
from tests.conftest import StartServer
from tests.support.server import RunningServer, StartError, free_port
from tests.witness.process import RunningWitness

pytestmark = pytest.mark.slow


class Watchers:
    """Three witnesses with fixed ports, and the policy file that names them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "policy"
        self.ports = [free_port() for _ in range(3)]
        self.running: list[RunningWitness] = []
        lines = []
        for number, port in enumerate(self.ports):
            vkey = folder.create(root / f"w{number}", f"w{number}.example/witness").verifier.vkey
            lines.append(f"witness w{number} {vkey} http://127.0.0.1:{port}/\n")
        self.file.write_text("".join([*lines, "group majority 2 w0 w1 w2\n", "quorum majority\n"]))

    def start(self, vkey: str, *numbers: int) -> None:
        """Start some of them for the log with this key."""
        for number in numbers:
            self.running.append(RunningWitness(self.root / f"w{number}", vkey, port=self.ports[number]))

    def policy(self, vkey: str) -> Policy:
        """What a reader of the log would pin."""
        return policy.parse(self.file.read_bytes()).for_log(note.Verifier.from_vkey(vkey))


@pytest.fixture
def watchers(tmp_path: Path) -> Iterator[Watchers]:
    made = Watchers(tmp_path / "watchers")
    yield made
    for running in made.running:
        running.kill()


def vkey_of(server: RunningServer) -> str:
    return str(httpx.get(f"{server.url}/_paraph/v1/platform").json()["log"]["vkey"])


def wait_for_checkpoint(server: RunningServer, trusted: Policy, above: int = 0) -> Cosigned:
    """The published checkpoint, once it is above a size; it must have a quorum no older than ten minutes."""
    deadline = time.monotonic() + 20
    while True:
        answer = httpx.get(f"{server.url}/log/checkpoint")
        if answer.status_code == 200:
            found = trusted.check(answer.content, int(time.time()), 600)
            if found.checkpoint.size > above:
                return found
        assert time.monotonic() < deadline, server.tail()
        time.sleep(0.05)


def test_a_server_with_witnesses_from_first_start_to_restored_backup(
    start_server: StartServer, watchers: Watchers, tmp_path: Path
) -> None:
    """It publishes nothing before two of three cosign, survives kill -9, and does not start from an older copy."""
    server = start_server(witnesses=str(watchers.file))
    vkey = vkey_of(server)
    trusted = watchers.policy(vkey)
    assert httpx.get(f"{server.url}/log/checkpoint").status_code == 404
    watchers.start(vkey, 0)
    time.sleep(1.5)
    assert httpx.get(f"{server.url}/log/checkpoint").status_code == 404
    watchers.start(vkey, 1)
    size = wait_for_checkpoint(server, trusted).checkpoint.size
    for _ in range(2):
        server.kill()
        server.start()
        size = wait_for_checkpoint(server, trusted, above=size).checkpoint.size
    server.stop()
    shutil.copytree(server.data, tmp_path / "copy")
    server.start()
    wait_for_checkpoint(server, trusted, above=size)
    server.stop()
    source = DirectorySource(server.data / "log")
    assert replay(source, vkey, listing=list(source.paths())).checkpoint.size > size
    restored = RunningServer(tmp_path / "copy", witnesses=str(watchers.file))
    with pytest.raises(StartError, match="something older was put back"):
        restored.start()


def test_a_policy_that_cannot_be_used_stops_the_start(start_server: StartServer, tmp_path: Path) -> None:
    """A missing file is said so, in one line, before anything runs."""
    with pytest.raises(StartError, match=r"the witness policy .* cannot be used"):
        start_server(witnesses=str(tmp_path / "missing"))
