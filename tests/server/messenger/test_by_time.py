"""Which event is nearest to a moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.server.messenger.acts import act, outcome
from tests.server.messenger.house import SERVER, Answer, Device, House, house


class _Clock:
    now = 1_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
async def timed(tmp_path: Path, clock: _Clock) -> AsyncIterator[House]:
    async with house(tmp_path / "paraph.db", clock=clock) as built:
        yield built


async def _at(device: Device, room: str, **params: Any) -> Answer:
    path = f"/_matrix/client/v1/rooms/{quote(room)}/timestamp_to_event"
    answer: Answer = await device.call("GET", path, **params)
    return answer


async def test_the_nearest_event_is_found_in_either_direction(timed: House, clock: _Clock) -> None:
    """The first event at or after a moment, the last at or before it; none beyond the ends; no other room's."""
    author = timed.device("author")
    room, other = await author.create(), await author.create()
    sent = {}
    for moment in (2_000, 3_000, 3_000, 4_000):
        clock.now = moment
        sent.setdefault(moment, []).append((await author.send(room))["event_id"])
        await author.send(other)
    assert await _at(author, room, dir="f", ts=2_500) == {"event_id": sent[3_000][0], "origin_server_ts": 3_000}
    assert await _at(author, room, dir="b", ts=2_500) == {"event_id": sent[2_000][0], "origin_server_ts": 2_000}
    assert (await _at(author, room, dir="f", ts=3_000))["event_id"] == sent[3_000][0]
    assert (await _at(author, room, dir="b", ts=3_000))["event_id"] == sent[3_000][1]
    assert (await _at(author, room, dir="f", ts=0))["origin_server_ts"] == 1_000
    assert (await _at(author, room, dir="b", ts=2**53))["event_id"] == sent[4_000][0]
    assert outcome(await _at(author, room, dir="f", ts=4_001)) == "M_NOT_FOUND"
    assert outcome(await _at(author, room, dir="b", ts=999)) == "M_NOT_FOUND"


async def test_only_what_may_be_seen_is_found(timed: House, clock: _Clock) -> None:
    """What was said before somebody joined is passed over where the room hides it; strangers are refused."""
    author, friend = timed.device("author"), timed.device("friend")
    hidden = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    room = await author.create(initial_state=[hidden], preset="public_chat")
    clock.now = 2_000
    for _ in range(60):
        await author.send(room)
    assert outcome(await _at(friend, room, dir="f", ts=0)) == "M_FORBIDDEN"
    clock.now = 3_000
    assert await act(friend, room, "join") == "ok"
    assert (await _at(friend, room, dir="f", ts=1_500))["origin_server_ts"] == 3_000
    # What the room was made of is older than its rule, and can be seen.
    assert (await _at(friend, room, dir="b", ts=2_500))["origin_server_ts"] == 1_000
    assert outcome(await _at(friend, f"!none:{SERVER}", dir="b", ts=1)) == "M_FORBIDDEN"


async def test_the_moment_and_the_direction_are_asked_for(timed: House) -> None:
    """Without ts or dir, or with odd ones, there is nothing to look for."""
    author = timed.device("author")
    room = await author.create()
    assert outcome(await _at(author, room, dir="f")) == "M_MISSING_PARAM"
    for params in ({"ts": 1}, {"ts": 1, "dir": "x"}, {"ts": "-1", "dir": "f"}, {"ts": "x", "dir": "f"}):
        assert outcome(await _at(author, room, **params)) == "M_INVALID_PARAM"
