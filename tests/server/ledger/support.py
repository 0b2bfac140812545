"""What the ledger's tests share: a running ledger on real files, and a verifier of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from paraph.audit.map import MapReplay
from paraph.protocol.entry import EpochLeaf, parse_leaf
from paraph.server.ledger.sequencer import Cadence
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database
from paraph.tlog import checkpoint, note
from paraph.tlog.merkle import Tree, leaf_hash
from paraph.tlog.tiles import Edge, entries_path, new_bundles, new_tiles, parse_entries
from tests.support.databases import open_test_database

ORIGIN = "example.org/log"
NOON = 1_760_000_000_000
PERSON = "@author:example.org"
K = bytes(range(32))
QUICK = Cadence(interval=0.005, heartbeat=60.0, retry=0.01)


async def open_database(data: Path) -> Database:
    """The main database with the ledger's tables."""
    return await open_test_database(data / "paraph.db", ["paraph.server.ledger"])


@asynccontextmanager
async def running_ledger(
    data: Path,
    cadence: Cadence = QUICK,
    database: Database | None = None,
    clock: Callable[[], int] = lambda: NOON,
) -> AsyncIterator[tuple[Database, Ledger]]:
    """A started ledger and its database (the running test's own if none is given); stopped and closed at the end."""
    database = database or await open_database(data)
    try:
        ledger = Ledger(database, data, ORIGIN, clock=clock, cadence=cadence)
        await ledger.start()
        try:
            yield database, ledger
        finally:
            await ledger.stop()
    finally:
        await database.close()


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; TimeoutError after 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event to offer)
            await asyncio.sleep(0.002)


def verify_log(log: Path, vkey: str) -> list[bytes]:
    """Every leaf of a published log after a full replay: signature, bundles, each tile, root, nothing left over."""
    signed = checkpoint.open((log / "checkpoint").read_bytes(), note.Verifier.from_vkey(vkey), origin=ORIGIN)
    leaves: list[bytes] = []
    for bundle in new_bundles(0, signed.size):
        leaves += parse_entries((log / entries_path(bundle.index, bundle.width)).read_bytes(), bundle.width)
    hashes = [leaf_hash(leaf) for leaf in leaves]
    tiles = Edge().append(hashes)
    assert set(tiles) == set(new_tiles(0, signed.size))
    for tile, data in tiles.items():
        assert (log / tile.path).read_bytes() == data, f"{tile.path} does not match the entries"
        if tile.is_full:
            assert not (log / f"{tile.path}.p").exists(), f"partial tiles of {tile.path} were left"
    assert Tree(hashes).root() == signed.root
    assert len(set(hashes)) == len(hashes), "a leaf is in the log twice"
    check_map(leaves)
    return leaves


def check_map(leaves: list[bytes]) -> None:
    """Make the map again from the leaves; every epoch must carry its root."""
    replayed = MapReplay()
    parsed = [parse_leaf(leaf) for leaf in leaves]
    for index, leaf in enumerate(parsed):
        replayed.visit(index, leaf)
    assert replayed.checked() == sum(isinstance(leaf, EpochLeaf) for leaf in parsed)
