"""Lazily loaded members: who is told, when, and how often."""

from __future__ import annotations

import pytest

from paraph.server.messenger.rooms import Rooms
from tests.server.messenger.acts_sync import act, members, put_state, rename, say, section, wanting
from tests.server.messenger.house import Device, House
from tests.support.databases import runs_writes_once

pytestmark = runs_writes_once

_LAZY = wanting(timeline={"limit": 10}, state={"lazy_load_members": True})
_REDUNDANT = wanting(timeline={"limit": 10}, state={"lazy_load_members": True, "include_redundant_members": True})


async def _room(home: House) -> tuple[Device, Device, Device, Device, str]:
    author, friend, third, fourth = (home.device(name) for name in ("author", "friend", "third", "fourth"))
    room = await author.create(friend, third, fourth, name="A room")
    await say(friend, room, 10)
    return author, friend, third, fourth, room


async def test_a_first_sync_tells_senders_and_oneself(home: House) -> None:
    """Of all members, those whose messages are shown; and the syncing person herself."""
    author, friend, third, _, room = await _room(home)
    await say(third, room, 10)
    found = section(await author.sync(**_LAZY), room)
    assert members(found) == sorted([author.user_id, third.user_id])
    assert found["summary"] == {"m.joined_member_count": 4, "m.invited_member_count": 0}
    assert friend.user_id not in members(found)


@pytest.mark.parametrize("cold", [False, True])
async def test_later_ones_follow_as_they_speak_and_only_once(home: House, cold: bool) -> None:
    """A sender is told with her first message, not with the next one, unless the client wants that."""
    author, friend, third, _, room = await _room(home)
    author.since = (await author.sync(**_LAZY))["next_batch"]

    async def told(**wants: str) -> list[str]:
        if cold:
            home.messenger.core.rooms = Rooms(home.messenger.core.store)
        return members(section(await author.sync(author.since, **wants), room))

    await say(third, room, 1)
    before = author.since
    assert await told(**_LAZY) == [third.user_id]
    assert await told(**_LAZY) == [third.user_id]  # the first answer may have been lost: its token did not come back
    author.since = (await author.sync(author.since, **_LAZY))["next_batch"]
    await say(third, room, 1)
    await say(friend, room, 1)
    assert await told(**_LAZY) == []
    assert await told(**_REDUNDANT) == sorted([friend.user_id, third.user_id])
    author.since = before
    assert third.user_id in await told(**_LAZY)


async def test_a_gap_tells_its_changes_and_new_senders(home: House) -> None:
    """Who came or left in the gap is told, and who speaks after it; not who spoke within it."""
    author, friend, third, fourth, room = await _room(home)
    late = home.device("late")
    author.since = (await author.sync(**_LAZY))["next_batch"]
    await act(author, room, "invite", user_id=late.user_id)
    await act(late, room, "join")
    await say(third, room, 10)
    await act(friend, room, "leave")
    await say(fourth, room, 10)
    found = section(await author.sync(author.since, **_LAZY), room)
    assert found["timeline"]["limited"]
    assert members(found) == sorted([friend.user_id, fourth.user_id, late.user_id])


async def test_heroes_of_an_unnamed_room_are_told(home: House) -> None:
    """A room without a name is called by its members: the client gets their events with the summary."""
    author, friend, third = home.device("author"), home.device("friend"), home.device("third")
    room = await author.create(friend, third)
    await say(author, room, 10)
    found = section(await author.sync(**_LAZY), room)
    assert found["summary"]["m.heroes"] == [friend.user_id, third.user_id]
    assert members(found) == sorted([author.user_id, friend.user_id, third.user_id])
    await rename(author, room, "A")
    assert "m.heroes" not in section(await author.sync(**_LAZY), room)["summary"]
    await rename(author, room, "")
    assert "m.heroes" in section(await author.sync(**_LAZY), room)["summary"]
    for other in (friend, third):
        await act(other, room, "leave")
    assert section(await author.sync(**_LAZY), room)["summary"] == {
        "m.heroes": [friend.user_id, third.user_id],
        "m.joined_member_count": 1,
        "m.invited_member_count": 0,
    }


async def test_memory_and_tables_load_lazily_alike(home: House) -> None:
    """A device that memory answers gets the members that the tables would give, after every kind of change."""
    author, friend, third, fourth, room = await _room(home)
    since = (await author.sync(**_LAZY))["next_batch"]
    await say(third, room, 2)
    await put_state(fourth, room, "m.room.member", {"membership": "join", "displayname": "4"}, fourth.user_id)
    await say(fourth, room, 2)
    await act(friend, room, "leave")
    warm = await author.sync(since, **_REDUNDANT)
    home.messenger.core.rooms = Rooms(home.messenger.core.store)
    assert await author.sync(since, **_REDUNDANT) == warm
    assert third.user_id in members(section(warm, room))


async def test_a_device_that_begins_anew_is_told_everything_again(home: House) -> None:
    """A first sync means an empty store, whatever the device knew before."""
    author, friend, third, _, room = await _room(home)
    first = await author.sync(**_LAZY)
    again = await author.sync(**_LAZY)
    assert members(section(first, room)) == members(section(again, room))
    await say(third, room, 1)
    await author.sync(again["next_batch"], **_LAZY)
    since = (await author.sync(**wanting(timeline={"limit": 1}, state={"lazy_load_members": True})))["next_batch"]
    await say(friend, room, 1)
    assert members(section(await author.sync(since, **_LAZY), room)) == [friend.user_id]
