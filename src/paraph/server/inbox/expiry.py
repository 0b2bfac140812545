"""What only time ends: a task that has it recorded, now and then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from paraph.server.storage import StorageError

log = logging.getLogger(__name__)

EVERY_SECONDS = 20.0


class Expiry:
    """Calls `expire` for as long as the server runs; what fails is tried again the next time."""

    def __init__(self, expire: Callable[[], Awaitable[object]]) -> None:
        self._expire = expire
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._expire()
            except StorageError as error:
                log.warning("what has expired could not be recorded now: %s", error)
            except Exception:  # one bad row must not keep all others from ever being recorded
                log.exception("what has expired could not be recorded")
            await asyncio.sleep(EVERY_SECONDS)
