"""Copies of a data folder that can be gone on with, taken while the server runs.

The order makes them so. The database's moment comes first, that of `checkpoints.db` directly after it: what the
database knows of the log is signed by then. In between, a leaf may have been recorded and staged; then the database's
moment is too old to open it, and both are taken again. Files come last: those of the signed tree never change, and what
a running server has added or collected meanwhile is left out or made again. The published checkpoint is read before all
else, so it is never newer than the signed head.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from paraph.audit.replay import Progress, replay
from paraph.audit.sources import Fetch
from paraph.server.ledger import store
from paraph.server.ledger.checkpoints import CheckpointStore
from paraph.server.ledger.errors import LedgerError
from paraph.server.ledger.files import CHECKPOINT, LogFolder, sync_directory, write_secret
from paraph.server.ledger.fsck import moment
from paraph.server.ledger.model import Batch, Head, is_epoch
from paraph.server.ledger.policies import PublishedPolicies, policy_path
from paraph.server.ledger.restored import mark_restored
from paraph.server.storage import Transaction
from paraph.server.storage.reading import connect_to_read
from paraph.tlog import checkpoint, note
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    TileError,
    edge_tiles,
    encode_entries,
    new_bundles,
    new_tiles,
    parse_entries,
)

MANIFEST = "backup.json"
"""Written last: a folder without it is no whole backup."""
NOT_COPIED = frozenset({"admin-token"})
"""Made anew by the next start."""
ATTEMPTS = 20
_HASH = 32


class BackupError(LedgerError):
    """A backup that cannot be made, or cannot be put back; says why."""


class _TooOld(Exception):
    """A leaf was staged between the two moments."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds: the log's key, signed size and root (hex), kind of database; when it was made (ms)."""

    vkey: str
    size: int
    root: str
    database: str
    made: int
    version: str


class Backup:
    """One backup of the folder `data` into the folder `to`."""

    def __init__(self, data: Path, to: Path) -> None:
        self._data = data
        self._to = to
        self._source = LogFolder(data / "log")
        self._target = LogFolder(to / "log")

    async def take(
        self, read: Callable[[Callable[[Transaction], Head]], Awaitable[Head]], copy: Callable[[Transaction], None]
    ) -> Head:
        """Copy all but the manifest; `read` is a database's, `copy` copies the database that a transaction shows.

        Returns the signed head of the copy. Raises BackupError, LedgerError, OSError or sqlite3.Error.
        """
        if self._to.exists() and any(self._to.iterdir()):
            raise BackupError(f"{self._to} is not empty: each backup has a folder of its own")
        self._to.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._to.chmod(0o700)
        self._copy_keys()

        def run(tx: Transaction) -> Head:
            head = self._log_of(tx)
            copy(tx)
            return head

        for _ in range(ATTEMPTS):
            try:
                return await read(run)
            except _TooOld:
                continue
        raise BackupError("the log grew too fast for a common moment of both databases; try again")

    def seal(self, manifest: Manifest) -> None:
        """Say that the backup is whole, once it is on the disk."""
        os.sync()
        write_secret(self._to / MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")

    def _copy_keys(self) -> None:
        for path in sorted((self._data / "keys").iterdir()):
            if path.is_file() and path.name not in NOT_COPIED and path.suffix != ".new":
                write_secret(self._to / "keys" / path.name, path.read_text(encoding="utf-8"))

    def _log_of(self, tx: Transaction) -> Head:
        """`checkpoints.db` and the files of its tree; `tx` begins with its first query, here."""
        published = self._source.checkpoint()
        edges = self._partial_tiles()
        known = store.progress(tx)
        head, staged = self._copy_checkpoints()
        self._check_known(tx, known, head, staged)
        self._copy_tree(head, edges)
        self._copy_policies()
        if published is not None:
            self._target.publish(published)
        return head

    def _partial_tiles(self) -> dict[Tile, bytes]:
        """Every partial tile there is now: older readers need them until their place is full."""
        found = {}
        for tile in self._source.partial_tiles():
            data = self._source.read(tile.path)
            if data is not None:
                found[tile] = data
        return found

    def _copy_checkpoints(self) -> tuple[Head, Batch | None]:
        place = self._to / "checkpoints.db"
        place.unlink(missing_ok=True)
        copy_database(self._data / "checkpoints.db", place)
        head, staged = moment(self._to)
        if head is None:
            raise BackupError("no log was begun in this folder: start the server once")
        return head, staged

    def _check_known(self, tx: Transaction, known: int, head: Head, staged: Batch | None) -> None:
        """Whatever the copied log holds, or is about to, must be in the database's moment."""
        if known > head.size:
            raise BackupError(f"the database knows a log of {known} leaves, checkpoints.db one of {head.size}")
        wanted = [leaf_hash(leaf) for leaf in staged.leaves if not is_epoch(leaf)] if staged else []
        for bundle in new_bundles(known, head.size):
            entries = parse_entries(self._bytes(bundle), bundle.width)
            first = max(known - bundle.index * TILE_WIDTH, 0)
            wanted += [leaf_hash(leaf) for leaf in entries[first:] if not is_epoch(leaf)]
        if any(not store.leaf_index(tx, hashed)[0] for hashed in wanted):
            raise _TooOld

    def _copy_tree(self, head: Head, edges: dict[Tile, bytes]) -> None:
        """The files of the head's tree, and older partial tiles of places that are not full in it."""
        full, rest = divmod(head.size, TILE_WIDTH)
        bundles = [Tile(ENTRIES, full, rest)] if rest else []
        open_places = {(tile.level, tile.index): tile.width for tile in [*edge_tiles(head.size), *bundles]}
        for tile in [*new_tiles(0, head.size), *new_bundles(0, head.size)]:
            self._write(tile, self._bytes(tile))
        for tile, data in edges.items():
            if tile.width <= open_places.get((tile.level, tile.index), 0):
                self._write(tile, data)

    def _copy_policies(self) -> None:
        """Without the changes of the witness policy, devices that pinned an older one would share with nobody."""
        for number, signed in enumerate(PublishedPolicies(self._data / "log").all(), start=1):
            self._put(policy_path(number), signed)

    def _write(self, tile: Tile, data: bytes) -> None:
        self._put(tile.path, data)

    def _put(self, path: str, data: bytes) -> None:
        place = self._to / "log" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def _bytes(self, tile: Tile) -> bytes:
        """A file of a signed tree; where the full tile replaced a partial one, its beginning."""
        data = self._source.read(tile.path)
        if data is not None:
            return data
        data = self._source.read(Tile(tile.level, tile.index).path)
        if data is None:
            raise BackupError(f"log/{tile.path} is missing; run `paraph log fsck`")
        if tile.level == ENTRIES:
            return encode_entries(parse_entries(data, TILE_WIDTH)[: tile.width])
        return data[: tile.width * _HASH]


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database as it is at one moment, whoever writes it meanwhile. Raises sqlite3.Error."""
    connection = connect_to_read(source)
    try:
        copy_connection(connection, target)
    finally:
        connection.close()


def copy_connection(
    source: sqlite3.Connection, target: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Copy what a connection sees, in its transaction if it is in one; `progress` is told pages: done, all."""
    target.touch(mode=0o600)
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        told = None if progress is None else lambda _status, left, total: progress(total - left, total)
        source.backup(copy, pages=-1 if progress is None else 4096, progress=told)
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, until a server opens it
    finally:
        copy.close()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a whole backup. Raises BackupError."""
    try:
        return Manifest(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BackupError(f"{folder} is no whole backup: it has no {MANIFEST}") from None
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(f"{folder / MANIFEST} cannot be read: {error}") from error


def restore(backup: Path, data: Path, *, last: bool) -> Manifest:
    """Copy a backup into an empty or new folder, all of it or nothing; `last`: the operator knows that nothing newer
    than this was ever published, and that the original never runs again. Raises BackupError or OSError.
    """
    manifest = read_manifest(backup)
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise BackupError(f"{data} is not empty: a backup is put back into a new folder, never over another")
    partial = data.with_name(f"{data.name}.restoring")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True, mode=0o700)
    for name in ("keys", "log"):
        shutil.copytree(backup / name, partial / name)
    (partial / "keys").chmod(0o700)
    for name in ("paraph.db", "checkpoints.db"):
        if (backup / name).exists():
            shutil.copy2(backup / name, partial / name)
            (partial / name).chmod(0o600)
    if not last:
        mark_restored(partial, backup)
    os.sync()
    if data.exists():
        data.rmdir()
    partial.rename(data)
    sync_directory(data.parent)
    return manifest


def catch_up(data: Path, fetch: Fetch, progress: Progress | None = None) -> tuple[int, int]:
    """Bring a restored folder's log to a newer published one, verified from its first leaf; returns both sizes.

    For folders in which nothing was signed since they were restored. Raises LogError, BackupError or OSError.
    """
    head, _ = moment(data)
    signer = note.Signer.from_skey((data / "keys" / "log.key").read_text(encoding="utf-8").strip())
    if head is None:
        raise BackupError("checkpoints.db has no head")
    published = fetch(CHECKPOINT)
    fixed = {CHECKPOINT: published}
    report = replay(
        lambda path: fixed[path] if path in fixed else fetch(path),
        signer.vkey,
        older=head.note or None,
        progress=progress,
    )
    tree = report.checkpoint
    folder = LogFolder(data / "log")
    for tile in [*new_tiles(head.size, tree.size), *new_bundles(head.size, tree.size)]:
        folder.add({tile: _fetched(fetch, tile)})
    newer = Head(
        tree.size,
        tree.root,
        report.last_epoch.n + 1,
        report.last_epoch.time,
        checkpoint.sign(Checkpoint(tree.origin, tree.size, tree.root), signer),  # what was signed once, to the byte
    )
    checkpoints = CheckpointStore(data / "checkpoints.db")
    try:
        checkpoints.replace(newer)
    finally:
        checkpoints.close()
    folder.publish(published)
    folder.collect(newer.size)
    return head.size, tree.size


def _fetched(fetch: Fetch, tile: Tile) -> bytes:
    try:
        return fetch(tile.path)
    except FileNotFoundError:
        full = fetch(Tile(tile.level, tile.index).path)
    try:
        if tile.level == ENTRIES:
            return encode_entries(parse_entries(full, TILE_WIDTH)[: tile.width])
    except TileError as error:
        raise BackupError(f"{tile.path} of the newer log cannot be read: {error}") from error
    return full[: tile.width * _HASH]
