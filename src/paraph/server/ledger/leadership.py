"""Which process writes the log: one at a time, whoever holds the lock of the data folder and the database's role.

The lock file is what makes it safe: the kernel gives it to one process, keeps it through any pause and frees it when
that process ends. The role stands guard where somebody copied the data folder to a second machine: both copies share
the database, and only one of them may sign.
"""

import fcntl
import os
from pathlib import Path

from paraph.server.ledger.log import Log, open_log
from paraph.server.storage.role import Role


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

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


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
