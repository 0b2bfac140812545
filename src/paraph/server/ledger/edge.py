"""The right edge of the log in memory: what is needed to append without reading the log back."""

from collections.abc import Callable, Sequence
from itertools import islice

from paraph.server.ledger.errors import LogStopped
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.tiles import ENTRIES, TILE_WIDTH, Edge, Tile, edge_tiles, encode_entries, parse_entries, parse_tile


class LogEdge:
    """The rightmost tiles and the entries of the rightmost bundle, of a log of some size."""

    def __init__(self) -> None:
        """Start with the empty log."""
        self._edge = Edge()
        self._tail: list[bytes] = []

    @classmethod
    def restore(cls, size: int, root: bytes, read: Callable[[str], bytes | None]) -> "LogEdge":
        """Resume at a signed size from its published files; raises LogStopped if they do not give the signed root."""
        edge = cls()
        try:
            tiles = {tile: _required(tile, read) for tile in edge_tiles(size)}
            edge._edge = Edge.restore(size, tiles)
            edge._tail = _restore_tail(size, tiles, read)
        except TlogError as error:
            raise LogStopped(f"the published files of the log of size {size} are damaged: {error}") from error
        if edge._edge.root() != root:
            raise LogStopped(f"the published tiles do not give the signed root of the log of size {size}")
        return edge

    @property
    def size(self) -> int:
        """Number of leaves so far."""
        return self._edge.size

    def root(self) -> bytes:
        """Root of the tree so far."""
        return self._edge.root()

    def append(self, leaves: Sequence[bytes], hashes: Sequence[bytes]) -> dict[Tile, bytes]:
        """Add leaves with their leaf hashes; returns every tile and bundle that is new, with its bytes."""
        first = self._edge.size // TILE_WIDTH
        files = self._edge.append(hashes)
        entries = iter([*self._tail, *leaves])
        while bundle := list(islice(entries, TILE_WIDTH)):
            files[Tile(ENTRIES, first, len(bundle))] = encode_entries(bundle)
            self._tail = bundle if len(bundle) < TILE_WIDTH else []
            first += 1
        return files


def _restore_tail(size: int, tiles: dict[Tile, bytes], read: Callable[[str], bytes | None]) -> list[bytes]:
    full, width = divmod(size, TILE_WIDTH)
    if not width:
        return []
    entries = parse_entries(_required(Tile(ENTRIES, full, width), read), width)
    if [leaf_hash(entry) for entry in entries] != parse_tile(tiles[Tile(0, full, width)], width):
        raise LogStopped("the rightmost entry bundle does not match its tile")
    return entries


def _required(tile: Tile, read: Callable[[str], bytes | None]) -> bytes:
    data = read(tile.path)
    if data is None:
        raise LogStopped(f"log/{tile.path} is missing, though a checkpoint that covers it was signed")
    return data
