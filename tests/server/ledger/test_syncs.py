"""In which order a batch reaches the disk: what may go side by side, and what must wait for what."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paraph.protocol.entry import private_leaf
from paraph.server.ledger.checkpoints import CheckpointStore
from paraph.server.ledger.files import LogFolder
from paraph.server.ledger.log import open_log
from paraph.tlog.tiles import Tile
from tests.server.ledger.support import NOON, ORIGIN, verify_log

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)

LEAVES = [private_leaf(2900, n.to_bytes(32, "big"), bytes(32)) for n in range(300)]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What has ended, in order: syncs, renames, and the two commits of `checkpoints.db`."""
    done: list[tuple[str, str]] = []

    def noted(kind: str, call: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            told, result = name(*args), call(*args)
            done.append((kind, told))
            return result

        return run

    def below(place: Any) -> str:
        return str(place).removeprefix(f"{tmp_path}/log").removeprefix("/")

    monkeypatch.setattr(os, "fsync", noted("sync", os.fsync, lambda fd: below(Path(f"/proc/self/fd/{fd}").readlink())))
    monkeypatch.setattr(os, "rename", noted("rename", os.rename, lambda _from, to: below(to)))
    for name in ("stage", "advance"):
        monkeypatch.setattr(
            CheckpointStore, name, noted("commit", getattr(CheckpointStore, name), lambda *_, n=name: n)
        )
    return done


def test_nothing_shows_before_it_is_durable(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    """Names come after all bytes and the staged batch, the head after all names, the checkpoint last."""
    log = open_log(tmp_path, ORIGIN)
    steps.clear()
    log.stage(LEAVES, NOON)
    assert not [name for kind, name in steps if kind == "rename"]
    assert ("commit", "stage") in steps
    log.finish()
    log.close()
    names = [name for kind, name in steps if kind == "rename"]
    at = {step: number for number, step in enumerate(steps)}
    assert names[-1] == "checkpoint"
    assert {"tile/0/000", "tile/entries/000", "tile/1/000.p/1"} < set(names)
    first, head = at["rename", names[0]], at["commit", "advance"]
    assert at["commit", "stage"] < first
    for name in names[:-1]:
        assert at["sync", f"{name}.new"] < first
        assert at["rename", name] < at["sync", str(Path(name).parent)] < head
    for made in ("", "tile", "tile/0", "tile/1", "tile/entries"):
        assert first < at["sync", made] < head
    assert head < at["sync", "checkpoint.new"] < at["rename", "checkpoint"]
    verify_log(tmp_path / "log", log.vkey)


def test_what_is_there_is_not_replaced_by_what_was_left_beside_it(tmp_path: Path) -> None:
    """A torn `.new` from before stays a leftover where the file itself has the right bytes."""
    folder, tile = LogFolder(tmp_path), Tile(0, 3)
    folder.add({tile: b"right"})
    (tmp_path / f"{tile.path}.new").write_bytes(b"torn")
    folder.add({tile: b"right"})
    assert folder.read(tile.path) == b"right"


def test_a_file_that_cannot_be_synced_keeps_all_names_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sync of several fails: nothing of the batch shows, and the next attempt makes the same files."""
    log, sync = open_log(tmp_path, ORIGIN), os.fsync
    failed: list[str] = []

    def failing(handle: int) -> None:
        name = str(Path(f"/proc/self/fd/{handle}").readlink())
        if name.endswith("entries/000.new") and not failed:
            failed.append(name)
            raise OSError(5, "Input/output error")
        sync(handle)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output"):
        log.stage(LEAVES, NOON)
    assert not [path for path in (tmp_path / "log").rglob("*") if path.is_file() and path.suffix != ".new"]
    log.finish()
    log.close()
    assert failed
    assert len(verify_log(tmp_path / "log", log.vkey)) == len(LEAVES) + 1
