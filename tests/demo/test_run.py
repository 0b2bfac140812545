"""The demo as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paraph.cli.main import app

pytestmark = pytest.mark.slow

# The story takes some 6 s by itself; this machine may have other things to do.
WITHIN_SECONDS = 90


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A `paraph` command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "paraph", *arguments], capture_output=True, text=True, timeout=100)


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
    assert {promise for promise, found in promises.items() if found["kept"]} == {"P1", "P4", "P6"}
    assert not any(found["kept"] is False for found in promises.values())
    for promise in ("P1", "P4", "P6"):
        assert promises[promise]["evidence"].items() >= {"opened": promises[promise]["evidence"]["expected"]}.items()
        assert promises[promise]["evidence"]["tried"] > 0
    assert promises["P1"]["evidence"]["expected"] == promises["P1"]["evidence"]["served"] > 0
    control = document["control"]["readable"]
    assert control["opened"] == control["tried"] == 12
    log = document["log"]
    assert document["witnessed"]["by"] == ["auditor", "w1", "w2"]
    assert document["witnessed"]["map_audited"] is True
    verified = run("log", "verify", log["directory"], "--key", log["vkey"], "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["size"] == log["size"] > 0


def test_a_broken_promise_is_the_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the performance finds is what the command exits with, and what stands on the screen."""
    monkeypatch.setattr("paraph.sdk.engine.outbound.OutboundSessions.due", _only_without_a_session)
    played = CliRunner().invoke(app, ["demo", "--once", "--data", str(tmp_path / "demo")])
    assert played.exit_code == 1, played.output
    assert "P4  BROKEN  Revocation bites" in played.output
    assert "P1  kept  Own words only" in played.output


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """The demo starts from nothing: it plays in no folder that holds something."""
    (tmp_path / "something").touch()
    played = run("demo", "--once", "--data", str(tmp_path))
    assert played.returncode == 2
    assert "is not empty" in played.stderr


def _only_without_a_session(self: object, settings: object, _allowed: object, _now: int) -> bool:
    current = self.current  # type: ignore[attr-defined]
    return current(settings.room_id) is None  # type: ignore[attr-defined]
