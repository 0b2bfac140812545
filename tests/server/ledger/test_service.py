"""Recording, labels, openings, and where a leaf ends up."""

import asyncio
from pathlib import Path

import pytest

from paraph.protocol import entry as protocol
from paraph.protocol.errors import EntryError, LeafError
from paraph.server.ledger.errors import NoLogKey
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.sequencer import Cadence
from paraph.server.storage import Transaction
from paraph.tlog.merkle import leaf_hash
from tests.server.ledger.support import NOON, PERSON, K, running_ledger, until, verify_log

GRANT = "gr_" + "A" * 22
ACCESS = {"grant_id": GRANT, "purpose": "films", "room_id": "!r:example.org", "event_ids": ["$e"]}


def leaf_of(recorded: Recorded) -> bytes:
    """The private leaf that an entry with its openings leads to."""
    commitment = protocol.commitment(recorded.entry, recorded.o1, recorded.o2)
    return protocol.private_leaf(recorded.week, recorded.label, commitment)


async def test_a_recorded_entry_is_in_the_log_under_its_label(tmp_path: Path) -> None:
    """An entry's leaf is found by its hash, committed to by its openings, under the account label of its week."""
    async with running_ledger(tmp_path) as (database, ledger):

        def record(tx: Transaction) -> Recorded:
            assert ledger.set_log_key(tx, PERSON, K)
            return ledger.record_private(tx, "device", PERSON, None, {"enrolment": {}})

        recorded = await database.write(record)
        found = await ledger.integrated(leaf_hash(leaf_of(recorded)), 5_000)
        assert found is not None
        assert recorded.week == protocol.week_of(NOON)
        assert recorded.label == protocol.account_label(K, recorded.week)
        leaves = verify_log(tmp_path / "log", ledger.vkey)
    assert leaves[found[0]] == leaf_of(recorded)


async def test_access_entries_lie_under_the_label_of_their_grant(tmp_path: Path) -> None:
    """Whoever holds a grant's key finds its accesses, and other entries of the person not."""
    async with running_ledger(tmp_path) as (database, ledger):

        def record(tx: Transaction) -> Recorded:
            ledger.set_log_key(tx, PERSON, K)
            return ledger.record_private(tx, "access", PERSON, "marquee", ACCESS, grant_id=GRANT)

        recorded = await database.write(record)
    assert recorded.label == protocol.access_label(protocol.grant_key(K, GRANT), recorded.week)
    assert recorded.rendered["entry"]["body"] == ACCESS


async def test_the_log_key_is_fixed_by_the_first_enrolment(tmp_path: Path) -> None:
    """The same key may come again, another is refused."""
    async with running_ledger(tmp_path) as (database, ledger):
        assert await database.write(lambda tx: ledger.set_log_key(tx, PERSON, K))
        assert await database.write(lambda tx: ledger.set_log_key(tx, PERSON, K))
        assert not await database.write(lambda tx: ledger.set_log_key(tx, PERSON, bytes(32)))
        assert await database.read(lambda tx: ledger.log_key(tx, PERSON)) == K


async def test_nothing_is_recorded_without_a_log_key_or_of_an_unknown_kind(tmp_path: Path) -> None:
    """Bad input leaves neither an entry nor a leaf."""
    async with running_ledger(tmp_path) as (database, ledger):
        with pytest.raises(NoLogKey):
            await database.write(lambda tx: ledger.record_private(tx, "device", PERSON, None, {"enrolment": {}}))
        await database.write(lambda tx: ledger.set_log_key(tx, PERSON, K))
        with pytest.raises(EntryError):
            await database.write(lambda tx: ledger.record_private(tx, "gossip", PERSON, None, {}))
        with pytest.raises(LeafError):
            await database.write(lambda tx: ledger.record_public(tx, "gossip", "marquee", {}))
        assert await database.read(lambda tx: tx.rows("SELECT * FROM ledger_outbox")) == []
        assert await database.read(lambda tx: ledger.entries(tx, PERSON, 0, 10)) == []


async def test_a_write_that_fails_leaves_no_leaf(tmp_path: Path) -> None:
    """The entry belongs to the caller's transaction: what is rolled back was never recorded."""
    async with running_ledger(tmp_path) as (database, ledger):

        def record(tx: Transaction) -> None:
            ledger.record_public(tx, "notice", "marquee", {"text": "hello"})
            raise RuntimeError("the caller failed")

        with pytest.raises(RuntimeError):
            await database.write(record)
        assert await database.read(lambda tx: ledger.public_records(tx, "marquee", ["notice"])) == []
        assert await database.read(lambda tx: tx.rows("SELECT * FROM ledger_outbox")) == []


async def test_entries_are_listed_from_a_sequence_number(tmp_path: Path) -> None:
    """Each person lists her own entries in order; another person's are not among them."""
    async with running_ledger(tmp_path) as (database, ledger):

        def record(tx: Transaction) -> list[Recorded]:
            ledger.set_log_key(tx, PERSON, K)
            ledger.set_log_key(tx, "@other:example.org", K)
            ledger.record_private(tx, "device", "@other:example.org", None, {"enrolment": {}})
            return [ledger.record_private(tx, "access", PERSON, "marquee", ACCESS, grant_id=GRANT) for _ in range(5)]

        made = await database.write(record)
        first = await database.read(lambda tx: ledger.entries(tx, PERSON, 0, 3))
        rest = await database.read(lambda tx: ledger.entries(tx, PERSON, first[-1].seq + 1, 3))
    assert first + rest == made


async def test_an_unknown_leaf_is_answered_at_once_and_a_recorded_one_is_awaited(tmp_path: Path) -> None:
    """Waiting is for leaves that are on their way only."""
    async with running_ledger(tmp_path) as (database, ledger):
        assert await asyncio.wait_for(ledger.integrated(bytes(32), 10_000), 1) is None
        record = await database.write(lambda tx: ledger.record_public(tx, "notice", "marquee", {"text": "hello"}))
        leaf = protocol.public_leaf(record["kind"], record["partner"], record["ts"], record["document"])
        found = await ledger.integrated(leaf_hash(leaf), 5_000)
        assert found is not None
        assert found == await ledger.integrated(leaf_hash(leaf), 0)


async def test_the_platform_record_is_published_when_it_changes(tmp_path: Path) -> None:
    """A restart with the same build adds no record; a new build adds one."""
    for version, expected in (("1", 1), ("1", 1), ("2", 2)):
        async with running_ledger(tmp_path) as (database, ledger):
            await ledger.record_platform({"version": version, "server_name": "example.org"})
            records = await database.read(lambda tx: ledger.public_records(tx, "platform", ["platform"]))
        assert len(records) == expected


async def test_every_signed_tree_ends_with_an_epoch_and_leaves_are_shuffled_within_it(tmp_path: Path) -> None:
    """The epoch leaf names the size before it; order within an epoch says nothing about order of recording."""
    async with running_ledger(tmp_path) as (database, ledger):

        def record(tx: Transaction) -> list[bytes]:
            return [
                protocol.public_leaf("notice", "marquee", NOON, {"n": n})
                for n in range(64)
                if ledger.record_public(tx, "notice", "marquee", {"n": n})
            ]

        leaves = await database.write(record)
        assert await ledger.integrated(leaf_hash(leaves[0]), 5_000)
        logged = verify_log(tmp_path / "log", ledger.vkey)
    last = protocol.parse_leaf(logged[-1])
    assert isinstance(last, protocol.EpochLeaf)
    assert (last.n, last.prev_size, last.time) == (1, 1, NOON)
    assert sorted(logged[1:-1]) == sorted(leaves)
    assert logged[1:-1] != leaves


async def test_an_idle_log_signs_a_heartbeat_epoch(tmp_path: Path) -> None:
    """Freshness is shown even when nothing happens."""
    async with running_ledger(tmp_path, Cadence(interval=0.001, heartbeat=0.02, retry=0.01)) as (_, ledger):
        await until(lambda: ledger.size >= 4)
        logged = verify_log(tmp_path / "log", ledger.vkey)
    assert all(isinstance(protocol.parse_leaf(leaf), protocol.EpochLeaf) for leaf in logged)


async def test_a_clock_that_jumps_brings_a_heartbeat(tmp_path: Path) -> None:
    """After a machine has slept its log shows at once that it is fresh, whatever the other clock says."""
    times = [NOON]
    async with running_ledger(tmp_path, clock=lambda: times[-1]) as (_, ledger):
        size = ledger.size
        times.append(NOON + 61_000)
        await until(lambda: ledger.size > size)


async def test_stopping_lets_go_of_whoever_waits_for_a_leaf(tmp_path: Path) -> None:
    """A long poll does not hold up the end of the server."""
    async with running_ledger(tmp_path) as (database, ledger):
        sequencer = ledger._leading.sequencer
        assert sequencer is not None
        sequencer._stopping.set()  # nothing more is sequenced: the leaf stays on its way
        sequencer._woken.set()
        assert sequencer._task is not None
        await sequencer._task
        record = await database.write(lambda tx: ledger.record_public(tx, "notice", "marquee", {}))
        leaf = protocol.public_leaf("notice", "marquee", record["ts"], {})
        waiting = asyncio.create_task(ledger.integrated(leaf_hash(leaf), 10_000))
        await asyncio.sleep(0)
    assert await asyncio.wait_for(waiting, 1) is None
