"""A log that the demo produced, before every independent verifier that this machine has."""

from pathlib import Path
from typing import Any

import pytest
from pymerkle import InmemoryTree

from paraph.audit.replay import ReplayReport, replay
from paraph.audit.sources import DirectorySource
from paraph.tlog.tiles import Tile, parse_entries
from tests.audit.logs import flip
from tests.demo.performance import play
from tests.tlog.sumdb import ask

pytestmark = pytest.mark.slow


class DemoLog:
    """The published files that a run of the demo left behind, its key, and what our own replay says of it."""

    def __init__(self, played: dict[str, Any]) -> None:
        self.directory = Path(played["log"]["directory"])
        self.vkey: str = played["log"]["vkey"]
        self.report: ReplayReport = replay(DirectorySource(self.directory), self.vkey)

    @property
    def size(self) -> int:
        return self.report.checkpoint.size

    @property
    def leaves(self) -> list[bytes]:
        """All of them; the story of the demo fits one bundle."""
        bundle = Tile(-1, 0, self.size)
        return parse_entries((self.directory / bundle.path).read_bytes(), bundle.width)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> DemoLog:
    """The demo, played once, with all that leaves something in the log."""
    played = play(tmp_path_factory.mktemp("played") / "demo", acts=("drafts", "secret", "revocation"))
    assert not played.broken
    return DemoLog(played.document)


def test_go(log: DemoLog) -> None:
    """x/mod opens the checkpoint and authenticates every record; not with one bit turned."""
    question = {"Directory": str(log.directory), "Vkey": log.vkey}
    assert ask(Logs=[question])["Logs"] == [{"Records": log.size, "Error": ""}]
    tile = log.directory / Tile(0, 0, log.size).path
    flip(tile, 300)
    assert ask(Logs=[question])["Logs"][0]["Error"]
    flip(tile, 300)


def test_pymerkle(log: DemoLog) -> None:
    """The tree that pymerkle makes of the leaves has the signed root."""
    tree = InmemoryTree(algorithm="sha256")
    for leaf in log.leaves:
        tree.append(leaf)
    assert tree.get_state() == log.report.checkpoint.root


def test_aics_tlog(log: DemoLog) -> None:
    """aics-tlog takes the checkpoint, every tile and every entry bundle."""
    aics = pytest.importorskip("aics_tlog", reason="aics-tlog needs Python 3.12: the gate runs it there")
    signed = aics.parse_note((log.directory / "checkpoint").read_bytes())
    found = aics.verify_checkpoint(signed, aics.parse_vkey(log.vkey))
    assert (found.ok, found.size, found.error) == (True, log.size, None)
    audited = aics.audit_tiles(aics.FileSystemTileReader(log.directory), log.size, log.report.checkpoint.root)
    assert audited.size == log.size
