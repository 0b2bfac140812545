"""Several processes, one log: one of them writes it, and another goes on when it ends."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from paraph.protocol import entry as protocol
from paraph.server.ledger.errors import LogUnavailable, StartRefused
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database
from paraph.tlog.merkle import leaf_hash
from tests.server.ledger.support import NOON, ORIGIN, QUICK, open_database, running_ledger, until, verify_log

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits half a second to look."""
    monkeypatch.setattr("paraph.server.ledger.leading.CANDIDACY", 0.02)


async def record(database: Database, ledger: Ledger, n: int) -> bytes:
    """Record a notice; returns its leaf."""
    await database.write(lambda tx: ledger.record_public(tx, "notice", "marquee", {"n": n}))
    return protocol.public_leaf("notice", "marquee", NOON, {"n": n})


async def test_leaves_of_every_process_are_integrated_and_awaited_in_every_process(tmp_path: Path) -> None:
    """Whoever recorded a leaf, and wherever it is waited for, there is one answer."""
    async with running_ledger(tmp_path) as (one, leader), running_ledger(tmp_path) as (two, other):
        assert (leader.leads, other.leads) == (True, False)
        assert leader.vkey == other.vkey
        leaves = [await record(*((one, leader), (two, other))[n % 2], n) for n in range(10)]
        for leaf in leaves:
            found = await asyncio.gather(*(each.integrated(leaf_hash(leaf), 5_000) for each in (leader, other)))
            assert found[0] is not None
            assert found[1] is not None
            assert found[0][0] == found[1][0]
        await until(lambda: other.size == leader.size)
        logged = verify_log(tmp_path / "log", other.vkey)
        assert set(leaves) <= set(logged)


async def test_a_follower_waits_for_a_leaf_that_is_not_there_yet(tmp_path: Path) -> None:
    """It learns of the batch from the leader's announcement, and of the place from the published tiles."""
    async with running_ledger(tmp_path), running_ledger(tmp_path) as (two, other):
        for n in range(300):  # over the end of a tile, whose partial ones go
            leaf = protocol.public_leaf("notice", "marquee", NOON, {"n": n})
            if n % 60:
                await record(two, other, n)
                continue
            waiting = asyncio.create_task(other.integrated(leaf_hash(leaf), 5_000))
            await record(two, other, n)
            await waiting
            assert await other.integrated(leaf_hash(leaf), 5_000) is not None


async def test_another_process_goes_on_when_the_leader_ends(tmp_path: Path) -> None:
    """What it had staged is finished, what waited is sequenced, and there is one log."""
    async with running_ledger(tmp_path) as (two, first):
        async with running_ledger(tmp_path) as (one, second):
            before = await record(two, first, 0)
            assert await second.integrated(leaf_hash(before), 5_000)
            await first.stop()
            after = await record(one, second, 1)
            assert await second.integrated(leaf_hash(after), 10_000)
            assert second.leads
            logged = verify_log(tmp_path / "log", second.vkey)
        assert {before, after} <= set(logged)


async def test_a_leader_that_loses_its_role_lets_another_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops before its next batch, and may come to lead again."""
    async with running_ledger(tmp_path) as (one, first), running_ledger(tmp_path) as (_, second):
        lost = True

        async def held() -> bool:
            return not lost

        monkeypatch.setattr(first._leadership, "held", held)
        sequencer = first._leading.sequencer
        assert sequencer is not None
        monkeypatch.setattr(sequencer, "_still_leads", held)
        leaf = await record(one, first, 0)
        assert await second.integrated(leaf_hash(leaf), 10_000)
        assert await first.integrated(leaf_hash(leaf), 10_000)
        verify_log(tmp_path / "log", first.vkey)


async def test_a_log_that_stopped_is_known_to_every_process(tmp_path: Path) -> None:
    """Nothing that needs a record is done anywhere, and nobody else takes the log over."""
    async with running_ledger(tmp_path) as (one, leader), running_ledger(tmp_path) as (two, other):
        place = tmp_path / "log" / "tile" / "entries" / "000.p" / f"{leader.size + 2}"
        place.write_bytes(b"something else")
        await record(one, leader, 0)
        await until(lambda: leader.stopped and other.stopped)
        for database, ledger in ((one, leader), (two, other)):
            with pytest.raises(LogUnavailable):
                await record(database, ledger, 1)
        await asyncio.sleep(0.1)
        assert not other.leads


async def test_an_old_copy_of_the_folder_signs_nothing(tmp_path: Path) -> None:
    """The database remembers how far the log had got: a copy that is behind would sign a second history."""
    here, copy = tmp_path / "data", tmp_path / "copy"
    database = await open_database(here)
    async with running_ledger(here, database=database) as (one, ledger):
        assert await ledger.integrated(leaf_hash(await record(one, ledger, 0)), 5_000)
    shutil.copytree(here, copy)
    async with running_ledger(here) as (one, ledger):
        assert await ledger.integrated(leaf_hash(await record(one, ledger, 1)), 5_000)
    published = (copy / "log" / "checkpoint").read_bytes()
    again = await open_database(here)
    behind = Ledger(again, copy, ORIGIN, clock=lambda: NOON, cadence=QUICK)
    with pytest.raises(Exception, match="would fork the log"):
        await behind.start()
    await behind.stop()
    await again.close()
    assert (copy / "log" / "checkpoint").read_bytes() == published


async def test_a_copy_of_the_folder_does_not_write_while_the_other_does(tmp_path: Path) -> None:
    """Two machines with a copy each share the database, and its role: one of them leads."""
    here, copy = tmp_path / "data", tmp_path / "copy"
    async with running_ledger(here):
        pass
    shutil.copytree(here, copy)
    database = await open_database(here)
    async with running_ledger(here) as (_, leader), running_ledger(copy, database=database) as (_, other):
        await asyncio.sleep(0.2)
        assert (leader.leads, other.leads) == (True, False)


async def test_another_log_key_is_refused(tmp_path: Path) -> None:
    """The database belongs to one log; a process with other keys does not start."""
    async with running_ledger(tmp_path / "data"):
        pass
    database = await open_database(tmp_path / "data")
    stranger = Ledger(database, tmp_path / "elsewhere", ORIGIN, clock=lambda: NOON, cadence=QUICK)
    with pytest.raises(StartRefused, match="share one data folder"):
        await stranger.start()
    await stranger.stop()
    await database.close()
