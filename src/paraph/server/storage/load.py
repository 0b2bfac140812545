"""How much is written: counted in plain integers, once a batch."""

from collections.abc import Sized


class Load:
    """What has been written: writes that wait, writes done, and batches by the number of bits of their length."""

    __slots__ = ("_queue", "batches", "written")

    def __init__(self, queue: Sized, longest: int) -> None:
        """`queue` holds the writes that wait; no batch is longer than `longest`."""
        self._queue = queue
        self.batches = [0] * (longest.bit_length() + 1)
        self.written = 0

    @property
    def queued(self) -> int:
        """Writes that wait."""
        return len(self._queue)

    def count(self, writes: int) -> None:
        """A batch is taken from the queue."""
        self.batches[writes.bit_length()] += 1
        self.written += writes
