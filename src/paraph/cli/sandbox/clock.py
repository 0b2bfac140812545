"""The sandbox's clock: one file that platform, witnesses, people and partners' programs all go by. Only forward."""

import asyncio
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from paraph.cli.sandbox.folder import write
from paraph.sdk import sandbox_clock
from paraph.sdk.clock import AHEAD, ahead
from paraph.tlog.errors import TlogError
from paraph.tlog.policy import Policy

UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MOST = 3650 * UNITS["d"]
"""How far ahead of the machine's the clock may be."""
FRESH_WITHIN, FRESH = 45.0, 60
"""Seconds: until the log has a tree of the new time, and how old that tree may be then."""
_SPAN = re.compile(r"([1-9][0-9]{0,8})([smhd])")


class CannotTurn(Exception):
    """The clock cannot be turned like that."""


class Clock:
    """Turns the file's clock, and waits until the platform at `url` has a tree of the new time."""

    def __init__(self, file: Path, url: str, policy: Policy) -> None:
        """`policy` says whose cosignatures of the platform's log count."""
        self._file = file
        self._url = url
        self._policy = policy
        self.now = sandbox_clock(file)

    async def turn(self, forward: int) -> int:
        """Let so many milliseconds pass for everybody; the new time (ms). Raises CannotTurn."""
        total = ahead(self._file) + forward
        if forward <= 0 or total > MOST:
            raise CannotTurn("the clock goes only forward, and at most 3650 days ahead of this machine's")
        write(self._file, {AHEAD: total})
        await self._fresh()
        return self.now()

    async def _fresh(self) -> None:
        """Until then nothing can be read or shared: the log's newest tree is of the old time."""
        deadline = time.monotonic() + FRESH_WITHIN
        async with httpx.AsyncClient(base_url=self._url) as client:
            while time.monotonic() < deadline:
                try:
                    self._policy.check((await client.get("/log/checkpoint")).content, self.now() // 1000, FRESH)
                except (TlogError, httpx.HTTPError):
                    await asyncio.sleep(0.1)
                else:
                    return
        raise CannotTurn("the clock is turned, but the log has no tree of the new time yet: look again in a moment")


def span(text: str) -> int:
    """Milliseconds of a span like 90s, 30m, 12h or 10d. Raises ValueError."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r}: expected a number and a unit, like 90s, 30m, 12h or 10d")
    return int(found[1]) * UNITS[found[2]]


def moment(text: str) -> int:
    """Milliseconds of a time like 2027-01-31 or 2027-01-31T12:00, in UTC. Raises ValueError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r}: expected a time like 2027-01-31 or 2027-01-31T12:00 (UTC)") from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def shown(now: int) -> str:
    """A time for people."""
    return f"{datetime.fromtimestamp(now / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
