"""The map of a running log: right in every epoch, whatever happens to map.db, and asked under any kept size."""

import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from paraph.protocol import entry as protocol
from paraph.protocol.base64 import unb64url
from paraph.protocol.map_key import map_key_of_bytes, private_map_key, public_map_key
from paraph.server.ledger import label_map as label_maps
from paraph.server.ledger import map_follower
from paraph.server.ledger.errors import LedgerError, LogStopped, MapNotKept, StartRefused
from paraph.server.ledger.label_map import KeyAnswer, LabelMap
from paraph.server.ledger.log import Log, open_log
from paraph.server.ledger.map_follower import MapFollower
from paraph.server.ledger.map_store import MapStore
from paraph.tlog.map_proof import AbsenceProof, PresenceProof, parse, verify_absence, verify_presence
from paraph.tlog.merkle import Frontier, Tree, leaf_hash
from tests.server.ledger.support import NOON, ORIGIN, check_map, running_ledger, verify_log
from tests.server.ledger.test_http import client

LABELS = [bytes([number]) * 32 for number in range(5)]
WEEK = 2900
MISSING = private_map_key(WEEK, bytes([99]) * 32)


def private(label: int, number: int) -> bytes:
    """A private leaf under one of the labels."""
    return protocol.private_leaf(WEEK, LABELS[label], number.to_bytes(32, "big"))


def key(label: int) -> bytes:
    """The map key of one of the labels."""
    return private_map_key(WEEK, LABELS[label])


@contextmanager
def opened(data: Path) -> Iterator[Log]:
    """The log in a data folder."""
    log = open_log(data, ORIGIN)
    try:
        yield log
    finally:
        log.close()


def epoch(log: Log, *leaves: bytes) -> int:
    """One more published epoch; its size."""
    log.stage(leaves, NOON)
    log.finish()
    return log.head().size


def grown(data: Path) -> list[int]:
    """A log of three epochs; their sizes."""
    notice = protocol.public_leaf("notice", "marquee", NOON, {"text": "hello"})
    with opened(data) as log:
        return [
            epoch(log, private(0, 1), private(1, 2), notice),
            epoch(log, *(private(number % 3, 100 + number) for number in range(300))),
            epoch(log, private(0, 3)),
        ]


def leaves_of(data: Path) -> list[bytes]:
    """Every published leaf, all checked, the map of every epoch included."""
    with opened(data) as log:
        vkey = log.vkey
    return verify_log(data / "log", vkey)


def check_answer(answer: KeyAnswer, asked: bytes, leaves: list[bytes]) -> None:
    """Hold an answer against the leaves of the log: the epoch's root, the proof, every index, nothing left out."""
    assert answer.epoch == protocol.parse_leaf(leaves[answer.size - 1])
    root = unb64url(answer.epoch.map_root or "", 32)
    under = [index for index, leaf in enumerate(leaves[: answer.size]) if map_key_of_bytes(leaf) == asked]
    assert (answer.key, answer.leaf_indexes) == (asked, under)
    assert answer.leaf_hashes == [leaf_hash(leaves[index]) for index in under]
    assert answer.count == len(under)
    if not under:
        assert isinstance(answer.proof, AbsenceProof)
        assert answer.subtree_root is None
        verify_absence(root, asked, answer.proof)
        return
    assert isinstance(answer.proof, PresenceProof)
    assert answer.subtree_root == Tree(leaf_hash(leaves[index]) for index in under).root()
    verify_presence(root, asked, answer.count, answer.subtree_root, answer.proof)


def asked_keys() -> list[bytes]:
    """Keys with many leaves, one, none, and public ones."""
    return [key(0), key(1), key(2), key(3), MISSING, public_map_key("marquee"), public_map_key("platform")]


def check_next_epoch(data: Path) -> None:
    """The log opens, signs another epoch with the right map, and answers for it."""
    with opened(data) as log:
        size = epoch(log, private(3, 10**6), private(0, 10**6))
        answers = [(asked, log.label_map.answer(asked, size)) for asked in asked_keys()]
    leaves = leaves_of(data)
    for asked, answer in answers:
        check_answer(answer, asked, leaves)


def test_each_epoch_answers_for_its_own_size(tmp_path: Path) -> None:
    """Presence with all leaf indexes, and absence, under the newest root and under older ones."""
    grown(tmp_path)
    with opened(tmp_path) as log:
        sizes = [log.head().size]
        sizes += [epoch(log, private(3, number), private(0, 50 + number)) for number in range(4)]
        answers = [(asked, log.label_map.answer(asked, size)) for asked in asked_keys() for size in sizes]
    leaves = leaves_of(tmp_path)
    assert len({answer.count for asked, answer in answers if asked == key(3)}) == 5
    for asked, answer in answers:
        check_answer(answer, asked, leaves)


@pytest.mark.parametrize("size", [0, 1, 3, 5, 10**9])
def test_only_an_epochs_size_is_answered(tmp_path: Path, size: int) -> None:
    """Between two signed trees there is no map."""
    grown(tmp_path)
    with opened(tmp_path) as log, pytest.raises(MapNotKept):
        log.label_map.answer(key(0), size)


def test_older_maps_go_when_they_hold_on_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by what older maps changed; the newest two are always there."""
    monkeypatch.setattr(label_maps, "KEEP_CHANGES", 6)
    with opened(tmp_path) as log:
        sizes = [epoch(log, private(0, number), private(1, number)) for number in range(10)]
        kept = []
        for size in sizes:
            try:
                kept.append(log.label_map.answer(key(0), size).size)
            except MapNotKept:
                continue
        assert kept == sizes[-3:]
        wide = epoch(log, *(private(number, 99) for number in range(5)))
        wider = epoch(log, *(private(number, 100) for number in range(5)))
        assert [log.label_map.answer(key(0), size).size for size in (wide, wider)] == [wide, wider]
        monkeypatch.setattr(label_maps, "KEEP_CHANGES", 10**6)
        monkeypatch.setattr(label_maps, "KEEP_EPOCHS", 4)
        for number in range(6):
            epoch(log, private(0, 200 + number))
        assert len(log.label_map._kept) == 4


def lose(data: Path) -> None:
    """map.db is gone."""
    for path in data.glob("map.db*"):
        path.unlink()


def garble(data: Path) -> None:
    """map.db is no database."""
    lose(data)
    (data / "map.db").write_bytes(b"nothing of the kind" * 300)


def truncate(data: Path) -> None:
    """map.db is an empty file."""
    lose(data)
    (data / "map.db").touch()


def change(statement: str) -> Callable[[Path], None]:
    """map.db holds something else."""

    def run(data: Path) -> None:
        connection = sqlite3.connect(data / "map.db")
        connection.execute(statement)
        connection.commit()
        connection.close()

    return run


DAMAGES: dict[str, Callable[[Path], None]] = {
    "lost": lose,
    "no database": garble,
    "an empty file": truncate,
    "ahead of the log": change("UPDATE progress SET size = size + 1"),
    "behind, with the labels of now": change("UPDATE progress SET size = 4"),
    "at no epoch": change("UPDATE progress SET size = 3"),
    "a label less": change("DELETE FROM labels WHERE key = (SELECT min(key) FROM labels)"),
    "another frontier": change("UPDATE labels SET frontier = (SELECT max(frontier) FROM labels)"),
    "a frontier that is none": change("UPDATE labels SET frontier = x'00000000000000ff'"),
    "a key that is none": change("UPDATE labels SET key = x'01' WHERE key = (SELECT min(key) FROM labels)"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_happens_to_map_db_it_is_made_again(tmp_path: Path, damage: str) -> None:
    """It follows from the leaves: the log goes on with the right root, and answers are complete."""
    grown(tmp_path)
    DAMAGES[damage](tmp_path)
    check_next_epoch(tmp_path)


def test_a_map_db_that_is_some_epochs_behind_catches_up(tmp_path: Path) -> None:
    """After a power cut it may be older than the log, but never torn."""
    with opened(tmp_path) as log:
        epoch(log, private(0, 1))
    old = (tmp_path / "map.db").read_bytes()
    with opened(tmp_path) as log:
        for number in range(300):
            epoch(log, private(number % 4, number))
    lose(tmp_path)
    (tmp_path / "map.db").write_bytes(old)
    check_next_epoch(tmp_path)


def test_no_epoch_is_signed_whose_root_is_not_the_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong root, however it came about, stops the log before anything of the batch is signed."""
    with opened(tmp_path) as log:
        before = log.head()
        monkeypatch.setattr(LabelMap, "root_after", lambda *_: bytes(32))
        log.stage([private(0, 1)], NOON)
        with pytest.raises(LogStopped, match="map root"):
            log.finish()
        assert log.head() == before


def test_a_published_root_that_is_not_the_leaves_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that once signed a wrong map does not go on as if nothing had been."""
    with monkeypatch.context() as patch, opened(tmp_path) as log:
        patch.setattr(LabelMap, "root_after", lambda *_: bytes(32))
        patch.setattr(LabelMap, "check", lambda *_: None)
        epoch(log, private(0, 1))
    with pytest.raises(StartRefused, match="map root"), opened(tmp_path):
        pass


def test_a_log_from_before_the_map_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its epochs have null, a staged one included; the next carries the map of all leaves, the old ones too."""
    written = protocol.epoch_leaf
    with monkeypatch.context() as patch, opened(tmp_path) as log:
        patch.setattr("paraph.server.ledger.log.epoch_leaf", lambda n, size, _, time: written(n, size, None, time))
        for number in range(3):
            epoch(log, private(0, number), private(1, number))
        log.stage([private(0, 77)], NOON)
    lose(tmp_path)
    with opened(tmp_path) as log:
        log.finish()
        with pytest.raises(MapNotKept):
            log.label_map.answer(key(0), log.head().size)
        size = epoch(log, private(2, 1))
        answers = [(asked, log.label_map.answer(asked, size)) for asked in asked_keys()]
        vkey = log.vkey
    monkeypatch.setattr("tests.server.ledger.support.check_map", lambda _: None)  # it expects a root in every epoch
    leaves = verify_log(tmp_path / "log", vkey)
    with pytest.raises(AssertionError):
        check_map(leaves)
    for asked, answer in answers:
        check_answer(answer, asked, leaves)


def test_an_answer_that_the_map_does_not_bear_out_is_not_given(tmp_path: Path) -> None:
    """Rows of map.db that are not what the proven value says are an error, not an answer."""
    sizes = grown(tmp_path)
    with opened(tmp_path) as log:
        change("DELETE FROM places WHERE leaf_index = (SELECT max(leaf_index) FROM places)")(tmp_path)
        with pytest.raises(LedgerError, match="other leaves"):
            log.label_map.answer(key(0), sizes[-1])


def test_a_process_that_does_not_write_the_log_answers_alike(tmp_path: Path) -> None:
    """From map.db at first, then following the published files, under each size from then on."""
    grown(tmp_path)
    with opened(tmp_path) as log:
        follower = MapFollower(tmp_path / "map.db", log.folder.read)
        sizes = []
        for number in range(5):
            sizes.append(epoch(log, private(0, 500 + number), private(4, number)))
            if number in (0, 3, 4):
                follower.answer(MISSING, sizes[-1], sizes[-1])
            for asked in asked_keys():
                for size in sizes if number in (0, 3, 4) else ():
                    assert follower.answer(asked, size, sizes[-1]) == log.label_map.answer(asked, size)
        follower.close()


def test_a_follower_far_behind_or_of_a_lost_map_db_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the map from map.db again, and from the one that is there now."""
    grown(tmp_path)
    with opened(tmp_path) as log:
        follower = MapFollower(tmp_path / "map.db", log.folder.read)
        first = epoch(log, private(0, 500))
        assert follower.answer(key(0), first, first).count == 103
        monkeypatch.setattr(map_follower, "FAR_BEHIND", 1)
        second = epoch(log, private(0, 501), private(0, 502))
        assert follower.answer(key(0), second, second).count == 105
        with pytest.raises(MapNotKept):
            follower.answer(key(0), first, second)
        monkeypatch.setattr(map_follower, "FAR_BEHIND", 1000)
        log.label_map._store.clear()
        log.check()
        third = epoch(log, private(0, 503))
        assert follower.answer(key(0), third, third) == log.label_map.answer(key(0), third)
        follower.close()


def test_a_follower_without_map_db_says_so(tmp_path: Path) -> None:
    """The process that writes the log has not made it yet, or it is further than what is published."""
    follower = MapFollower(tmp_path / "map.db", lambda _: None)
    with pytest.raises(MapNotKept):
        follower.answer(MISSING, 1, 1)
    sizes = grown(tmp_path)
    with pytest.raises(MapNotKept, match="published"):
        follower.answer(MISSING, sizes[0], sizes[0])
    assert not (tmp_path / "other.db").exists()
    follower.close()


async def test_a_ledger_that_does_not_lead_answers_from_the_published_log(tmp_path: Path) -> None:
    """People get the same answer from whichever process they reach."""
    async with running_ledger(tmp_path) as (database, ledger):
        record = await database.write(lambda tx: ledger.record_public(tx, "notice", "marquee", {"text": "hello"}))
        leaf = protocol.public_leaf(record["kind"], record["partner"], record["ts"], record["document"])
        assert await ledger.integrated(leaf_hash(leaf), 5_000)
        assert ledger.leads
    leaves = verify_log(tmp_path / "log", ledger.vkey)
    with (tmp_path / "log.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        async with running_ledger(tmp_path) as (_, ledger):
            assert not ledger.leads
            for asked in (public_map_key("marquee"), MISSING):
                check_answer(await ledger.map_answer(asked), asked, leaves)
            with pytest.raises(MapNotKept):
                await ledger.map_answer(MISSING, ledger.size + 1)


def test_a_closed_map_answers_nothing(tmp_path: Path) -> None:
    """A question that comes while the log is closed is refused like one for an unknown size."""
    sizes = grown(tmp_path)
    with opened(tmp_path) as log:
        label_map = log.label_map
    with pytest.raises(MapNotKept):
        label_map.answer(key(0), sizes[-1])


def test_a_write_of_map_db_is_whole_or_not_at_all(tmp_path: Path) -> None:
    """What fails half-way leaves nothing behind."""
    store, frontier = MapStore(tmp_path / "map.db"), Frontier(1, [bytes(32)])
    with pytest.raises(sqlite3.Error):
        store.write(7, {key(0): frontier}, [(key(0), 1, bytes(32)), (key(1), "none", bytes(32))])  # type: ignore[list-item]
    assert store.size() == 0
    assert store.places(key(0), 10) == []
    assert store.frontiers([key(0)]) == {}
    for _ in range(2):  # a write that came through though it was reported as failed is repeated
        store.write(7, {key(0): frontier}, [(key(0), 1, bytes(32))])
        assert store.places(key(0), 10) == [(1, bytes(32))]
    store.write(9, {key(0): frontier}, [(key(0), 7, bytes(32)), (key(0), 8, bytes(32))])
    assert [index for index, _ in store.places(key(0), 10)] == [1, 7, 8]
    assert [index for index, _ in store.places(key(0), 8)] == [1, 7]
    store.close()


async def ask(http: httpx.AsyncClient, asked: bytes, query: str = "") -> httpx.Response:
    """One question for a key."""
    return await http.get(f"/_paraph/v1/log/map/{asked.hex()}{query}")


async def test_the_map_is_asked_over_http(tmp_path: Path) -> None:
    """Presence and absence check under the root in the epoch leaf of the published log, with nothing else trusted."""
    async with client(tmp_path) as (http, database, ledger):
        record = await database.write(lambda tx: ledger.record_public(tx, "notice", "marquee", {"text": "hello"}))
        leaf = protocol.public_leaf(record["kind"], record["partner"], record["ts"], record["document"])
        assert await ledger.integrated(leaf_hash(leaf), 5_000)
        there, missing = await ask(http, public_map_key("marquee")), await ask(http, MISSING)
        older = await ask(http, public_map_key("marquee"), "?size=1")
        leaves = verify_log(tmp_path / "log", ledger.vkey)
    for answer in (there.json(), missing.json(), older.json()):
        members = {"map_root": answer["epoch"]["map_root"], **answer["epoch"]}
        assert protocol.epoch_leaf(**members) == leaves[answer["size"] - 1]
    present, proof = there.json(), parse(unb64url(there.json()["proof"]))
    assert isinstance(proof, PresenceProof)
    subtree = Tree(leaf_hash(leaves[index]) for index in present["leaf_indexes"]).root()
    assert (present["count"], unb64url(present["subtree_root"])) == (1, subtree)
    root = unb64url(present["epoch"]["map_root"])
    verify_presence(root, public_map_key("marquee"), present["count"], subtree, proof)
    for answer, asked in ((missing.json(), MISSING), (older.json(), public_map_key("marquee"))):
        absent = parse(unb64url(answer["proof"]))
        assert isinstance(absent, AbsenceProof)
        verify_absence(unb64url(answer["epoch"]["map_root"]), asked, absent)
        assert (answer["count"], answer["subtree_root"], answer["leaf_indexes"]) == (0, None, [])


async def test_what_the_map_is_not_asked(tmp_path: Path) -> None:
    """No other spelling of a key, no size that is not an epoch's, none that is not published."""
    async with client(tmp_path) as (http, _, ledger):
        for text in ("0" * 63, "0" * 65, "A" * 64, "g" * 64):
            assert (await http.get(f"/_paraph/v1/log/map/{text}")).status_code == 400
        for size in (ledger.size + 1, 10**9):
            answer = await ask(http, MISSING, f"?size={size}")
            assert answer.status_code == 404
            assert answer.json()["errcode"] == "ORG_PARAPH_MAP_NOT_KEPT"
        assert (await ask(http, MISSING, "?size=x")).status_code == 400
        assert (await ask(http, MISSING, f"?size={ledger.size}")).status_code == 200
