"""One batch from staged leaves to a published checkpoint: the same code in normal running and after a crash.

The order is what makes it safe. The batch is fixed on disk (`stage`), then `extend` gives its tiles their names and
moves the signed head by compare-and-set, and `publish` publishes the checkpoint and drops partial tiles. Each step
finds what it did before and does it again with the same bytes or not at all, so all of it may be cut off anywhere and
repeated. What nobody can see yet may come sooner: the tiles' bytes are synced, beside their places, while the batch is.
"""

import contextlib
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import epoch_leaf
from paraph.server.ledger.checkpoints import CheckpointStore
from paraph.server.ledger.edge import LogEdge
from paraph.server.ledger.errors import LogStopped, StartRefused
from paraph.server.ledger.files import LogFolder, Written
from paraph.server.ledger.key import load_log_key
from paraph.server.ledger.label_map import LabelMap
from paraph.server.ledger.map_store import MapStore
from paraph.server.ledger.model import Batch, Head, is_epoch
from paraph.tlog import checkpoint, note
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.tiles import TILE_WIDTH, Tile, new_bundles, new_tiles, parse_entries

_shuffle = secrets.SystemRandom().shuffle


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A staged batch with its leaf hashes, the edge after it, and its files, which have no names yet."""

    batch: Batch
    hashes: list[bytes]
    edge: LogEdge
    written: Written


class Log:
    """The log's files, its signed head and its key. Not for several threads at once."""

    def __init__(
        self, checkpoints: CheckpointStore, folder: LogFolder, signer: note.Signer, label_map: LabelMap
    ) -> None:
        self.checkpoints = checkpoints
        self.folder = folder
        self.label_map = label_map
        self._signer = signer
        self._edge: LogEdge | None = None
        self._prepared: _Prepared | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-stage")
        self.timed: Callable[[str], AbstractContextManager[None]] = _untimed
        """Stands around the stages of a batch."""

    @property
    def origin(self) -> str:
        """Origin line of the checkpoints and name of the key."""
        return self._signer.name

    @property
    def vkey(self) -> str:
        """The public key as a signed-note vkey."""
        return self._signer.vkey

    def head(self) -> Head:
        """The newest signed tree."""
        head = self.checkpoints.head()
        if head is None:
            raise LogStopped("checkpoints.db has lost its head")
        return head

    def check(self) -> None:
        """Compare key, checkpoints.db and log/; raises StartRefused if they do not belong together."""
        head, verifier = self.head(), self._signer.verifier
        published = self.folder.checkpoint()
        try:
            if head.note:
                checkpoint.open(head.note, verifier)
            if published is not None:
                _check_published(checkpoint.open(published, verifier), head)
            self._edge = LogEdge.restore(head.size, head.root, self.folder.read)
            self.label_map.restore(head.size, self.folder.read)
        except (TlogError, LogStopped) as error:
            raise StartRefused(f"the log cannot go on: {error}") from error

    def stage(self, leaves: Sequence[bytes], now: int) -> Batch:
        """Shuffle the leaves, add the epoch leaf and fix the batch on disk; `now` in ms."""
        head = self.head()
        order = list(leaves)
        _shuffle(order)
        map_root = b64url(self.label_map.root_after(head.size, order))
        epoch = epoch_leaf(head.epochs, head.size, map_root, max(now, head.time))
        batch = Batch(head.size, (*order, epoch))
        self._prepared = self._fix(head, batch)
        return batch

    def signed(self) -> bytes:
        """The newest tree's checkpoint, signed by the log alone; that of the empty tree before the first."""
        head = self.head()
        return head.note or checkpoint.sign(Checkpoint(self.origin, head.size, head.root), self._signer)

    def extend(self) -> tuple[Batch, list[bytes]] | None:
        """Bring the staged batch to its signed tree; returns it with its leaf hashes, None if there is none.

        Raises LogStopped if the log must not go on; anything else means: try again.
        """
        batch = self.checkpoints.staged()
        if batch is None:
            return None
        self.label_map.check(batch)
        head = self.head()
        if batch.start == head.size:
            hashes = self._extend(head, batch)
        elif batch.end == head.size:
            hashes = [leaf_hash(leaf) for leaf in batch.leaves]
        else:
            raise LogStopped(
                f"the staged batch [{batch.start}, {batch.end}) does not meet the head of size {head.size}"
            )
        with self.timed("map"):
            self.label_map.add(batch)
        return batch, hashes

    def publish(self, batch: Batch, cosigned: bytes) -> None:
        """Publish the checkpoint of the tree that a batch completed, with whatever cosignatures it has."""
        self.folder.publish(cosigned)
        self.folder.prune([*new_tiles(batch.start, batch.end), *new_bundles(batch.start, batch.end)])

    def finish(self) -> None:
        """Bring the staged batch, if there is one, to its published checkpoint, without witnesses."""
        if (extended := self.extend()) is not None:
            self.publish(extended[0], self.signed())

    def leaves_after(self, size: int) -> list[tuple[int, bytes]]:
        """Index and leaf of every published leaf from a size on, epoch leaves left out."""
        found = []
        for bundle in new_bundles(size, self.head().size):
            entries = parse_entries(self.folder.read(bundle.path) or b"", bundle.width)
            found += list(enumerate(entries, start=bundle.index * TILE_WIDTH))
        return [(index, leaf) for index, leaf in found if index >= size and not is_epoch(leaf)]

    def _fix(self, head: Head, batch: Batch) -> "_Prepared":
        """The batch in checkpoints.db, and its files' bytes beside their places: durable, in the time of one sync."""
        edge, hashes, tiles = self._grown(head, batch)
        staging = self._thread.submit(self.checkpoints.stage, batch)
        try:
            written = self.folder.write(tiles)
        finally:
            staging.result()
        return _Prepared(batch, hashes, edge, written)

    def _grown(self, head: Head, batch: Batch) -> tuple[LogEdge, list[bytes], dict[Tile, bytes]]:
        """The edge after a batch that follows the head, its leaf hashes, and the files that are new."""
        edge, self._edge = self._edge, None  # appending changes it: after a failure it is read back from disk
        if edge is None or edge.size != head.size:
            edge = LogEdge.restore(head.size, head.root, self.folder.read)
        hashes = [leaf_hash(leaf) for leaf in batch.leaves]
        return edge, hashes, edge.append(batch.leaves, hashes)

    def _show(self, head: Head, batch: Batch) -> tuple[LogEdge, list[bytes]]:
        """Give the batch's files their names."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared.batch == batch:
            self.folder.show(prepared.written)
            return prepared.edge, prepared.hashes
        edge, hashes, tiles = self._grown(head, batch)
        self.folder.add(tiles)
        return edge, hashes

    def _extend(self, head: Head, batch: Batch) -> list[bytes]:
        with self.timed("write"):
            edge, hashes = self._show(head, batch)
        with self.timed("sign"):
            signed = checkpoint.sign(Checkpoint(self.origin, edge.size, edge.root()), self._signer)
        epoch = batch.epoch
        with self.timed("keep"):
            self.checkpoints.advance(head, Head(edge.size, edge.root(), epoch.n + 1, epoch.time, signed))
        self._edge = edge
        return hashes

    def close(self) -> None:
        """Close checkpoints.db and map.db."""
        self._thread.shutdown()
        self.checkpoints.close()
        self.label_map.close()


def _untimed(_stage: str) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


def _check_published(published: Checkpoint, head: Head) -> None:
    if published.size > head.size or (published.size == head.size and published.root != head.root):
        raise StartRefused(
            f"log/checkpoint is of size {published.size} and checkpoints.db of size {head.size}, and they disagree:"
            " an older checkpoints.db was put back, and going on would fork the log"
        )


def open_log(data: Path, origin: str) -> Log:
    """The log in a data folder (`keys/log.key`, `checkpoints.db`, `log/`), begun if there is none.

    Raises StartRefused if the three do not belong together. `map.db` is made again from `log/` if it does not.
    """
    with contextlib.ExitStack() as stack:
        checkpoints = CheckpointStore(data / "checkpoints.db")
        stack.callback(checkpoints.close)
        folder = LogFolder(data / "log")
        head = checkpoints.head()
        if head is None and not folder.is_empty():
            raise StartRefused("log/ has files, but checkpoints.db is missing or empty; bring it back")
        signer = load_log_key(data / "keys" / "log.key", origin, new_log=head is None or head.size == 0)
        if head is None:
            checkpoints.begin()
        store = MapStore(data / "map.db")
        stack.callback(store.close)
        log = Log(checkpoints, folder, signer, LabelMap(store))
        log.check()
        folder.collect(log.head().size)
        stack.pop_all()
    return log
