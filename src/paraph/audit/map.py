"""The verifiable map, made again from the leaves alone, and held against every epoch leaf.

The rule (docs/protocol.md §9): the root in the epoch leaf at index i is that of the map of all public and private
leaves with a smaller index, those of the same epoch included. Epoch leaves are in no map. A log that began without a
map has epochs whose root is null; after the first that has one, none may lack it.
"""

from collections.abc import Collection

from paraph.audit.errors import BadMap
from paraph.protocol.base64 import b64url
from paraph.protocol.entry import EpochLeaf, Leaf, PrivateLeaf, PublicLeaf, private_leaf, public_leaf
from paraph.protocol.map_key import map_key
from paraph.tlog.merkle import Frontier, leaf_hash
from paraph.tlog.prefix_map import Frontiers, PrefixMap, grow, pack_frontier, unpack_frontier

MAX_WAITING = 4096
"""Leaves gathered before they go into the map, where no epoch leaf asks for its root sooner."""


def no_frontiers(_keys: Collection[bytes]) -> dict[bytes, Frontier]:
    """The frontiers before the first leaf."""
    return {}


class MapReplay:
    """Follows a log's leaves in order; pass `take` each leaf, then ask `checked`. What is wrong is kept until then.

    A mismatch is the log's fault only once the leaves are known to be those that it signed, so nothing is raised on
    the way.
    """

    def __init__(self, before: PrefixMap | None = None, known: Frontiers = no_frontiers, *, compared: int = 0) -> None:
        """Start before the first leaf; or after some, with their map, their frontiers, and how many roots fitted."""
        self.changed: dict[bytes, bytes] = {}
        """The frontier of each key that has changed since the start, packed; whoever keeps them may clear this."""
        self._map = PrefixMap() if before is None else before
        self._before = known
        self._waiting: list[tuple[bytes, bytes]] = []
        self._compared = compared
        self._error: BadMap | None = None

    def visit(self, index: int, leaf: Leaf) -> None:
        """`take` for whoever has no hash at hand; fits `replay(visit=...)`."""
        self.take(index, leaf, leaf_hash(_written(leaf)))

    def take(self, index: int, leaf: Leaf, hash_of_leaf: bytes) -> None:
        """Put the next leaf into the map, or hold the map against it if it is an epoch leaf."""
        if self._error is not None:
            return
        if isinstance(leaf, EpochLeaf):
            self._close(index, leaf)
        elif (key := map_key(leaf)) is not None:
            self.add(key, hash_of_leaf)

    def add(self, key: bytes, hash_of_leaf: bytes) -> None:
        """`take` for a leaf that is no epoch leaf, by its key."""
        self._waiting.append((key, hash_of_leaf))
        if len(self._waiting) >= MAX_WAITING:
            self.map()

    def map(self) -> PrefixMap:
        """The map of all leaves so far."""
        self._map, changed = grow(self._map, self._known, self._waiting)
        self.changed.update((key, pack_frontier(frontier)) for key, frontier in changed.items())
        self._waiting = []
        return self._map

    def checked(self) -> int:
        """How many epochs had a map root, each the right one. Raises BadMap for the first that had not."""
        if self._error is not None:
            raise self._error
        return self._compared

    def _close(self, index: int, leaf: EpochLeaf) -> None:
        if leaf.map_root is None:
            if self._compared:
                self._error = BadMap(f"leaf {index}", "a map root, as the epoch before had one", "none")
            return
        computed = b64url(self.map().root)
        if leaf.map_root != computed:
            self._error = BadMap(f"leaf {index}", f"the map root {computed} of the leaves before it", leaf.map_root)
            return
        self._compared += 1

    def _known(self, keys: Collection[bytes]) -> dict[bytes, Frontier]:
        found = self._before([key for key in keys if key not in self.changed])
        packed = ((key, self.changed.get(key)) for key in keys)
        return found | {key: unpack_frontier(data) for key, data in packed if data is not None}


def _written(leaf: Leaf) -> bytes:
    """The bytes of a parsed leaf: every leaf has one form."""
    if isinstance(leaf, PrivateLeaf):
        return private_leaf(leaf.week, leaf.label, leaf.commitment)
    if isinstance(leaf, PublicLeaf):
        return public_leaf(leaf.kind, leaf.partner, leaf.ts, leaf.document)
    return b""  # an epoch leaf is in no map
