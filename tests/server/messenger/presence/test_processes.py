"""Presence where a person's devices and those who watch them are served by different processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from paraph.server.messenger.presence.model import OFFLINE_AFTER
from tests.server.messenger.acts_sync import ignore, say
from tests.server.messenger.house import House, house

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


class _Clock:
    now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
async def homes(tmp_path: Path, dialect: str) -> AsyncIterator[tuple[House, House, _Clock]]:
    """Two messengers on one database, with one clock."""
    clock, path = _Clock(), tmp_path / "paraph.db"
    async with house(path, clock=clock, presence=True) as first, house(path, clock=clock, presence=True) as second:
        yield first, second, clock


async def _heard(*homes: House) -> None:
    """Return once each knows of everything that is durable, and has told it."""
    for _ in range(2):
        for home in homes:
            await home.messenger.core.database.write(lambda _tx: None)
            while tasks := home.messenger.presence._tasks:
                await asyncio.gather(*tasks)


def _shown(answer: Any) -> dict[str, str]:
    return {event["sender"]: event["content"]["presence"] for event in answer.get("presence", {}).get("events", [])}


async def test_a_person_is_seen_from_another_process(homes: tuple[House, House, _Clock]) -> None:
    """Her coming and going wakes who watches elsewhere; while she polls here, nobody there takes her for gone."""
    here, there, clock = homes
    author, friend = here.device("author"), there.device("friend")
    here.people |= there.people
    there.people |= here.people
    await author.create(here.device("friend"))
    await friend.next()
    waiting = asyncio.create_task(friend.next(timeout=20_000))
    await asyncio.sleep(0)
    await author.next()
    await _heard(here, there)
    assert _shown(await waiting)[author.user_id] == "online"
    for _ in range(3):
        clock.now += OFFLINE_AFTER // 2 + 1
        await author.next()
        here.messenger.presence._sweep()
        await _heard(here, there)
        there.messenger.presence._sweep()
        await _heard(here, there)
        assert author.user_id not in _shown(await friend.next())
    clock.now += OFFLINE_AFTER
    there.messenger.presence._sweep()
    await _heard(here, there)
    assert _shown(await friend.next())[author.user_id] == "offline"
    status = f"/presence/{author.user_id}/status"
    assert (await author.call("GET", status))["presence"] == "offline"


async def test_whom_she_ignores_is_known_everywhere(homes: tuple[House, House, _Clock]) -> None:
    """A list that one process took is followed by the other one's next answer."""
    here, there, _ = homes
    author, friend = here.device("author"), here.device("friend")
    room = await author.create(friend)
    tablet = there.device("author", "B")
    there.people |= here.people
    await tablet.next()
    await ignore(author, friend)
    hidden = await say(friend, room, 1)
    await _heard(here, there)
    answer = await tablet.next(filter='{"presence":{"types":[]}}')
    shown = answer.get("rooms", {}).get("join", {}).get(room, {}).get("timeline", {}).get("events", [])
    assert hidden[0] not in [event["event_id"] for event in shown]
    assert "m.ignored_user_list" in [event["type"] for event in answer["account_data"]["events"]]
