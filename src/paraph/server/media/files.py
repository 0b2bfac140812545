"""The bytes of files, below one folder, each named by its id: durable once written, and never changed."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

T = TypeVar("T")

PIECE = 1 << 18
"""Bytes that are written or read at a time: one change of threads each."""


class Files:
    """Files in folders by the first two characters of their ids. Disk access runs in threads of its own."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, for the server's account alone."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="media")

    def path(self, media_id: str) -> Path:
        """Where a file is, or will be. `media_id` must be one that this server made."""
        return self._folder / media_id[:2] / media_id

    async def write(self, media_id: str, chunks: AsyncIterator[bytes]) -> int:
        """Write a file and return its size once it is on disk; whatever `chunks` raises leaves nothing behind."""
        path = self.path(media_id)
        file = await self._run(lambda: _create(path))
        try:
            size, held, length = 0, list[bytes](), 0
            async for chunk in chunks:
                held.append(chunk)
                length += len(chunk)
                if length >= PIECE:
                    size += await self._run(partial(_write, file, held))
                    held, length = [], 0
            size += await self._run(partial(_write, file, held))
            await self._run(lambda: _finish(file, path))
        except BaseException:
            await self._run(lambda: _abandon(file, path))
            raise
        return size

    async def read(self, path: Path) -> AsyncGenerator[bytes, None]:
        """A file's bytes in pieces."""
        file = await self._run(lambda: path.open("rb", buffering=0))
        try:
            while piece := await self._run(lambda: file.read(PIECE)):
                yield piece
        finally:
            file.close()

    async def size(self, path: Path) -> int | None:
        """Bytes that a file has; None if there is none."""
        return await self._run(lambda: _size(path))

    async def remove(self, media_id: str) -> None:
        """Remove a file, if it is there."""
        await self._run(lambda: self.path(media_id).unlink(missing_ok=True))

    def close(self) -> None:
        """Finish what is under way."""
        self._threads.shutdown()

    async def _run(self, fn: Callable[[], T]) -> T:
        """`fn` in a thread. Whoever is cancelled waits for it: nothing may go on behind the back of the cleaning up."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, fn)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise


def _create(path: Path) -> BinaryIO:
    """An empty file: one that a broken upload left is overwritten."""
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(path.parent.parent)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def _write(file: BinaryIO, pieces: list[bytes]) -> int:
    return file.write(b"".join(pieces))


def _finish(file: BinaryIO, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    _sync_folder(path.parent)


def _abandon(file: BinaryIO, path: Path) -> None:
    """Remove what was written. Buffered bytes may fail once more as the file is closed: it goes all the same."""
    try:
        file.close()
    finally:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
