"""What a device has seen of the transparency log: the newest checkpoint, and which leaves it has proven to be in it.

Every checkpoint must extend the one before. A signed checkpoint that provably does not is evidence of a fork: this is
remembered, and nothing is shared with partners from then on.
"""

import logging
from collections.abc import Iterable

import msgspec

from paraph.protocol.entry import EpochLeaf, parse_leaf
from paraph.protocol.errors import ProtocolError
from paraph.sdk.errors import ForkDetectedError, LogError, MatrixError, ProblemError, SdkError
from paraph.sdk.keystore import Records
from paraph.sdk.transport import PARAPH, Transport
from paraph.tlog import checkpoint as checkpoints
from paraph.tlog import tiles as tiling
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import Range, leaf_hash, range_nodes, range_root, verify_consistency, verify_inclusion
from paraph.tlog.note import Verifier
from paraph.tlog.tiles import ENTRIES, Tile, TileReader

log = logging.getLogger(__name__)

TABLE = "log"
PROVEN = "leaf"
INTEGRATION_MS = 10_000


class Seen(msgspec.Struct, frozen=True):
    """The newest checkpoint, the time of its epoch leaf (milliseconds), and whether the log has forked."""

    size: int
    root: bytes
    time: int
    forked: bool = False


class LogView:
    """One log, as one device knows it. `vkey` is the pinned verifier key text."""

    def __init__(self, transport: Transport, records: Records, vkey: str) -> None:
        self._transport = transport
        self._records = records
        self._verifier = Verifier.from_vkey(vkey)

    @property
    def seen(self) -> Seen | None:
        """The newest checkpoint this device has checked."""
        return self._records.get(TABLE, "seen", Seen)

    async def refresh(self) -> Seen:
        """Fetch the newest checkpoint and check that it extends the last one seen.

        Raises ForkDetectedError when it provably does not, LogError when this cannot be told now.
        """
        known = self.seen
        if known is not None and known.forked:
            raise ForkDetectedError("this log has shown two histories; nothing is shared with partners any more")
        try:
            signed = await self._transport.bytes("/log/checkpoint")
            head = checkpoints.open(signed, self._verifier)
            if known is not None:
                await self._check_extends(known, head)
            if known is not None and head.size == known.size:
                return known
            return self._remember(Seen(head.size, head.root, await self._epoch_time(head)))
        except (TlogError, ProtocolError) as error:
            raise LogError(f"the log's answer does not check: {error}") from error

    async def prove(self, leaf: bytes, *, wait_ms: int = 0) -> None:
        """Check that the leaf is under the newest checkpoint seen, waiting for its integration up to `wait_ms`.

        A proof holds for all later checkpoints, so each leaf is proven once. Raises LogError.
        """
        hashed = leaf_hash(leaf)
        if self._records.get(PROVEN, hashed.hex(), int) is not None:
            return
        index = await self._index(hashed, wait_ms)
        seen = self.seen
        if seen is None or index >= seen.size:
            seen = await self.refresh()
        if index >= seen.size:
            raise LogError("the platform says the leaf is in the log, the published checkpoint ends before it")
        try:
            tiles = await self._fetch(tiling.tiles_for_inclusion(index, seen.size))
            proof = tiling.inclusion_proof_from_tiles(index, seen.size, tiles)
            verify_inclusion(hashed, index, seen.size, seen.root, proof)
        except TlogError as error:
            raise LogError(f"the log does not prove the record: {error}") from error
        with self._records.step():
            self._records.put(PROVEN, hashed.hex(), index)

    async def _index(self, hashed: bytes, wait_ms: int) -> int:
        try:
            answer = await self._transport.json(
                "GET",
                f"{PARAPH}/log/leaf/{hashed.hex()}",
                params={"timeout": min(wait_ms, INTEGRATION_MS)},
                wait_ms=wait_ms,
            )
        except (MatrixError, ProblemError) as error:
            raise LogError(f"the record is not in the log: {error}") from error
        index = answer.get("leaf_index")
        if not isinstance(index, int) or index < 0:
            raise LogError("the platform does not say where in the log the record is")
        return index

    async def _check_extends(self, known: Seen, head: checkpoints.Checkpoint) -> None:
        """One of the two trees must begin with the other one."""
        if head.size == known.size and head.root != known.root:
            self._fork(known)
        old, new = (known.size, known.root), (head.size, head.root)
        if head.size < known.size:
            old, new = new, old
        await self._check_consistent(known, *old, *new)
        if head.size < known.size:
            raise LogError("the platform shows an older checkpoint than it did before")

    async def _check_consistent(
        self, known: Seen, old_size: int, old_root: bytes, new_size: int, new_root: bytes
    ) -> None:
        if old_size in (0, new_size):
            return
        old_nodes = [tiling.tile_of(node, new_size) for node in range_nodes(Range(0, old_size))]
        tiles = await self._fetch({*tiling.tiles_for_consistency(old_size, new_size), *old_nodes})
        proof = tiling.consistency_proof_from_tiles(old_size, new_size, tiles)
        begins_with = range_root(Range(0, old_size), TileReader(new_size, tiles))
        # First: do the tiles themselves belong to the newer checkpoint? Broken tiles prove nothing either way.
        verify_consistency(old_size, new_size, begins_with, new_root, proof)
        if begins_with != old_root:
            self._fork(known)

    def _fork(self, known: Seen) -> None:
        with self._records.step():
            self._records.put(TABLE, "seen", msgspec.structs.replace(known, forked=True))
        log.error("the log of %s has forked", self._verifier.name)
        raise ForkDetectedError("the log has signed two histories that do not extend one another")

    def _remember(self, seen: Seen) -> Seen:
        with self._records.step():
            self._records.put(TABLE, "seen", seen)
        return seen

    async def _epoch_time(self, head: checkpoints.Checkpoint) -> int:
        """Time of the epoch leaf, which is the last leaf of every signed tree."""
        if head.size == 0:
            raise LogError("the log is empty")
        index = head.size - 1
        bundle = Tile(ENTRIES, index // 256, index % 256 + 1)
        entries = tiling.parse_entries((await self._fetch([bundle]))[bundle], bundle.width)
        tiles = await self._fetch(tiling.tiles_for_inclusion(index, head.size))
        proof = tiling.inclusion_proof_from_tiles(index, head.size, tiles)
        verify_inclusion(leaf_hash(entries[-1]), index, head.size, head.root, proof)
        epoch = parse_leaf(entries[-1])
        if not isinstance(epoch, EpochLeaf):
            raise LogError("the newest tree does not end with an epoch")
        return epoch.time

    async def _fetch(self, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        return {tile: await self._tile(tile) for tile in wanted}

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
