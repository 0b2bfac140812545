"""The tiles and bundles of one signed tree, fetched and held against what the leaves give."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from paraph.audit.errors import BadEntry, BadTile, LogError, MissingTile, TileMismatch
from paraph.audit.sources import Fetch
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.merkle import HASH_SIZE, ProofError, leaf_hash, verify_inclusion
from paraph.tlog.tiles import (
    TILE_WIDTH,
    MalformedPath,
    Tile,
    TileError,
    edge_tiles,
    encode_entries,
    inclusion_proof_from_tiles,
    parse_entries,
    parse_path,
    parse_tile,
    tiles_for_inclusion,
)

_POLICY = re.compile(r"policies/[1-9][0-9]*")
"""Changes of the witness policy lie beside the tree and are signed notes of their own (`tlog.policy_change`)."""


class TreeFiles:
    """Fetches the files of one signed tree and compares them; counts what it compared."""

    def __init__(self, fetch: Fetch, tree: Checkpoint, listing: Iterable[str]) -> None:
        """Serve the tree of `tree`; `listing` names files that are there, needed or not."""
        self._fetch = fetch
        self._tree = tree
        self._edge = set(edge_tiles(tree.size))
        self._older: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        self.unchecked: list[str] = []
        self.compared = 0
        for path in listing:
            self._list(path)

    def _list(self, path: str) -> None:
        """Remember a partial tile of an earlier tree; set aside what the signed tree says nothing about."""
        try:
            tile = parse_path(path)
        except MalformedPath:
            if path != "checkpoint" and not _POLICY.fullmatch(path):
                self.unchecked.append(path)
            return
        if tile.width <= self._width(tile):
            self._older[tile.level, tile.index].add(tile.width)
        else:
            self.unchecked.append(path)

    def _width(self, tile: Tile) -> int:
        """How many places of a tile the signed tree fills."""
        count = self._tree.size // _leaves_below(tile)
        return min(TILE_WIDTH, count - tile.index * TILE_WIDTH)

    def entries(self, bundle: Tile) -> list[bytes]:
        """The entries of a bundle of the tree. Raises MissingTile or BadTile."""
        return self._read(bundle, parse_entries)

    def hashes(self, tile: Tile) -> list[bytes]:
        """The hashes of a tile of the tree. Raises MissingTile or BadTile."""
        return self._read(tile, parse_tile)

    def _read(self, tile: Tile, parse: Callable[[bytes, int], list[bytes]]) -> list[bytes]:
        found, data = self._get(tile)
        try:
            return parse(data, found.width)[: tile.width]
        except TileError as error:
            raise BadTile(found.path, f"{found.width} items", str(error)) from error

    def _get(self, tile: Tile) -> tuple[Tile, bytes]:
        """A tile's bytes; once a log has grown, the full tile may have replaced the partial one (tlog-tiles)."""
        full = Tile(tile.level, tile.index)
        for candidate in (tile, full):
            try:
                return candidate, self._fetch(candidate.path)
            except FileNotFoundError:
                continue
        raise MissingTile(tile.path, f"the file, which the tree of size {self._tree.size} needs", "none")

    def check_bundle(self, bundle: Tile, entries: list[bytes]) -> list[bytes]:
        """Hold a bundle's entries against its level-0 tile, and older partial bundles against it; gives leaf hashes.

        Raises BadEntry or TileMismatch, whichever of the two the signed root shows to be wrong.
        """
        self.compared += 1
        hashes = [leaf_hash(entry) for entry in entries]
        published = self.hashes(Tile(0, bundle.index, bundle.width))
        for position, (computed, found) in enumerate(zip(hashes, published, strict=True)):
            if computed != found:
                raise self._wrong_leaf(bundle, position, computed, found)
        self._check_older(bundle, lambda width: encode_entries(entries[:width]))
        return hashes

    def check_tile(self, tile: Tile, data: bytes) -> None:
        """Hold a tile, and older partial forms of it, against the bytes that the leaves give.

        Raises TileMismatch, or BadEntry where the signed root shows that what lies below the tile was exchanged.
        """
        if not tile.is_full and tile not in self._edge:
            return  # a form that the tile only had on its way to the signed tree
        self.compared += 1
        pairs = zip(parse_tile(data, tile.width), self.hashes(tile), strict=True)
        for position, (computed, found) in enumerate(pairs):
            if computed != found:
                raise self._wrong_node(tile, position, computed, found)
        self._check_older(tile, lambda width: data[: width * HASH_SIZE])

    def vouch(self, index: int, hash_of_leaf: bytes, error: LogError) -> LogError:
        """The error, if the published tiles prove that the log signed this leaf; else that the entry was exchanged."""
        if self._proven(index, hash_of_leaf):
            return error
        return BadEntry(f"leaf {index}", "an entry that the published tiles prove under the signed root", str(error))

    def _check_older(self, tile: Tile, beginning: Callable[[int], bytes]) -> None:
        widths = self._older.get((tile.level, tile.index), set())
        for older in (Tile(tile.level, tile.index, width) for width in sorted(widths) if width < tile.width):
            try:
                found = self._fetch(older.path)
            except FileNotFoundError:
                continue  # dropped since it was listed, as a log may once the full tile exists
            self.compared += 1
            if found != beginning(older.width):
                raise TileMismatch(older.path, f"the beginning of {tile.path}", "other bytes")

    def _wrong_leaf(self, bundle: Tile, position: int, computed: bytes, published: bytes) -> LogError:
        """The entry or its hash in the tile: the signed root tells which of them was changed."""
        index = bundle.index * TILE_WIDTH + position
        if self._proven(index, published):
            return BadEntry(f"{bundle.path}, leaf {index}", f"an entry of hash {published.hex()}", computed.hex())
        tile = Tile(0, bundle.index, bundle.width)
        known = "" if self._proven(index, computed) else " (neither is proven under the signed root)"
        return TileMismatch(
            f"{tile.path}, hash {position}", f"{computed.hex()} of leaf {index}", f"{published.hex()}{known}"
        )

    def _wrong_node(self, tile: Tile, position: int, computed: bytes, published: bytes) -> LogError:
        """A hash in a tile of level 1 or above, or all that lies below it: the signed root tells."""
        below = Tile(tile.level - 1, tile.index * TILE_WIDTH + position)
        first = below.index * _leaves_below(tile)
        where, expected = f"{tile.path}, hash {position}", f"{computed.hex()} of {below.path}"
        if self._proven(first, self.hashes(self._leaf_tile(first))[0]):
            return TileMismatch(where, expected, published.hex())
        last = first + _leaves_below(tile) - 1
        return BadEntry(
            f"leaves {first} to {last}", f"entries of hash {published.hex()} in {tile.path}", computed.hex()
        )

    def _leaf_tile(self, index: int) -> Tile:
        whole = Tile(0, index // TILE_WIDTH)
        return Tile(0, whole.index, self._width(whole))

    def _proven(self, index: int, hash_of_leaf: bytes) -> bool:
        """Whether the published tiles prove this leaf hash at this index under the signed root."""
        size = self._tree.size
        try:
            tiles = {tile: b"".join(self.hashes(tile)) for tile in tiles_for_inclusion(index, size)}
            proof = inclusion_proof_from_tiles(index, size, tiles)
            verify_inclusion(hash_of_leaf, index, size, self._tree.root, proof)
        except (MissingTile, BadTile, ProofError):
            return False
        return True


def _leaves_below(tile: Tile) -> int:
    """How many leaves one place of a tile or bundle stands for."""
    return 1 << 8 * max(tile.level, 0)
