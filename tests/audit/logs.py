"""A log writer of the tests' own: epochs of leaves become the files that a log publishes."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from paraph.protocol.entry import epoch_leaf, private_leaf
from paraph.tlog import checkpoint
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.merkle import Node, Tree, leaf_hash
from paraph.tlog.note import Signer
from paraph.tlog.tiles import TILE_WIDTH, Tile, encode_entries, new_bundles, new_tiles

KEY = Signer("example.org/log", bytes(range(32)))
Epoch = Callable[[int, int], bytes]


def private(number: int) -> bytes:
    """A private leaf that says nothing."""
    return private_leaf(2900, sha256(b"label %d" % number).digest(), sha256(b"commitment %d" % number).digest())


def plain_epoch(n: int, prev_size: int) -> bytes:
    """The epoch leaf that a correct log writes."""
    return epoch_leaf(n, prev_size, None, 1_750_000_000_000 + n)


class LogWriter:
    """Writes a log's files, keeping every partial tile; says nothing of what a correct log may write."""

    def __init__(self, root: Path, key: Signer = KEY) -> None:
        self.root = root
        self.key = key
        self.leaves: list[bytes] = []
        self.checkpoints: list[bytes] = []
        self._tree = Tree()

    def epoch(self, leaves: Sequence[bytes], closing: Epoch | None = plain_epoch) -> "LogWriter":
        """Add leaves and an epoch leaf, and publish the new tree."""
        old = len(self.leaves)
        self.leaves += leaves
        if closing is not None:
            self.leaves.append(closing(len(self.checkpoints), old))
        for leaf in self.leaves[old:]:
            self._tree.append(leaf_hash(leaf))
        for tile in [*new_bundles(old, len(self.leaves)), *new_tiles(old, len(self.leaves))]:
            self.put(tile.path, self._bytes(tile))
        return self.sign()

    def sign(self) -> "LogWriter":
        """Publish a checkpoint of what is there."""
        signed = checkpoint.sign(Checkpoint(self.key.name, len(self.leaves), self._tree.root()), self.key)
        self.put("checkpoint", signed)
        self.checkpoints.append(signed)
        return self

    def put(self, path: str, data: bytes) -> None:
        """Write one file below the log's prefix."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def _bytes(self, tile: Tile) -> bytes:
        start = tile.index * TILE_WIDTH
        if tile.level < 0:
            return encode_entries(self.leaves[start : start + tile.width])
        hashes = (self._tree.node(node) for node in nodes(tile))
        return b"".join(hashes)


def nodes(tile: Tile) -> list[Node]:
    """The nodes whose hashes a tile holds."""
    return [Node(8 * tile.level, tile.index * TILE_WIDTH + position) for position in range(tile.width)]


def flip(file: Path, bit: int) -> None:
    """Turn one bit of a file."""
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)
