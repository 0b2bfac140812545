"""Epoch leaves count from 0, each names the signed tree before it, and their time does not run back."""

from dataclasses import dataclass, replace

from paraph.audit.errors import BadEpoch
from paraph.protocol.entry import EpochLeaf


@dataclass(frozen=True, slots=True)
class Epochs:
    """What the next epoch leaf is held against: how many there were, where the last one ended, its time (ms)."""

    count: int = 0
    end: int = 0
    time: int = 0

    def after(self, index: int, leaf: EpochLeaf) -> "Epochs":
        """The same once the epoch leaf at `index` is in. Raises BadEpoch if it is not the one that may follow."""
        where = f"leaf {index}"
        if leaf.n != self.count:
            raise BadEpoch(where, f"epoch {self.count}", f"epoch {leaf.n}")
        if leaf.prev_size != self.end:
            raise BadEpoch(where, f"prev_size {self.end}, where the epoch before ended", str(leaf.prev_size))
        if leaf.time < self.time:
            raise BadEpoch(where, f"a time not before {self.time}, that of the epoch before", str(leaf.time))
        return replace(self, count=self.count + 1, end=index + 1, time=leaf.time)
