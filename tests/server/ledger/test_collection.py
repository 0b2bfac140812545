"""Partial tiles go once their place is full: at every level, also after a crash; what a log costs on disk."""

import os
from pathlib import Path

import pytest

from paraph.protocol.entry import private_leaf
from paraph.server.ledger.edge import LogEdge
from paraph.server.ledger.files import LogFolder
from paraph.server.ledger.log import open_log
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.tiles import Tile, new_bundles, new_tiles
from tests.server.ledger.support import NOON, ORIGIN, verify_log

LEAVES = int(os.environ.get("PARAPH_LEAVES", "12000"))
BATCH = 3

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


def leaves(start: int, count: int) -> list[bytes]:
    """Private leaves of one label each hundred."""
    return [
        private_leaf(2900, (n // 100).to_bytes(32, "big"), n.to_bytes(32, "big")) for n in range(start, start + count)
    ]


def grow(data: Path, upto: int, batch: int) -> str:
    """A log of `upto` leaves, epoch leaves included, in batches; returns its key."""
    log = open_log(data, ORIGIN)
    while log.head().size < upto:
        log.stage(leaves(log.head().size, batch), NOON)
        log.finish()
    log.close()
    return log.vkey


def disk_used(root: Path) -> int:
    """Bytes that the files and folders below `root` take, in whole blocks."""
    return sum(path.stat().st_blocks * 512 for path in root.rglob("*"))


def test_what_a_crash_left_is_collected_at_the_next_start(tmp_path: Path) -> None:
    """Partial tiles of a full place, at two levels and of bundles, and files never renamed: gone; all else is there."""
    vkey = grow(tmp_path, 600, 50)
    before = {path: path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file()}
    left = [f"{Tile(0, 1).path}.p/17", f"{Tile(-1, 0).path}.p/3", "tile/1/000.p/1.new", "checkpoint.new"]
    for name in left:
        place = tmp_path / "log" / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"left behind")
    (tmp_path / "log" / "tile" / "0" / "000.p").mkdir()
    open_log(tmp_path, ORIGIN).close()
    assert {path: path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file()} == before
    assert not (tmp_path / "log" / "tile" / "0" / "000.p").exists()
    verify_log(tmp_path / "log", vkey)


def test_a_higher_level_is_collected_too(tmp_path: Path) -> None:
    """The partial forms of a tile of level 1 go when that tile is full, whatever its index has for a path."""
    folder = LogFolder(tmp_path)
    full = [Tile(1, 0), Tile(1, 1_234_067), Tile(2, 7)]
    for tile in full:
        for width in (1, 255):
            folder.add({Tile(tile.level, tile.index, width): b"x" * width})
    kept = Tile(1, 1, 9)
    folder.add({kept: b"y"})
    folder.prune([Tile(1, 0, 12)])
    assert (tmp_path / Tile(1, 0, 255).path).exists()
    for tile in full:
        folder.add({tile: b"whole"})
    folder.prune(full)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        [kept.path, *(tile.path for tile in full)]
    )
    assert not list(folder.leftovers(100_000))


def test_what_the_signed_tree_ends_in_is_no_leftover(tmp_path: Path) -> None:
    """A full tile may be of a batch that is not signed yet: the partial one stays until the signed tree has it full."""
    folder = LogFolder(tmp_path)
    for tile in (Tile(0, 0, 254), Tile(0, 0), Tile(1, 0, 1), Tile(1, 0), Tile(-1, 3, 4), Tile(-1, 3)):
        folder.add({tile: b"x"})
    names = {path.relative_to(tmp_path).as_posix() for path in folder.leftovers(254)}
    assert names == set()
    names = {path.relative_to(tmp_path).as_posix() for path in folder.leftovers(1024)}
    assert names == {"tile/0/000.p", "tile/entries/003.p"}
    assert folder.collect(65_535) == 2
    assert {path.relative_to(tmp_path).as_posix() for path in folder.leftovers(65_536)} == {"tile/1/000.p"}


@pytest.mark.slow
def test_a_log_of_small_batches_takes_little_more_than_its_full_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In batches of three leaves, never more than twice what the full tiles take, or a few MB while they are few."""
    monkeypatch.setattr("os.fsync", lambda _handle: None)  # what is measured is what is there, not how durably
    folder, edge, worst = LogFolder(tmp_path), LogEdge(), 0.0
    for start in range(0, LEAVES, BATCH):
        batch = leaves(start, BATCH)
        folder.add(edge.append(batch, [leaf_hash(leaf) for leaf in batch]))
        folder.prune([*new_tiles(start, edge.size), *new_bundles(start, edge.size)])
        if start % 3000 > 2990 and start > LEAVES // 2:
            worst = max(worst, disk_used(tmp_path) / disk_of_full_tiles(tmp_path, edge.size))
    used, full = disk_used(tmp_path), disk_of_full_tiles(tmp_path, edge.size)
    with capsys.disabled():
        print(f"\n{edge.size} leaves, {BATCH} a batch: {used / 1e6:.1f} MB, full tiles alone {full / 1e6:.1f} MB,")  # noqa: T201
        print(f"at most {worst:.2f} times their size in the second half of its growth")  # noqa: T201
    assert used < 2 * full + 4e6
    assert worst < 2 + 4e6 / full


def disk_of_full_tiles(root: Path, size: int) -> int:
    """What is to stay for ever."""
    whole = [tile for tile in (*new_tiles(0, size), *new_bundles(0, size)) if tile.is_full]
    return sum((root / tile.path).stat().st_blocks * 512 for tile in whole)
