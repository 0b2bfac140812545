"""Verify a whole published log from its files alone, given the log's public key.

Every entry bundle is read, every leaf parsed, every tile recomputed and compared, the root held against the signed
checkpoint, and the verifiable map made again for every epoch. No answer of the log is believed: what is not derived
from the leaves is compared with them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from paraph.audit.epochs import Epochs
from paraph.audit.errors import BadCheckpoint, BadEpoch, BadLeaf, ForkedLog, RootMismatch
from paraph.audit.files import TreeFiles
from paraph.audit.map import MapReplay
from paraph.audit.sources import Fetch
from paraph.protocol.entry import EpochLeaf, Leaf, PrivateLeaf, PublicLeaf, parse_leaf
from paraph.protocol.errors import ProtocolError
from paraph.tlog import checkpoint
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import EMPTY_ROOT
from paraph.tlog.note import Verifier
from paraph.tlog.tiles import Edge, Tile, new_bundles

Visit = Callable[[int, Leaf], None]
"""Told of each leaf, by index, as it is read; to be believed only once the whole replay has returned."""
Progress = Callable[[int, int], None]
"""Told how many leaves of how many are verified."""


@dataclass(frozen=True)
class ReplayReport:
    """A log that was verified from its first leaf to its last."""

    checkpoint: Checkpoint
    """The signed tree that all files were held against."""
    kinds: Mapping[str, int]
    """Leaves by kind: the public kinds by name, `private` and `epoch`."""
    last_epoch: EpochLeaf
    """The leaf that closes the signed tree: epoch number and time."""
    compared: int
    """Tiles and entry bundles compared."""
    map_epochs: int
    """Epochs whose map root was recomputed from the leaves; fewer than epochs where the log began without a map."""
    older: Checkpoint | None
    """The earlier checkpoint that this tree was shown to begin with, if one was given."""
    unchecked: tuple[str, ...]
    """Listed files that this checkpoint says nothing about: those of a later tree, and strangers."""


def replay(
    fetch: Fetch,
    vkey: str,
    *,
    older: bytes | None = None,
    listing: Iterable[str] = (),
    visit: Visit | None = None,
    progress: Progress | None = None,
) -> ReplayReport:
    """Verify the log that `fetch` serves. Raises a LogError that names the first file or leaf that is wrong.

    `older` is a signed checkpoint seen before, which the log must begin with; `listing` names files that are there, so
    that partial tiles which the signed tree no longer needs are verified too. Raises MalformedKey for a bad vkey.
    """
    log = Verifier.from_vkey(vkey)
    tree = _open(fetch, log)
    known = None if older is None else _open_older(older, log, tree)
    reading = _Replay(tree, known, TreeFiles(fetch, tree, listing), visit)
    for bundle in new_bundles(0, tree.size):
        reading.read(bundle)
        if progress is not None:
            progress(reading.edge.size, tree.size)
    return reading.report()


def _open(fetch: Fetch, log: Verifier) -> Checkpoint:
    try:
        tree = checkpoint.open(fetch("checkpoint"), log)
    except FileNotFoundError as error:
        raise BadCheckpoint("checkpoint", "the signed checkpoint", "no such file") from error
    except TlogError as error:
        raise BadCheckpoint("checkpoint", f"a checkpoint signed by {log.name}", str(error)) from error
    if tree.size == 0:
        raise BadCheckpoint("checkpoint", "a tree that an epoch leaf closes", "the empty tree")
    return tree


def _open_older(signed: bytes, log: Verifier, tree: Checkpoint) -> Checkpoint:
    try:
        older = checkpoint.open(signed, log)
    except TlogError as error:
        raise BadCheckpoint("the older checkpoint", f"one signed by {log.name}", str(error)) from error
    if older.size > tree.size:
        raise ForkedLog("checkpoint", f"at least the size {older.size} that was signed before", str(tree.size))
    return older


class _Replay:
    """One walk over the leaves, in order."""

    def __init__(self, tree: Checkpoint, older: Checkpoint | None, files: TreeFiles, visit: Visit | None) -> None:
        self.edge = Edge()
        self._tree = tree
        self._older = older
        self._files = files
        self._visit = visit
        self._epochs = _Epochs()
        self._map = MapReplay()
        self._kinds: Counter[str] = Counter()
        self._root_then = EMPTY_ROOT

    def read(self, bundle: Tile) -> None:
        """Verify one entry bundle, every tile that it completes, and its leaves."""
        entries = self._files.entries(bundle)
        hashes = self._files.check_bundle(bundle, entries)
        start = self.edge.size
        self._grow(hashes)
        for index, (entry, hash_of_leaf) in enumerate(zip(entries, hashes, strict=True), start):
            try:
                self._take(index, entry, hash_of_leaf)
            except (BadLeaf, BadEpoch) as error:
                raise self._files.vouch(index, hash_of_leaf, error) from error

    def _grow(self, hashes: list[bytes]) -> None:
        """Recompute tiles, stopping on the way where the older tree ends."""
        pause = 0 if self._older is None else max(self._older.size - self.edge.size, 0)
        tiles = self.edge.append(hashes[:pause])
        if self._older is not None and self._older.size == self.edge.size:
            self._root_then = self.edge.root()
        tiles |= self.edge.append(hashes[pause:])
        for tile, data in tiles.items():
            self._files.check_tile(tile, data)

    def _take(self, index: int, entry: bytes, hash_of_leaf: bytes) -> None:
        try:
            leaf = parse_leaf(entry)
        except ProtocolError as error:
            raise BadLeaf(f"leaf {index}", "a leaf of docs/protocol.md, section 3", str(error)) from error
        if isinstance(leaf, EpochLeaf):
            self._epochs.take(index, leaf)
        self._map.take(index, leaf, hash_of_leaf)
        self._kinds[_kind(leaf)] += 1
        if self._visit is not None:
            self._visit(index, leaf)

    def report(self) -> ReplayReport:
        """Hold the root of all leaves against the signed one, then against the older one. Raises LogError."""
        root = self.edge.root()
        if root != self._tree.root:
            raise RootMismatch("checkpoint", f"the root {root.hex()} of all leaves", self._tree.root.hex())
        if self._older is not None and self._older.root != self._root_then:
            where = f"the first {self._older.size} leaves"
            raise ForkedLog(where, f"the root {self._older.root.hex()} signed before", self._root_then.hex())
        if self._older is not None and self._older.size:
            self._epochs.closing(self._older.size)
        map_epochs = self._map.checked()
        return ReplayReport(
            checkpoint=self._tree,
            kinds=dict(self._kinds),
            last_epoch=self._epochs.closing(self._tree.size),
            compared=self._files.compared,
            map_epochs=map_epochs,
            older=self._older,
            unchecked=tuple(self._files.unchecked),
        )


def _kind(leaf: Leaf) -> str:
    if isinstance(leaf, PublicLeaf):
        return leaf.kind
    return "private" if isinstance(leaf, PrivateLeaf) else "epoch"


class _Epochs:
    """The epoch leaves so far, each in its place."""

    def __init__(self) -> None:
        self._ends: dict[int, EpochLeaf] = {}
        self._rule = Epochs()

    def take(self, index: int, leaf: EpochLeaf) -> None:
        """Look at the next epoch leaf. Raises BadEpoch."""
        self._rule = self._rule.after(index, leaf)
        self._ends[index + 1] = leaf

    def closing(self, size: int) -> EpochLeaf:
        """The epoch leaf that closes the signed tree of this size. Raises BadEpoch if another leaf does."""
        if size not in self._ends:
            raise BadEpoch(f"leaf {size - 1}", f"an epoch leaf to close the signed tree of size {size}", "another leaf")
        return self._ends[size]
