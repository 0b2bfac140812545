"""The demo as a person runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paraph.cli.demo.story import Story
from paraph.cli.demo.verdicts import SHOWN
from paraph.cli.main import app
from tests.demo.performance import FILMS, WitnessThreads

pytestmark = pytest.mark.slow

# The story takes some 20 s by itself; this machine may have other things to do.
WITHIN_SECONDS = 120


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A `paraph` command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "paraph", *arguments], capture_output=True, text=True, timeout=150)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_demo_keeps_what_it_shows_and_leaves_a_log_that_verifies(tmp_path: Path, database: str) -> None:
    """`paraph demo --once --json` exits 0 with the documented document, and `log verify` agrees with it."""
    began = time.monotonic()
    played = run("demo", "--once", "--json", "--database", database, "--data", str(tmp_path / "demo"))
    assert played.returncode == 0, played.stderr
    assert time.monotonic() - began < WITHIN_SECONDS
    document = json.loads(played.stdout)
    promises = document["promises"]
    assert list(promises) == [f"P{number}" for number in range(1, 10)]
    assert {promise for promise, found in promises.items() if found["kept"]} == set(SHOWN)
    assert not any(found["kept"] is False for found in promises.values())
    for promise in SHOWN:
        assert promises[promise]["evidence"].items() >= {"opened": promises[promise]["evidence"]["expected"]}.items()
        assert promises[promise]["evidence"]["tried"] > 0
    assert promises["P1"]["evidence"]["expected"] == promises["P1"]["evidence"]["served"] > 0
    lies = {lie["what"]: lie["answer"] for lie in promises["P3"]["evidence"]["lies"]}
    assert "1 of 3 missing of what marquee did" in lies["one of 3 reads is left out of her list"]
    assert re.match(r"record \d+ .* differs", lies["one read is made to look smaller than it was"])
    control = document["control"]["readable"]
    assert control["opened"] == control["tried"] == 12
    log = document["log"]
    assert document["witnessed"]["by"] == ["auditor", "w1", "w2"]
    assert document["witnessed"]["map_audited"] is True
    check_evidence(promises["P3"]["evidence"]["judgement"])
    verified = run("log", "verify", log["directory"], "--key", log["vkey"], "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["size"] == log["size"] > 0


def check_evidence(judgement: dict[str, Any]) -> None:
    """The evidence that the demo leaves is complete to whoever checks it, and to nobody with one bit of it changed."""
    author, correspondent, policy = judgement["author"], judgement["correspondent"], judgement["policy"]
    assert author["accesses"] > 0 == correspondent["accesses"]
    assert judgement["flipped"]["opened"] == 0 < judgement["flipped"]["tried"]
    checked = run("log", "check", author["file"], correspondent["file"], "--policy", policy, "--json")
    assert checked.returncode == 0, checked.stderr
    assert [verdict["outcome"] for verdict in json.loads(checked.stdout)] == ["COMPLETE", "COMPLETE"]
    data = bytearray(Path(author["file"]).read_bytes())
    data[len(data) // 2] ^= 1
    Path(author["file"]).write_bytes(data)
    assert run("log", "check", author["file"], "--policy", policy).returncode == 1


def test_a_broken_promise_is_the_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the performance finds is what the command exits with, and what stands on the screen."""
    monkeypatch.setattr("paraph.sdk.engine.outbound.OutboundSessions.due", _only_without_a_session)
    cheap = partial(Story, films=lambda: FILMS, witnesses=WitnessThreads)
    monkeypatch.setattr("paraph.cli.demo.story.Story", cheap)
    played = CliRunner().invoke(app, ["demo", "--once", "--data", str(tmp_path / "demo")])
    assert played.exit_code == 1, played.output
    assert "P4  BROKEN  Revocation bites" in played.output
    assert "P1  kept  Own words only" in played.output
    for line in transcript():
        assert line in played.output


def transcript() -> list[str]:
    """The headings of the acts that the front page shows, with the last words of each left out where they wrap."""
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("<!-- demo transcript -->")[2].partition("<!-- /demo transcript -->")[0]
    headings = re.findall(r"^\d+ \S.*$", shown, re.MULTILINE)
    assert len(headings) > 8
    return headings


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """The demo starts from nothing: it plays in no folder that holds something."""
    (tmp_path / "something").touch()
    played = run("demo", "--once", "--data", str(tmp_path))
    assert played.returncode == 2
    assert "is not empty" in played.stderr


def _only_without_a_session(self: object, settings: object, _allowed: object, _now: int) -> bool:
    current = self.current  # type: ignore[attr-defined]
    return current(settings.room_id) is None  # type: ignore[attr-defined]
