"""Which process writes the log: one at a time, whoever holds the lock of the data folder and the database's role.

The lock file is what makes it safe: the kernel gives it to one process, keeps it through any pause and frees it when
that process ends. The role stands guard where somebody copied the data folder to a second machine: both copies share
the database, and only one of them may sign.
"""

import fcntl
import os
from pathlib import Path

from paraph.server.ledger.errors import StartRefused
from paraph.server.ledger.files import LogFolder
from paraph.server.ledger.log import Log, open_log
from paraph.server.storage.role import Role
from paraph.tlog import checkpoint, note
from paraph.tlog.errors import TlogError


class Leadership:
    """The right to write the log below `data`, for this process."""

    def __init__(self, data: Path, origin: str, role: Role) -> None:
        self._data = data
        self._origin = origin
        self._role = role
        self._lock: int | None = None

    def claim(self) -> Log | None:
        """The log, opened and checked, unless another process of this folder writes it. Raises StartRefused."""
        lock = self._lock = _try_lock(self._data / "log.lock")
        if lock is None:
            return None
        try:
            return open_log(self._data, self._origin)
        except BaseException:
            self._unlock()
            raise

    async def take_role(self) -> bool:
        """Whether this process leads among all that share its database. Raises StorageError."""
        return await self._role.take()

    async def held(self) -> bool:
        """Whether this process still leads."""
        return self._lock is not None and await self._role.held()

    async def release(self) -> None:
        """Let another process lead; the log has to be closed before."""
        await self._role.release()
        self._unlock()

    def abandon(self, log: Log | None) -> None:
        """Close a log that was claimed and will not be written after all."""
        if log is not None:
            log.close()
        self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def published_size(folder: LogFolder, verifier: note.Verifier) -> int:
    """Size of the published tree; 0 without one. Raises StartRefused."""
    published = folder.checkpoint()
    try:
        return 0 if published is None else checkpoint.open(published, verifier).size
    except TlogError as error:
        raise StartRefused(f"log/checkpoint is not one of this log: {error}") from error


def _try_lock(path: Path) -> int | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle
