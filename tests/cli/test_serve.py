"""What `paraph serve` says of its database, and what it never says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from paraph.cli.serve import keep_secrets_out_of_logs
from tests.support.postgresql import PostgresServer
from tests.support.server import RunningServer, StartError

PASSWORD = "xyzzy-plugh"


def refused(data: Path, database: str) -> str:
    """Start with this setting, which has to be refused; returns everything that was printed."""
    command = [sys.executable, "-m", "paraph", "serve", "--data", str(data), "--port", "0"]
    environment = {**os.environ, "PARAPH_DATABASE": database}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode in (1, 2), ended
    assert ended.stderr.startswith("paraph: "), ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "said"),
    [
        (f"postgresql://paraph:{PASSWORD}@127.0.0.1:1/paraph", "PostgreSQL cannot be reached"),
        (f"postgresql://paraph:{PASSWORD}%zz@127.0.0.1:1/paraph", "expected postgresql://"),
        (f"postgresql://paraph@127.0.0.1:1/paraph?{PASSWORD}={PASSWORD}", "expected postgresql://"),
        (f"mysql://paraph:{PASSWORD}@127.0.0.1/paraph", "expected sqlite or postgresql://"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(tmp_path: Path, database: str, said: str) -> None:
    """A sentence instead of a traceback, and the password in neither."""
    output = refused(tmp_path, database)
    assert said in output
    assert PASSWORD not in output
    assert not (tmp_path / "paraph.db").exists()


@pytest.mark.slow
def test_a_database_that_loses_commits_is_refused(tmp_path: Path, postgresql: PostgresServer) -> None:
    """A server whose PostgreSQL does not wait for the disk does not start."""
    with postgresql.database() as url:
        unsafe = f"{url}&options=-c%20synchronous_commit%3Doff"
        with pytest.raises(StartError, match="synchronous_commit is off"):
            RunningServer(tmp_path / "data", database=unsafe).start()
        RunningServer(tmp_path / "data", database=url).start().kill()


@pytest.mark.slow
def test_a_start_without_witnesses_says_what_that_means(tmp_path: Path) -> None:
    """An operator learns at once why no device will share with a partner."""
    said = "devices share with no partner"
    with RunningServer(tmp_path / "watched") as server:
        assert said not in server.log
    with RunningServer(tmp_path / "alone", witnessed=False) as server:
        assert said in server.log.replace("\n", " ")


def test_tracebacks_show_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    """Where a request failed is logged, but not what its variables held."""
    keep_secrets_out_of_logs()
    try:
        fail(PASSWORD)
    except ZeroDivisionError:
        structlog.get_logger().exception("request failed", path="/somewhere")
    finally:
        structlog.reset_defaults()
    logged = capsys.readouterr().out
    assert "/somewhere" in logged
    assert "ZeroDivisionError" in logged
    assert PASSWORD not in logged


def fail(secret: str) -> float:
    return len(secret) / 0
