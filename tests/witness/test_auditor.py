"""A map auditor cosigns what it has replayed from the leaves themselves, and nothing else."""

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import epoch_leaf
from paraph.tlog import witness
from paraph.tlog.checkpoint import open_signed
from paraph.tlog.merkle import EMPTY_ROOT
from paraph.tlog.tiles import encode_entries
from paraph.witness import folder
from paraph.witness.auditor import NotYet
from paraph.witness.store import MOST_FAULTS, FoundFault
from tests.witness.audited import AuditedLog, AuditingWitness, Served, auditor, cosigner, private
from tests.witness.support import LOG, NAME


@pytest.fixture
def log() -> AuditedLog:
    """A correct log of some epochs: labels that come back, an epoch without leaves, more than a bundle."""
    log = AuditedLog()
    log.close([private(n) for n in range(5)])
    log.close([])
    log.close([private(n, label=n % 7) for n in range(100, 420)])
    log.close([private(n, label=n % 7) for n in range(500, 531)])
    return log


async def passed(data: Path, log: AuditedLog, size: int, flush: int = 100_000) -> None:
    """Audit up to a size with an auditor that is opened for it and closed after it."""
    one = auditor(data, log, flush=flush)
    try:
        await one.require(log.submission(size))
    finally:
        await asyncio.to_thread(one.close)


async def test_each_step_is_audited_and_cosigned(tmp_path: Path, log: AuditedLog) -> None:
    """Every signed tree in turn; what was read once is not fetched again but for the bundle that grew."""
    watcher = AuditingWitness(tmp_path, log)
    for old, new in itertools.pairwise(log.ends):
        answer = await watcher.submit(old, new)
        assert answer.status_code == 200, answer.text
        text = open_signed(log.checkpoint(new), LOG.verifier).checkpoint.text
        assert witness.parse_cosignature(answer.content, text, cosigner(tmp_path))
    assert log.asked["tile/entries/000"] == 1
    log.asked.clear()
    assert (await watcher.submit(log.ends[-1], log.ends[-1])).status_code == 200
    assert not log.asked
    await watcher.close()


async def test_the_empty_tree_needs_no_leaves(tmp_path: Path) -> None:
    """A log asks its witnesses before it has signed anything."""
    watcher = AuditingWitness(tmp_path, AuditedLog())
    assert watcher.log.tree.root() == EMPTY_ROOT
    assert (await watcher.submit(0, 0)).status_code == 200
    await watcher.close()


def lying(log: AuditedLog) -> dict[str, tuple[Callable[[], int], str]]:
    """What an operator may sign, and what is said about it; the log had 360 leaves before."""
    other = b64url(bytes(32))

    def bare() -> int:
        log.add(private(9))
        return len(log.leaves)

    def strange() -> int:
        log.add(b"\x07 what is this")
        return log.close([private(9)])

    def omitted() -> int:
        log.add(private(9))  # in the log, and under its label in no map
        return log.close([])

    def backwards() -> int:
        log.add(epoch_leaf(4, log.ends[-1], b64url(log._map.root), 5))
        return len(log.leaves)

    return {
        "another root": (lambda: log.close([private(9)], lambda _: other), "leaf 361: expected the map root"),
        "no root": (lambda: log.close([private(9)], lambda _: None), "leaf 361: expected a map root"),
        "a leaf left out of the map": (omitted, "leaf 361: expected the map root"),
        "an epoch left out": (lambda: log.close([private(9)], epoch=1), "leaf 361: expected epoch 4"),
        "an epoch again": (lambda: log.close([private(9)], epoch=-1), "leaf 361: expected epoch 4"),
        "another tree before": (lambda: log.close([private(9)], end=-1), "leaf 361: expected prev_size 360"),
        "time runs back": (backwards, "leaf 360: expected a time not before"),
        "no leaf": (strange, "leaf 360: expected a leaf of docs/protocol.md"),
        "no epoch at the end": (bare, "leaf 360: expected an epoch leaf to close"),
    }


@pytest.mark.parametrize("name", lying(AuditedLog()))
@pytest.mark.parametrize("first", [False, True])
async def test_a_tree_that_breaks_the_rules_is_refused(tmp_path: Path, log: AuditedLog, name: str, first: bool) -> None:
    """422 with the leaf and the reason, at first contact as later; kept with the note that the log signed; for good."""
    lie, said = lying(log)[name]
    good = len(log.leaves)
    assert good == 360
    bad = lie()
    later = log.close([private(77)])
    watcher = AuditingWitness(tmp_path, log)
    old = 0 if first else good
    if not first:
        assert (await watcher.submit(0, good)).status_code == 200
    for _ in range(2):
        answer = await watcher.submit(old, bad)
        assert (answer.status_code, answer.text[: len(said)]) == (422, said)
    assert (await watcher.submit(old, later)).status_code == 422
    await watcher.close()
    _, store = folder.open_folder(tmp_path)
    kept = store.faults()
    assert kept
    assert kept[0].reason.startswith(said)
    assert log.leaves[kept[0].leaf_index] == kept[0].leaf
    assert open_signed(kept[0].note, LOG.verifier).checkpoint.size == bad
    assert [item.checkpoint.size for item in store.all()] == ([] if first else [good])


async def test_nothing_is_refused_for_good_on_a_wrong_answer(tmp_path: Path, log: AuditedLog) -> None:
    """Whatever else the address gives is a 503 that says so; once it gives the leaves, the same tree is cosigned."""
    entries = log.leaves[:256]
    wrong: dict[str, Served] = {
        "root of the submitted tree": lambda _, data: data and data[:-1] + bytes([data[-1] ^ 1]),
        "is not there": lambda _path, _data: None,
        "it answered 500": lambda _path, _data: httpx.Response(500),
        "it answered 302": lambda _path, _data: httpx.Response(302, headers={"location": "https://elsewhere.example"}),
        "it answered 503": lambda _path, _data: httpx.Response(503),
        "no bundle of": lambda _, data: data and data[:-1],
        "more than": lambda _path, _data: b"x" * 20_000_000,
        "no bundle of 256": lambda path, data: encode_entries(entries[:-1]) if path.endswith("000") else data,
    }
    watcher = AuditingWitness(tmp_path, log)
    for said, answer in wrong.items():
        log.served = answer
        refused = await watcher.submit(0, log.ends[3])
        assert (refused.status_code, said in refused.text) == (503, True), refused.text
    log.served = lambda _path, data: data
    assert (await watcher.submit(0, log.ends[3])).status_code == 200
    log.served = wrong["root of the submitted tree"]
    assert (await watcher.submit(log.ends[3], log.ends[4])).status_code == 503
    log.served = lambda _path, data: data
    log.asked.clear()
    assert (await watcher.submit(log.ends[3], log.ends[4])).status_code == 200
    assert sum(log.asked.values()) == 1, "a wrong answer costs no replay"
    await watcher.close()
    assert folder.open_folder(tmp_path)[1].faults() == []


async def test_a_busy_log_is_asked_again(tmp_path: Path, log: AuditedLog) -> None:
    """429 and 503 are waited for, as long as it asks for."""

    def busy(path: str, data: bytes | None) -> bytes | httpx.Response | None:
        return data if log.asked[path] > 2 else httpx.Response(429, headers={"retry-after": "0"})

    log.served = busy
    await passed(tmp_path, log, log.ends[-1])
    assert log.asked["tile/entries/000"] == 3


async def test_a_bundle_may_have_become_full(tmp_path: Path, log: AuditedLog) -> None:
    """A log that has grown serves the full bundle in place of the partial one, and the older tree is audited by it."""
    log.served = lambda path, data: None if ".p/" in path else data
    await passed(tmp_path, log, log.ends[2])


async def test_a_backlog_is_audited_while_the_answer_is_not_yet(tmp_path: Path, log: AuditedLog) -> None:
    """The log hears 503 with the progress within the patience; the audit goes on, and its end is not lost."""
    gate = threading.Event()

    def slow(path: str, data: bytes | None) -> bytes | None:
        if ".p/" in path:
            gate.wait(20)
        return data

    log.served = slow
    watcher = AuditingWitness(tmp_path, log, patience=0.2)
    for _ in range(3):
        answer = await watcher.submit(0, log.ends[-1])
        assert answer.status_code == 503
        assert "256 of 360 leaves so far" in answer.text
    assert (await watcher.submit(0, log.ends[2])).status_code == 503, "one audit at a time"
    gate.set()
    async with asyncio.timeout(10):
        while (answer := await watcher.submit(0, log.ends[-1])).status_code != 200:
            assert answer.status_code == 503
    assert log.asked["tile/entries/000"] == 1
    # What ends before the leaves audited is not gone back to.
    log.asked.clear()
    with pytest.raises(NotYet, match="360 leaves of this log were audited already"):
        await watcher.auditor.require(log.submission(log.ends[3]))
    assert not log.asked
    await watcher.close()


async def test_an_auditor_goes_on_where_it_stopped(tmp_path: Path, log: AuditedLog) -> None:
    """Opened again, also without having been closed, it reads what is new."""
    await passed(tmp_path, log, log.ends[3])
    log.asked.clear()
    killed = auditor(tmp_path, log)
    await killed.require(log.submission(log.ends[3]))
    assert not log.asked
    await killed.require(log.submission(log.ends[4]))
    assert list(log.asked) == ["tile/entries/001.p/104"]
    log.asked.clear()
    await passed(tmp_path, log, log.ends[4])
    assert not log.asked
    await asyncio.to_thread(killed.close)


def damaged(statement: str) -> Callable[[Path], None]:
    """One change to the store."""

    def change(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return change


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a frontier": damaged("UPDATE labels SET frontier = zeroblob(length(frontier))"),
    "another count": damaged(
        "UPDATE labels SET frontier = CAST(x'0000000000000001' || substr(frontier, 9, 32) AS BLOB)"
    ),
    "a label gone": damaged("DELETE FROM labels WHERE key = (SELECT max(key) FROM labels)"),
    "the root": damaged("UPDATE standing SET map_root = zeroblob(32)"),
    "the peaks": damaged("UPDATE standing SET peaks = zeroblob(length(peaks))"),
    "no peaks": damaged("UPDATE standing SET peaks = x''"),
    "the size": damaged("UPDATE standing SET size = size + 1"),
    "far ahead": damaged("UPDATE standing SET size = 1 << 60, peaks = zeroblob(32)"),
    "the epoch": damaged("UPDATE standing SET epochs = epochs + 1"),
    "the time": damaged("UPDATE standing SET epoch_time = 1 << 52"),
    "the epoch's end": damaged("UPDATE standing SET epoch_end = 0"),
    "nothing": damaged("DELETE FROM standing"),
    "no database": lambda path: path.write_bytes(b"not a database" * 100),
    "no file": lambda path: path.unlink(),
    "empty file": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("name", DAMAGE)
async def test_nothing_in_the_store_is_trusted(tmp_path: Path, log: AuditedLog, name: str) -> None:
    """Whatever the store holds, the log is replayed where it does not fit, cosigned in the end, and never blamed."""
    await passed(tmp_path, log, log.ends[3])
    for file in tmp_path.glob("map.db-*"):
        file.unlink()
    DAMAGE[name](tmp_path / "map.db")
    watcher = AuditingWitness(tmp_path, log)
    answer = await watcher.submit(0, log.ends[4])
    if answer.status_code != 200:
        assert answer.status_code == 503
        answer = await watcher.submit(0, log.ends[4])
    assert answer.status_code == 200, answer.text
    await watcher.close()
    assert folder.open_folder(tmp_path)[1].faults() == []


async def test_a_store_that_is_an_older_copy_catches_up(tmp_path: Path, log: AuditedLog) -> None:
    """As after a power cut, which may take the last commits."""
    await passed(tmp_path, log, log.ends[1])
    older = (tmp_path / "map.db").read_bytes()
    await passed(tmp_path, log, log.ends[4])
    (tmp_path / "map.db").write_bytes(older)
    await passed(tmp_path, log, log.ends[4])


async def test_a_long_audit_is_kept_on_the_way(tmp_path: Path) -> None:
    """Cut off by a failing address, killed, started again: what was flushed is not read again; the end is the same."""
    log = AuditedLog()
    for n in range(0, 2000, 100):
        log.close([private(number) for number in range(n, n + 100)])
    log.served = lambda path, data: None if path > "tile/entries/004" else data
    with pytest.raises(NotYet, match="is not there"):
        await passed(tmp_path, log, log.ends[-1], flush=300)
    log.served = lambda _path, data: data
    log.asked.clear()
    await passed(tmp_path, log, log.ends[-1], flush=300)
    assert "tile/entries/000" not in log.asked
    assert "tile/entries/007.p/228" in log.asked


async def test_what_was_flushed_without_a_signed_root_is_given_up(tmp_path: Path) -> None:
    """Leaves that are not the log's were served to a long audit: the next one begins at the first leaf."""
    log = AuditedLog()
    for n in range(0, 1000, 100):
        log.close([private(number) for number in range(n, n + 100)])
    other = AuditedLog()
    other.close([private(number) for number in range(5000, 5999)])
    log.served = lambda path, data: other.bundle(path) if path == "tile/entries/000" else data
    one = auditor(tmp_path, log, flush=100)
    with pytest.raises(NotYet, match="do not give the root"):
        await one.require(log.submission(log.ends[-1]))
    log.served = lambda _path, data: data
    await one.require(log.submission(log.ends[-1]))
    await asyncio.to_thread(one.close)
    assert folder.open_folder(tmp_path)[1].faults() == []


async def test_an_auditor_that_ends_stops_reading(tmp_path: Path, log: AuditedLog) -> None:
    """Closing does not wait for the end of an audit."""
    log.served = lambda _path, _data: httpx.Response(503, headers={"retry-after": "10"})
    one = auditor(tmp_path, log, patience=0)
    with pytest.raises(NotYet, match="0 of 360 leaves"):
        await one.require(log.submission(log.ends[-1]))
    async with asyncio.timeout(5):
        await asyncio.to_thread(one.close)


def test_evidence_is_bounded(tmp_path: Path) -> None:
    """A log may sign any number of wrong trees: the first of each leaf is kept, and some for each log."""
    folder.create(tmp_path, NAME)
    _, store = folder.open_folder(tmp_path)
    for n in range(MOST_FAULTS + 5):
        for reason in ("first", "second"):
            store.keep_fault(FoundFault(LOG.name, n, b"leaf", 5, reason, b"note"))
    store.keep_fault(FoundFault("other.example/log", 0, b"leaf", 5, "first", b"note"))
    kept = store.faults()
    assert len(kept) == MOST_FAULTS + 1
    assert {item.reason for item in kept} == {"first"}
