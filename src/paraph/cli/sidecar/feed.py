"""The stream behind `GET /changes`: poured into the store all the time, and waited for."""

import asyncio
import contextlib
import logging
from typing import Any

from paraph.cli.sidecar.problems import Refused, refusal
from paraph.sdk import Outbox, Partner, SdkError
from paraph.sdk.partner.outbox import MAX_KEPT

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class Feed:
    """One purpose's stream; `start` it once. What fails is tried again, and said to whoever waits."""

    def __init__(self, partner: Partner, purpose: str) -> None:
        self._outbox: Outbox = partner.outbox(purpose)
        self._moved = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._failed: Refused | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def rendered(self) -> dict[str, Any]:
        """How many changes are not acknowledged, and why nothing new comes, while nothing does."""
        return {"waiting": self._outbox.waiting, "failed": None if self._failed is None else self._failed.rendered}

    def start(self) -> None:
        """Begin to take the stream in."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; what is kept stays kept."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def get(self, state: str | None, limit: int, wait: float) -> tuple[list[tuple[str, dict[str, Any]]], str]:
        """Changes behind a state, which is acknowledged thereby; waits up to `wait` seconds for some.

        Raises Refused where there are none and the stream fails; OutboxStateError.
        """
        if state is not None:
            self.acknowledge(state)
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            self._moved.clear()
            found, behind = self._outbox.after(state, limit)
            if found:
                return found, behind
            left = until - loop.time()
            if left <= 0:
                if self._failed is not None:
                    raise self._failed
                return found, behind
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), left)

    def after(self, state: str | None, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """Changes behind a state that are there now; nothing is acknowledged."""
        return self._outbox.after(state, limit)[0]

    async def moved(self, seconds: float) -> None:
        """Wait for news."""
        self._moved.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), seconds)

    def acknowledge(self, state: str) -> None:
        """Let go of everything up to a state."""
        self._outbox.acknowledge(state)
        self._acknowledged.set()

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with contextlib.aclosing(self._outbox.pour()) as pouring:
                    async for _ in pouring:
                        self._failed, pause = None, FIRST_PAUSE
                        self._moved.set()
                        await self._room()
            except SdkError as error:
                log.warning("the stream is broken off and will be tried again: %s", error)
                self._failed = refusal(error)
                self._moved.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _room(self) -> None:
        while self._outbox.waiting >= MAX_KEPT:
            self._acknowledged.clear()
            await self._acknowledged.wait()
