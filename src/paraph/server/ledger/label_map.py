"""The verifiable map of this log (docs/protocol.md §9): kept one batch at a time, and asked for proofs.

The trie is in memory, made at the start from the frontiers in `map.db`; both follow the log. A batch's map is computed
when the batch is staged, since its root belongs into the epoch leaf, and kept once the batch's tree is signed. What was
computed and never signed is forgotten: maps are values, nothing has to be undone.

Older maps stay readable for a while, because a proof is asked under a checkpoint that was published some time ago.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import structlog

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import EpochLeaf, parse_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.map_key import map_key_of_bytes
from paraph.server.ledger.errors import LedgerError, LogStopped, MapNotKept, TooManyLeaves
from paraph.server.ledger.map_store import FollowedStore, MapStore, Place
from paraph.server.ledger.model import Batch, is_epoch
from paraph.tlog.errors import TlogError
from paraph.tlog.map_proof import MapProof, map_value
from paraph.tlog.merkle import Frontier, leaf_hash
from paraph.tlog.prefix_map import PrefixMap, grow
from paraph.tlog.tiles import ENTRIES, TILE_WIDTH, Tile, new_bundles, parse_entries

logger = structlog.get_logger("paraph.ledger")

KEEP_CHANGES = 20_000
"""Changed keys that older maps may hold on to, together: each costs some 2.5 kB of memory."""
KEEP_EPOCHS = 4096
"""Older maps that are kept at most."""
MAX_LEAVES = 20_000
"""Leaves that one answer about several keys holds at most, together; one key alone is answered whatever it holds."""
LOADED = 4096
"""Keys taken from `map.db` at a time when the trie is made."""

Read = Callable[[str], bytes | None]
"""Gives the bytes of a public file of the log, or None."""


@dataclass(frozen=True, slots=True)
class KeyAnswer:
    """All that the log of `size` holds under `key`, with the proof; `count` 0 and no root: nothing.

    `leaf_indexes` and `leaf_hashes` (32 bytes each) are in log order.
    """

    key: bytes
    size: int
    epoch: EpochLeaf
    proof: MapProof
    count: int
    subtree_root: bytes | None
    leaf_indexes: list[int]
    leaf_hashes: list[bytes]

    @property
    def tree(self) -> dict[str, Any]:
        """Of which tree the answer is, as docs/protocol.md section 9 has it."""
        epoch = self.epoch
        members = {"n": epoch.n, "prev_size": epoch.prev_size, "map_root": epoch.map_root, "time": epoch.time}
        return {"size": self.size, "epoch": members}

    @property
    def statement(self) -> dict[str, Any]:
        """The `A` of docs/protocol.md section 9."""
        return {
            "key": self.key.hex(),
            "count": self.count,
            "leaves": [b64url(hashed) for hashed in self.leaf_hashes],
            "leaf_indexes": self.leaf_indexes,
            "proof": b64url(self.proof.encode()),
        }

    @property
    def rendered(self) -> dict[str, Any]:
        """The `M` of docs/protocol.md section 9."""
        root = None if self.subtree_root is None else b64url(self.subtree_root)
        return {**self.tree, **self.statement, "subtree_root": root}


@dataclass(frozen=True, slots=True)
class _Kept:
    """The map under one signed tree; `weight` is how many keys its epoch changed."""

    epoch: EpochLeaf
    tree: PrefixMap
    weight: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """What some leaves after the log of size `start` make of the map."""

    start: int
    leaves: tuple[bytes, ...]
    tree: PrefixMap
    frontiers: dict[bytes, Frontier]
    places: list[Place]


class LabelMap:
    """The map as the log grows. One thread changes it; `answer` may be asked by any."""

    def __init__(self, store: MapStore | FollowedStore) -> None:
        """Know nothing yet: `restore` comes first."""
        self._store = store
        self._size = 0
        self._tree = PrefixMap()
        self._plan: _Plan | None = None
        self._kept: dict[int, _Kept] = {}
        self._weight = 0
        self.labels = 0
        """Keys that have leaves."""

    @property
    def size(self) -> int:
        """Size of the log whose leaves are in."""
        return self._size

    def restore(self, size: int, read: Read) -> None:
        """Stand where the signed log of `size` does, whatever `map.db` holds: what it lacks is read from the log.

        Raises LogStopped if a published epoch's map root is not that of the leaves.
        """
        self._plan, self._kept, self._weight = None, {}, 0
        try:
            with self._store.snapshot():
                self._size, self._tree = self._store.size(), self._load()
            fits = self._size <= size and self._fits(read)
        except TlogError:
            fits = False
        if not fits:
            logger.warning("map.db does not belong to this log; it is made again from the leaves", size=size)
            self._store.clear()
            self._size, self._tree, self.labels = 0, PrefixMap(), 0
        self.follow(size, read)

    def follow(self, size: int, read: Read) -> None:
        """Take in the leaves that the published log of `size` has more, epoch by epoch. Raises LogStopped."""
        if size - self._size > LOADED:
            logger.info("the map follows the log", behind=size - self._size)
        start, leaves = self._size, list[bytes]()
        for bundle in new_bundles(start, size):
            entries = parse_entries(_required(bundle, read), bundle.width)
            for leaf in entries[max(start - bundle.index * TILE_WIDTH, 0) :]:
                leaves.append(leaf)
                if is_epoch(leaf):
                    batch = Batch(self._size, tuple(leaves))
                    self.check(batch)
                    self.add(batch)
                    leaves.clear()

    def root_after(self, start: int, leaves: Sequence[bytes]) -> bytes:
        """Root of the map once these leaves follow the log of size `start`."""
        self._plan = self._planned(start, tuple(leaves))
        return self._plan.tree.root

    def check(self, batch: Batch) -> None:
        """Hold a batch's epoch leaf against the map. Raises LogStopped if its root is another."""
        if self._size == batch.end:
            return
        self._plan = self._planned(batch.start, batch.leaves[:-1])
        claimed, computed = batch.epoch.map_root, b64url(self._plan.tree.root)
        # Null is what versions before the map staged; no later one does.
        if claimed is not None and claimed != computed:
            raise LogStopped(f"epoch {batch.epoch.n} has the map root {claimed}, its leaves give {computed}")

    def add(self, batch: Batch) -> None:
        """Keep the map of a batch whose tree is signed; again: no change."""
        if self._size == batch.end:
            return
        plan = self._planned(batch.start, batch.leaves[:-1])
        self._store.write(batch.end, plan.frontiers, plan.places)
        added = Counter(key for key, _, _ in plan.places)
        self.labels += sum(frontier.size == added[key] for key, frontier in plan.frontiers.items())
        self._size, self._tree, self._plan = batch.end, plan.tree, None
        self._keep(_Kept(batch.epoch, plan.tree, len(plan.frontiers)))

    def answers(self, keys: Sequence[bytes], size: int) -> list[KeyAnswer]:
        """All that the log of `size`, the end of an epoch, holds under each key, in the order asked.

        Raises MapNotKept, or TooManyLeaves if several keys hold more than `MAX_LEAVES` together.
        """
        kept = self._kept.get(size)
        if kept is None or kept.epoch.map_root is None:
            raise MapNotKept(f"the map of the log of size {size} is not kept")
        found, leaves = [], 0
        for key in keys:
            found.append(self._answer(kept, key, size))
            leaves += found[-1].count
            if leaves > MAX_LEAVES and len(keys) > 1:
                raise TooManyLeaves(f"more than {MAX_LEAVES} leaves lie under these {len(keys)} keys")
        return found

    def answer(self, key: bytes, size: int) -> KeyAnswer:
        """All that the log of `size`, the end of an epoch, holds under a key. Raises MapNotKept."""
        return self.answers([key], size)[0]

    def _answer(self, kept: _Kept, key: bytes, size: int) -> KeyAnswer:
        proof, value = kept.tree.prove(key), kept.tree.get(key)
        if value is None:
            return KeyAnswer(key, size, kept.epoch, proof, 0, None, [], [])
        places = self._store.places(key, size)
        frontier = Frontier()
        for _, hashed in places:
            frontier.append(hashed)
        if not places or map_value(len(places), frontier.root()) != value:
            raise LedgerError(f"map.db holds other leaves under {key.hex()} than the map of size {size}")
        indexes, hashes = [index for index, _ in places], [bytes(hashed) for _, hashed in places]
        return KeyAnswer(key, size, kept.epoch, proof, len(places), frontier.root(), indexes, hashes)

    def close(self) -> None:
        """Close map.db."""
        self._store.close()

    def _planned(self, start: int, leaves: tuple[bytes, ...]) -> _Plan:
        if self._plan is not None and (self._plan.start, self._plan.leaves) == (start, leaves):
            return self._plan
        if start != self._size:
            raise LogStopped(f"a batch begins at {start}, and the map is that of the log of size {self._size}")
        places = _places(start, leaves)
        tree, frontiers = grow(self._tree, self._store.frontiers, [(key, hashed) for key, _, hashed in places])
        return _Plan(start, leaves, tree, frontiers, places)

    def _keep(self, kept: _Kept) -> None:
        self._kept[self._size] = kept
        self._weight += kept.weight
        while len(self._kept) > 2 and (self._weight > KEEP_CHANGES or len(self._kept) > KEEP_EPOCHS):
            self._weight -= self._kept.pop(next(iter(self._kept))).weight

    def _load(self) -> PrefixMap:
        tree, labels = PrefixMap(), self._store.labels()
        self.labels = 0
        while some := {key: map_value(frontier.size, frontier.root()) for key, frontier in islice(labels, LOADED)}:
            tree = tree.set(some)
            self.labels += len(some)
        return tree

    def _fits(self, read: Read) -> bool:
        """Whether the trie is the one whose root the log published at this size."""
        if self._size == 0:
            return True
        epoch = _epoch_at(self._size, read)
        if epoch is None or epoch.map_root != b64url(self._tree.root):
            return False
        self._keep(_Kept(epoch, self._tree, 0))
        return True


def _places(start: int, leaves: Sequence[bytes]) -> list[Place]:
    places = []
    for index, leaf in enumerate(leaves, start):
        try:
            key = map_key_of_bytes(leaf)
        except ProtocolError as error:
            raise LogStopped(f"leaf {index} is none that the protocol knows: {error}") from error
        if key is not None:
            places.append((key, index, leaf_hash(leaf)))
    return places


def _epoch_at(size: int, read: Read) -> EpochLeaf | None:
    """The epoch leaf that closes the signed tree of this size, if the published files show one."""
    index = (size - 1) // TILE_WIDTH
    width = size - index * TILE_WIDTH
    whole, part = Tile(ENTRIES, index), Tile(ENTRIES, index, width)
    for bundle in (part, whole):
        data = read(bundle.path)
        if data is not None:
            leaf = parse_leaf(parse_entries(data, bundle.width)[width - 1])
            return leaf if isinstance(leaf, EpochLeaf) else None
    return None


def _required(bundle: Tile, read: Read) -> bytes:
    data = read(bundle.path)
    if data is None:
        raise LogStopped(f"log/{bundle.path} is missing, though a checkpoint that covers it was signed")
    return data
