"""A witness's state: it moves forward only, survives everything, and never serves two histories."""

import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from paraph.tlog import note, witness
from paraph.tlog.checkpoint import open_signed
from paraph.tlog.witness import Conflict, Contradiction, Refused
from paraph.witness import folder
from paraph.witness.errors import WitnessError
from paraph.witness.store import Cosigned, WitnessStore, origin_hash
from tests.witness.support import FORK, LOG, NAME, NOW, OTHER_LOG, TREE, checkpoint, open_witness, request


def test_each_step_is_cosigned_and_kept(tmp_path: Path) -> None:
    """The answer is a cosignature at the clock's time; the newest checkpoint is served with both signatures."""
    watcher = open_witness(tmp_path)
    signer, _ = folder.open_folder(tmp_path)
    assert watcher.checkpoint(origin_hash(LOG.name)) is None
    for old, new in [(0, 0), (0, 3), (3, 3), (3, 100), (100, 399)]:
        line = watcher.add_checkpoint(request(old, new))
        assert line == signer.cosign(checkpoint(new).text, NOW).line.encode()
        served = watcher.checkpoint(origin_hash(LOG.name))
        assert served is not None
        opened = open_signed(served, LOG.verifier, cosigners=[signer.verifier])
        assert opened.checkpoint == checkpoint(new)
        assert len(opened.note.signatures) == 2


def test_logs_are_kept_apart(tmp_path: Path) -> None:
    """One log's size says nothing about another's."""
    watcher = open_witness(tmp_path)
    watcher.add_checkpoint(request(0, 300))
    watcher.add_checkpoint(request(0, 20, log=OTHER_LOG))
    with pytest.raises(Conflict) as refused:
        watcher.add_checkpoint(request(0, 30, log=OTHER_LOG))
    assert refused.value.size == 20


def test_what_was_cosigned_outlives_the_process(tmp_path: Path) -> None:
    """Opened again, the witness goes on from the same size, and refuses to begin again."""
    first = open_witness(tmp_path)
    first.add_checkpoint(request(0, 200))
    first.close()
    again = open_witness(tmp_path)
    with pytest.raises(Conflict) as refused:
        again.add_checkpoint(request(0, 150, FORK))
    assert refused.value.size == 200
    assert again.add_checkpoint(request(200, 201))


def test_a_refused_request_changes_nothing(tmp_path: Path) -> None:
    """After each refusal the known tree is the same."""
    watcher = open_witness(tmp_path)
    watcher.add_checkpoint(request(0, 200))
    before = watcher.checkpoint(origin_hash(LOG.name))
    for body in (b"", request(0, 250), request(200, 250, FORK), request(200, 200, FORK), request(100, 150)):
        with pytest.raises(Refused):
            watcher.add_checkpoint(body)
        assert watcher.checkpoint(origin_hash(LOG.name)) == before


def test_a_log_that_contradicts_itself_is_kept_as_evidence(tmp_path: Path) -> None:
    """Both notes are kept, both signed by the log, of one size and two roots; the first is enough."""
    watcher = open_witness(tmp_path)
    watcher.add_checkpoint(request(0, 200))
    for _ in range(2):
        with pytest.raises(Contradiction):
            watcher.add_checkpoint(request(200, 200, FORK))
    watcher.close()
    _, store = folder.open_folder(tmp_path)
    (found,) = store.contradictions()
    trees = [open_signed(signed, LOG.verifier).checkpoint for signed in (found.known, found.refused)]
    assert trees == [checkpoint(200), checkpoint(200, FORK)]
    assert (found.origin, found.size, found.time) == (LOG.name, 200, NOW)


@pytest.mark.parametrize("seed", range(3))
def test_of_two_trees_of_one_size_one_is_cosigned(tmp_path: Path, seed: int) -> None:
    """Two connections race with two histories; every cosigned tree belongs to one of them, in growing sizes."""
    watchers = [open_witness(tmp_path) for _ in range(4)]
    chance = random.Random(seed)
    steps = [(chance.choice((TREE, FORK)), size) for size in range(101, 140) for _ in range(2)]

    def submit(number: int) -> tuple[int, bytes] | None:
        tree, new = steps[number]
        watcher, old = watchers[number % 4], 0
        while True:
            try:
                watcher.add_checkpoint(request(old, new, tree))
            except Contradiction:
                return None
            except Conflict as conflict:
                old = conflict.size
                if old > new:
                    return None
            except Refused:
                return None
            else:
                return new, tree.root(new)

    with ThreadPoolExecutor(4) as threads:
        groups = [range(worker, len(steps), 4) for worker in range(4)]
        done = [item for part in threads.map(lambda group: [submit(n) for n in group], groups) for item in part]
    cosigned = {item for item in done if item is not None}
    assert cosigned
    assert len({size for size, _ in cosigned}) == len(cosigned), "two roots of one size were cosigned"
    assert any(all(root == tree.root(size) for size, root in cosigned) for tree in (TREE, FORK))


def test_nothing_is_answered_that_is_not_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the state cannot be written, no cosignature leaves, and the known tree stays."""
    watcher = open_witness(tmp_path)
    watcher.add_checkpoint(request(0, 200))
    blocker = sqlite3.connect(tmp_path / folder.STATE, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    watcher._store._connection.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(sqlite3.OperationalError):
        watcher.add_checkpoint(request(200, 300))
    blocker.execute("ROLLBACK")
    assert watcher.add_checkpoint(request(200, 300))


def test_a_commit_reported_failed_leaves_no_open_transaction(tmp_path: Path) -> None:
    """Whatever goes wrong inside a step, the next one begins clean."""
    open_witness(tmp_path).close()
    _, store = folder.open_folder(tmp_path)

    def broken(_known: Cosigned | None) -> Cosigned:
        raise OSError(28, "no space left on device")

    with pytest.raises(OSError, match="no space"):
        store.advance(LOG.name, broken)
    made = Cosigned(checkpoint(5), NOW, b"note")
    assert store.advance(LOG.name, lambda _: made) == made == store.newest(LOG.name)


def test_the_settings_are_durable(tmp_path: Path) -> None:
    """Every commit is synced; the mode of key and state is for their owner alone."""
    open_witness(tmp_path).close()
    _, store = folder.open_folder(tmp_path)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    for name in (folder.KEY, folder.STATE):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_witness_without_its_memory_does_not_start(tmp_path: Path) -> None:
    """State missing, another's or damaged; key missing or damaged: refused with what to do."""
    open_witness(tmp_path / "a").close()
    open_witness(tmp_path / "b").close()
    with pytest.raises(WitnessError, match="exists already"):
        folder.create(tmp_path / "a", NAME)
    vkey = folder.open_folder(tmp_path / "a")[0].verifier.vkey
    with pytest.raises(WitnessError, match="exists already"):
        WitnessStore.create(tmp_path / "a" / folder.STATE, vkey)
    (tmp_path / "b" / folder.STATE).replace(tmp_path / "a" / folder.STATE)
    with pytest.raises(WitnessError, match="another witness"):
        folder.open_folder(tmp_path / "a")
    with pytest.raises(WitnessError, match="retire its key"):
        folder.open_folder(tmp_path / "b")
    (tmp_path / "a" / folder.STATE).write_bytes(b"not a database at all, but long enough to be looked at")
    with pytest.raises(WitnessError):
        folder.open_folder(tmp_path / "a")
    (tmp_path / "a" / folder.KEY).write_text(LOG.skey + "\n")
    with pytest.raises(WitnessError, match="not a witness's key"):
        folder.open_folder(tmp_path / "a")
    with pytest.raises(WitnessError, match="keygen"):
        folder.open_folder(tmp_path)


def test_names_that_notes_do_not_allow_are_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    for name in ("", "a b", "a+b"):
        with pytest.raises(WitnessError):
            folder.create(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_the_cosignature_verifies_as_a_note(tmp_path: Path) -> None:
    """Appended to the checkpoint that was sent, the answer makes a note that the witness's public key opens."""
    watcher = open_witness(tmp_path)
    body = request(0, 7)
    signed = witness.parse(body).checkpoint + watcher.add_checkpoint(body)
    verifier = folder.open_folder(tmp_path)[0].verifier
    assert len(note.open(signed, [LOG.verifier, verifier]).signatures) == 2
