"""Whether the log keeps up: reads stop where a receipt could be a promise that is not kept.

The log keeps up while no leaf waits longer than the merge delay, and while the newest published tree is young. Both are
judged by the database that all processes share, so that a process which does not write the log stops like the one
that does.
"""

from collections.abc import Callable
from dataclasses import dataclass

from paraph.protocol.limits import MERGE_DELAY_MS
from paraph.server.ledger import store
from paraph.server.ledger.errors import LogNotFresh
from paraph.server.storage import Transaction

LOOK_MS = 1000
"""For how long a look at the database serves. Whatever was recorded since is younger than that."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the database said: when (ms), the time of the newest published tree, that of the oldest waiting leaf."""

    at: int
    published: int
    waiting: int | None


class Freshness:
    """Looks now and then; `check` raises while the log does not keep up."""

    def __init__(self, clock: Callable[[], int], heartbeat: float) -> None:
        """`clock` gives ms, `heartbeat` is the time in seconds between two epochs of an idle log."""
        self._clock = clock
        self._longest = round(heartbeat * 1000) + MERGE_DELAY_MS
        self._look: Look | None = None

    def check(self, tx: Transaction) -> None:
        """Raise LogNotFresh if a leaf waits for longer than the merge delay, or the newest published tree is old."""
        look = self._look
        if look is None or not 0 <= self._clock() - look.at < LOOK_MS or self._late(look):
            look = self._look = Look(self._clock(), *store.freshness(tx))
        if late := self._late(look):
            raise LogNotFresh(late)

    def _late(self, look: Look) -> str | None:
        """What is late, in words; None if nothing is."""
        now = self._clock()
        if look.waiting is not None and now - look.waiting > MERGE_DELAY_MS:
            return f"a record has waited {(now - look.waiting) // 1000} s for the log"
        if now - look.published > self._longest:
            return f"the newest published tree is {(now - look.published) // 1000} s old"
        return None
