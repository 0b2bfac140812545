"""Real `paraph witness` processes: started, killed, asked again."""

import json
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from paraph.cli.main import app
from paraph.tlog.checkpoint import open_signed
from tests.witness.process import RunningWitness
from tests.witness.support import FORK, LOG, NAME, TREE, checkpoint, request

pytestmark = pytest.mark.slow

DYING = (sys.executable, "-m", "tests.witness.dies_after_commit")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a new witness, made with the command that people use."""
    result = CliRunner().invoke(app, ["witness", "keygen", "--data", str(tmp_path / "w"), "--name", NAME, "--json"])
    assert result.exit_code == 0, result.output
    return tmp_path / "w"


@pytest.fixture
def watcher(data: Path) -> Iterator[RunningWitness]:
    running = RunningWitness(data, LOG.vkey)
    yield running
    running.kill()


def test_it_cosigns_and_serves(watcher: RunningWitness) -> None:
    """A step is cosigned; the monitor's view shows it; SIGTERM ends it cleanly."""
    assert watcher.submit(request(0, 300)).status_code == 200
    assert watcher.submit(request(0, 300)).text == "300\n"
    shown = json.loads(CliRunner().invoke(app, ["witness", "show", "--data", str(watcher.data), "--json"]).output)
    assert [(item["origin"], item["size"]) for item in shown["cosigned"]] == [(LOG.name, 300)]
    watcher.process.terminate()
    assert watcher.process.wait(10) in (0, -signal.SIGTERM)


def test_contradictions_are_shown(watcher: RunningWitness) -> None:
    """`witness show` prints both notes that prove what the log did."""
    watcher.submit(request(0, 300))
    assert watcher.submit(request(300, 300, FORK)).status_code == 409
    arguments = ["witness", "show", "--data", str(watcher.data)]
    assert "signed two trees of size 300" in CliRunner().invoke(app, arguments).output
    (found,) = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)["contradictions"]
    roots = [open_signed(found[which].encode(), LOG.verifier).checkpoint for which in ("known", "refused")]
    assert roots == [checkpoint(300), checkpoint(300, FORK)]


def test_killed_between_commit_and_answer(data: Path) -> None:
    """The step counts though nobody heard of it: the other history of that size is refused, the same one repeated."""
    dying = RunningWitness(data, LOG.vkey, command=DYING)
    try:
        with pytest.raises(httpx.TransportError):
            dying.submit(request(0, 300))
        assert dying.process.wait(10) == -signal.SIGKILL
    finally:
        dying.kill()
    again = RunningWitness(data, LOG.vkey)
    try:
        for body in (request(0, 300, FORK), request(0, 300), request(300, 300, FORK)):
            answer = again.submit(body)
            assert (answer.status_code, answer.text) == (409, "300\n")
        assert again.submit(request(300, 399, FORK)).status_code == 422
        assert again.submit(request(300, 300)).status_code == 200
        assert again.submit(request(300, 399)).status_code == 200
    finally:
        again.kill()


def test_killed_at_any_moment(data: Path) -> None:
    """Whatever was answered before a SIGKILL is known after it."""
    chance, size = random.Random(7), 0
    for _ in range(3):
        watcher = RunningWitness(data, LOG.vkey)
        try:
            for _ in range(chance.randrange(1, 8)):
                step = size + chance.randrange(1, 9)
                answer = watcher.submit(request(size, step))
                assert answer.status_code == 200, answer.text
                size = step
        finally:
            watcher.kill()
    watcher = RunningWitness(data, LOG.vkey)
    try:
        assert watcher.submit(request(0, 399)).text == f"{size}\n"
    finally:
        watcher.kill()


def test_what_makes_no_sense_is_refused(tmp_path: Path, data: Path) -> None:
    """A missing folder, a key that is none, a second key in one place: one clear line each."""
    runner = CliRunner()
    for arguments, said in [
        (["serve", "--data", tmp_path / "nowhere", "--log", LOG.vkey], "paraph witness keygen"),
        (["serve", "--data", data, "--log", "bogus"], "expected a key as"),
        (["keygen", "--data", data, "--name", NAME], "never overwritten"),
        (["keygen", "--data", tmp_path / "x", "--name", "two words"], "expected a key name"),
        (["show", "--data", tmp_path / "nowhere"], "is missing"),
    ]:
        result = runner.invoke(app, ["witness", *map(str, arguments)])
        assert result.exit_code == 1
        assert said in " ".join(result.output.split())
        assert "Traceback" not in result.output


def test_every_command_has_help_with_an_example() -> None:
    """`--help` shows how it is typed."""
    for command in ("keygen", "serve", "show"):
        result = CliRunner().invoke(app, ["witness", command, "--help"])
        assert f"Example: paraph witness {command}" in " ".join(result.output.split())


def test_the_fork_is_one() -> None:
    """The two histories that these tests use share their first hundred leaves and no larger tree."""
    assert TREE.root(100) == FORK.root(100)
    assert TREE.root(101) != FORK.root(101)
