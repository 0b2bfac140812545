"""A running ledger and its witnesses over HTTP: what is published was cosigned first, and nothing older goes on."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from paraph.protocol import entry as protocol
from paraph.server.ledger.checkpoints import CheckpointStore
from paraph.server.ledger.errors import LogStopped
from paraph.server.ledger.files import LogFolder
from paraph.server.ledger.log import Log, open_log
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database, Transaction
from paraph.tlog import checkpoint, note
from paraph.tlog.merkle import leaf_hash
from tests.server.ledger.support import NOON, ORIGIN, QUICK, open_database, until, verify_log
from tests.server.ledger.watching import Watching, serving
from tests.support.server import free_port

SECONDS = NOON // 1000


@pytest.fixture
def _on_both_databases() -> None:
    """What the ledger does with its database is tested elsewhere, on both."""


class Running:
    """A ledger and its database."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self.database = database
        self.ledger = ledger

    async def record(self, text: str) -> bytes:
        """Record a notice; returns its leaf hash."""

        def write(tx: Transaction) -> None:
            self.ledger.record_public(tx, "notice", "marquee", {"text": text})

        await self.database.write(write)
        return leaf_hash(protocol.public_leaf("notice", "marquee", NOON, {"text": text}))


class Setup:
    """A data folder with a log key, three witnesses that know it, and the policy over them."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        log = open_log(self.data, ORIGIN)
        self.vkey = log.vkey
        log.close()
        self.ports = [free_port() for _ in range(3)]
        self.watching = Watching(root / "witnesses")
        self.policy = self.watching.policy(urls=[f"http://127.0.0.1:{port}" for port in self.ports], log=self.vkey)

    @asynccontextmanager
    async def witnesses(self, *numbers: int) -> AsyncIterator[None]:
        """Run these witnesses, or all."""
        chosen = numbers or (0, 1, 2)
        applications = [self.watching.application(f"w{number}", self.vkey) for number in chosen]
        async with serving(applications, [self.ports[number] for number in chosen]):
            yield

    @asynccontextmanager
    async def ledger(self, data: Path | None = None) -> AsyncIterator[Running]:
        """A started ledger on a data folder."""
        place = data or self.data
        database = await open_database(place)
        try:
            ledger = Ledger(database, place, ORIGIN, clock=lambda: NOON, cadence=QUICK, policy=self.policy)
            try:
                await ledger.start()
                yield Running(database, ledger)
            finally:
                await ledger.stop()
        finally:
            await database.close()

    def published(self) -> int | None:
        """Size of the published checkpoint, which must have a quorum; None if there is none."""
        path = self.data / "log" / "checkpoint"
        return self.policy.check(path.read_bytes(), SECONDS, 0).checkpoint.size if path.exists() else None


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Every checkpoint that is published meanwhile."""
    seen: list[bytes] = []
    publish = LogFolder.publish

    def record(self: LogFolder, signed: bytes) -> None:
        seen.append(signed)
        publish(self, signed)

    monkeypatch.setattr(LogFolder, "publish", record)
    yield seen
    monkeypatch.undo()


async def test_whatever_is_published_has_a_quorum(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first checkpoint on, with one witness away for a while; each tree is cosigned before it shows."""
    with watched(monkeypatch) as seen:
        async with setup.witnesses(0, 2), setup.ledger() as running:
            for number in range(5):
                assert await running.ledger.integrated(await running.record(f"a {number}"), 10_000)
        async with setup.witnesses(), setup.ledger() as running:
            assert await running.ledger.integrated(await running.record("b"), 10_000)
    sizes = [setup.policy.check(signed, SECONDS, 0).checkpoint.size for signed in seen]
    assert len(set(sizes)) >= 7
    assert sizes == sorted(sizes)
    verify_log(setup.data / "log", setup.vkey)


async def test_without_witnesses_records_wait_and_nothing_is_published(setup: Setup) -> None:
    """The server starts and takes records; once the witnesses are there, all of it is published."""
    async with setup.ledger() as running:
        wanted = await running.record("early")
        assert await running.ledger.integrated(wanted, 300) is None
        assert setup.published() is None
        assert running.ledger.size == 0
        assert running.ledger.stopped is None
        async with setup.witnesses():
            found = await running.ledger.integrated(wanted, 10_000)
            assert found is not None
            assert setup.published() == found[1]


async def test_a_quorum_that_goes_away_and_comes_back(setup: Setup) -> None:
    """Meanwhile the published checkpoint is the last one that was cosigned; nothing recorded is lost."""
    async with setup.witnesses(0), setup.ledger() as running:
        async with setup.witnesses(1):
            assert await running.ledger.integrated(await running.record("one"), 10_000)
        wanted = await running.record("two")
        assert await running.ledger.integrated(wanted, 300) is None
        assert setup.published() is not None
        async with setup.witnesses(2):
            assert await running.ledger.integrated(wanted, 10_000)
    verify_log(setup.data / "log", setup.vkey)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_cut_off_between_cosigning_and_publishing(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The same tree is cosigned again and published by the next process, with the same root."""
    async with setup.witnesses():
        async with setup.ledger() as running:
            assert await running.ledger.integrated(await running.record("one"), 10_000)
        publish = LogFolder.publish

        def cut_off(self: LogFolder, signed: bytes) -> None:
            if when == "after":
                publish(self, signed)
            raise asyncio.CancelledError

        monkeypatch.setattr(LogFolder, "publish", cut_off)
        with pytest.raises(asyncio.CancelledError):
            async with setup.ledger():
                pass
        monkeypatch.undo()
        async with setup.ledger() as running:
            assert await running.ledger.integrated(await running.record("two"), 10_000)
            assert setup.published() == running.ledger.size
    verify_log(setup.data / "log", setup.vkey)


async def test_a_tree_that_waits_for_witnesses_is_not_told_as_published(setup: Setup) -> None:
    """After a restart, too, the ledger's size is that of the published checkpoint, not of the signed one."""
    async with setup.ledger() as running:
        async with setup.witnesses():
            await running.ledger.integrated(await running.record("one"), 10_000)
        for number in range(3):
            assert await running.ledger.integrated(await running.record(f"later {number}"), 50) is None
    published = setup.published()
    tree = checkpoint.open(head(setup.data), note.Verifier.from_vkey(setup.vkey))
    assert published is not None
    assert tree.size > published
    async with setup.ledger() as running:
        assert running.ledger.size == published


def head(data: Path) -> bytes:
    """The note that a data folder's checkpoints.db has signed last."""
    store = CheckpointStore(data / "checkpoints.db")
    found = store.head()
    store.close()
    assert found is not None
    return found.note


async def test_a_restored_folder_does_not_start(setup: Setup, tmp_path: Path) -> None:
    """Databases, keys and log from a backup: refused before anything is signed, however often it is tried."""
    async with setup.witnesses():
        async with setup.ledger() as running:
            await running.ledger.integrated(await running.record("one"), 10_000)
        shutil.copytree(setup.data, tmp_path / "backup")
        async with setup.ledger() as running:
            await running.ledger.integrated(await running.record("two"), 10_000)
        before = head(tmp_path / "backup")
        for _ in range(2):
            with pytest.raises(LogStopped, match="something older was put back"):
                async with setup.ledger(tmp_path / "backup"):
                    pass
        assert head(tmp_path / "backup") == before


async def test_a_batch_staged_in_the_backup_is_not_signed(setup: Setup, tmp_path: Path) -> None:
    """The backup was taken in the middle of a batch; even that batch must not be finished differently."""
    async with setup.witnesses():
        async with setup.ledger() as running:
            await running.ledger.integrated(await running.record("one"), 10_000)
        log = open_log(setup.data, ORIGIN)
        log.stage([], NOON)
        log.close()
        shutil.copytree(setup.data, tmp_path / "backup")
        async with setup.ledger() as running:
            await running.ledger.integrated(await running.record("two"), 10_000)
        before = head(tmp_path / "backup")
        with pytest.raises(LogStopped):
            async with setup.ledger(tmp_path / "backup"):
                pass
        assert head(tmp_path / "backup") == before


async def test_without_a_quorum_a_restored_folder_signs_nothing(setup: Setup, tmp_path: Path) -> None:
    """One witness alone is down, another lies that all is well: what the third would say is waited for."""
    async with setup.witnesses():
        async with setup.ledger() as running:
            await running.ledger.integrated(await running.record("one"), 10_000)
        shutil.copytree(setup.data, tmp_path / "backup")
        async with setup.ledger() as running:
            await running.ledger.integrated(await running.record("two"), 10_000)
    before = head(tmp_path / "backup")
    async with setup.ledger(tmp_path / "backup") as running:
        assert await running.ledger.integrated(await running.record("three"), 200) is None
        assert head(tmp_path / "backup") == before
        async with setup.witnesses(1):
            await until(lambda: running.ledger.stopped)
            assert "something older was put back" in str(running.ledger.stopped)
    assert head(tmp_path / "backup") == before


async def test_the_signed_tree_is_tried_again_unchanged(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """While there is no quorum, one tree stays signed; the log does not run ahead of its witnesses."""
    signed: set[tuple[int, bytes]] = set()
    original = Log.signed

    def record(self: Log) -> bytes:
        result = original(self)
        tree = checkpoint.open(result, note.Verifier.from_vkey(setup.vkey))
        signed.add((tree.size, tree.root))
        return result

    async with setup.ledger() as running:
        async with setup.witnesses():
            await running.ledger.integrated(await running.record("one"), 10_000)
        monkeypatch.setattr(Log, "signed", record)
        for number in range(5):
            assert await running.ledger.integrated(await running.record(f"later {number}"), 50) is None
    # At most one tree was under way when the witnesses went, and at most one more was signed after it.
    assert 1 <= len(signed) <= 2
    assert len({size for size, _ in signed}) == len(signed)
