"""Rooms that were left, rooms joined anew, gaps, and what people were when something happened."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.messenger.rooms import Rooms
from tests.server.messenger.acts_sync import act, ids, ignore, put_state, rename, say, section, wanting
from tests.server.messenger.house import Device, House
from tests.support.databases import runs_writes_once

pytestmark = runs_writes_once

_JOINED = [{"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}]
_LEFT = wanting(include_leave=True)


async def test_left_rooms_are_told_once_or_when_asked_for(home: House) -> None:
    """With the sync that follows, and on a first sync if the client wants left rooms; until they are forgotten."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    since = (await friend.next())["next_batch"]
    await act(friend, room, "leave")
    assert list(section(await friend.next(), room, "leave")) != []
    assert "rooms" not in await friend.next(**_LEFT)
    assert "rooms" not in await friend.sync()
    assert section(await friend.sync(**_LEFT), room, "leave")
    for full in ("true", "false"):
        assert section(await friend.sync(since, full_state=full, **_LEFT), room, "leave")
    await say(author, room, 1)
    assert "rooms" not in await friend.next(**_LEFT)
    await act(friend, room, "forget")
    assert "rooms" not in await friend.sync(**_LEFT)


@pytest.mark.parametrize("held", [True, False], ids=["in memory", "loaded again"])
async def test_a_forgotten_room_is_seen_to_be_left(home: House, held: bool) -> None:
    """Another device, which did not leave and forget it, is told that it was left; once back, the room is there."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    since = (await friend.next())["next_batch"]
    await act(friend, room, "leave")
    await act(friend, room, "forget")
    await say(author, room, 1)
    if not held:
        home.messenger.core.views.clear()
    told = await friend.next()
    assert ids(section(told, room, "leave")["timeline"]) != []
    for full in ("true", "false"):
        assert section(await friend.sync(since, full_state=full), room, "leave")
    assert "rooms" not in await friend.next()
    assert "rooms" not in await friend.sync(**_LEFT)
    await act(author, room, "invite", user_id=friend.user_id)
    again = (await friend.sync(since))["rooms"]
    assert (list(again["invite"]), list(again["leave"])) == ([room], [])


async def test_who_was_put_out_learns_of_it_on_a_first_sync(home: House) -> None:
    """A ban or a kick may have happened unseen, so it is told without being asked for."""
    author, friend = home.device("author"), home.device("friend")
    banned, kicked, left = [await author.create(friend) for _ in range(3)]
    await act(author, banned, "ban", user_id=friend.user_id)
    await act(author, kicked, "kick", user_id=friend.user_id)
    await act(friend, left, "leave")
    assert sorted((await friend.sync())["rooms"]["leave"]) == sorted([banned, kicked])


@pytest.mark.parametrize("since", [False, True])
async def test_a_left_room_ends_where_she_left(home: House, since: bool) -> None:
    """History and state of a left room are those of the moment of leaving."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    token = (await friend.next())["next_batch"]
    before = [*await say(author, room, 1), await put_state(author, room, "org.example.state", {"key": "before"})]
    await act(friend, room, "leave")
    await say(author, room, 1)
    await put_state(author, room, "org.example.state", {"key": "after"})
    state = {"types": ["org.example.state"]}
    wants = wanting(timeline={"types": ["m.room.encrypted", "org.example.state"]}, state=state, include_leave=True)
    found = section(await friend.sync(token if since else None, **wants), room, "leave")
    assert (ids(found["timeline"]), ids(found["state"])) == (before, [])
    wants = wanting(timeline={"types": []}, state=state, include_leave=True)
    found = section(await friend.sync(token if since else None, **wants), room, "leave")
    assert (ids(found["timeline"]), ids(found["state"])) == ([], before[1:])


async def test_her_own_leaving_is_seen_whatever_the_history(home: House) -> None:
    """The leave event is all that a restricted history shows, and it is there."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend, initial_state=_JOINED)
    await friend.next()
    await act(friend, room, "leave")
    found = section(await friend.next(), room, "leave")
    assert [event["content"]["membership"] for event in found["timeline"]["events"]] == ["leave"]
    assert found["state"]["events"] == []


async def test_joining_and_leaving_within_one_window_tells_the_whole_state(home: House) -> None:
    """Nothing was known of the room before, so everything is told; and rooms that were rejoined are joined."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(preset="public_chat")
    state = await put_state(author, room, "org.example.state", {"key": 1})
    await friend.next()
    await act(friend, room, "join")
    await act(friend, room, "leave")
    wants = wanting(timeline={"types": []}, state={"types": ["org.example.state"]})
    answer = await friend.sync(friend.since, **wants)
    assert ids(section(answer, room, "leave")["state"]) == [state]
    await act(friend, room, "join")
    answer = await friend.sync(friend.since)
    assert answer["rooms"]["leave"] == {}
    assert section(answer, room)


async def test_a_newly_joined_room_begins_with_a_gap(home: House) -> None:
    """Between two syncs it is limited, however short its history; for a first sync it is not."""
    author, friend = home.device("author"), home.device("friend")
    await author.next()
    await friend.next()
    room = await author.create(friend)
    for device in (author, friend):
        assert section(await device.next(), room)["timeline"]["limited"] is True
        assert section(await device.sync(), room)["timeline"]["limited"] is False
        assert "rooms" not in await device.next()


async def test_state_of_her_absence_is_shown_when_she_is_back(home: House) -> None:
    """A restricted history hides what was said, but not who is there now."""
    author, friend, third = home.device("author"), home.device("friend"), home.device("third")
    room = await author.create(friend, initial_state=_JOINED, preset="public_chat")
    await friend.next()
    await act(friend, room, "leave")
    hidden = await say(author, room, 3)
    await act(third, room, "join")
    await rename(author, room, "old")
    named = await rename(author, room, "new")
    hidden += await say(author, room, 30)
    await act(friend, room, "join")
    found = section(await friend.next(), room)
    shown = found["timeline"]["events"]
    assert not {event["event_id"] for event in shown} & set(hidden)
    there = {event["state_key"]: event["unsigned"]["membership"] for event in shown if "membership" in event["content"]}
    assert there == {friend.user_id: "join", third.user_id: "leave"}
    names = [event["event_id"] for event in (*shown, *found["state"]["events"]) if event["type"] == "m.room.name"]
    assert names == [named]
    assert found["timeline"]["limited"] is True


async def test_events_say_what_she_was_then(home: House) -> None:
    """`unsigned.membership` is that of the asking person when the event happened, joined from her join event on."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create()
    await say(author, room, 1)
    await act(author, room, "invite", user_id=friend.user_id)
    await act(friend, room, "join")
    await say(author, room, 1)
    await rename(author, room, "A")
    events = section(await friend.sync(), room)["timeline"]["events"]
    assert [event["unsigned"]["membership"] for event in events][-5:] == ["leave", "invite", "join", "join", "join"]
    friend.since = (await friend.sync())["next_batch"]
    renamed = await rename(author, room, "B")
    await act(author, room, f"receipt/m.read/{renamed}")
    assert (await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(renamed)}/t1", {})).status == 200
    for _ in range(2):
        shown = section(await friend.sync(friend.since), room)["timeline"]["events"]
        assert [event["unsigned"]["membership"] for event in shown] == ["join", "join"]
        assert "redacted_because" in shown[0]["unsigned"]
        home.messenger.core.rooms = Rooms(home.messenger.core.store)


async def _state_after(device: Device, since: str | None, **params: Any) -> Any:
    answer = await device.sync(since, **{"org.matrix.msc4222.use_state_after": "true", **params})
    stable = await device.sync(since, use_state_after="true", **params)
    assert answer == stable
    return answer


async def test_state_after_the_timeline(home: House) -> None:
    """A client that asks for it gets the state at the timeline's end, in place of that at its beginning."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    first = section(await _state_after(friend, None), room)
    assert "state" not in first
    assert {"m.room.create", "m.room.member"} <= {event["type"] for event in first["state_after"]["events"]}
    since = (await friend.next())["next_batch"]
    await rename(author, room, "old")
    named = await rename(author, room, "new")
    for _ in range(2):
        found = section(await _state_after(friend, since), room)
        assert ids(found["state_after"]) == ids(found["org.matrix.msc4222.state_after"]) == [named]
        assert len(found["timeline"]["events"]) == 2
        home.messenger.core.rooms = Rooms(home.messenger.core.store)
    await say(author, room, 30)
    for _ in range(2):
        found = section(await _state_after(friend, since), room)
        assert ids(found["state_after"]) == [named]
        home.messenger.core.rooms = Rooms(home.messenger.core.store)


async def test_knocks_and_invitations_have_sections(home: House) -> None:
    """Somebody who asks to be let in sees what she needs to know the room by, and how it ended."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(
        name="A", initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}]
    )
    await friend.next()
    assert (await friend.call("POST", f"/knock/{room}", {})).status == 200
    found = section(await friend.next(), room, "knock")["knock_state"]["events"]
    assert {event["type"] for event in found} >= {"m.room.name", "m.room.join_rules", "m.room.member"}
    assert all(set(event) == {"content", "sender", "state_key", "type"} for event in found)
    assert section(await friend.sync(), room, "knock")
    await act(author, room, "invite", user_id=friend.user_id)
    assert section(await friend.next(), room, "invite")


async def test_ignored_people_are_not_heard(open_home: House) -> None:
    """Their messages are left out and their invitations too, at once and for all devices; state is not."""
    author, friend, third = open_home.device("author"), open_home.device("friend"), open_home.device("third")
    room = await author.create(friend, third)
    early = await say(friend, room, 1)
    for device in (author, third):
        await device.next()
    await ignore(author, friend)
    hidden, seen = await say(friend, room, 2), await say(third, room, 1)
    named = await put_state(friend, room, "m.room.member", {"membership": "join", "displayname": "F."}, friend.user_id)
    for _ in range(2):
        assert ids(section(await author.sync(author.since), room)["timeline"]) == [*seen, named]
        open_home.messenger.core.rooms = Rooms(open_home.messenger.core.store)
    assert not {*early, *hidden} & set(ids(section(await author.sync(), room)["timeline"]))
    await author.next()
    for host in (friend, third):
        other = await host.create(preset="public_chat")
        await act(host, other, "invite", user_id=author.user_id)
    answer = await author.next()
    assert list(answer["rooms"]["invite"]) == [other]
    assert list((await author.sync())["rooms"]["invite"]) == [other]
    await ignore(author)
    assert {*early, *hidden} <= set(ids(section(await author.sync(), room)["timeline"]))
    assert len((await author.sync())["rooms"]["invite"]) == 2
    assert (
        await author.call("PUT", f"/user/{author.user_id}/account_data/m.ignored_user_list", {"a": 1})
    ).status == 200
    assert (await author.sync()).status == 200
