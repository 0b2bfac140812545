"""Keeping up with other processes while nothing is being written here."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable

from paraph.server.storage.batches import report
from paraph.server.storage.database import StorageError
from paraph.server.storage.postgresql.setup import CHANNEL, connect
from paraph.server.storage.postgresql.wire import Lost, Wire

POLL = 1.0
"""Seconds after which a process looks for news by itself: a notification can be missed."""
TIDY_EVERY = 600
"""Polls between two removals of old announcements."""


class Watch:
    """Hears PostgreSQL's notifications on a connection of its own, and looks for news every POLL seconds in any case.

    `seen()` is the newest position that this process knows; `look_now()` takes in what is newer, at once, and may fail;
    `look()` does so even if a connection has to be made first; `tidy()` removes what nobody needs any more.
    """

    def __init__(
        self,
        dsn: str,
        seen: Callable[[], int],
        look_now: Callable[[], None],
        look: Callable[[], Awaitable[None]],
        tidy: Callable[[], Awaitable[None]],
    ) -> None:
        self._dsn = dsn
        self._closed = False
        self._wire = self._connect()
        self._seen = seen
        self._look_now = look_now
        self._look = look
        self._tidy = tidy
        self._heard = 0
        self._polls = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop, unless it has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop, and hang up."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._wire.close()

    def look_again(self) -> None:
        """Take in what has been heard of and not been seen."""
        if self._heard > self._seen():
            try:
                self._look_now()
            except Lost:
                return  # the next poll makes a new connection
            except Exception as error:
                report("what other processes wrote could not be taken in", error)

    def _connect(self) -> Wire:
        wire = connect(self._dsn, ())
        wire.command(f"LISTEN {CHANNEL}".encode())
        if self._closed:  # while a thread was connecting
            wire.close()
        return wire

    async def _run(self) -> None:
        while True:
            await self._listen(self._wire)
            while not self._wire.alive:
                await self._poll()
                with contextlib.suppress(StorageError):
                    self._wire = await asyncio.to_thread(self._connect)

    async def _listen(self, wire: Wire) -> None:
        loop = asyncio.get_running_loop()
        socket = os.dup(wire.socket)  # libpq closes its own when the connection breaks, while the loop still watches

        def hear() -> None:
            try:
                heard = wire.notifications()
            except Lost:
                loop.remove_reader(socket)
                return
            self._heard = max(self._heard, *map(int, heard), 0)
            self.look_again()

        loop.add_reader(socket, hear)
        try:
            while wire.alive:
                await self._poll()
        finally:
            loop.remove_reader(socket)
            os.close(socket)

    async def _poll(self) -> None:
        """Look, tidy up now and then, and wait."""
        self._polls += 1
        try:
            await self._look()
            if self._polls % TIDY_EVERY == 0:
                await self._tidy()
        except Exception as error:
            report("what other processes wrote could not be taken in", error)
        await asyncio.sleep(POLL)
