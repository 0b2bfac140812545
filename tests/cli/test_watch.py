"""`paraph log watch` on a log's folder and a real server: exit statuses, JSON lines, mail, kill -9."""

import copy
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paraph.cli.main import app
from tests.audit.logs import private
from tests.audit.test_records import FIRST, leaf
from tests.audit.test_watch import platform, receipt
from tests.support.published_log import KEY, POLICY, PublishedLog


class Watched:
    """A log in a folder, and a watch over it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = PublishedLog()
        (root / "policy").write_text(f"log {KEY.vkey}\n{POLICY}")
        self.publish(leaf("platform", platform(), "platform"))

    def publish(self, *leaves: bytes) -> None:
        """One more epoch, now."""
        self.log.publish(*leaves, time=time.time_ns() // 1_000_000)
        self.write()

    def write(self) -> None:
        """Bring the log's files into its folder."""
        for path, data in self.log.files.items():
            place = self.root / "log" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    def arguments(self, *more: object) -> list[str]:
        """The command line."""
        places = [self.root / "log", "--policy", self.root / "policy", "--state", self.root / "state"]
        return [str(one) for one in ("log", "watch", *places, *more)]

    def look(self, *more: object) -> Result:
        """One look."""
        return CliRunner().invoke(app, self.arguments("--once", "--json", *more))


def events(result: Result) -> list[dict[str, Any]]:
    """The JSON lines."""
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_exit_statuses(watched: Watched) -> None:
    """0 while nothing is wrong, 1 for wrong usage, 3 for a log that cannot be judged, 2 for a fork, from then on."""
    first = watched.look()
    assert (first.exit_code, [event["event"] for event in events(first)]) == (0, ["watching"])
    assert (watched.look().exit_code, events(watched.look())) == (0, [])
    assert watched.look("--every", "soon").exit_code == 1
    assert watched.look("--mail-to", "desk@example.org").exit_code == 1
    checkpoint = watched.root / "log" / "checkpoint"
    known = checkpoint.read_bytes()
    checkpoint.unlink()
    assert watched.look().exit_code == 3
    checkpoint.write_bytes(known)
    other = copy.deepcopy(watched.log)
    watched.publish(private(1))
    assert watched.look().exit_code == 0
    other.publish(private(2), time=time.time_ns() // 1_000_000)
    watched.log = other
    watched.write()
    forked = watched.look()
    assert forked.exit_code == 2
    evidence = events(forked)[0]["evidence"]
    checked = CliRunner().invoke(app, ["log", "check", evidence, "--policy", str(watched.root / "policy")])
    assert (checked.exit_code, "PROVEN" in checked.output) == (0, True), checked.output
    again = watched.look()
    assert (again.exit_code, "forked" in again.output) == (2, True)


def test_readable_lines_and_receipts(watched: Watched, tmp_path: Path) -> None:
    """Without --json each event is a line; a receipt may come inside the entry that carries it, in a list."""
    in_time = receipt(private(7), time.time_ns() // 1_000_000 - 60_000)
    (tmp_path / "entries.json").write_text(json.dumps([{"entry": {}, "receipt": in_time}]))
    told = CliRunner().invoke(app, watched.arguments("--once", "--receipt", tmp_path / "entries.json"))
    assert told.exit_code == 2, told.output
    assert "watching example.org/log" in told.output
    assert "was promised for the log" in told.output
    (tmp_path / "wrong.json").write_text(json.dumps({"type": "something else"}))
    assert watched.look("--receipt", tmp_path / "wrong.json").exit_code == 1


class _Mailbox(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.received: list[str] = []
        super().__init__(("127.0.0.1", 0), _Session)


class _Session(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as one message needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 mail.example.org\r\n")
        for line in iter(self.rfile.readline, b""):
            word = line.strip().upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self._take()
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 fine\r\n")

    def _take(self) -> None:
        assert isinstance(self.server, _Mailbox)
        self.server.received.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())


@pytest.fixture
def mailbox() -> Iterator[_Mailbox]:
    with _Mailbox() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_mail_is_sent_for_a_round_in_which_something_happened(watched: Watched, mailbox: _Mailbox) -> None:
    """One message with all events; none where nothing happened; a mail server that is gone does not end the watch."""
    mail = ("--mail-to", "desk@example.org", "--mail-from", "watch@example.org", "--smtp")
    there = (*mail, f"127.0.0.1:{mailbox.server_address[1]}")
    assert watched.look(*there).exit_code == 0
    assert watched.look(*there).exit_code == 0
    watched.publish(leaf("agreement", FIRST), private(1))
    assert watched.look(*there).exit_code == 0
    assert len(mailbox.received) == 2
    assert "Subject: example.org/log: partner" in mailbox.received[1]
    assert "new partner" in mailbox.received[1]
    watched.publish(private(2), leaf("platform", platform(version="3"), "platform"))
    gone = watched.look(*mail, "127.0.0.1:1")
    assert (gone.exit_code, "no mail was sent" in gone.output) == (0, True)


@pytest.mark.slow
def test_killed_at_any_moment_a_watch_tells_everything(watched: Watched) -> None:
    """kill -9 while it watches: the state is whole, and each event is told by one of the runs."""
    watched.publish(leaf("agreement", FIRST))
    assert watched.look().exit_code == 0
    told: set[int] = set()
    for round_ in range(4):
        command = [sys.executable, "-m", "paraph", *watched.arguments("--every", "1", "--json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            watched.publish(leaf("platform", platform(version=f"{round_}.5"), "platform"))
            time.sleep(0.3 * round_)  # at another moment of its start or round each time
            os.kill(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        told |= {json.loads(line)["leaf"] for line in output[: output.rfind("\n") + 1].splitlines()}
    last = watched.look()
    assert last.exit_code == 0
    told |= {event["leaf"] for event in events(last)}
    assert len(told) == 4
    json.loads((watched.root / "state" / "state.json").read_bytes())


def test_two_watches_do_not_share_a_state(watched: Watched) -> None:
    """The second one says so."""
    from paraph.cli.log.watch import Folder

    with Folder(watched.root / "state"):
        refused = watched.look()
    assert (refused.exit_code, "another watch uses" in refused.output) == (1, True)
    assert watched.look().exit_code == 0
