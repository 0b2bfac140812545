"""Request limits: one published table, the same for everybody (promise P9).

What the table says is served as JSON (`published`) and hashed into the platform's record.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from paraph.server.http.errors import TooManyRequests

PARTNER, GRANT, ACCOUNT, DEVICE, ADDRESS = "partner", "grant", "account", "device", "address"
MILLISECONDS, BYTES, COUNT = "milliseconds", "bytes", "count"


@dataclass(frozen=True, slots=True)
class Limit:
    """A token bucket: `burst` requests at once, refilled by `per_second`; one bucket for each of `per`."""

    per_second: float
    burst: int
    per: tuple[str, ...]
    meaning: str

    @property
    def window(self) -> int:
        """Seconds in which an empty bucket is full again."""
        return math.ceil(self.burst / self.per_second)


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound on size, number or time that an API keeps to. Each room names its own."""

    name: str
    value: int
    unit: str
    meaning: str


_CALLER = (PARTNER, ACCOUNT)
LIMITS = {
    "default": Limit(100, 500, _CALLER, "requests with a token, unless another row is named"),
    "grant": Limit(50, 250, (GRANT,), "a partner's requests about one grant; counted besides the row of the endpoint"),
    "public": Limit(50, 200, (ADDRESS,), "requests without a token"),
    "login": Limit(0.2, 10, (ACCOUNT, ADDRESS), "attempts to log in"),
    "register": Limit(0.2, 20, (ACCOUNT, ADDRESS), "attempts to make an account"),
    "token": Limit(2, 20, (DEVICE, ADDRESS), "requests for a partner's tokens, and for a person's next ones"),
    "oauth": Limit(20, 100, (ADDRESS,), "a partner's other requests that are signed with its client key"),
    "keys": Limit(20, 100, _CALLER, "requests that publish or claim one-time keys"),
    "log": Limit(200, 2000, (ACCOUNT, ADDRESS), "requests to the public log"),
    "profiles": Limit(200, 2000, (ADDRESS,), "people's profiles looked up, which needs no token"),
    "media": Limit(20, 200, (ACCOUNT,), "uploads and downloads of files"),
    "webhooks": Limit(0.1, 10, (PARTNER,), "webhooks that a partner registers"),
    "pages": Limit(10, 100, (ADDRESS,), "pages for people"),
}
PER_GRANT = "grant"
"""The row that bounds a partner's requests about one grant."""

MAX_BUCKETS = 100_000


@dataclass(frozen=True, slots=True)
class Standing:
    """A bucket after a request: whole requests left, and seconds until there is one (none left) or all are."""

    name: str
    left: int
    seconds: int
    refused_ms: int
    """0 for a request that was let in, else milliseconds until the next one would be."""


class Limiter:
    """Token buckets by (limit, key), at most `MAX_BUCKETS` of them: the least recently used goes first."""

    def __init__(self, clock: Callable[[], float], *, enabled: bool = True) -> None:
        self._clock = clock
        self.enabled = enabled
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def check(self, name: str, key: str) -> None:
        """Take one token for `key` from the bucket of limit `name`; raises TooManyRequests."""
        if self.enabled:
            tokens = self._take(name, key)
            if tokens < 0:
                raise TooManyRequests(_wait_ms(LIMITS[name], tokens))

    def count(self, name: str, key: str) -> Standing:
        """Take one token, if there is one, and say how the bucket stands. Not for a limiter that is not enabled."""
        limit, tokens = LIMITS[name], self._take(name, key)
        if tokens < 0:
            wait = _wait_ms(limit, tokens)
            return Standing(name, 0, max(1, math.ceil(wait / 1000)), wait)
        missing = 1 - tokens if tokens < 1 else limit.burst - tokens
        return Standing(name, int(tokens), math.ceil(missing / limit.per_second), 0)

    def _take(self, name: str, key: str) -> float:
        """What is left after this request; below 0, by what is missing for it, where it is refused."""
        limit, now = LIMITS[name], self._clock()
        tokens, then = self._buckets.pop((name, key), (float(limit.burst), now))
        tokens = min(float(limit.burst), tokens + (now - then) * limit.per_second)
        allowed = tokens >= 1
        self._buckets[name, key] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return tokens - 1


def _wait_ms(limit: Limit, tokens: float) -> int:
    return math.ceil(-tokens / limit.per_second * 1000)


def published(bounds: Iterable[Bound], *, enabled: bool) -> dict[str, Any]:
    """The table as everybody can read it, with what the rooms bound besides."""
    return {
        "enforced": enabled,
        "requests": {
            name: {
                "requests_at_once": limit.burst,
                "refilled_per_second": limit.per_second,
                "per": list(limit.per),
                "meaning": limit.meaning,
            }
            for name, limit in LIMITS.items()
        },
        "bounds": {
            bound.name: {"value": bound.value, "unit": bound.unit, "meaning": bound.meaning} for bound in bounds
        },
        "applies_to": "every partner alike; a bucket is kept by each process that serves requests",
    }
