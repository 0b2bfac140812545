"""Request limits: one published table, the same for everybody (promise P9)."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from paraph.server.http.errors import TooManyRequests


@dataclass(frozen=True, slots=True)
class Limit:
    """A token bucket: `burst` requests at once, refilled by `per_second`."""

    per_second: float
    burst: int


# Per account where there is one, per address otherwise; `login` and `register` count both (see accounts).
LIMITS = {
    "default": Limit(per_second=100, burst=500),
    "public": Limit(per_second=50, burst=200),
    "login": Limit(per_second=0.2, burst=10),
    "register": Limit(per_second=0.2, burst=20),
    "token": Limit(per_second=2, burst=20),
    "oauth": Limit(per_second=20, burst=100),
    "keys": Limit(per_second=20, burst=100),
    "log": Limit(per_second=200, burst=2000),
    "media": Limit(per_second=20, burst=200),
    "webhooks": Limit(per_second=0.1, burst=10),
    "pages": Limit(per_second=10, burst=100),
}

MAX_BUCKETS = 100_000


class Limiter:
    """Token buckets by (limit, key), at most `MAX_BUCKETS` of them: the least recently used goes first."""

    def __init__(self, clock: Callable[[], float], *, enabled: bool = True) -> None:
        self._clock = clock
        self._enabled = enabled
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def check(self, name: str, key: str) -> None:
        """Take one token for `key` from the bucket of limit `name`; raises TooManyRequests."""
        if not self._enabled:
            return
        limit, now = LIMITS[name], self._clock()
        tokens, then = self._buckets.pop((name, key), (float(limit.burst), now))
        tokens = min(float(limit.burst), tokens + (now - then) * limit.per_second)
        allowed = tokens >= 1
        self._buckets[name, key] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequests(math.ceil((1 - tokens) / limit.per_second * 1000))
