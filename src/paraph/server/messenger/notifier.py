"""Who waits for news, and telling them.

A waiter is one future and one timer, no task: 10,000 idle long polls cost little more than their connections.
Always `wait` first and read the state afterwards: what happens in between then wakes the waiter.
"""

import asyncio
from collections.abc import Iterable


class Waiter:
    """One long poll. Await `done`; it resolves when the person is woken, the time is up or the server stops."""

    __slots__ = ("_notifier", "_timer", "done", "user_id")

    def __init__(self, notifier: "Notifier", user_id: str, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        self._notifier = notifier
        self.user_id = user_id
        self.done: asyncio.Future[None] = loop.create_future()
        self._timer = loop.call_later(timeout, self.wake)

    def within(self, seconds: float | None) -> None:
        """Wake at the latest so many seconds from now, if that is sooner."""
        loop = asyncio.get_running_loop()
        if seconds is not None and loop.time() + seconds < self._timer.when():
            self._timer.cancel()
            self._timer = loop.call_later(max(seconds, 0), self.wake)

    @property
    def stopped(self) -> bool:
        """Whether the server is stopping, so that nobody is to wait any more."""
        return self._notifier.stopped

    def wake(self) -> None:
        """Let the poll go on."""
        if not self.done.done():
            self.done.set_result(None)

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._timer.cancel()
        self._notifier.remove(self)


class Notifier:
    """Waiters by person."""

    def __init__(self) -> None:
        self._waiters: dict[str, list[Waiter]] = {}
        self.stopped = False

    def wait(self, user_id: str, timeout: float) -> Waiter:
        """Register a waiter for `timeout` seconds; the caller must `cancel` it in the end."""
        waiter = Waiter(self, user_id, timeout)
        if self.stopped:
            waiter.wake()
        self._waiters.setdefault(user_id, []).append(waiter)
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """Forget a waiter."""
        waiters = self._waiters.get(waiter.user_id)
        if waiters is None or waiter not in waiters:
            return
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[waiter.user_id]

    def wake(self, user_ids: Iterable[str]) -> None:
        """Wake everybody who waits as one of these people."""
        for user_id in user_ids:
            for waiter in self._waiters.get(user_id, ()):
                waiter.wake()

    def wake_all(self) -> None:
        """Wake everybody who waits."""
        self.wake(list(self._waiters))

    def is_waiting(self, user_id: str) -> bool:
        """Whether one of the person's devices is in a long poll."""
        return user_id in self._waiters

    def stop(self) -> None:
        """Wake everybody; from now on nobody waits."""
        self.stopped = True
        self.wake_all()
