"""The log's public files as a device asks for them, and the proofs that they give."""

import asyncio
from collections.abc import Iterable

from paraph.audit.statement import TreeProof
from paraph.sdk.errors import LogError, SdkError
from paraph.sdk.transport import Transport
from paraph.tlog import proof as proofs
from paraph.tlog import tiles as tiling
from paraph.tlog.merkle import EMPTY_ROOT, Range, range_nodes, range_root, verify_consistency
from paraph.tlog.tiles import ENTRIES, Tile, TileReader


class LogTiles:
    """Fetches tiles; nothing it gives is believed before it was held against a signed root."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof of a leaf in the tree of `size`. Raises TlogError, SdkError."""
        tiles = await self.fetch(tiling.tiles_for_inclusion(index, size))
        return tiling.inclusion_proof_from_tiles(index, size, tiles)

    async def beginning(self, old_size: int, size: int, root: bytes) -> tuple[bytes, list[bytes]]:
        """The root that the tree of `size` and `root` had at `old_size`, and the consistency proof from there.

        Raises TlogError when the tiles are not that tree's: broken tiles prove nothing either way.
        """
        if old_size == 0:
            return EMPTY_ROOT, []
        old_nodes = [tiling.tile_of(node, size) for node in range_nodes(Range(0, old_size))]
        tiles = await self.fetch({*tiling.tiles_for_consistency(old_size, size), *old_nodes})
        proof = tiling.consistency_proof_from_tiles(old_size, size, tiles)
        begins_with = range_root(Range(0, old_size), TileReader(size, tiles))
        verify_consistency(old_size, size, begins_with, root, proof)
        return begins_with, proof

    async def tree_proof(self, size: int, signed: bytes) -> TreeProof:
        """The proof of the last leaf of the tree of `size`, under its signed checkpoint; not verified yet."""
        if size == 0:
            raise LogError("the log is empty")
        index = size - 1
        bundle = Tile(ENTRIES, index // 256, index % 256 + 1)
        tiles = await self.fetch([bundle, *tiling.tiles_for_inclusion(index, size)])
        hashes = tiling.inclusion_proof_from_tiles(index, size, tiles)
        leaf = tiling.parse_entries(tiles[bundle], bundle.width)[-1]
        return TreeProof(proofs.Proof(index, tuple(hashes), signed).encode(), leaf)

    def same_tree(self, known: TreeProof, signed: bytes) -> TreeProof:
        """The proof of a tree that was proven before, under a newer note of the same checkpoint."""
        proof = proofs.parse(known.bundle)
        return TreeProof(proofs.Proof(proof.index, proof.hashes, signed).encode(), known.epoch_leaf)

    async def fetch(self, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        """These tiles and bundles, each as wide as asked for. Raises SdkError, TlogError."""
        tiles = list(dict.fromkeys(wanted))
        return dict(zip(tiles, await asyncio.gather(*map(self._tile, tiles)), strict=True))

    async def _tile(self, tile: Tile) -> bytes:
        try:
            return await self._transport.bytes(f"/log/{tile.path}")
        except SdkError:
            if tile.is_full:
                raise
        # A partial tile may be gone once its full one exists, and is a part of it.
        data = await self._transport.bytes(f"/log/{Tile(tile.level, tile.index).path}")
        if tile.level != ENTRIES:
            return data[: tile.width * 32]
        return tiling.encode_entries(tiling.parse_entries(data, 256)[: tile.width])
