"""When records came into the log, read from the log's own entries: an epoch leaf closes each batch and names the time.

A bundle of entries is believed once its hashes, put in the place of its tile, lead to the root of a cosigned tree. What
was found for a record holds for good, so it is looked up once on each device.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from paraph.audit.integration import Inclusion, Integration
from paraph.audit.statement import ProvenTree
from paraph.protocol.entry import EpochLeaf, parse_leaf
from paraph.sdk.errors import LogError, MatrixError, TransportError
from paraph.sdk.keystore import Records
from paraph.sdk.log.statements import MAX_KEYS, TOO_LARGE
from paraph.sdk.log.tiles import LogTiles
from paraph.sdk.transport import PARAPH, Transport
from paraph.tlog import tiles as tiling
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import leaf_hash, verify_inclusion
from paraph.tlog.tiles import ENTRIES, TILE_WIDTH, Tile

TABLE = "integrated"
AT_ONCE = 8
"""Bundles fetched side by side."""
_EPOCH = b"\x02"


class Came(msgspec.Struct, frozen=True):
    """Where a record's leaf is, which epoch leaf closed its batch, and when (milliseconds)."""

    index: int
    closing: int
    time: int


class Lateness:
    """Looks up when leaves came into the log, under one cosigned tree."""

    def __init__(self, transport: Transport, records: Records, tree: ProvenTree) -> None:
        self._transport = transport
        self._records = records
        self._tree = tree
        self._tiles = LogTiles(transport)
        self._bundles: dict[int, asyncio.Task[list[bytes]]] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def came(self, under: Mapping[bytes, Sequence[bytes]]) -> dict[bytes, Came]:
        """When each leaf came into the log, by its hash; `under` has the leaves that are proven under keys of the map.

        Raises LogError where the log's files do not bear out what the platform says of it, SdkError.
        """
        known = {leaf: self._known(leaf) for leaves in under.values() for leaf in leaves}
        found = {leaf: came for leaf, came in known.items() if came is not None}
        new = [key for key, leaves in under.items() if any(leaf not in found for leaf in leaves)]
        indexes = {leaf: index for leaf, index in (await self._indexes(under, new)).items() if leaf not in found}
        try:
            looked = await asyncio.gather(*(self._look(leaf, index) for leaf, index in indexes.items()))
        except (TlogError, IndexError) as error:
            raise LogError(f"the log's entries do not check: {error}") from error
        finally:
            for task in self._bundles.values():
                task.cancel()
        with self._records.step():
            for leaf, came in zip(indexes, looked, strict=True):
                self._records.put(TABLE, leaf.hex(), came)
        return found | dict(zip(indexes, looked, strict=True))

    async def integration(self, record: int, came: Came) -> Integration:
        """The proof of what was found, for record number `record` of a list. Raises LogError, SdkError."""
        try:
            leaf, closing = [await self._inclusion(index) for index in (came.index, came.closing)]
            entries = await self._entries(came.closing // TILE_WIDTH)
        except TlogError as error:
            raise LogError(f"the log's files do not check: {error}") from error
        return Integration(record, leaf, closing, entries[came.closing % TILE_WIDTH])

    def _known(self, leaf: bytes) -> Came | None:
        came = self._records.get(TABLE, leaf.hex(), Came)
        return came if came is not None and came.closing < self._tree.size else None

    async def _inclusion(self, index: int) -> Inclusion:
        return Inclusion(index, tuple(await self._tiles.inclusion(index, self._tree.size)))

    async def _indexes(self, under: Mapping[bytes, Sequence[bytes]], keys: Sequence[bytes]) -> dict[bytes, int]:
        """Where the platform says that these leaves are."""
        indexes: dict[bytes, int] = {}
        step, wanted = MAX_KEYS, list(keys)
        while wanted:
            some = wanted[:step]
            try:
                answers = await self._ask(some)
            except MatrixError as error:
                if error.status != TOO_LARGE or len(some) == 1:
                    raise
                step = len(some) // 2
                continue
            for key, answer in zip(some, answers, strict=True):
                indexes.update(zip(under[key], answer, strict=True))
            wanted = wanted[len(some) :]
        return indexes

    async def _ask(self, keys: Sequence[bytes]) -> list[list[int]]:
        body = {"keys": [key.hex() for key in keys], "size": self._tree.size}
        answer = await self._transport.json("POST", f"{PARAPH}/log/map", body, idempotent=True)
        try:
            return msgspec.convert([item["leaf_indexes"] for item in answer["answers"]], list[list[int]])
        except (KeyError, TypeError, msgspec.ValidationError) as error:
            raise TransportError(f"the platform does not say where leaves are: {error}") from error

    async def _look(self, leaf: bytes, index: int) -> Came:
        if not 0 <= index < self._tree.size:
            raise LogError(f"the platform says that a record is leaf {index} of {self._tree.size}")
        bundle, at = divmod(index, TILE_WIDTH)
        entries = await self._entries(bundle)
        if leaf_hash(entries[at]) != leaf:
            raise LogError(f"the platform says that leaf {index} is a record's, and it is another")
        closing = _closing(entries[at:])
        while closing is None:
            bundle, at = bundle + 1, 0
            entries = await self._entries(bundle)
            closing = _closing(entries)
        epoch = parse_leaf(entries[at + closing])
        if not isinstance(epoch, EpochLeaf) or epoch.prev_size > index:
            raise LogError(f"the epoch that closed leaf {index} is not in the log")
        return Came(index, bundle * TILE_WIDTH + at + closing, epoch.time)

    async def _entries(self, number: int) -> list[bytes]:
        """The entries of a bundle, verified; each is fetched once."""
        if number not in self._bundles or self._bundles[number].cancelled():
            self._bundles[number] = asyncio.ensure_future(self._fetch(number))
        return await self._bundles[number]

    async def _fetch(self, number: int) -> list[bytes]:
        size, first = self._tree.size, number * TILE_WIDTH
        width = min(TILE_WIDTH, size - first)
        bundle, tile = Tile(ENTRIES, number, width), Tile(0, number, width)
        async with self._gate:
            needed = {*tiling.tiles_for_inclusion(first, size)} - {tile}
            tiles = await self._tiles.fetch([bundle, *needed])
        entries = tiling.parse_entries(tiles[bundle], width)
        hashes = [leaf_hash(entry) for entry in entries]
        _verify_bundle(hashes, first, self._tree, {**tiles, tile: b"".join(hashes)})
        return entries


def _verify_bundle(hashes: Sequence[bytes], first: int, tree: ProvenTree, tiles: Mapping[Tile, bytes]) -> None:
    """Check that these leaf hashes stand from `first` on in the tree. Raises TlogError.

    The proof of each leaf at which a perfect subtree of the bundle begins is folded from all its other hashes.
    """
    at, width = 0, len(hashes)
    while at < width:
        proof = tiling.inclusion_proof_from_tiles(first + at, tree.size, tiles)
        verify_inclusion(hashes[at], first + at, tree.size, tree.root, proof)
        at += 1 << (width - at).bit_length() - 1


def _closing(entries: Iterable[bytes]) -> int | None:
    """Place of the first epoch leaf."""
    return next((at for at, entry in enumerate(entries) if entry.startswith(_EPOCH)), None)
