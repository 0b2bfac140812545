"""SQLite's write-ahead log, copied into the database beside the writer, so that no commit waits for much of it.

Left to itself, SQLite lets the commit that finds 16,000 pages in the WAL copy them all, 60 to 300 ms in which nobody is
answered. Here a connection of its own copies while the writer goes on (a passive checkpoint, which never blocks). As a
busy writer stays ahead of it for ever and the WAL begins anew only once all of it is copied, the writer then copies the
little that came meanwhile, between two batches. SQLite's own limit stays as the bound on the WAL's length.
See docs/performance.md, "Checkpoints".
"""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor

AHEAD = 11_000
"""Pages in the WAL when copying begins; SQLite would at 16,000."""
PAGES_PER_WRITE = 4.0
"""What a write is taken to add to the WAL, until it was measured."""
_COPY = "PRAGMA wal_checkpoint(PASSIVE)"


class WalKeeper:
    """Watches over the WAL of one writer; the methods are called on the event loop, between batches."""

    def __init__(self, copier: sqlite3.Connection, writer: sqlite3.Connection) -> None:
        """`copier` is a connection for nothing else."""
        self._copier = copier
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wal")
        self._copying: asyncio.Future[int] | None = None
        self._per_write = PAGES_PER_WRITE
        self._writes = 0

    async def after(self, writes: int, committer: ThreadPoolExecutor) -> None:
        """A batch of that many writes is durable; returns when the next may begin."""
        self._writes += writes
        if self._copying is None:
            if self._writes * self._per_write >= AHEAD:
                self._copying = asyncio.get_running_loop().run_in_executor(self._thread, _copy, self._copier)
        elif self._copying.done():
            self._copying = None
            await self._finish(committer)

    async def _finish(self, committer: ThreadPoolExecutor) -> None:
        """Copy what came while the other connection copied; then the next batch begins the WAL anew."""
        pages = await asyncio.get_running_loop().run_in_executor(committer, _copy, self._writer)
        if pages and self._writes:
            self._per_write = pages / self._writes
        self._writes = 0

    def close(self) -> None:
        """Let a copy in progress end and close its connection."""
        self._thread.shutdown()
        self._copier.close()


def _copy(connection: sqlite3.Connection) -> int:
    """Copy what can be copied without waiting for anybody; returns the pages in the WAL, 0 if that is not known."""
    try:
        _busy, pages, _copied = connection.execute(_COPY).fetchone()
    except sqlite3.Error:  # what is not copied now is copied later, by SQLite itself at the latest
        return 0
    return max(int(pages), 0)
