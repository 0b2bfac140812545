"""What only the operator can check: each kind of damage is found by the check that names it, and nothing else is."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paraph.cli.log.fsck import tell
from paraph.cli.main import app
from paraph.server.app import reading_database
from paraph.server.ledger.fsck import Finding, Fsck, Outcome, quiet
from paraph.server.ledger.log import open_log
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Transaction
from paraph.tlog import note
from tests.server.ledger.support import NOON, ORIGIN, PERSON, K, running_ledger
from tests.support.databases import databases

GRANT = "gr_" + "A" * 22
on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


def record(ledger: Ledger) -> Callable[[Transaction], None]:
    """A write of 300 public records, and of private entries under both kinds of label."""

    def run(tx: Transaction) -> None:
        for n in range(300):
            ledger.record_public(tx, "notice", "marquee", {"n": n})
        ledger.set_log_key(tx, PERSON, K)
        for n in range(3):
            ledger.record_private(tx, "device", PERSON, None, {"enrolment": {"n": n}})
            body = {"grant_id": GRANT, "purpose": "p", "room_id": "!r:example.org", "event_ids": [str(n)]}
            ledger.record_private(tx, "access", PERSON, "marquee", body, grant_id=GRANT)

    return run


async def made(data: Path) -> Path:
    """A stopped server's folder as far as the ledger fills it."""
    async with running_ledger(data) as (database, ledger):
        await database.write(record(ledger))
    (data / "keys" / "operator.key").write_text("a key of the consent room\n")
    for name in ("keys/operator.key", "paraph.db", "checkpoints.db", "map.db"):
        if (data / name).exists():
            (data / name).chmod(0o600)
    return data


async def findings(data: Path, *, repair: bool = False) -> dict[str, Finding]:
    """Every check by name."""
    opened = reading_database(data, databases().setting(data / "paraph.db"))
    try:
        with quiet(data) as alone:
            fsck = Fsck(data, alone=alone, repair=repair)
            await opened.read(fsck.run)
    finally:
        await opened.close()
    return {finding.check: finding for finding in fsck.findings}


def wrong(found: dict[str, Finding]) -> set[str]:
    """The checks that found something."""
    return {name for name, finding in found.items() if finding.outcome is Outcome.WRONG}


async def test_a_folder_in_order(tmp_path: Path) -> None:
    """Every check is made and finds nothing, and says how much it looked at."""
    found = await findings(await made(tmp_path))
    assert wrong(found) == set()
    assert {finding.outcome for finding in found.values()} == {Outcome.OK}
    assert "306 leaves recorded, 0 of them wait" in found["database"].found
    assert found["openings"].found == "6 entries open their leaves"
    assert found["records"].found == "300 public records"
    assert found["map"].found.startswith("3 keys")
    assert found["staged batch"].found == "finished"


async def test_beside_a_running_server(tmp_path: Path) -> None:
    """While a server writes the log, all holds; what it may be about to rename is left alone."""
    await made(tmp_path)
    async with running_ledger(tmp_path) as (database, ledger):
        await database.write(record_some(ledger))
        (tmp_path / "log" / "checkpoint.new").write_text("about to be renamed")
        found = await findings(tmp_path)
        assert wrong(found) == set()
        assert "running server" in found["leftovers"].found
        assert "running server" in found["strangers"].found
        (tmp_path / "log" / "checkpoint.new").unlink()


def record_some(ledger: Ledger) -> Callable[[Transaction], None]:
    """A write of a few records."""

    def run(tx: Transaction) -> None:
        for n in range(1000, 1010):
            ledger.record_public(tx, "notice", "marquee", {"n": n})

    return run


async def test_leaves_that_wait_and_a_batch_at_hand(tmp_path: Path) -> None:
    """What a crash leaves is in order: a batch that is staged, half of its tiles written, leaves that wait."""
    await made(tmp_path)
    log = open_log(tmp_path, ORIGIN)
    log.stage([], NOON)
    prepared = log._prepared or pytest.fail("nothing is prepared")
    log.close()
    found = await findings(tmp_path)
    assert wrong(found) == set()
    assert "are to follow" in found["staged batch"].found
    place = next(place for place in prepared.written.places if "tile/0/" in str(place))
    place.write_bytes(b"other bytes than those of the batch")
    assert wrong(await findings(tmp_path)) == {"strangers"}


async def test_only_leftovers_are_repaired(tmp_path: Path) -> None:
    """`--repair` drops files never renamed and replaced partial tiles; every other file stays as it is."""
    await made(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "log" / "tile" / "1").mkdir(exist_ok=True)
    left = [tmp_path / "log" / name for name in ("checkpoint.new", "tile/0/000.p/7", "tile/entries/000.p/200")]
    for path in [*left, tmp_path / "keys" / "log.key.new"]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"left behind")
    (tmp_path / "log" / "tile" / "0" / "000.p" / "7").write_bytes((tmp_path / "log/tile/0/000").read_bytes()[: 7 * 32])
    bundle = tmp_path / "log" / "tile" / "entries" / "000.p" / "200"
    bundle.unlink()
    found = await findings(tmp_path)
    assert wrong(found) == set()
    assert found["leftovers"].found.startswith("4, of use to nobody")
    assert left[0].exists()
    assert (await findings(tmp_path, repair=True))["leftovers"].found.startswith("4 dropped")
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: data for path, data in after.items() if path.name[-4:] not in ("-shm", "-wal")} == before


def sql(statement: str, file: str = "paraph.db") -> Callable[[Path], None]:
    """A damage that is a statement."""

    def run(data: Path) -> None:
        connection = sqlite3.connect(data / file)
        assert connection.execute(statement).rowcount > 0, statement
        connection.commit()
        connection.close()

    return run


def file(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A damage of one file."""

    def run(data: Path) -> None:
        (data / name).write_bytes(change((data / name).read_bytes()))

    return run


def mode(name: str) -> Callable[[Path], None]:
    """A file that everybody may read."""
    return lambda data: (data / name).chmod(0o644)


FIRST = "(SELECT min(seq) FROM ledger_entries)"
DAMAGES = {
    "a key everybody may read": (mode("keys/receipt.key"), "keys", "can be used by others"),
    "a database everybody may read": (mode("paraph.db"), "keys", "paraph.db can be used by others"),
    "a lost key": (lambda data: (data / "keys" / "operator.key").unlink(), "keys", "is missing"),
    "another log's key": (
        lambda data: (data / "keys" / "log.key").write_text(note.Signer.generate(ORIGIN).skey),
        "log key",
        "belongs to the log",
    ),
    "a head of another size": (sql("UPDATE head SET size = size - 1", "checkpoints.db"), "signed head", "signed note"),
    "a head of another root": (
        sql("UPDATE head SET root = zeroblob(32)", "checkpoints.db"),
        "signed head",
        "another root",
    ),
    "a forgotten epoch": (sql("UPDATE head SET epochs = epochs - 1", "checkpoints.db"), "log", "epochs"),
    "a tile": (file("log/tile/0/000", lambda data: b"\0" + data[1:]), "log", "tile/0/000"),
    "an entry": (file("log/tile/entries/000", lambda data: data[:-1] + b"!"), "log", "entries/000"),
    "a lost tile": (lambda data: (data / "log/tile/0/000").unlink(), "log", "tile/0/000"),
    "an older partial tile": (
        lambda data: next((data / "log/tile/0/001.p").iterdir()).with_name("3").write_bytes(b"x" * 96),
        "log",
        "001.p/3",
    ),
    "a stranger's file": (lambda data: (data / "log" / "index.html").write_text("hello"), "strangers", "index.html"),
    "a garbled checkpoint": (file("log/checkpoint", lambda data: data[:-8] + b"AAAAAAA\n"), "log", "checkpoint"),
    "a staged batch of another end": (
        sql("UPDATE staged SET start = start - 1", "checkpoints.db"),
        "staged batch",
        "not the end",
    ),
    "a leaf that was changed": (
        sql("UPDATE ledger_outbox SET leaf = zeroblob(67) WHERE position = 5"),
        "database",
        "was changed",
    ),
    "an index that is another's": (
        sql("UPDATE ledger_outbox SET leaf_index = leaf_index + 1 WHERE position = 5"),
        "database",
        "where the log has another",
    ),
    "a leaf that waits though it is there": (
        sql("UPDATE ledger_outbox SET leaf_index = NULL WHERE position = 5"),
        "database",
        "as if it were not there",
    ),
    "a lost leaf": (sql("DELETE FROM ledger_outbox WHERE position = 5"), "database", "1 leaves of the log"),
    "a database ahead of the log": (sql("UPDATE ledger_progress SET size = 100000"), "database", "older than"),
    "an edited entry": (
        sql(f"UPDATE ledger_entries SET entry = replace(entry, 'marquee', 'another') WHERE seq > {FIRST}"),
        "openings",
        "does not open",
    ),
    "an opening": (sql(f"UPDATE ledger_entries SET o2 = zeroblob(32) WHERE seq = {FIRST}"), "openings", "not open"),
    "an entry moved to another person": (
        sql(f"UPDATE ledger_entries SET person = '@other:example.org' WHERE seq = {FIRST}"),
        "openings",
        "another person",
    ),
    "a lost log key": (sql("DELETE FROM ledger_log_keys"), "openings", "account log key"),
    "another log key": (sql("UPDATE ledger_log_keys SET k = zeroblob(32)"), "openings", "label"),
    "an edited record": (
        sql("""UPDATE ledger_records SET record = replace(record, '"n":7}', '"n":7777}') WHERE seq < 20"""),
        "records",
        "no recorded leaf",
    ),
    "a frontier of the map": (
        sql("UPDATE labels SET frontier = (SELECT frontier FROM labels ORDER BY key LIMIT 1)", "map.db"),
        "map",
        "made again",
    ),
    "a place of the map": (
        sql("UPDATE places SET leaf_hash = zeroblob(32) WHERE leaf_index = 9", "map.db"),
        "map",
        "another leaf 9",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in order, for copies."""
    import asyncio

    return asyncio.run(made(tmp_path_factory.mktemp("fsck") / "data"))


@on_sqlite
@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_is_found(folder: Path, tmp_path: Path, name: str) -> None:
    """Each kind of damage fails its own check, which says what is wrong."""
    damage, check, text = DAMAGES[name]
    shutil.copytree(folder, tmp_path / "data")
    damage(tmp_path / "data")
    found = await findings(tmp_path / "data")
    assert check in wrong(found), found
    assert text in found[check].found


@on_sqlite
async def test_a_lost_map_is_no_damage(folder: Path, tmp_path: Path) -> None:
    """map.db is made again from the log: without it, or with an older one, nothing is wrong."""
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data" / "map.db").unlink()
    found = await findings(tmp_path / "data")
    assert wrong(found) == set()
    assert "no map.db" in found["map"].found


@on_sqlite
def test_the_command(folder: Path, tmp_path: Path) -> None:
    """Exit status 0, 1 and 2; JSON names every check."""
    run = CliRunner().invoke
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    good = run(app, ["log", "fsck", "--data", str(data)])
    assert (good.exit_code, "nothing is wrong" in good.output) == (0, True), good.output
    mode("paraph.db")(data)
    told = run(app, ["log", "fsck", "--data", str(data), "--json"])
    assert told.exit_code == 1
    checks = json.loads(told.stdout)["checks"]
    assert [one["check"] for one in checks if one["outcome"] == "wrong"] == ["keys"]
    assert run(app, ["log", "fsck", "--data", str(tmp_path / "nothing")]).exit_code == 2
    with quiet(data) as alone:
        assert alone
        refused = run(app, ["log", "fsck", "--data", str(data), "--repair"])
    assert (refused.exit_code, "stop it before" in refused.output) == (2, True)
    tell([Finding("keys", Outcome.WRONG, "[brackets] are text")], alone=True, as_json=False)
