"""`paraph log watch`: tell people what is new in a log, and at once what must never happen."""

import fcntl
import json
import os
import re
import smtplib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from paraph.audit.sources import DirectorySource, Fetch
from paraph.audit.watch import Damaged, Watch, begin
from paraph.audit.watch_events import Event, Level
from paraph.audit.watch_state import BadState, State
from paraph.cli.admin import AsJson
from paraph.cli.log.check import Key, PolicyFile, read_policy
from paraph.cli.log.source import http_source
from paraph.cli.output import err, fail, out
from paraph.protocol.errors import ProtocolError
from paraph.tlog.policy import Policy

ALARM, STALE = 2, 3
"""Exit status: the log did what it must never do; it cannot be judged now."""
_UNITS = {"s": 1, "m": 60, "h": 3600}
_COLOURS = {Level.NOTICE: "green", Level.TROUBLE: "yellow", Level.ALARM: "bold red"}


@dataclass(frozen=True)
class Mail:
    """Where mail goes: one message for each round in which something happened."""

    to: str
    sender: str
    host: str
    port: int

    def send(self, log: str, events: Sequence[Event]) -> None:
        """Send events. Raises OSError or smtplib.SMTPException."""
        message = EmailMessage()
        worst = "ALARM: " if any(event.level is Level.ALARM for event in events) else ""
        message["Subject"] = f"{worst}{log}: {', '.join(dict.fromkeys(event.kind for event in events))}"
        message["From"], message["To"] = self.sender, self.to
        message.set_content("\n\n".join(f"[{event.level}] {event.text}" for event in events) + "\n")
        with smtplib.SMTP(self.host, self.port, timeout=30) as server:
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls()
                server.ehlo()
            user = os.environ.get("PARAPH_SMTP_USER")
            if user:
                server.login(user, os.environ.get("PARAPH_SMTP_PASSWORD", ""))
            server.send_message(message)


class Folder:
    """The state folder: the state, replaced as a whole, and evidence. One watch at a time."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self._lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail(f"another watch uses {root}")

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the folder to others."""
        os.close(self._lock)

    def load(self, policy: Policy) -> State:
        """The state, or that of a new watch. Raises BadState or OSError."""
        try:
            return State.parse((self.root / "state.json").read_bytes(), policy.logs[0].verifier.vkey)
        except FileNotFoundError:
            return begin(policy)

    def save(self, state: State) -> None:
        """Replace the state, durably."""
        self._write("state.json", state.encode())

    def keep(self, event: Event) -> Path | None:
        """Keep an event's evidence; where it is."""
        if event.evidence is None:
            return None
        name = f"{event.kind}-{datetime.now(UTC):%Y%m%dT%H%M%S}.evidence"
        self._write(name, event.evidence)
        return self.root / name

    def _write(self, name: str, data: bytes) -> None:
        partial = self.root / f"{name}.new"
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.root / name)
        folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def watch(
    log: Annotated[str, typer.Argument(help="The log's URL (https://…/log) or folder.")],
    policy_file: PolicyFile,
    state: Annotated[Path, typer.Option(help="A folder of this watch's own.")],
    key: Key = None,
    every: Annotated[str, typer.Option(help="How often to look: 60s, 5m, 1h.")] = "60s",
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    receipt: Annotated[list[Path] | None, typer.Option(help="A receipt, or an entry with one, to watch over.")] = None,
    mail_to: Annotated[str | None, typer.Option(help="Send a mail for each round in which something happened.")] = None,
    mail_from: Annotated[str | None, typer.Option(help="The sender of mails.")] = None,
    smtp: Annotated[str, typer.Option(help="HOST:PORT of the mail server.")] = "localhost:25",
    as_json: AsJson = False,
) -> None:
    """Watch a log: new partners and agreements, changes, what is late, and whether it contradicts itself.

    Believes nobody: the policy names the log's key and its witnesses, and each new leaf is proven to be in the tree
    that they cosigned. The first look reads the whole log.

    Exit status 0: nothing is wrong. 1: wrong usage. 2: alarm (a fork, a rollback, a false record, a broken promise);
    the proof of a fork is kept in the state folder and ends the watch. 3, with --once: stale or unreachable.

    Example: paraph log watch https://chat.example.org/log --policy policy --state ./watch
    """
    seconds, mail = _seconds(every), _mail(mail_to, mail_from, smtp)
    trusted = read_policy(policy_file, key)
    documents = [document for file in receipt or () for document in _receipts(file)]
    with Folder(state) as folder:
        watching = Watch(trusted, _known(folder, trusted), _source(log), lambda: int(time.time()))
        told = _Teller(folder, mail, as_json=as_json)
        while True:
            events = watching.round()
            documents = _promised(watching, documents, events)
            told(watching.name, events)
            folder.save(watching.state)  # after the events: what was not told is not forgotten
            if once or watching.state.forked is not None:
                raise typer.Exit(_status(watching, events))
            time.sleep(seconds)


def _known(folder: Folder, policy: Policy) -> State:
    """The state of a watch that may go on; ends the command where it may not."""
    try:
        known = folder.load(policy)
    except (BadState, OSError) as error:
        fail(str(error))
    if known.forked is not None:
        err.print(f"[bold red]ALARM[/] this log forked: {escape(known.forked)}; the proof is in {folder.root}")
        raise typer.Exit(ALARM)
    return known


def _status(watching: Watch, events: Sequence[Event]) -> int:
    if watching.alarmed or any(event.level is Level.ALARM for event in events):
        return ALARM
    return STALE if watching.troubled else 0


class _Teller:
    """Prints events, keeps their evidence, and sends mail."""

    def __init__(self, folder: Folder, mail: Mail | None, *, as_json: bool) -> None:
        self._folder = folder
        self._mail = mail
        self._as_json = as_json

    def __call__(self, log: str, events: Sequence[Event]) -> None:
        for event in events:
            place = self._folder.keep(event)
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            if self._as_json:
                kept = {} if place is None else {"evidence": str(place)}
                sys.stdout.write(
                    json.dumps({"at": now, "log": log, **event.rendered, **kept}, ensure_ascii=False) + "\n"
                )
                sys.stdout.flush()
            else:
                kept_at = "" if place is None else f"; the proof is {place}"
                out.print(f"{now} [{_COLOURS[event.level]}]{event.level}[/] {escape(event.text + kept_at)}")
        if events and self._mail is not None:
            try:
                self._mail.send(log, events)
            except (OSError, smtplib.SMTPException) as error:
                err.print(f"no mail was sent: {escape(str(error))}")


def _promised(watching: Watch, documents: list[Mapping[str, Any]], events: list[Event]) -> list[Mapping[str, Any]]:
    """Take receipts into the watch; gives those that have to wait for a log that answers."""
    left = []
    for document in documents:
        try:
            if not watching.state.note:
                raise OSError
            events += watching.promise(document)
        except ProtocolError as error:
            fail(f"this is no receipt of the log's platform: {error}")
        except (OSError, Damaged):
            left.append(document)
    return left


def _receipts(file: Path) -> list[Mapping[str, Any]]:
    """The receipts in a file: one, an entry that carries one, or a list of either."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        fail(f"{file} cannot be read: {error}")
    documents = [
        one.get("receipt", one) for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)
    ]
    if not documents:
        fail(f"{file} holds no receipt")
    return documents


def _source(log: str) -> Fetch:
    return http_source(log) if log.startswith(("http://", "https://")) else DirectorySource(Path(log))


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smh]?)", text)
    if match is None:
        fail(f"--every is {text!r}; expected a number and s, m or h")
    return int(match[1]) * _UNITS[match[2] or "s"]


def _mail(to: str | None, sender: str | None, smtp: str) -> Mail | None:
    if to is None and sender is None:
        return None
    host, separator, port = smtp.rpartition(":")
    if to is None or sender is None or not separator or not port.isdecimal():
        fail("mail needs --mail-to, --mail-from and --smtp HOST:PORT")
    return Mail(to, sender, host, int(port))
