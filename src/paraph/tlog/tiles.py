"""The tree cut into tiles, as C2SP tlog-tiles publishes it: paths, contents, and which tiles a proof needs.

Nothing here fetches. A caller asks which tiles an answer needs (`tiles_for_...`), brings their bytes by whatever
means it has, and hands them to `..._from_tiles`.

A tile of level L holds up to 256 hashes, each the root of 256^L leaves, so it stands for eight levels of nodes.
Level ENTRIES (-1) names the bundles of the entries themselves.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import (
    HASH_SIZE,
    MAX_PROOF,
    Frontier,
    Node,
    Range,
    consistency_proof,
    consistency_ranges,
    fold_peaks,
    inclusion_proof,
    inclusion_ranges,
    range_nodes,
    range_root,
)
from paraph.tlog.text import MalformedText, parse_number

ENTRIES = -1
"""The level that stands for entry bundles: what a level-0 tile hashes."""
TILE_WIDTH = 256
"""Hashes in a full tile, entries in a full bundle."""
MAX_LEVEL = 63
MAX_ENTRY = 65_535
"""Bytes in the longest entry: its length is a uint16."""
_HEIGHT = 8
_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?")


class TileError(TlogError):
    """A tile, entry bundle or tile path that tlog-tiles does not allow."""


class MalformedPath(TileError):
    """A path that is not the only spelling of a tile's place."""


class MalformedTile(TileError):
    """Tile bytes of the wrong length for the tile's width."""


class MalformedBundle(TileError):
    """An entry bundle that ends early, late, or holds another number of entries than its width."""


class TileAbsent(TileError, LookupError):
    """A tile that an answer needs and the caller did not bring."""


@dataclass(frozen=True, order=True, slots=True)
class Tile:
    """One tile (level 0..63) or entry bundle (level ENTRIES) of a tree, and how many of its 256 places are filled."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where tlog-tiles serves it, below the log's prefix. Raises MalformedPath for an impossible tile."""
        return tile_path(self.level, self.index, self.width)

    @property
    def is_full(self) -> bool:
        """Whether no later append changes it."""
        return self.width == TILE_WIDTH


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Path `tile/<L>/<N>[.p/<W>]`; level ENTRIES gives `tile/entries/...`. Raises MalformedPath if out of bounds."""
    if not ENTRIES <= level <= MAX_LEVEL or not 0 <= index < 1 << MAX_PROOF or not 1 <= width <= TILE_WIDTH:
        raise MalformedPath(f"no tile has level {level}, index {index} and width {width}")
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    stem = f"tile/{'entries' if level == ENTRIES else level}/{'/'.join(reversed(groups))}"
    return stem if width == TILE_WIDTH else f"{stem}.p/{width}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Path `tile/entries/<N>[.p/<W>]` of an entry bundle. Raises MalformedPath if out of bounds."""
    return tile_path(ENTRIES, index, width)


def parse_path(path: str) -> Tile:
    """Read a path that `tile_path` could have written, and no other. Raises MalformedPath."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise MalformedPath(f"expected tile/<level>/<index>[.p/<width>], got {path[:80]!r}")
    level, groups, width = match.groups()
    try:
        index = parse_number(groups.replace("/", "").replace("x", "").lstrip("0") or "0")
    except MalformedText as error:
        raise MalformedPath(f"tile index out of bounds in {path[:80]!r}") from error
    tile = Tile(ENTRIES if level == "entries" else int(level), index, TILE_WIDTH if width is None else int(width))
    if tile.path != path:
        raise MalformedPath(f"expected the path {tile.path!r}, got {path[:80]!r}")
    return tile


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """Write an entry bundle: each entry after its length as a big-endian uint16. Raises MalformedBundle if too long."""
    bundle = bytearray()
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise MalformedBundle(f"an entry holds at most {MAX_ENTRY} bytes, got {len(entry)}")
        bundle += len(entry).to_bytes(2, "big") + entry
    return bytes(bundle)


def parse_entries(bundle: bytes, width: int) -> list[bytes]:
    """Read a bundle of exactly `width` entries. Raises MalformedBundle for fewer, more or trailing bytes."""
    entries = []
    position = 0
    for number in range(width):
        start = position + 2
        position = start + int.from_bytes(bundle[position:start], "big")
        if start > len(bundle) or position > len(bundle):
            raise MalformedBundle(f"expected {width} entries, the bundle ends within entry {number}")
        entries.append(bundle[start:position])
    if position != len(bundle):
        raise MalformedBundle(f"{len(bundle) - position} bytes follow the last of {width} entries")
    return entries


def parse_tile(data: bytes, width: int) -> list[bytes]:
    """Read the hashes of a tile of exactly `width` hashes. Raises MalformedTile."""
    if len(data) != width * HASH_SIZE:
        raise MalformedTile(f"expected {width * HASH_SIZE} bytes for {width} hashes, got {len(data)}")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def new_tiles(old_size: int, new_size: int) -> list[Tile]:
    """The tiles that a tree has at `new_size` and did not have at `old_size`, lowest level first, left to right.

    Every full tile completed in between and, where a level grew, its partial tile. new_tiles(0, n) is the whole tree.
    Raises TileError if the sizes are out of order.
    """
    if not 0 <= old_size <= new_size:
        raise TileError(f"expected sizes in order, got {old_size} then {new_size}")
    tiles: list[Tile] = []
    level = 0
    while new_size > old_size and new_size:
        tiles += _grown(level, old_size, new_size)
        old_size, new_size, level = old_size // TILE_WIDTH, new_size // TILE_WIDTH, level + 1
    return tiles


def new_bundles(old_size: int, new_size: int) -> Iterator[Tile]:
    """The entry bundles that a log has at `new_size` and did not have at `old_size`, in order. Raises TileError.

    One at a time: a log may sign any size, and must not fill the memory of whoever asks it for what it signed.
    """
    if not 0 <= old_size <= new_size:
        raise TileError(f"expected sizes in order, got {old_size} then {new_size}")
    return _grown(ENTRIES, old_size, new_size)


def _grown(level: int, old_count: int, new_count: int) -> Iterator[Tile]:
    """Tiles of one level that change when it grows from one count of hashes to another."""
    full, rest = divmod(new_count, TILE_WIDTH)
    for index in range(old_count // TILE_WIDTH, full):
        yield Tile(level, index)
    if rest and old_count != new_count:
        yield Tile(level, full, rest)


def edge_tiles(size: int) -> list[Tile]:
    """The partial tiles of a tree of `size` leaves, lowest level first: what `Edge.restore` needs."""
    counts = (size >> _HEIGHT * level for level in range((size.bit_length() + _HEIGHT - 1) // _HEIGHT))
    return [
        Tile(level, count // TILE_WIDTH, count % TILE_WIDTH) for level, count in enumerate(counts) if count % TILE_WIDTH
    ]


class Edge:
    """The right edge of a growing tiled tree: all that is needed to append leaves and to know the root."""

    def __init__(self) -> None:
        """Start with the empty tree."""
        self._size = 0
        self._levels: list[list[bytes]] = []

    @classmethod
    def restore(cls, size: int, tiles: Mapping[Tile, bytes]) -> "Edge":
        """Resume at `size` from the bytes of `edge_tiles(size)`. Raises TileAbsent or MalformedTile.

        The caller compares `root()` with the root it trusts.
        """
        edge = cls()
        edge._size = size
        edge._levels = [[] for _ in range((size.bit_length() + _HEIGHT - 1) // _HEIGHT)]
        for tile in edge_tiles(size):
            edge._levels[tile.level] = _hashes(tile, tiles)
        return edge

    @property
    def size(self) -> int:
        """Number of leaves so far."""
        return self._size

    def root(self) -> bytes:
        """Root of the tree so far."""
        return fold_peaks([peak for hashes in reversed(self._levels) for peak in _peaks(hashes)])

    def append(self, hashes_of_leaves: Iterable[bytes]) -> dict[Tile, bytes]:
        """Add leaves, given by their leaf hashes; return each tile of `new_tiles(before, after)` with its bytes."""
        before = self._size
        full: dict[Tile, bytes] = {}
        for hash_of_leaf in hashes_of_leaves:
            self._push(hash_of_leaf, full)
        return {
            tile: full[tile] if tile.is_full else b"".join(self._levels[tile.level])
            for tile in new_tiles(before, self._size)
        }

    def _push(self, hash_of_leaf: bytes, full: dict[Tile, bytes]) -> None:
        """Add one leaf; put each tile that it completes into `full`."""
        self._size += 1
        carry, count, level = hash_of_leaf, self._size, 0
        while True:
            if level == len(self._levels):
                self._levels.append([])
            hashes = self._levels[level]
            hashes.append(carry)
            if len(hashes) < TILE_WIDTH:
                return
            count //= TILE_WIDTH
            full[Tile(level, count - 1)] = b"".join(hashes)
            carry = fold_peaks(_peaks(hashes))
            self._levels[level] = []
            level += 1


def _peaks(hashes: Iterable[bytes]) -> tuple[bytes, ...]:
    frontier = Frontier()
    for item in hashes:
        frontier.append(item)
    return frontier.peaks


def tile_of(node: Node, size: int) -> Tile:
    """The tile of the tree of `size` leaves that holds a node's hash, or the hashes it is made of."""
    level, height = divmod(node.level, _HEIGHT)
    index = (node.index << height) // TILE_WIDTH
    return Tile(level, index, min(TILE_WIDTH, (size >> _HEIGHT * level) - index * TILE_WIDTH))


def tiles_for_root(size: int) -> list[Tile]:
    """The tiles that give the root of the tree of `size` leaves."""
    return _tiles_for([Range(0, size)], size)


def tiles_for_inclusion(index: int, size: int) -> list[Tile]:
    """The tiles that give an inclusion proof. Raises MalformedProof unless 0 <= index < size."""
    return _tiles_for(inclusion_ranges(index, size), size)


def tiles_for_consistency(old_size: int, new_size: int) -> list[Tile]:
    """The tiles that give a consistency proof. Raises MalformedProof unless 0 <= old_size <= new_size."""
    return _tiles_for(consistency_ranges(old_size, new_size), new_size)


def _tiles_for(ranges: Iterable[Range], size: int) -> list[Tile]:
    return sorted({tile_of(node, size) for leaves in ranges for node in range_nodes(leaves)})


class TileReader:
    """Reads nodes of the tree of `size` leaves out of its tiles; serves wherever a NodeReader is asked for."""

    def __init__(self, size: int, tiles: Mapping[Tile, bytes]) -> None:
        """Read from `tiles`, keyed by exactly the tiles that `tiles_for_...` named."""
        self._size = size
        self._tiles = tiles

    def __call__(self, node: Node) -> bytes:
        """Hash of a node. Raises TileAbsent if its tile was not brought, MalformedTile if it has the wrong length."""
        hashes = _hashes(tile_of(node, self._size), self._tiles)
        height = node.level % _HEIGHT
        start = (node.index << height) % TILE_WIDTH
        return fold_peaks(_peaks(hashes[start : start + (1 << height)]))


def _hashes(tile: Tile, tiles: Mapping[Tile, bytes]) -> list[bytes]:
    if tile not in tiles:
        raise TileAbsent(f"the answer needs {tile.path}, which was not brought")
    return parse_tile(tiles[tile], tile.width)


def root_from_tiles(size: int, tiles: Mapping[Tile, bytes]) -> bytes:
    """Root of the tree of `size` leaves, from the tiles that `tiles_for_root` names."""
    return range_root(Range(0, size), TileReader(size, tiles))


def inclusion_proof_from_tiles(index: int, size: int, tiles: Mapping[Tile, bytes]) -> list[bytes]:
    """Inclusion proof of leaf `index`, from the tiles that `tiles_for_inclusion` names.

    Tiles are not verified here: whoever trusts a root verifies the proof against it.
    """
    return inclusion_proof(index, size, TileReader(size, tiles))


def consistency_proof_from_tiles(old_size: int, new_size: int, tiles: Mapping[Tile, bytes]) -> list[bytes]:
    """Consistency proof between two sizes, from the tiles that `tiles_for_consistency` names."""
    return consistency_proof(old_size, new_size, TileReader(new_size, tiles))
