"""A log followed leaf by leaf, from the first or from where somebody stopped: its tree, its epochs and its map.

The same rules as `replay`, for whoever keeps up with a log that grows. What is followed is believed only once `root` is
that of a signed checkpoint.
"""

from dataclasses import dataclass

from paraph.audit.epochs import Epochs
from paraph.audit.errors import BadEpoch, BadLeaf, BadMap
from paraph.audit.map import MapReplay, no_frontiers
from paraph.protocol.entry import EpochLeaf, parse_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.map_key import map_key_of_bytes
from paraph.tlog.merkle import Frontier, leaf_hash
from paraph.tlog.prefix_map import Frontiers, PrefixMap


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a log was followed to: the peaks of its tree, its epochs, and how many of them had a map root."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()
    epochs: Epochs = Epochs()
    mapped: int = 0


class Follower:
    """Takes one leaf after the other; what is wrong with one is raised at once. Of no use after that but for `skim`."""

    def __init__(
        self, at: Standing = Standing(), tree: PrefixMap | None = None, frontiers: Frontiers = no_frontiers
    ) -> None:
        """Go on from `at`, where the map was `tree`; `frontiers` gives those of the leaves up to there."""
        self._log = Frontier(at.size, at.peaks)
        self._epochs = at.epochs
        self._map = MapReplay(tree, frontiers, compared=at.mapped)

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._log.size

    def root(self) -> bytes:
        """Root of the tree of all leaves so far."""
        return self._log.root()

    def skim(self, entry: bytes) -> bytes:
        """Take a leaf into the tree alone, whatever it says; returns its hash."""
        hashed = leaf_hash(entry)
        self._log.append(hashed)
        return hashed

    def take(self, entry: bytes) -> None:
        """Take the next leaf. Raises BadLeaf, BadEpoch, or BadMap for an epoch leaf with a root that is wrong."""
        index = self._log.size
        hashed = self.skim(entry)
        try:
            key = map_key_of_bytes(entry)
            if key is not None:
                self._map.add(key, hashed)
            elif isinstance(leaf := parse_leaf(entry), EpochLeaf):
                self._close(index, leaf, hashed)
        except ProtocolError as error:
            raise BadLeaf(f"leaf {index}", "a leaf of docs/protocol.md, section 3", str(error)) from error

    def closed(self) -> None:
        """Hold it against the rule that every signed tree ends with an epoch, and here with one that has a map root.

        Raises BadEpoch or BadMap; the empty tree passes.
        """
        where = f"leaf {self.size - 1}"
        if self._epochs.end != self.size:
            raise BadEpoch(where, f"an epoch leaf to close the signed tree of size {self.size}", "another leaf")
        if self.size and not self._map.checked():
            raise BadMap(where, "a map root", "none in any epoch so far")

    def standing(self) -> tuple[Standing, PrefixMap]:
        """Where this is now, and the map there."""
        return Standing(self.size, self._log.peaks, self._epochs, self._map.checked()), self._map.map()

    @property
    def changes(self) -> dict[bytes, bytes]:
        """The packed frontier of each key that changed, complete after `standing`; whoever keeps them may clear it."""
        return self._map.changed

    def _close(self, index: int, leaf: EpochLeaf, hashed: bytes) -> None:
        self._epochs = self._epochs.after(index, leaf)
        self._map.take(index, leaf, hashed)
        self._map.checked()
