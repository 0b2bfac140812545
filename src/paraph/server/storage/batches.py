"""Group commit, the part that no dialect changes: the queue, one batch at a time, and what happens after a commit.

A dialect gives `_commit(batch)`: run each write's function, commit, and `settle` (or `abandon`) every write.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from paraph.server.storage.database import (
    MAX_BATCH,
    MAX_QUEUED,
    Announcement,
    Follower,
    Listener,
    QueueFull,
    StorageError,
    Transaction,
)
from paraph.server.storage.guard import guarded
from paraph.server.storage.load import Load

T = TypeVar("T")


class Listeners:
    """Who wants to hear what: by topic, and of everything that other processes commit."""

    def __init__(self) -> None:
        self._by_topic: defaultdict[str, list[Listener]] = defaultdict(list)
        self._followers: list[Follower] = []

    def add(self, topic: str, callback: Listener) -> None:
        """Call `callback` for announcements on `topic`."""
        self._by_topic[topic].append(callback)

    def add_follower(self, callback: Follower) -> None:
        """Call `callback` for stretches that other processes committed."""
        self._followers.append(callback)

    def tell(self, announcement: Announcement) -> None:
        """Pass one announcement on."""
        for callback in self._by_topic.get(announcement.topic, ()):
            callback(announcement)

    def follow(self, tx: Transaction, after: int, upto: int) -> None:
        """Pass on that others committed everything in (after, upto]."""
        for callback in self._followers:
            callback(tx, after, upto)


class Effects:
    """What one write wants to happen once it is durable, in the order it asked."""

    __slots__ = ("_callbacks", "_listeners", "announced")

    def __init__(self, listeners: Listeners) -> None:
        self._callbacks: list[Callable[[], None]] = []
        self._listeners = listeners
        self.announced: list[tuple[str, str]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Run `callback` once this write is durable."""
        self._callbacks.append(callback)

    def announce(self, topic: str, payload: str) -> None:
        """Tell the listeners of every process once this write is durable."""
        self.announced.append((topic, payload))
        self._callbacks.append(lambda: self._listeners.tell(Announcement(topic, payload, local=True)))

    def committed(self) -> None:
        """Run what was to happen after the commit; what one callback raises does not keep the others from running."""
        for callback in self._callbacks:
            try:
                callback()
            except Exception as error:
                report(f"a callback after a commit failed: {error!r}", error)


class Write:
    """A queued write: its function, whom to tell, and how it went."""

    __slots__ = ("effects", "error", "fn", "future", "result")

    def __init__(self, fn: Callable[[Any], Any], future: "asyncio.Future[Any]") -> None:
        self.fn = fn
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None
        self.effects: Effects | None = None

    def settle(self) -> None:
        """The batch is durable: let the caller resume, who finds done what was to follow.

        A caller's turn comes with the loop's next round, after this; and before that of whoever is woken by what
        follows. So a client has the answer to its send before its own sync shows the event: matrix-js-sdk loses its way
        for half a minute where the first reply in a thread comes the other way round.
        """
        if not self.future.done():  # else the caller was cancelled; what it wrote stays written
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.result)
        if self.error is None and self.effects is not None:
            self.effects.committed()


class GroupCommit(ABC):
    """The queue of writes, and the one task that turns it into batches."""

    def __init__(self) -> None:
        self._queue: deque[Write] = deque()
        self.load = Load(self._queue, MAX_BATCH)
        self._pump: asyncio.Task[None] | None = None
        self._closed = False
        self._listeners = Listeners()

    async def write(self, fn: Callable[[Any], T]) -> T:
        """Run `fn` in the next batch and resume after its commit."""
        if self._closed:
            raise StorageError("the database is closed")
        if len(self._queue) >= MAX_QUEUED:
            raise QueueFull(f"{MAX_QUEUED} writes wait already")
        loop = asyncio.get_running_loop()
        write = Write(guarded(fn), loop.create_future())
        self._queue.append(write)
        if self._pump is None:
            self._pump = loop.create_task(self._run())
        result: T = await write.future
        return result

    def listen(self, topic: str, callback: Listener) -> None:
        """Call `callback` with every announcement on `topic`."""
        self._listeners.add(topic, callback)

    def follow(self, callback: Follower) -> None:
        """Call `callback` with every stretch that other processes committed."""
        self._listeners.add_follower(callback)

    async def _finish(self) -> None:
        """Take nothing more, and commit what is queued."""
        self._closed = True
        if self._pump is not None:
            await self._pump

    async def _run(self) -> None:
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
                self.load.count(len(batch))
                await self._commit(batch)
        finally:
            self._pump = None

    @abstractmethod
    async def _commit(self, batch: list[Write]) -> None:
        """Apply a batch, make it durable and settle every write in it."""


def abandon(batch: Iterable[Write], kind: type[StorageError], message: str) -> None:
    """Tell every caller that its write is not known to be kept."""
    for write in batch:
        if not write.future.done():
            write.future.set_exception(kind(message))


def report(message: str, error: Exception) -> None:
    """Say through the event loop's handler what nobody is waiting to hear."""
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
