"""All that can be checked of a data folder: what anybody can (a replay of the log), and what only its operator can.

It reads one moment: first the database, then `checkpoints.db`, then files. What the database knows of the log is by
then signed, and signed trees only grow; so the checks hold beside a running server too. What a server may be about to
rename or stage cannot be told from what was left behind: that is judged only while none writes the log.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from paraph.audit.errors import LogError
from paraph.audit.replay import ReplayReport, replay
from paraph.audit.sources import DirectorySource
from paraph.protocol.entry import EpochLeaf, Leaf
from paraph.protocol.errors import ProtocolError
from paraph.server.ledger import fsck_database, fsck_map
from paraph.server.ledger.checkpoints import CheckpointStore
from paraph.server.ledger.edge import LogEdge
from paraph.server.ledger.errors import LedgerError, StartRefused
from paraph.server.ledger.files import CHECKPOINT, LogFolder
from paraph.server.ledger.fsck_errors import Wrong
from paraph.server.ledger.model import Batch, Head
from paraph.server.storage import StorageError, Transaction
from paraph.server.storage.reading import connect_to_read
from paraph.tlog import checkpoint, note
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import HASH_SIZE, leaf_hash
from paraph.tlog.tiles import Tile, new_tiles

T = TypeVar("T")
Progress = Callable[[str, int, int | None], None]
"""Told which check is at how many of how many (None: not known)."""

SECRETS = ("log.key", "receipt.key", "operator.key", "admin-token")
DATABASES = ("paraph.db", "checkpoints.db", "map.db")
_WRONG = (Wrong, LogError, TlogError, LedgerError, ProtocolError, StorageError, OSError, sqlite3.Error)


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """A check by name, how it ended, and what was found."""

    check: str
    outcome: Outcome
    found: str


@contextmanager
def quiet(data: Path) -> Iterator[bool]:
    """Keep any process from writing the log below `data` meanwhile; False if one does so already."""
    handle = os.open(data / "log.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except BlockingIOError:
        alone = False
    try:
        yield alone
    finally:
        os.close(handle)


def moment(data: Path) -> tuple[Head | None, Batch | None]:
    """Signed head and staged batch of the log below `data`, read without changing anything. Raises StorageError."""
    connection = connect_to_read(data / "checkpoints.db")
    try:
        return CheckpointStore.moment(connection)
    finally:
        connection.close()


def _quietly(_check: str, _done: int, _total: int | None) -> None:
    """Nobody watches."""


class Fsck:
    """The checks of one data folder; `findings` has them in the order they were made."""

    def __init__(self, data: Path, *, alone: bool, repair: bool = False, progress: Progress = _quietly) -> None:
        """`alone`: no process writes this log meanwhile. `repair`: drop leftovers, and change nothing else."""
        self.data = data
        self.findings: list[Finding] = []
        self._alone = alone
        self._repair = repair
        self._progress = progress
        self._folder = LogFolder(data / "log")
        self._epochs: dict[int, EpochLeaf] = {}

    @property
    def good(self) -> bool:
        """Whether no check found anything wrong."""
        return all(finding.outcome is not Outcome.WRONG for finding in self.findings)

    def run(self, tx: Transaction) -> None:
        """Make every check; `tx` shows one moment of the database, which begins with its first query."""
        progress = fsck_database.progress(tx)
        self._check("keys", self._keys)
        signer = self._check("log key", lambda: self._signer(tx))
        head, staged = self._check("signed head", lambda: self._head(signer)) or (None, None)
        report = self._check("log", lambda: self._log(signer, head)) if head and head.size else None
        if head is None or (head.size and report is None):
            for name in ("staged batch", "database", "openings", "records", "map"):
                self._add(name, Outcome.SKIPPED, "the log itself has to be right first")
        else:
            hashes = self._hashes(head)
            if report is not None:
                self._check("strangers", lambda: self._strangers(report, head, staged))
            self._check("staged batch", lambda: self._staged(head, staged, hashes))
            walk = fsck_database.Walk(tx, hashes, self._epochs, progress, alone=self._alone, told=self._progress)
            known = self._check("database", walk.leaves)
            if known is not None:
                self._check("openings", walk.entries)
                self._check("records", walk.records)
            self._check("map", lambda: fsck_map.check(self.data / "map.db", hashes, self._epochs, self._progress))
        self._check("leftovers", lambda: self._leftovers(0 if head is None else head.size))

    def _check(self, name: str, check: Callable[[], tuple[T, str]]) -> T | None:
        """Make a check, which gives what others need and what it found; None where something is wrong."""
        try:
            result, found = check()
        except _WRONG as error:
            said = error.diagnostics() if isinstance(error, LogError) else str(error)
            self._add(name, Outcome.WRONG, said)
            return None
        self._add(name, Outcome.OK, found)
        return result

    def _add(self, name: str, outcome: Outcome, found: str) -> None:
        self.findings.append(Finding(name, outcome, found))

    def _keys(self) -> tuple[bool, str]:
        """Whatever is secret is readable by its owner alone."""
        keys = self.data / "keys"
        places = [keys, *(keys / name for name in SECRETS), *(self.data / name for name in DATABASES)]
        there = [place for place in places if place.exists()]
        for missing in {keys / name for name in SECRETS[:3]} - set(there):
            raise Wrong(f"{missing} is missing")
        for place in there:
            if place.stat().st_mode & 0o077:
                raise Wrong(f"{place} can be used by others than its owner (mode {place.stat().st_mode & 0o777:04o})")
        return True, f"{len(there)} files and folders are their owner's alone"

    def _signer(self, tx: Transaction) -> tuple[note.Signer, str]:
        path = self.data / "keys" / "log.key"
        try:
            signer = note.Signer.from_skey(path.read_text(encoding="utf-8").strip())
        except ValueError as error:
            raise StartRefused(f"{path} is not a signed-note key: {error}") from error
        known = fsck_database.identity(tx)
        if known not in (None, signer.vkey):
            raise Wrong(f"the database belongs to the log {known}, and keys/log.key is that of {signer.vkey}")
        return signer, signer.vkey

    def _head(self, signer: note.Signer | None) -> tuple[tuple[Head, Batch | None], str]:
        head, staged = moment(self.data)
        if head is None:
            raise Wrong("checkpoints.db has no head")
        if not head.size:
            return (head, staged), "nothing is signed yet"
        if signer is None:
            raise Wrong("keys/log.key cannot be used, so nobody can say whether it signed the head")
        tree = checkpoint.open(head.note, signer.verifier)
        if (tree.size, tree.root) != (head.size, head.root):
            raise Wrong(f"the head is of size {head.size}, its signed note of size {tree.size}, or of another root")
        return (head, staged), f"size {head.size}, epoch {head.epochs - 1}, signed by keys/log.key"

    def _log(self, signer: note.Signer | None, head: Head) -> tuple[ReplayReport, str]:
        """Replay the tree of the signed head, which must begin with the published one."""
        if signer is None:
            raise Wrong("keys/log.key cannot be used, so the log's key is not known")
        source = DirectorySource(self.data / "log")

        def fetch(path: str) -> bytes:
            return head.note if path == CHECKPOINT else source(path)

        published = self._folder.checkpoint()
        report = replay(
            fetch,
            signer.vkey,
            older=published,
            listing=[path for path in source.paths() if path != CHECKPOINT],
            visit=self._visit,
            progress=lambda done, total: self._progress("log", done, total),
        )
        if (head.epochs, head.time) != (report.last_epoch.n + 1, report.last_epoch.time):
            raise Wrong(f"checkpoints.db counts {head.epochs} epochs, the log's last is number {report.last_epoch.n}")
        shown = "nothing published" if report.older is None else f"published up to {report.older.size}"
        return report, f"{head.size} leaves, {report.compared} files, {report.map_epochs} maps; {shown}"

    def _visit(self, index: int, leaf: Leaf) -> None:
        if isinstance(leaf, EpochLeaf):
            self._epochs[index + 1] = leaf

    def _hashes(self, head: Head) -> bytes:
        """The hash of every leaf, one after the other; the files were verified."""
        parts = []
        for tile in new_tiles(0, head.size):
            if tile.level == 0:
                data = self._folder.read(tile.path) or self._folder.read(Tile(0, tile.index).path) or b""
                parts.append(data[: tile.width * HASH_SIZE])
        return b"".join(parts)

    def _strangers(self, report: ReplayReport, head: Head, staged: Batch | None) -> tuple[bool, str]:
        """Files that the signed tree says nothing about: those of the batch at hand, or somebody's."""
        if not self._alone:
            return True, "not judged beside a running server"
        mine = self._of_batch(head, staged) if staged is not None and staged.start == head.size else {}
        for path in report.unchecked:
            if path in mine and self._folder.read(path) != mine[path]:
                raise Wrong(f"log/{path} differs from the batch that is staged: the log would stop")
            if path not in mine and not path.endswith(".new"):
                raise Wrong(f"log/{path} is no part of this log")
        return True, f"{len(report.unchecked)} files of the batch at hand, no others"

    def _of_batch(self, head: Head, staged: Batch) -> dict[str, bytes]:
        edge = LogEdge.restore(head.size, head.root, self._folder.read)
        files = edge.append(staged.leaves, [leaf_hash(leaf) for leaf in staged.leaves])
        return {tile.path: data for tile, data in files.items()}

    def _staged(self, head: Head, staged: Batch | None, hashes: bytes) -> tuple[bool, str]:
        if staged is None:
            return True, "none"
        if staged.start == head.size:
            return True, f"{len(staged.leaves)} leaves are to follow; the next start finishes them"
        own = b"".join(leaf_hash(leaf) for leaf in staged.leaves)
        if staged.end != head.size or own != hashes[staged.start * HASH_SIZE :]:
            raise Wrong(f"the batch [{staged.start}, {staged.end}) is not the end of the log of size {head.size}")
        return True, "finished"

    def _leftovers(self, size: int) -> tuple[bool, str]:
        if not self._alone:
            return True, "not judged beside a running server"
        keys = list((self.data / "keys").glob("*.new"))
        found = [*self._folder.leftovers(size), *keys]
        if not found:
            return True, "none"
        names = ", ".join(str(path.relative_to(self.data)) for path in found[:3])
        if not self._repair:
            return True, f"{len(found)}, of use to nobody ({names} ...); --repair drops them"
        self._folder.collect(size)
        for path in keys:
            path.unlink()
        return True, f"{len(found)} dropped ({names} ...)"
