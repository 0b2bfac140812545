"""Every durable step fails before and after it persisted; the process dies at random; the log stays one log."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paraph.protocol import entry as protocol
from paraph.server.ledger import store
from paraph.server.ledger.checkpoints import CheckpointStore
from paraph.server.ledger.errors import LogStopped, LogUnavailable, StartRefused
from paraph.server.ledger.files import LogFolder
from paraph.server.ledger.log import open_log
from paraph.server.ledger.map_store import MapStore
from paraph.server.ledger.service import Ledger
from paraph.server.storage import StorageError, Transaction
from paraph.tlog import checkpoint, note
from paraph.tlog.merkle import Tree, leaf_hash
from tests.server.ledger.support import NOON, ORIGIN, open_database, running_ledger, until, verify_log
from tests.support.databases import databases, runs_writes_once

KILLS = 5


def notices(ledger: Ledger, start: int, count: int) -> Callable[[Transaction], list[bytes]]:
    """A write that records `count` notices and returns their leaves."""

    def record(tx: Transaction) -> list[bytes]:
        for n in range(start, start + count):
            ledger.record_public(tx, "notice", "marquee", {"n": n})
        return [protocol.public_leaf("notice", "marquee", NOON, {"n": n}) for n in range(start, start + count)]

    return record


def failing(step: Callable[..., Any], when: str, failures: list[str]) -> Callable[..., Any]:
    """`step` that fails once, before it did anything or after all it did."""

    def run(*args: Any) -> Any:
        if failures:
            return step(*args)
        failures.append(when)
        if when == "after":
            step(*args)
        raise OSError(28, "no space left on device")

    return run


STEPS = [
    (CheckpointStore, "stage"),
    (LogFolder, "write"),
    (LogFolder, "show"),
    (CheckpointStore, "advance"),
    (MapStore, "write"),
    (LogFolder, "publish"),
    (LogFolder, "prune"),
    (store, "mark"),
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("owner", "name"), STEPS)
async def test_a_step_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, when: str
) -> None:
    """Whether or not the step had persisted, the log goes on, with every leaf once and one root for each size."""
    async with running_ledger(tmp_path) as (database, ledger):
        failures: list[str] = []
        first = await database.write(notices(ledger, 0, 300))
        assert await ledger.integrated(leaf_hash(first[-1]), 5_000)
        monkeypatch.setattr(owner, name, failing(getattr(owner, name), when, failures))
        leaves = first + await database.write(notices(ledger, 300, 300))
        for leaf in leaves:
            assert await ledger.integrated(leaf_hash(leaf), 5_000)
        assert failures == [when]
        logged = verify_log(tmp_path / "log", ledger.vkey)
    assert set(leaves) <= set(logged)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("owner", "name"), STEPS)
@runs_writes_once
async def test_a_step_cut_off_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, when: str
) -> None:
    """A start finds what was begun and brings it to the same end as if nothing had happened."""
    async with running_ledger(tmp_path) as (database, ledger):
        await database.write(notices(ledger, 0, 3))
    with monkeypatch.context() as patch:
        database = await open_database(tmp_path)
        ledger = Ledger(database, tmp_path, ORIGIN, clock=lambda: NOON)
        await database.write(notices(ledger, 3, 300))
        patch.setattr(owner, name, failing(getattr(owner, name), when, []))
        with pytest.raises((OSError, StorageError)):
            await ledger.start()
        await ledger.stop()
        await database.close()
    async with running_ledger(tmp_path) as (database, ledger):
        logged = verify_log(tmp_path / "log", ledger.vkey)
        marked = await database.read(lambda tx: tx.rows("SELECT leaf, leaf_index FROM ledger_outbox"))
    assert len(marked) == 303
    assert all(logged[index] == leaf for leaf, index in marked)


async def test_a_tile_with_other_bytes_stops_the_log(tmp_path: Path) -> None:
    """A published tile is never overwritten: the log stops and nothing that needs a record is done any more."""
    async with running_ledger(tmp_path) as (database, ledger):
        place = tmp_path / "log" / "tile" / "entries" / "000.p" / f"{ledger.size + 2}"
        place.write_bytes(b"something else")
        await database.write(notices(ledger, 0, 1))
        await until(lambda: ledger.stopped)
        assert "other bytes" in str(ledger.stopped)
        with pytest.raises(LogUnavailable):
            await database.write(notices(ledger, 1, 1))
        assert place.read_bytes() == b"something else"


async def test_the_head_moves_by_compare_and_set(tmp_path: Path) -> None:
    """A second process that signed first makes the other stop rather than sign a second tree of that size."""
    async with running_ledger(tmp_path):
        pass
    log = open_log(tmp_path, ORIGIN)
    log.stage([], NOON)
    head = log.head()
    log.finish()
    with pytest.raises(LogStopped):
        log.checkpoints.advance(head, head)
    with pytest.raises(LogStopped):
        log.checkpoints.advance(log.head(), head)
    with pytest.raises(LogStopped):
        log.checkpoints.stage(log.checkpoints.staged() or pytest.fail("nothing is staged"))
    log.close()


def damage_missing_checkpoints(data: Path) -> None:
    """checkpoints.db is gone."""
    for path in data.glob("checkpoints.db*"):
        path.unlink()


def damage_other_key(data: Path) -> None:
    """Another key of the same name took the place of the log key."""
    (data / "keys" / "log.key").write_text(note.Signer.generate(ORIGIN).skey)


def damage_missing_key(data: Path) -> None:
    """The log key is gone."""
    (data / "keys" / "log.key").unlink()


def damage_garbled_key(data: Path) -> None:
    """The log key is not a key."""
    (data / "keys" / "log.key").write_text("PRIVATE+KEY+nonsense")


def damage_missing_tile(data: Path) -> None:
    """The rightmost tile is gone."""
    next((data / "log" / "tile" / "0").rglob("000.p/*")).unlink()


def damage_changed_tile(data: Path) -> None:
    """The rightmost tile has other bytes."""
    tile = next((data / "log" / "tile" / "0").rglob("000.p/*"))
    tile.write_bytes(bytes(len(tile.read_bytes())))


def damage_changed_bundle(data: Path) -> None:
    """The rightmost entry bundle has other bytes."""
    bundle = next((data / "log" / "tile" / "entries").rglob("000.p/*"))
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"!")


def damage_longer_checkpoint(data: Path) -> None:
    """A longer log was published than checkpoints.db knows of."""
    signer = note.Signer.from_skey((data / "keys" / "log.key").read_text().strip())
    longer = checkpoint.Checkpoint(ORIGIN, 10_000, bytes(32))
    (data / "log" / "checkpoint").write_bytes(checkpoint.sign(longer, signer))


def damage_forked_checkpoint(data: Path) -> None:
    """Another tree of the same size was published."""
    signer = note.Signer.from_skey((data / "keys" / "log.key").read_text().strip())
    published = checkpoint.open((data / "log" / "checkpoint").read_bytes(), signer.verifier)
    forked = checkpoint.Checkpoint(ORIGIN, published.size, bytes(32))
    (data / "log" / "checkpoint").write_bytes(checkpoint.sign(forked, signer))


@pytest.mark.parametrize(
    "damage",
    [
        damage_missing_checkpoints,
        damage_other_key,
        damage_missing_key,
        damage_garbled_key,
        damage_missing_tile,
        damage_changed_tile,
        damage_changed_bundle,
        damage_longer_checkpoint,
        damage_forked_checkpoint,
    ],
)
async def test_what_does_not_belong_together_does_not_start(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """A start that could fork the log is refused, and says what is wrong."""
    async with running_ledger(tmp_path) as (database, ledger):
        leaves = await database.write(notices(ledger, 0, 3))
        assert await ledger.integrated(leaf_hash(leaves[0]), 5_000)
    damage(tmp_path)
    with pytest.raises(StartRefused):
        open_log(tmp_path, ORIGIN)


async def test_another_origin_does_not_start(tmp_path: Path) -> None:
    """The log key belongs to one server name."""
    async with running_ledger(tmp_path):
        pass
    with pytest.raises(StartRefused):
        open_log(tmp_path, "example.com/log")


async def test_a_lost_checkpoint_file_is_published_again(tmp_path: Path) -> None:
    """What checkpoints.db knows can be published again with the same bytes."""
    async with running_ledger(tmp_path) as (_, ledger):
        vkey = ledger.vkey
    published = (tmp_path / "log" / "checkpoint").read_bytes()
    (tmp_path / "log" / "checkpoint").unlink()
    log = open_log(tmp_path, ORIGIN)
    log.finish()
    log.close()
    assert (tmp_path / "log" / "checkpoint").read_bytes() == published
    verify_log(tmp_path / "log", vkey)


async def test_a_restored_database_puts_no_leaf_into_the_log_twice(tmp_path: Path) -> None:
    """What the log holds already is recognised, though the older database believes that it still waits."""
    async with running_ledger(tmp_path) as (database, ledger):
        await database.write(notices(ledger, 0, 300))
    database = await open_database(tmp_path)
    ledger = Ledger(database, tmp_path, ORIGIN, clock=lambda: NOON)
    await database.write(notices(ledger, 300, 300))
    await ledger.stop()
    await database.close()
    restore = databases().backup(tmp_path / "paraph.db")
    async with running_ledger(tmp_path) as (database, ledger):
        await database.write(notices(ledger, 600, 300))
    restore()
    async with running_ledger(tmp_path) as (database, ledger):
        await database.write(notices(ledger, 900, 3))
    async with running_ledger(tmp_path) as (database, ledger):
        logged = verify_log(tmp_path / "log", ledger.vkey)
        marked = await database.read(lambda tx: tx.rows("SELECT leaf, leaf_index FROM ledger_outbox"))
    assert len(marked) == 603
    assert all(logged[index] == leaf for leaf, index in marked)


async def test_the_log_key_is_for_its_owner_only(tmp_path: Path) -> None:
    """Nobody else on the machine may read it."""
    async with running_ledger(tmp_path):
        pass
    assert (tmp_path / "keys" / "log.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
@runs_writes_once
async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    """SIGKILL at random moments: the log verifies, holds all that was acknowledged, and has one root for each size."""
    roots: dict[int, bytes] = {}
    acknowledged: set[bytes] = set()
    for attempt in range(KILLS):
        vkey, leaves = await _run_and_kill(tmp_path, random.uniform(0.05, 0.4))
        acknowledged |= leaves
        published = checkpoint.open((tmp_path / "log" / "checkpoint").read_bytes(), note.Verifier.from_vkey(vkey))
        assert roots.setdefault(published.size, published.root) == published.root
        async with running_ledger(tmp_path) as (_, ledger):
            assert ledger.vkey == vkey, f"attempt {attempt}"
        logged = verify_log(tmp_path / "log", vkey)
        assert acknowledged <= {leaf_hash(leaf) for leaf in logged}
        _check_prefixes(logged, roots)
    assert len(acknowledged) > 50


def _check_prefixes(logged: list[bytes], roots: dict[int, bytes]) -> None:
    """Every size that was ever signed still has the root it had: recompute all epochs' trees and compare."""
    tree = Tree(leaf_hash(leaf) for leaf in logged)
    for size in [at + 1 for at, leaf in enumerate(logged) if leaf[0] == 2]:
        assert roots.setdefault(size, tree.root(size)) == tree.root(size)


async def _run_and_kill(data: Path, seconds: float) -> tuple[str, set[bytes]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.server.ledger.writer", str(data), databases().setting(data / "paraph.db")),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    vkey = (await process.stdout.readline()).decode().strip()
    await asyncio.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    output = (await process.stdout.read()).decode()
    await process.wait()
    whole_lines = output[: output.rfind("\n") + 1].split()
    return vkey, {bytes.fromhex(line) for line in whole_lines}
