"""The task that records what time has ended."""

import asyncio

import pytest

from paraph.server.inbox import expiry


async def test_it_goes_on_after_a_failure_and_stops_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One failure does not end it; stopping does, and twice does no harm."""
    monkeypatch.setattr(expiry, "EVERY_SECONDS", 0.001)
    calls: list[int] = []
    often = asyncio.Event()

    async def expire() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise ValueError("the first time goes wrong")
        if len(calls) == 3:
            often.set()

    task = expiry.Expiry(expire)
    task.start()
    await asyncio.wait_for(often.wait(), 5)
    await task.stop()
    seen = len(calls)
    await asyncio.sleep(0.02)
    assert len(calls) == seen
    await task.stop()
