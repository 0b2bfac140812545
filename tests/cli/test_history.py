"""`paraph log history` and `paraph log check`, as a person and a stranger type them; the real server cheats."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paraph.cli.main import app
from paraph.sdk import Partner, Person, SqliteStore
from tests.sdk.partner.test_partner import PURPOSE, Scene
from tests.sdk.person.test_person import PASSWORD, room_of
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow


class Told:
    """An author whose device is in a store on disk, and a partner that read her three times."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server = server
        self.store = folder / "author.store"
        self.evidence = folder / "author.evidence"
        self.policy = server.data.with_name(f"{server.data.name}.policy")
        self.slug = ""
        self.vkey = ""
        self.quiet = "sonata"

    async def live(self) -> None:
        """Enrol, grant to two partners, write; one of them reads."""
        scene, url = Scene(self.server), self.server.url
        platform = await scene.operator.platform()
        self.vkey = platform["log"]["vkey"]
        scene.author = await Person.register(url, "author", PASSWORD, store=self._open())
        scene.correspondent = await Person.register(url, "correspondent", PASSWORD)
        scene.partner, other = [Partner.create(url, slug, platform["server_name"]) for slug in ("marquee", self.quiet)]
        self.slug = scene.partner.slug
        for partner in (scene.partner, other):
            await scene.operator.admit(partner)
        scene.room_id = await room_of(scene.author, scene.correspondent)
        await scene.grant()
        await scene.author.grant(other.slug, scene.terms)
        for number in range(3):
            await scene.author.send_text(scene.room_id, f"message {number}")
            await scene.partner.poll()
            await scene.partner.messages(scene.room_id, PURPOSE)
        await other.close()
        await scene.author.history()  # waits for nothing, but the last accesses are in the log soon after
        await scene.author.entries(prove=True)
        await scene.close()

    def _open(self) -> SqliteStore:
        return SqliteStore.open(self.store, passphrase=PASSWORD)

    def type(self, *arguments: object) -> Result:
        """Run a command."""
        env = {"PARAPH_PASSPHRASE": PASSWORD, "COLUMNS": "200"}
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)

    def history(self, *more: object) -> Result:
        """The person's own look."""
        return self.type("log", "history", "--store", self.store, *more)

    def check(self, file: Path, *more: object) -> Result:
        """A stranger's look at a file."""
        return self.type("log", "check", file, "--policy", self.policy, "--key", self.vkey, *more)

    def tamper(self, statement: str, *values: Any) -> None:
        """What an operator can do to the database behind the running server's back."""
        with sqlite3.connect(self.server.data / "paraph.db") as database:
            database.execute(statement, values)
        database.close()

    def entries(self) -> list[tuple[int, dict[str, Any]]]:
        """The author's rows, oldest first."""
        with sqlite3.connect(self.server.data / "paraph.db") as database:
            rows = database.execute("SELECT seq, entry FROM ledger_entries ORDER BY seq").fetchall()
        database.close()
        return [(seq, json.loads(text)) for seq, text in rows]


@pytest.fixture(scope="module")
def told(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One story for all tests of this module; each puts back what it changed."""
    made = Told(server, tmp_path_factory.mktemp("author"))
    asyncio.run(made.live())
    return made


def test_a_person_sees_all_of_it(told: Told) -> None:
    """Every record in words, three verdicts for each partner, and evidence that a stranger finds complete."""
    shown = told.history("--out", told.evidence)
    assert shown.exit_code == 0, shown.output
    for words in (
        "device ",
        f"{told.slug} may read for {PURPOSE} in 1 conversation",
        f"{told.slug} fetched 1 message of !",
        "did open   3 messages in 3 accesses",
        "did open   nothing; complete and proven up to",
        "outside    outside the API: nothing that anyone could prove",
        "COMPLETE",
        "no map auditor is in the quorum",
    ):
        assert words in shown.output, words
    assert told.evidence.stat().st_mode & 0o777 == 0o600
    checked = told.check(told.evidence)
    assert checked.exit_code == 0, checked.output
    assert checked.output.startswith("COMPLETE")
    assert f"{told.slug}: 3 accesses, {told.quiet}: 0 accesses" in checked.output


def test_the_same_as_json(told: Told) -> None:
    """For programs: the report of the device and that of the stranger say the same."""
    shown = json.loads(told.history("--json", "--out", told.evidence).stdout)
    (checked,) = json.loads(told.check(told.evidence, "--json").stdout)
    assert (checked["kind"], checked["outcome"]) == ("history", "COMPLETE")
    assert {name: shown[name] for name in checked["details"]} == checked["details"]
    assert [event["kind"] for event in shown["events"]].count("access") == 3
    assert shown["pending"] == []


def test_a_withheld_access(told: Told) -> None:
    """The operator drops one access from the list: one of three is missing, for the person and for a stranger."""
    seq, entry = next((seq, entry) for seq, entry in told.entries() if entry["kind"] == "access")
    with sqlite3.connect(told.server.data / "paraph.db") as database:
        row = database.execute("SELECT * FROM ledger_entries WHERE seq = ?", (seq,)).fetchone()
    database.close()
    told.tamper("DELETE FROM ledger_entries WHERE seq = ?", seq)
    try:
        shown = told.history("--out", told.evidence)
    finally:
        told.tamper("INSERT INTO ledger_entries VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
    assert shown.exit_code == 1
    assert f"1 of 3 missing of what {told.slug} did" in shown.output
    checked = told.check(told.evidence)
    assert checked.exit_code == 3
    assert checked.output.startswith("INCOMPLETE")
    assert "1 of 3 missing" in checked.output
    assert entry["partner"] == told.slug


def test_an_edited_record(told: Told) -> None:
    """The operator changes what one access opened: the record is named."""
    listed = told.entries()
    number, (seq, entry) = next((n, row) for n, row in enumerate(listed, start=1) if row[1]["kind"] == "access")
    changed = {**entry, "body": {**entry["body"], "event_ids": []}}
    told.tamper("UPDATE ledger_entries SET entry = ? WHERE seq = ?", json.dumps(changed), seq)
    try:
        shown = told.history("--out", told.evidence)
    finally:
        told.tamper("UPDATE ledger_entries SET entry = ? WHERE seq = ?", json.dumps(entry), seq)
    assert shown.exit_code == 1
    assert f"record {number} (access" in shown.output
    assert "differs from what the log holds" in shown.output
    assert told.check(told.evidence).exit_code == 1


def test_a_flipped_bit(told: Told) -> None:
    """Anywhere in the file; the verdict on other files stays."""
    assert told.history("--out", told.evidence).exit_code == 0
    data = bytearray(told.evidence.read_bytes())
    data[len(data) // 3] ^= 4
    damaged = told.evidence.with_name("damaged")
    damaged.write_bytes(data)
    both = told.type("log", "check", told.evidence, damaged, "--policy", told.policy, "--key", told.vkey, "--json")
    assert both.exit_code == 1
    assert [verdict["outcome"] for verdict in json.loads(both.stdout)] == ["COMPLETE", "REJECTED"]


def test_what_cannot_be_checked_is_said(told: Told, tmp_path: Path) -> None:
    """No store, a wrong passphrase, no file, a policy that names no log or is none."""
    assert "there is no key store" in told.type("log", "history", "--store", tmp_path / "none").output
    wrong = CliRunner().invoke(app, ["log", "history", "--store", str(told.store)], env={"PARAPH_PASSPHRASE": "no"})
    assert (wrong.exit_code, wrong.output.startswith("paraph: no history:")) == (1, True)
    missing = told.check(tmp_path / "none")
    assert (missing.exit_code, "cannot be read" in missing.output) == (1, True)
    nameless = told.type("log", "check", told.evidence, "--policy", told.policy)
    assert (nameless.exit_code, "names no log" in nameless.output) == (1, True)
    bad = tmp_path / "policy"
    bad.write_text("quorum none\n")
    assert "cannot be used" in told.type("log", "check", told.evidence, "--policy", bad).output


def test_totals_that_anyone_can_check(told: Told, tmp_path: Path) -> None:
    """The operator opens its half of every record: counts per partner, no name; a changed count is refused."""
    totals = tmp_path / "totals"
    data = told.server.data
    made = told.type("log", "disclose", "--data", data, "--to", totals, "--json")
    assert made.exit_code == 0, made.output
    private = json.loads(made.stdout)["private"]
    assert private >= len(told.entries())
    for place in (data / "log", f"{told.server.url}/log"):
        checked = told.check(totals, "--log", place)
        assert checked.exit_code == 0, checked.output
        assert f"{told.slug}: 3 access, 1 grant," in checked.output
        assert f"{told.quiet}: 1 grant," in checked.output
    assert b"@author" not in totals.read_bytes()
    alone = told.check(totals)
    assert (alone.exit_code, "name it with --log" in alone.output) == (1, True)
    lines = totals.read_bytes().splitlines(keepends=True)
    access = next(number for number, line in enumerate(lines) if b'"access"' in line)
    for cheat in ([*lines[:access], *lines[access + 1 :]], [line.replace(b'"access"', b'"draft"') for line in lines]):
        totals.write_bytes(b"".join(cheat))
        assert told.check(totals, "--log", data / "log").exit_code == 1
    again = told.type("log", "disclose", "--data", data, "--to", totals)
    assert (again.exit_code, "is there already" in again.output) == (1, True)


def test_what_was_erased_is_not_hidden(told: Told, tmp_path: Path) -> None:
    """Openings that are gone leave a leaf that is counted as one that nobody can open."""
    seq, _ = next((seq, entry) for seq, entry in told.entries() if entry["kind"] == "key-share")
    with sqlite3.connect(told.server.data / "paraph.db") as database:
        row = database.execute("SELECT * FROM ledger_entries WHERE seq = ?", (seq,)).fetchone()
    database.close()
    told.tamper("DELETE FROM ledger_entries WHERE seq = ?", seq)
    try:
        assert told.type("log", "disclose", "--data", told.server.data, "--to", tmp_path / "totals").exit_code == 0
    finally:
        told.tamper("INSERT INTO ledger_entries VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
    checked = told.check(tmp_path / "totals", "--log", told.server.data / "log")
    assert checked.exit_code == 3
    assert "of which 1 cannot be opened any more" in checked.output
