"""`log/`: the public files, written so that a crash at any moment leaves only whole files.

Each is written beside its place, synced, renamed, and its directory synced. The temporary name is always the same
(`<name>.new`), so the repetition after a crash overwrites what was left behind. A tile never changes its bytes.
A batch has a handful of files: they are synced side by side, which the file system makes one journal commit of.

Partial tiles go once their place is full: those of each batch when it is published, and whatever a power cut brought
back when a process takes over the log (`leftovers`).
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from paraph.server.ledger.errors import LogStopped
from paraph.tlog.merkle import HASH_SIZE
from paraph.tlog.tiles import TILE_WIDTH, MalformedPath, Tile, new_tiles, parse_path, parse_tile

T = TypeVar("T")

CHECKPOINT = "checkpoint"
_PARTIAL = ".p"
_NEW = ".new"
_SIDE_BY_SIDE = 8
"""Syncs under way at once; a batch of 256 leaves writes five files in as many directories."""


@dataclass(frozen=True, slots=True)
class Written:
    """Files that are on the disk beside their places, and the folders of all that belong together with them."""

    places: list[Path]
    folders: set[Path]


class LogFolder:
    """The tlog-tiles files below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: set[Path] = set()
        self._durable: set[Path] = set()
        self._threads = ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="log-sync")

    def is_empty(self) -> bool:
        """Whether no file was ever published here."""
        return not self.root.is_dir() or not any(path.is_file() for path in self.root.rglob("*"))

    def checkpoint(self) -> bytes | None:
        """The published checkpoint."""
        return self.read(CHECKPOINT)

    def read(self, path: str) -> bytes | None:
        """A public file's bytes, or None. The path must come from `tile_path` or be CHECKPOINT."""
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def indexes(self, start: int, end: int) -> dict[bytes, int]:
        """Leaf hash to index of the published leaves [start, end), as far as their tiles are here."""
        found: dict[bytes, int] = {}
        for tile in new_tiles(start, end):
            if tile.level == 0:
                # A partial tile is dropped once its place is full.
                data = self.read(tile.path) or self.read(Tile(0, tile.index).path) or b""
                hashes = parse_tile(data, len(data) // HASH_SIZE)
                found |= {item: index for index, item in enumerate(hashes, tile.index * TILE_WIDTH)}
        return {item: index for item, index in found.items() if start <= index < end}

    def add(self, tiles: Mapping[Tile, bytes]) -> None:
        """Write tiles and bundles durably; those that are there must be the same. Raises LogStopped if they differ."""
        self.show(self.write(tiles))

    def write(self, tiles: Mapping[Tile, bytes]) -> Written:
        """`add` up to where anybody could see it: the bytes are on the disk, beside their places."""
        places = {self.root / tile.path: data for tile, data in tiles.items()}
        folders = {place.parent for place in places}
        for folder in folders:
            self._ensure(folder)
        fresh = {place: data for place, data in places.items() if not _holds(place, data)}
        self._each(lambda item: _write_synced(_beside(item[0]), item[1]), fresh.items())
        return Written(list(fresh), folders)

    def show(self, written: Written) -> None:
        """Give what was written its names, durably."""
        for place in written.places:
            _beside(place).rename(place)
        made = self._made - self._durable
        self._each(sync_directory, written.folders | {folder.parent for folder in made})
        self._durable |= made

    def publish(self, checkpoint: bytes) -> None:
        """Replace the published checkpoint: after a power cut it is this one or the one before, and whole."""
        self.root.mkdir(parents=True, exist_ok=True)
        place = self.root / CHECKPOINT
        _write_synced(_beside(place), checkpoint)
        _beside(place).rename(place)

    def prune(self, tiles: Iterable[Tile]) -> None:
        """Drop the partial tiles of places that are full now (C2SP tlog-tiles, "Partial Tiles")."""
        for tile in tiles:
            directory = self.root / f"{tile.path}{_PARTIAL}"
            if tile.is_full and directory.is_dir():
                self._drop(directory)

    def leftovers(self, size: int) -> Iterator[Path]:
        """Folders of partial tiles whose place is full in the signed tree of `size`, and files that were never renamed.

        A full tile that is there already does not tell: it may be of the batch at hand, and the signed tree still end
        in the partial one. Only for the process that writes the log: to others, a file may be about to be renamed.
        """
        for place, _folders, names in os.walk(self.root):
            here = Path(place)
            if place.endswith(_PARTIAL) and self._is_full(here, size):
                yield here
            else:
                yield from (here / name for name in names if name.endswith(_NEW))

    def _is_full(self, partial: Path, size: int) -> bool:
        """Whether the place of a folder of partial tiles is full in the tree of `size`."""
        try:
            tile = parse_path(partial.relative_to(self.root).as_posix().removesuffix(_PARTIAL))
        except MalformedPath:
            return False
        return (tile.index + 1) << 8 * (max(tile.level, 0) + 1) <= size  # 256 leaves, or 256 tiles of the level below

    def partial_tiles(self) -> Iterator[Tile]:
        """Every partial tile that is there; some may be gone a moment later."""
        for place, _folders, names in os.walk(self.root):
            if place.endswith(_PARTIAL):
                for name in names:
                    with contextlib.suppress(MalformedPath):
                        yield parse_path(f"{Path(place).relative_to(self.root).as_posix()}/{name}")

    def collect(self, size: int) -> int:
        """Drop all leftovers of the log whose signed tree has `size`; returns how many there were."""
        found = list(self.leftovers(size))
        for path in found:
            if path.is_dir():
                self._drop(path)
            else:
                path.unlink()
        return len(found)

    def _drop(self, directory: Path) -> None:
        shutil.rmtree(directory)
        self._made.discard(directory)
        self._durable.discard(directory)

    def _ensure(self, directory: Path) -> None:
        """Make a directory; `show` sees to it, once in this process's lifetime, that it survives a power cut."""
        if directory in self._made:
            return
        if directory != self.root:
            self._ensure(directory.parent)
        directory.mkdir(parents=directory == self.root, exist_ok=True)
        self._made.add(directory)

    def _each(self, sync: Callable[[T], None], items: Iterable[T]) -> None:
        """Do it for all of them, side by side; raises what the first that failed raised, once all have ended."""
        waiting = [self._threads.submit(sync, item) for item in items]
        wait(waiting)
        for one in waiting:
            one.result()


def write_secret(path: Path, text: str) -> None:
    """Write a key file (mode 0600, in a directory of mode 0700), whole or not at all, durably."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    _write_synced(_beside(path), text.encode(), mode=0o600)
    _beside(path).rename(path)
    sync_directory(path.parent)


def write_public(path: Path, data: bytes) -> None:
    """Write a file into a directory that is there, whole or not at all, durably."""
    _write_synced(_beside(path), data)
    _beside(path).rename(path)
    sync_directory(path.parent)


def _beside(place: Path) -> Path:
    return place.with_name(f"{place.name}{_NEW}")


def _holds(place: Path, data: bytes) -> bool:
    try:
        found = place.read_bytes()
    except FileNotFoundError:
        return False
    if found != data:
        raise LogStopped(f"{place} was published with other bytes; a tile never changes")
    return True


def _write_synced(path: Path, data: bytes, mode: int = 0o644) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
