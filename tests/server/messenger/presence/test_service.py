"""Presence: who is told of what, and what time makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.messenger.presence.model import IDLE_AFTER, OFFLINE_AFTER, Said, Status
from tests.server.messenger.house import Device, House, house

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
_NOW = 1_700_000_000_000


class _Clock:
    def __init__(self) -> None:
        self.now = _NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[tuple[House, _Clock]]:
    """A messenger with presence, and its clock."""
    clock = _Clock()
    async with house(tmp_path / "paraph.db", clock=clock, presence=True) as built:
        yield built, clock


async def _settled(home: House) -> None:
    """Wait until whoever is to be told has been."""
    while home.messenger.presence._tasks:
        await asyncio.gather(*home.messenger.presence._tasks)


def _shown(answer: Any) -> dict[str, Any]:
    return {event["sender"]: event["content"] for event in answer.get("presence", {}).get("events", [])}


async def _set(device: Device, presence: str, **more: str) -> None:
    answer = await device.call("PUT", f"/presence/{device.user_id}/status", {"presence": presence, **more})
    assert answer.status == 200, answer


async def test_what_is_said_reaches_those_who_share_a_room(here: tuple[House, _Clock]) -> None:
    """A change wakes their syncs, once, with the words beside it; strangers learn nothing."""
    home, clock = here
    author, friend, stranger = home.device("author"), home.device("friend"), home.device("stranger")
    await author.create(friend)
    for device in (author, friend, stranger):
        await device.next()
    await _settled(home)
    for device in (author, friend, stranger):
        await device.next()
    waiting = asyncio.create_task(friend.next(timeout=20_000))
    await asyncio.sleep(0)
    await _set(author, "unavailable", status_msg="away")
    said = {"presence": "unavailable", "last_active_ago": 0, "status_msg": "away"}
    assert _shown(await waiting) == {author.user_id: said}
    assert _shown(await author.next()) == {author.user_id: said}
    assert "presence" not in await friend.next()
    assert "presence" not in await stranger.next()
    clock.now += 5_000
    path = f"/presence/{author.user_id}/status"
    assert (await friend.call("GET", path)) == said | {"last_active_ago": 5_000}
    assert (await stranger.call("GET", path))["errcode"] == "M_FORBIDDEN"
    assert (await friend.call("PUT", path, {"presence": "online"})).status == 403
    assert (await author.call("PUT", path, {"presence": "busy"})).status == 400
    assert (await author.call("PUT", path, {"presence": "online", "status_msg": "m" * 300})).status == 400


async def test_a_first_sync_shows_everybody(here: tuple[House, _Clock]) -> None:
    """Oneself, online by syncing, and whoever else is known and shares a room."""
    home, _ = here
    author, friend, third = home.device("author"), home.device("friend"), home.device("third")
    await author.create(friend, third)
    await author.next()
    shown = _shown(await friend.sync())
    assert {name: content["presence"] for name, content in shown.items()} == {
        author.user_id: "online",
        friend.user_id: "online",
    }
    assert shown[author.user_id]["currently_active"] is True
    nobody = await friend.sync(filter='{"presence":{"types":[]}}')
    assert "presence" not in nobody
    others = await friend.sync(filter=f'{{"presence":{{"not_senders":["{friend.user_id}"]}}}}')
    assert list(_shown(others)) == [author.user_id]


async def test_people_who_meet_see_each_other(here: tuple[House, _Clock]) -> None:
    """Who joins a room is told of the members, and they of her, though nothing about them changed."""
    home, _ = here
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(preset="public_chat")
    for device in (author, friend):
        await device.next()
    await _settled(home)
    for device in (author, friend):
        await device.next()
    await friend.call("POST", f"/join/{quote(room)}", {})
    assert author.user_id in _shown(await friend.next())
    assert friend.user_id in _shown(await author.next())
    assert "presence" not in await friend.next()


async def test_a_sync_says_how_she_is(here: tuple[House, _Clock]) -> None:
    """`unavailable` while no device of hers is online, `offline` says nothing, and more devices count together."""
    home, clock = here
    author, tablet, friend = home.device("author"), home.device("author", "B"), home.device("friend")
    await author.create(friend)
    path = f"/presence/{author.user_id}/status"

    async def now() -> str:
        return str((await friend.call("GET", path))["presence"])

    await author.sync(set_presence="offline")
    assert await now() == "offline"
    await author.sync(set_presence="unavailable")
    assert await now() == "unavailable"
    await tablet.sync()
    await author.sync(set_presence="unavailable")
    assert await now() == "online"
    clock.now += OFFLINE_AFTER
    await author.sync(set_presence="unavailable")
    assert await now() == "unavailable"
    await author.sync(set_presence="online")
    assert await now() == "online"
    await _set(author, "unavailable")
    await author.sync()
    assert await now() == "unavailable"


async def test_time_passes(here: tuple[House, _Clock]) -> None:
    """Without a sync somebody is offline after a while, without doing anything idle, and back by doing something."""
    home, clock = here
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    since = (await author.sync())["next_batch"]
    for device in (author, friend):
        await device.next()
    waiting = asyncio.create_task(author.sync(since, timeout=60_000, filter='{"presence":{"types":[]}}'))
    await _settled(home)
    await friend.next()

    async def after(milliseconds: int) -> Any:
        clock.now += milliseconds
        home.messenger.presence._sweep()
        await _settled(home)
        return _shown(await friend.next()).get(author.user_id)

    assert await after(IDLE_AFTER) is None
    assert (await after(1))["presence"] == "unavailable"
    await author.sync()
    assert await after(0) is None  # polling alone is not doing anything
    await author.send(room)
    await waiting
    assert (await after(0))["presence"] == "online"
    assert await after(OFFLINE_AFTER - 1) is None
    gone = await after(1)
    assert gone["presence"] == "offline"
    assert "currently_active" not in gone
    assert (await friend.call("GET", f"/presence/{author.user_id}/status"))["presence"] == "offline"


async def test_a_hot_sync_asks_nothing_of_presence(here: tuple[House, _Clock], monkeypatch: pytest.MonkeyPatch) -> None:
    """A message to somebody who is online already costs no query and no announcement."""
    home, _ = here
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    for _ in range(2):
        for device in (author, friend):
            await device.next()
        await _settled(home)
    database = home.messenger.core.database
    monkeypatch.setattr(database, "read", None)
    waiting = asyncio.create_task(friend.next(timeout=20_000))
    await asyncio.sleep(0)
    await author.send(room)
    assert (await waiting)["rooms"]["join"][room]["timeline"]["events"]


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    """Then nobody is here, and nothing is told."""
    async with house(tmp_path / "paraph.db", presence=False) as home:
        author = home.device("author")
        await _set(author, "online")
        assert await author.call("GET", f"/presence/{author.user_id}/status") == {"presence": "offline"}
        assert "presence" not in await author.sync()


def test_a_status_keeps_to_what_was_chosen_until_she_is_gone() -> None:
    """What she set outweighs what a client says by syncing."""
    status = Status()
    assert status.take(Said("unavailable", "m", 10, chosen=True))
    assert status.synced("A", "online", 20) is None
    assert not status.take(Said("unavailable", "m", 20, chosen=True))
    assert status.now(20 + OFFLINE_AFTER) == Said("offline", "m", 20)
    assert status.take(Said("offline", "m", 20))
    assert status.synced("A", "online", 30) == Said("online", "m", 30)
