"""A backup can be gone on with: taken under load, put back, refused where the log is further, never a second log."""

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paraph.audit.errors import LogError
from paraph.audit.replay import replay
from paraph.audit.sources import DirectorySource
from paraph.server.app import reading_database
from paraph.server.ledger import backup as ledger_backup
from paraph.server.ledger import restored as restored_folder
from paraph.server.ledger.backup import Backup, BackupError, Manifest, catch_up, copy_connection, restore
from paraph.server.ledger.errors import StartRefused
from paraph.server.ledger.fsck import Fsck
from paraph.server.ledger.restored import MARK, Restored
from paraph.server.ledger.service import Ledger
from paraph.server.ledger.witnesses import Witnesses
from paraph.server.storage import Transaction
from paraph.server.storage.sqlite import SqliteDatabase
from paraph.tlog import checkpoint
from paraph.tlog.merkle import leaf_hash
from tests.server.ledger.support import NOON, ORIGIN, PERSON, QUICK, K, open_database, running_ledger, until, verify_log
from tests.server.ledger.watching import Watching

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


async def take(data: Path, to: Path) -> Manifest:
    """A whole backup on SQLite."""
    made, reader = Backup(data, to), reading_database(data, "sqlite")
    try:
        head = await made.take(reader.read, lambda tx: copy_connection(tx.connection, to / "paraph.db"))
    finally:
        await reader.close()
    manifest = Manifest("", head.size, head.root.hex(), "sqlite", NOON, "0")
    made.seal(manifest)
    return manifest


async def wrong(data: Path) -> dict[str, str]:
    """What fsck finds wrong."""
    reader = reading_database(data, "sqlite")
    try:
        fsck = Fsck(data, alone=True)
        await reader.read(fsck.run)
    finally:
        await reader.close()
    return {one.check: one.found for one in fsck.findings if one.outcome == "wrong"}


async def keep_recording(ledger: Ledger, database: SqliteDatabase, stop: asyncio.Event) -> int:
    """Entries and records as fast as they go, until told to stop; how many entries."""
    count = 0

    def run(tx: Transaction) -> None:
        ledger.set_log_key(tx, PERSON, K)
        ledger.record_private(tx, "device", PERSON, None, {"enrolment": {"n": count}})
        ledger.record_public(tx, "notice", "marquee", {"n": count})

    while not stop.is_set():
        await database.write(run)
        count += 1
    return count


@contextlib.asynccontextmanager
async def under_load(data: Path) -> AsyncIterator[tuple[SqliteDatabase, Ledger]]:
    """A ledger that three tasks record into."""
    stop = asyncio.Event()
    async with running_ledger(data) as (database, ledger):
        tasks = [asyncio.create_task(keep_recording(ledger, database, stop)) for _ in range(3)]  # type: ignore[arg-type]
        try:
            await until(lambda: ledger.size > 50)
            yield database, ledger  # type: ignore[misc]
        finally:
            stop.set()
            await asyncio.gather(*tasks)


def complete(data: Path) -> None:
    """Add what other rooms keep in the folder."""
    for name in ("operator.key", "admin-token"):
        (data / "keys" / name).write_text("secret\n")
        (data / "keys" / name).chmod(0o600)


async def test_a_backup_under_load_is_one_moment(tmp_path: Path) -> None:
    """Taken by another thread while records stream in, again and again: each copy is in order, every entry opens."""
    sizes = []
    async with under_load(tmp_path / "data") as (_, ledger):
        complete(tmp_path / "data")
        for number in range(5):
            to = tmp_path / f"copy-{number}"
            sizes.append((await asyncio.to_thread(lambda to=to: asyncio.run(take(tmp_path / "data", to)))).size)
            await until(lambda: ledger.size > sizes[-1])
        vkey = ledger.vkey
    assert sizes == sorted(set(sizes))
    for number in range(5):
        restore(tmp_path / f"copy-{number}", tmp_path / f"back-{number}", last=True)
        back = tmp_path / f"back-{number}"
        assert await wrong(back) == {}
        assert not (back / "keys" / "admin-token").exists()
        async with running_ledger(back) as (database, _):
            known = await database.read(lambda tx: tx.row("SELECT count(*) FROM ledger_entries"))
        logged = verify_log(back / "log", vkey)
        assert len(logged) > sizes[number]
        (back / "map.db").chmod(0o600)  # as the server makes it
        assert known is not None
        assert sum(leaf[0] == 1 for leaf in logged) == known[0]
        assert await wrong(back) == {}
        replay(DirectorySource(back / "log"), vkey)


async def test_older_readers_find_their_tiles_in_a_restored_log(tmp_path: Path) -> None:
    """Every partial tile that the original served, and whose place is not full, is in the copy."""
    async with running_ledger(tmp_path / "data") as (database, ledger):
        for n in range(4):
            await database.write(lambda tx, n=n: ledger.record_public(tx, "notice", "marquee", {"n": n}))
            await until(lambda n=n: ledger.size >= 2 * (n + 1))
        complete(tmp_path / "data")
        await take(tmp_path / "data", tmp_path / "copy")
    files = {path.relative_to(tmp_path / "data") for path in (tmp_path / "data" / "log").rglob("*")}
    assert {path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy" / "log").rglob("*")} == files


async def test_what_is_staged_meanwhile_has_the_moment_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a leaf was recorded and signed after the database's moment, that moment is too old: another is taken."""
    async with running_ledger(tmp_path / "data") as (_, ledger):
        complete(tmp_path / "data")
        real, late = ledger_backup.copy_database, []

        def slowly(source: Path, target: Path) -> None:
            if not late:
                late.append(ledger.size)
                connection = sqlite3.connect(tmp_path / "data" / "paraph.db")  # the moment of the backup stays as it is
                leaf = b"\x01" + bytes(66)
                connection.execute("INSERT INTO ledger_outbox VALUES (?, 999, ?, NULL, 0)", (leaf_hash(leaf), leaf))
                connection.commit()
                connection.close()
                log = ledger._leading._log
                assert log is not None
                log.stage([leaf], NOON)
            real(source, target)

        monkeypatch.setattr(ledger_backup, "copy_database", slowly)
        await take(tmp_path / "data", tmp_path / "copy")
        assert late
    copy = sqlite3.connect(tmp_path / "copy" / "paraph.db")
    assert copy.execute("SELECT count(*) FROM ledger_outbox WHERE position = 999").fetchone() == (1,)
    copy.close()


async def test_a_backup_that_is_not_whole_is_not_put_back(tmp_path: Path) -> None:
    """Without its manifest a copy is refused; so is a folder that holds something, on both ways."""
    async with running_ledger(tmp_path / "data"):
        complete(tmp_path / "data")
        await take(tmp_path / "data", tmp_path / "copy")
        with pytest.raises(BackupError, match="not empty"):
            await take(tmp_path / "data", tmp_path / "copy")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("of somebody's")
    with pytest.raises(BackupError, match="never over another"):
        restore(tmp_path / "copy", tmp_path / "full", last=False)
    (tmp_path / "copy" / "backup.json").unlink()
    with pytest.raises(BackupError, match="no whole backup"):
        restore(tmp_path / "copy", tmp_path / "back", last=False)
    assert not (tmp_path / "back").exists()


async def test_without_witnesses_a_restored_folder_waits_for_its_operators_word(tmp_path: Path) -> None:
    """Nobody can know whether the log went on; the start says so, and what to do, until the mark is removed."""
    async with running_ledger(tmp_path / "data"):
        complete(tmp_path / "data")
        await take(tmp_path / "data", tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "back", last=False)
    database = await open_database(tmp_path / "back")
    with pytest.raises(StartRefused, match=r"--log and the newest log/ there is.*remove .*restored.json"):
        Ledger(database, tmp_path / "back", ORIGIN, clock=lambda: NOON)
    await database.close()
    (tmp_path / "back" / MARK).unlink()
    async with running_ledger(tmp_path / "back") as (_, ledger):
        assert ledger.size


async def test_an_older_backup_catches_up_with_the_published_log(tmp_path: Path) -> None:
    """With the newest published log beside it, an older copy goes on where that ends; what it lost is named."""
    async with running_ledger(tmp_path / "data") as (database, ledger):
        await database.write(lambda tx: [ledger.record_public(tx, "notice", "marquee", {"n": n}) for n in range(300)])
        complete(tmp_path / "data")
        old = await take(tmp_path / "data", tmp_path / "copy")
        await database.write(lambda tx: [ledger.record_public(tx, "notice", "marquee", {"m": n}) for n in range(300)])
        await until(lambda: ledger.size > old.size + 300)
        vkey = ledger.vkey
    published = DirectorySource(tmp_path / "data" / "log")
    restore(tmp_path / "copy", tmp_path / "back", last=True)
    before, after = catch_up(tmp_path / "back", published)
    assert before == old.size
    assert after == checkpoint.parse((published("checkpoint").split(b"\n\n")[0] + b"\n").decode()).size
    found = await wrong(tmp_path / "back")
    assert found.keys() == {"database"}
    assert "300 leaves of the log" in found["database"]
    async with running_ledger(tmp_path / "back") as (database, ledger):
        await database.write(lambda tx: ledger.record_public(tx, "notice", "marquee", {"after": 1}))
    replay(DirectorySource(tmp_path / "back" / "log"), vkey, older=published("checkpoint"))
    verify_log(tmp_path / "back" / "log", vkey)
    forged = tmp_path / "forged"
    shutil.copytree(tmp_path / "data" / "log", forged)
    (forged / "tile" / "entries" / "000").write_bytes(b"not what was signed")
    restore(tmp_path / "copy", tmp_path / "again", last=True)
    with pytest.raises(LogError):
        catch_up(tmp_path / "again", DirectorySource(forged))


class Clock:
    """Seconds as the test wants them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Witnessed:
    """Ledgers under one policy of three witnesses, in this process."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.watching = Watching(root / "watchers")
        self.clock = Clock()
        self.signed: list[tuple[int, bytes]] = []
        sign = checkpoint.sign

        def noting(tree: checkpoint.Checkpoint, signer: object) -> bytes:
            self.signed.append((tree.size, tree.root))
            return sign(tree, signer)  # type: ignore[arg-type]

        monkeypatch.setattr(checkpoint, "sign", noting)
        monkeypatch.setattr(
            Ledger,
            "_witnesses",
            lambda ledger: self._client(ledger),
        )
        monkeypatch.setattr(
            "paraph.server.ledger.service.Restored", lambda data, heartbeat: Restored(data, heartbeat, self.clock)
        )

    def _client(self, ledger: Ledger) -> Witnesses:
        if not self.watching._applications:
            self.watching.watch(ledger.vkey)

        class Shaped:
            vkey, folder = ledger.vkey, ledger._folder

        return self.watching.client(Shaped)  # type: ignore[arg-type]

    @contextlib.asynccontextmanager
    async def running(self, data: Path) -> AsyncIterator[tuple[SqliteDatabase, Ledger]]:
        """A ledger with these witnesses."""
        database = await open_database(data)
        ledger = Ledger(database, data, ORIGIN, clock=lambda: NOON, cadence=QUICK, policy=self.watching.policy())
        try:
            await ledger.start()
            yield database, ledger  # type: ignore[misc]
        finally:
            await ledger.stop()
            await database.close()

    def one_tree_a_size(self) -> bool:
        """Whether no two trees of one size were ever signed."""
        return len({size for size, _ in self.signed}) == len(set(self.signed))


async def test_beside_a_running_original_nothing_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy and original know the same tree: the copy keeps quiet, and stops once the original has shown itself."""
    all_of = Witnessed(tmp_path, monkeypatch)
    async with all_of.running(tmp_path / "data") as (database, original):
        complete(tmp_path / "data")
        await until(lambda: original.size)
        await take(tmp_path / "data", tmp_path / "copy")
        restore(tmp_path / "copy", tmp_path / "back", last=False)
        async with all_of.running(tmp_path / "back") as (other, restored):
            size = restored.size
            await other.write(lambda tx: restored.record_public(tx, "notice", "marquee", {"n": "of the copy"}))
            await asyncio.sleep(0.1)
            assert restored.size == size
            assert restored.stopped is None
            await database.write(lambda tx: original.record_public(tx, "notice", "marquee", {"n": "of the original"}))
            await until(lambda: original.size > size)
            all_of.clock.now += QUICK.heartbeat + restored_folder.MARGIN + 1
            await until(lambda: restored.stopped)
            assert "something older was put back" in str(restored.stopped)
            assert "paraph restore --log" in str(restored.stopped)
            assert restored.size == size
    assert all_of.one_tree_a_size()
    assert (tmp_path / "back" / MARK).exists()


async def test_without_an_original_the_restored_log_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the quiet time the witnesses still know nothing newer: the log goes on, and the mark is gone."""
    all_of = Witnessed(tmp_path, monkeypatch)
    async with all_of.running(tmp_path / "data") as (_, original):
        complete(tmp_path / "data")
        await until(lambda: original.size)
        await take(tmp_path / "data", tmp_path / "copy")
        newest = original.size
    restore(tmp_path / "copy", tmp_path / "back", last=False)
    all_of.watching.down |= {"w0", "w1"}
    async with all_of.running(tmp_path / "back") as (_, restored):
        all_of.clock.now += 10_000  # without a quorum at its beginning, time alone shows nothing
        await asyncio.sleep(0.05)
        all_of.watching.down.clear()
        await until(lambda: restored._restored.asked)
        assert restored.size == newest
        assert (tmp_path / "back" / MARK).exists()
        all_of.clock.now += QUICK.heartbeat + restored_folder.MARGIN + 1
        await until(lambda: restored.size > newest)
        assert not (tmp_path / "back" / MARK).exists()
    assert all_of.one_tree_a_size()


async def test_an_older_copy_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the witnesses know a newer tree the start is refused, and says what to do."""
    all_of = Witnessed(tmp_path, monkeypatch)
    async with all_of.running(tmp_path / "data") as (database, original):
        complete(tmp_path / "data")
        await until(lambda: original.size)
        old = await take(tmp_path / "data", tmp_path / "copy")
        await database.write(lambda tx: original.record_public(tx, "notice", "marquee", {"n": 1}))
        await until(lambda: original.size > old.size)
    restore(tmp_path / "copy", tmp_path / "back", last=False)
    with pytest.raises(Exception, match=r"something older was put back.*paraph restore --log"):
        async with all_of.running(tmp_path / "back"):
            pass
    assert all_of.one_tree_a_size()
    assert json.loads((tmp_path / "back" / MARK).read_text())["from"] == str(tmp_path / "copy")
    catch_up(tmp_path / "back", DirectorySource(tmp_path / "data" / "log"))
    all_of.clock.now = 0.0
    async with all_of.running(tmp_path / "back") as (_, restored):
        await until(lambda: restored._restored.asked)
        all_of.clock.now += QUICK.heartbeat + restored_folder.MARGIN + 1
        await until(lambda: not restored._restored.pending)
        assert restored.stopped is None
