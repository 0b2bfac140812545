"""Leaves of the log by their hashes, many at once: where they are, what they say, and that they are there.

Where a leaf is, is the platform's word; the leaf's hash and the inclusion proof say whether it is true.
"""

import asyncio
from collections.abc import Mapping, Sequence

from paraph.sdk.errors import LogError, MatrixError, ProblemError
from paraph.sdk.log.tiles import LogTiles
from paraph.sdk.transport import PARAPH, Transport
from paraph.tlog import tiles as tiling
from paraph.tlog.tiles import ENTRIES, TILE_WIDTH, Tile

AT_ONCE = 8
"""Requests under way at one time."""
NOT_FOUND = 404


class LogLeaves(LogTiles):
    """Asks the platform where leaves are, and fetches what proves it; tiles that several need are fetched once."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._free = asyncio.Semaphore(AT_ONCE)

    async def places(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """The index of each leaf that the platform says is in its published log; the others are left out."""
        found = await asyncio.gather(*map(self._place, hashes))
        return {hashed: index for hashed, index in zip(hashes, found, strict=True) if index is not None}

    async def inclusions(self, indexes: Sequence[int], size: int) -> dict[int, list[bytes]]:
        """The inclusion proof of each leaf in the tree of `size`. Raises TlogError, SdkError."""
        wanted = {index: tiling.tiles_for_inclusion(index, size) for index in indexes if index < size}
        tiles = await self.fetch(tile for each in wanted.values() for tile in each)
        return {index: tiling.inclusion_proof_from_tiles(index, size, tiles) for index in wanted}

    async def read(self, hashes: Sequence[bytes], size: int) -> list[bytes]:
        """What the log has at the places where these leaves are said to be, in this order. Raises TlogError, SdkError.

        Whether it is those leaves is for their hashes to say.
        """
        places = await self.places(hashes)
        if any(places.get(hashed, size) >= size for hashed in hashes):
            raise LogError("the platform does not say where a leaf of its map is in the log")
        indexes = [places[hashed] for hashed in hashes]
        tiles = await self.fetch(_bundle(index, size) for index in indexes)
        entries = {tile: tiling.parse_entries(data, tile.width) for tile, data in tiles.items()}
        return [entries[_bundle(index, size)][index % TILE_WIDTH] for index in indexes]

    async def _place(self, hashed: bytes) -> int | None:
        try:
            async with self._free:
                url = f"{PARAPH}/log/leaf/{hashed.hex()}"
                answer: Mapping[str, object] = await self._transport.json("GET", url, public=True)
        except (MatrixError, ProblemError) as error:
            if error.status != NOT_FOUND:
                raise
            return None
        index = answer.get("leaf_index")
        return index if type(index) is int and index >= 0 else None


def _bundle(index: int, size: int) -> Tile:
    """The entry bundle with the leaf, as wide as the tree of `size` has it."""
    number = index // TILE_WIDTH
    return Tile(ENTRIES, number, min(TILE_WIDTH, size - number * TILE_WIDTH))
