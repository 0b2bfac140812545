"""Tiles: paths, contents, growth, and proofs read out of them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paraph.tlog.merkle import Tree, leaf_hash, verify_consistency, verify_inclusion
from paraph.tlog.tiles import (
    ENTRIES,
    MAX_ENTRY,
    Edge,
    MalformedBundle,
    MalformedPath,
    MalformedTile,
    Tile,
    TileAbsent,
    TileError,
    consistency_proof_from_tiles,
    edge_tiles,
    encode_entries,
    entries_path,
    inclusion_proof_from_tiles,
    new_bundles,
    new_tiles,
    parse_entries,
    parse_path,
    parse_tile,
    root_from_tiles,
    tile_path,
    tiles_for_consistency,
    tiles_for_inclusion,
    tiles_for_root,
)
from tests.tlog.strategies import HASHES, TREE, positions, sizes

PATHS = [
    (0, 0, 256, "tile/0/000"),
    (0, 999, 256, "tile/0/999"),
    (0, 1000, 256, "tile/0/x001/000"),
    (0, 1234067, 256, "tile/0/x001/x234/067"),
    (1, 5, 17, "tile/1/005.p/17"),
    (63, 0, 1, "tile/63/000.p/1"),
    (0, 1234067, 8, "tile/0/x001/x234/067.p/8"),
    (ENTRIES, 273, 112, "tile/entries/273.p/112"),
    (ENTRIES, 1234067, 256, "tile/entries/x001/x234/067"),
]


@pytest.mark.parametrize(("level", "index", "width", "path"), PATHS)
def test_paths_of_the_specification(level: int, index: int, width: int, path: str) -> None:
    """Paths are written and read as C2SP tlog-tiles says."""
    assert tile_path(level, index, width) == Tile(level, index, width).path == path
    assert parse_path(path) == Tile(level, index, width)


def test_entries_have_paths_of_their_own() -> None:
    """Bundles lie under tile/entries."""
    assert entries_path(1234067) == "tile/entries/x001/x234/067"
    assert entries_path(0, 3) == "tile/entries/000.p/3"


@given(st.integers(ENTRIES, 63), st.integers(0, 2**63 - 1), st.integers(1, 256))
def test_paths_round_trip(level: int, index: int, width: int) -> None:
    """Every possible tile is found again by its path."""
    assert parse_path(tile_path(level, index, width)) == Tile(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000/p/1",
        "tile/0/000.p/1/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/entries",
        "tile/entry/000",
        "tile/0/../000",
        "tile/0/" + "x999/" * 7 + "999",
        "tile/0/" + "x999/" * 2000 + "999",
    ],
)
def test_other_spellings_of_paths_are_refused(path: str) -> None:
    """No tile has two paths."""
    with pytest.raises(MalformedPath):
        parse_path(path)


@pytest.mark.parametrize("tile", [(-2, 0, 1), (64, 0, 1), (0, -1, 1), (0, 2**63, 1), (0, 0, 0), (0, 0, 257)])
def test_impossible_tiles_have_no_path(tile: tuple[int, int, int]) -> None:
    """Levels, indexes and widths are bounded."""
    with pytest.raises(MalformedPath):
        tile_path(*tile)


@given(st.text(alphabet="tile/0123456789xp.ns", max_size=24))
def test_a_path_is_read_only_if_it_is_written_so(path: str) -> None:
    """Whatever is read has exactly this path."""
    try:
        tile = parse_path(path)
    except MalformedPath:
        return
    assert tile.path == path


@given(st.lists(st.binary(max_size=40), max_size=256))
def test_bundles_round_trip(entries: list[bytes]) -> None:
    """Entries are read back as written, empty ones too."""
    assert parse_entries(encode_entries(entries), len(entries)) == entries


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=6), st.data())
def test_a_bundle_has_exactly_its_entries(entries: list[bytes], data: st.DataObject) -> None:
    """Cut short, lengthened, or read at another width, it is refused."""
    bundle = encode_entries(entries)
    with pytest.raises(MalformedBundle):
        parse_entries(bundle[: data.draw(st.integers(0, len(bundle) - 1))], len(entries))
    with pytest.raises(MalformedBundle):
        parse_entries(bundle + data.draw(st.binary(min_size=1, max_size=3)), len(entries))
    for width in (len(entries) - 1, len(entries) + 1):
        with pytest.raises(MalformedBundle):
            parse_entries(bundle, width)


def test_the_longest_entry() -> None:
    """65,535 bytes fit; one more does not."""
    assert parse_entries(encode_entries([bytes(MAX_ENTRY)]), 1) == [bytes(MAX_ENTRY)]
    with pytest.raises(MalformedBundle):
        encode_entries([bytes(MAX_ENTRY + 1)])


@pytest.mark.parametrize("length", [0, 31, 33, 63, 65, 96])
def test_a_tile_has_exactly_its_hashes(length: int) -> None:
    """Two hashes are 64 bytes."""
    with pytest.raises(MalformedTile):
        parse_tile(bytes(length), 2)


def test_the_tiles_of_the_specifications_example() -> None:
    """70,000 leaves: 273 full tiles and one of 112; one full and one of 17; one of 1. And 256 leaves."""
    tiles = new_tiles(0, 70_000)
    assert [tile for tile in tiles if not tile.is_full] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert [tile for tile in tiles if tile.is_full] == [*(Tile(0, n) for n in range(273)), Tile(1, 0)]
    assert edge_tiles(70_000) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert new_tiles(0, 256) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(new_bundles(0, 300)) == [Tile(ENTRIES, 0), Tile(ENTRIES, 1, 44)]


@given(st.integers(0, 2**40), st.integers(0, 2000))
def test_growth_is_what_the_new_tree_has_and_the_old_had_not(old: int, more: int) -> None:
    """Against the definition, level by level: width floor(size / 256^level) mod 256, unchanged tiles left out."""
    expected = []
    for level in range(8):
        before, after = (size // 256**level for size in (old, old + more))
        for index in range(before // 256, after // 256 + 1):
            width = min(256, after - index * 256)
            if width > max(0, min(256, before - index * 256)):
                expected.append(Tile(level, index, width))
    assert new_tiles(old, old + more) == expected
    assert list(new_bundles(old, old + more)) == [Tile(ENTRIES, t.index, t.width) for t in expected if t.level == 0]


def test_bundles_come_one_at_a_time() -> None:
    """A log may sign the largest size there is: whoever walks it stops at the first file that is missing."""
    assert next(new_bundles(0, 2**63 - 1)) == Tile(ENTRIES, 0)


@pytest.mark.parametrize("pair", [(2, 1), (-1, 1)])
def test_a_log_does_not_shrink(pair: tuple[int, int]) -> None:
    """Sizes out of order have no tiles."""
    with pytest.raises(TileError):
        new_tiles(*pair)
    with pytest.raises(TileError):
        new_bundles(*pair)


@given(st.lists(st.integers(0, 300), max_size=5))
@example([256, 256, 1])
@example([700])
def test_the_edge_grows_the_whole_tree(steps: list[int]) -> None:
    """Appended in any steps, resumed between them, the edge makes exactly the tiles of the tree and its root."""
    published: dict[Tile, bytes] = {}
    edge = Edge()
    for step in steps:
        published |= edge.append(HASHES[edge.size : edge.size + step])
        edge = Edge.restore(edge.size, {tile: published[tile] for tile in edge_tiles(edge.size)})
    assert edge.root() == TREE.root(edge.size)
    for tile in new_tiles(0, edge.size):
        start = tile.index * 256
        expected = HASHES if tile.level == 0 else [TREE.root(256), tile_hash(256, 512), tile_hash(512, 768)]
        assert published[tile] == b"".join(expected[start : start + tile.width])


def tile_hash(start: int, end: int) -> bytes:
    """Root of the leaves [start, end) alone."""
    return Tree(HASHES[start:end]).root()


def test_restoring_needs_its_tiles() -> None:
    """A missing or misshapen tile is named."""
    with pytest.raises(TileAbsent, match=r"tile/0/001\.p/44"):
        Edge.restore(300, {Tile(1, 0, 1): bytes(32)})
    with pytest.raises(MalformedTile):
        Edge.restore(2, {Tile(0, 0, 2): bytes(63)})


@pytest.fixture(scope="module")
def deep() -> dict[Tile, bytes]:
    """Every tile, partial ones of each size too, of a tree of 66,000 leaves: three levels."""
    edge = Edge()
    tiles: dict[Tile, bytes] = {}
    for size in DEEP_SIZES:
        tiles |= edge.append(leaf_hash(b"%d" % number) for number in range(edge.size, size))
    return tiles


DEEP_SIZES = [1, 255, 256, 257, 65_535, 65_536, 65_537, 66_000]


@pytest.mark.parametrize("size", DEEP_SIZES)
def test_proofs_from_the_tiles_they_name(deep: dict[Tile, bytes], size: int) -> None:
    """Exactly the named tiles suffice for root, inclusion and consistency, across tile levels."""
    root = root_from_tiles(size, {tile: deep[tile] for tile in tiles_for_root(size)})
    assert tiles_for_root(size) == edge_tiles(size)
    for index in {0, size // 3, size - 1}:
        tiles = {tile: deep[tile] for tile in tiles_for_inclusion(index, size)}
        proof = inclusion_proof_from_tiles(index, size, tiles)
        verify_inclusion(leaf_hash(b"%d" % index), index, size, root, proof)
    for old in (known for known in DEEP_SIZES if known <= size):
        tiles = {tile: deep[tile] for tile in tiles_for_consistency(old, size)}
        old_root = root_from_tiles(old, deep)
        verify_consistency(old, size, old_root, root, consistency_proof_from_tiles(old, size, tiles))


@given(positions(), sizes())
def test_proofs_from_tiles_are_the_trees(position: tuple[int, int], pair: tuple[int, int]) -> None:
    """Tiles and tree give the same hashes, and each named tile is needed."""
    tiles = Edge().append(HASHES[: position[1]])
    needed = {tile: tiles[tile] for tile in tiles_for_inclusion(*position)}
    assert inclusion_proof_from_tiles(*position, needed) == TREE.inclusion_proof(*position)
    for tile in needed:
        with pytest.raises(TileAbsent):
            inclusion_proof_from_tiles(*position, {other: needed[other] for other in needed if other != tile})
    tiles = Edge().append(HASHES[: pair[1]])
    assert consistency_proof_from_tiles(*pair, tiles) == TREE.consistency_proof(*pair)
