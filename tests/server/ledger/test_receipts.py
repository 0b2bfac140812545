"""The receipt key, what is promised with it, and when the log does not keep up."""

import asyncio
import stat
from pathlib import Path

import pytest

from paraph.protocol.limits import MERGE_DELAY_MS
from paraph.protocol.receipt import verify_receipt
from paraph.server.ledger import store
from paraph.server.ledger.errors import LogNotFresh, LogUnavailable, StartRefused
from paraph.server.ledger.freshness import LOOK_MS, Freshness
from paraph.server.ledger.key import load_receipt_key
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.sequencer import Cadence
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database, Transaction
from paraph.tlog.merkle import leaf_hash
from tests.server.ledger.support import NOON, ORIGIN, PERSON, QUICK, K, open_database, running_ledger, until

HEARTBEAT_MS = round(QUICK.heartbeat * 1000)
STILL = Cadence(interval=30.0, heartbeat=60.0, retry=30.0)
"""A log that takes its first epoch and then nothing for as long as a test lasts."""


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


async def enrol(database: Database, ledger: Ledger) -> Recorded:
    """Record something private."""

    def record(tx: Transaction) -> Recorded:
        ledger.set_log_key(tx, PERSON, K)
        return ledger.record_private(tx, "device", PERSON, None, {"enrolment": {}})

    return await database.write(record)


async def late(database: Database, freshness: Freshness | Ledger) -> str | None:
    """What is late, as the check says it; None if nothing is."""
    check = freshness.check_fresh if isinstance(freshness, Ledger) else freshness.check
    try:
        await database.read(check)
    except LogNotFresh as error:
        return error.message
    return None


def test_the_receipt_key_is_made_once_and_is_the_servers_alone(tmp_path: Path) -> None:
    """It is there after a restart, in a file and a folder that nobody else reads."""
    path = tmp_path / "keys" / "receipt.key"
    made = load_receipt_key(path)
    assert load_receipt_key(path).public_key == made.public_key
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    path.unlink()
    assert load_receipt_key(path).public_key != made.public_key
    for damaged in ("", "short\n", path.read_text() * 2, "ä" * 43):
        path.write_text(damaged, encoding="utf-8")
        with pytest.raises(StartRefused, match="is not a receipt key"):
            load_receipt_key(path)


async def test_what_was_recorded_is_promised_for_the_log(tmp_path: Path) -> None:
    """A receipt names the leaf that the log then holds, and the same entry has the same receipt after a restart."""
    async with running_ledger(tmp_path) as (database, ledger):
        recorded = await enrol(database, ledger)
        answered = ledger.receipts.answered(recorded)
        receipt = verify_receipt(answered["receipt"], log=ORIGIN, receipt_key=ledger.receipts.public_key)
        assert receipt.deadline == NOON + MERGE_DELAY_MS
        assert await ledger.integrated(leaf_hash(recorded.leaf), 5_000) is not None
        assert {name: value for name, value in answered.items() if name != "receipt"} == recorded.rendered
    async with running_ledger(tmp_path) as (database, ledger):
        kept = await database.read(lambda tx: ledger.entry(tx, recorded.seq))
        assert ledger.receipts.answered(kept) == answered


async def test_another_receipt_key_is_another_record_of_the_platform(tmp_path: Path) -> None:
    """The log says which key signs from when on; the same key is not said twice."""
    keys = []
    for turn in range(3):
        async with running_ledger(tmp_path) as (database, ledger):
            keys.append(ledger.receipts.public_key)
            document = {"server_name": "example.org", "receipt_key": keys[-1]}
            await ledger.record_platform(document)
            newest = await database.read(ledger.platform_record)
            assert newest == {"kind": "platform", "partner": "platform", "ts": NOON, "document": document}
            records = await database.read(lambda tx: ledger.public_records(tx, "platform", ["platform"]))
            assert [record["document"]["receipt_key"] for record in records] == list(dict.fromkeys(keys))
        if turn == 1:
            (tmp_path / "keys" / "receipt.key").unlink()
    assert keys[0] == keys[1] != keys[2]


async def test_reads_stop_when_a_leaf_waits_longer_than_the_merge_delay(tmp_path: Path) -> None:
    """To the millisecond; and they go on when it is in the log."""
    clock = Clock()
    async with running_ledger(tmp_path, STILL) as (database, ledger):
        freshness = Freshness(clock, QUICK.heartbeat)
        clock.now += MERGE_DELAY_MS - 1
        assert await late(database, freshness) is None
        recorded = await enrol(database, ledger)
        assert await late(database, freshness) is None
        clock.now = NOON + MERGE_DELAY_MS
        assert await late(database, freshness) is None
        clock.now += LOOK_MS
        assert "a record has waited 61 s" in str(await late(database, freshness))
        indexes = [(leaf_hash(recorded.leaf), 1)]
        await database.write(lambda tx: store.mark(tx, indexes, 3, NOON))
        assert await late(database, freshness) is None


async def test_reads_stop_when_the_published_tree_is_old(tmp_path: Path) -> None:
    """Even where nothing waits: nobody could prove anything under it."""
    clock = Clock()
    async with running_ledger(tmp_path) as (database, _):
        freshness = Freshness(clock, QUICK.heartbeat)
        clock.now += HEARTBEAT_MS + MERGE_DELAY_MS
        assert await late(database, freshness) is None
        clock.now += 1
        assert "the newest published tree is 120 s old" in str(await late(database, freshness))
        await database.write(lambda tx: store.mark(tx, [], 5, clock.now))
        assert await late(database, freshness) is None


async def test_nothing_is_fresh_before_the_first_tree(tmp_path: Path) -> None:
    """A log that has published nothing yet lets nobody read."""
    database = await open_database(tmp_path)
    try:
        assert await late(database, Freshness(Clock(), QUICK.heartbeat)) is not None
    finally:
        await database.close()


async def test_a_look_serves_for_a_second_and_a_clock_set_back_ends_it(tmp_path: Path) -> None:
    """Not every read asks the database; what was recorded since the last look is younger than that look."""
    clock, looks = Clock(), 0
    async with running_ledger(tmp_path) as (database, _):
        freshness = Freshness(clock, QUICK.heartbeat)

        def check(tx: Transaction) -> None:
            nonlocal looks
            before = freshness._look
            freshness.check(tx)
            looks += freshness._look is not before

        for step, expected in ((0, 1), (LOOK_MS - 1, 1), (1, 2), (10, 2), (-20, 3)):
            clock.now += step
            await database.read(check)
            assert looks == expected


async def test_a_stopped_log_is_said_to_have_stopped(tmp_path: Path) -> None:
    """Waiting would not help, so the answer is another one."""
    async with running_ledger(tmp_path) as (database, ledger):
        await database.read(ledger.check_fresh)
        await database.write(lambda tx: tx.announce("ledger.stopped", "damaged"))
        with pytest.raises(LogUnavailable):
            await database.read(ledger.check_fresh)


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_a_process_that_does_not_write_the_log_stops_too(tmp_path: Path) -> None:
    """The leader hangs: what waits is seen by every process, and so is that it waits no more."""
    clock = Clock()
    async with running_ledger(tmp_path, STILL) as (_, leader), running_ledger(tmp_path) as (two, follower):
        assert (leader.leads, follower.leads) == (True, False)
        follower._freshness = Freshness(clock, QUICK.heartbeat)
        recorded = await enrol(two, follower)
        receipt = follower.receipts.answered(recorded)["receipt"]
        verify_receipt(receipt, log=ORIGIN, receipt_key=leader.receipts.public_key)
        assert await late(two, follower) is None
        clock.now += MERGE_DELAY_MS + LOOK_MS
        assert await late(two, follower) is not None
        clock.now = NOON
        await asyncio.gather(leader.stop(), until(lambda: follower.leads))
        assert await follower.integrated(leaf_hash(recorded.leaf), 5_000) is not None
        clock.now += MERGE_DELAY_MS + LOOK_MS
        assert await late(two, follower) is None
