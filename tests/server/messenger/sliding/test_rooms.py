"""Sliding sync: which rooms are told, and what of them."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.messenger.rooms import Rooms
from paraph.server.messenger.sliding.http import STABLE
from tests.server.messenger.acts_sync import act, ignore, put_state, rename, say
from tests.server.messenger.house import Device, House
from tests.server.messenger.sliding_client import EVERYTHING, Connection, rooms_list
from tests.support.databases import runs_writes_once

pytestmark = runs_writes_once

_MEMBERS = [["m.room.member", "$LAZY"]]


def _ids(room: Any, part: str = "timeline") -> list[str]:
    return [event["event_id"] for event in room[part]]


def _keys(room: Any) -> set[tuple[str, str]]:
    return {(event["type"], event["state_key"]) for event in room["required_state"]}


async def test_a_new_connection_is_told_whole_rooms(home: House) -> None:
    """Timeline, required state, name, counts and where to page from; the room with the newest event first."""
    author, friend = home.device("author"), home.device("friend")
    named = await author.create(friend, name="Films")
    await put_state(author, named, "m.room.avatar", {"url": "mxc://s/1"})
    plain = await author.create(friend)
    sent = await say(author, named, 3)
    await author.call("PUT", f"/profile/{author.user_id}/displayname", {"displayname": "A."})
    client = Connection(friend)
    state = [["m.room.create", ""], ["m.room.member", "$ME"], ["m.room.encryption", "*"]]
    answer = await client.next(lists={"all": rooms_list(0, 10, limit=2, state=state)}, txn_id="t1")
    assert answer["lists"] == {"all": {"count": 2}}
    assert answer["txn_id"] == "t1"
    room = answer["rooms"][named]
    assert (_ids(room)[0], room["limited"], room["num_live"], room["initial"]) == (sent[-1], True, 0, True)
    assert _keys(room) == {("m.room.create", ""), ("m.room.member", friend.user_id), ("m.room.encryption", "")}
    assert (room["name"], room["avatar"], room["joined_count"], room["invited_count"]) == ("Films", "mxc://s/1", 2, 0)
    assert (room["notification_count"], room["highlight_count"], room["membership"]) == (3, 0, "join")
    assert "heroes" not in room
    assert answer["rooms"][plain]["heroes"] == [{"user_id": author.user_id, "displayname": "A."}]
    assert "name" not in answer["rooms"][plain]
    page = await friend.call("GET", f"/rooms/{quote(named)}/messages", **{"dir": "b", "from": room["prev_batch"]})
    assert page["chunk"][0]["event_id"] == sent[-2]
    assert (
        await friend.call("GET", f"/rooms/{quote(named)}/messages", **{"dir": "b", "from": answer["pos"]})
    ).status == 200


async def test_then_only_what_is_new(home: House) -> None:
    """New events, state that changed, counts and names that changed; nothing for a room where nothing happened."""
    author, friend, third = home.device("author"), home.device("friend"), home.device("third")
    room = await author.create(friend, preset="public_chat")
    quiet = await author.create(friend)
    client = Connection(friend)
    await client.next(lists={"all": rooms_list(0, 10, state=[["m.room.topic", ""]])})
    assert (await client.next())["rooms"] == {}
    sent = await say(author, room, 2)
    found = (await client.next())["rooms"]
    assert list(found) == [room]
    assert (_ids(found[room]), found[room]["num_live"], found[room]["limited"]) == (sent, 2, False)
    assert not {"initial", "name", "heroes", "joined_count"} & set(found[room])
    await rename(author, room, "Films")
    topic = await put_state(author, room, "m.room.topic", {"topic": "t"})
    await act(third, room, "join")
    await say(author, room, 12)
    found = (await client.next())["rooms"][room]
    assert (found["limited"], found["num_live"], found["name"], found["joined_count"]) == (True, 10, "Films", 3)
    assert _ids(found, "required_state") == [topic]
    await rename(author, room, "")
    found = (await client.next())["rooms"][room]
    assert found["name"] is None
    assert [hero["user_id"] for hero in found["heroes"]] == [author.user_id, third.user_id]
    assert quiet not in (await client.next())["rooms"]


@pytest.mark.parametrize("cold", [False, True])
async def test_an_answer_that_was_lost_comes_again(home: House, cold: bool) -> None:
    """The same position gives the same again and what has come since; older positions are unknown."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    client = Connection(friend)
    begun = (await client.next(lists={"all": rooms_list(0, 10, state=_MEMBERS)}))["pos"]
    first = await say(author, room, 1)
    once = await client.ask(begun)
    second = await say(author, room, 1)
    if cold:
        home.messenger.core.rooms = Rooms(home.messenger.core.store)
        home.messenger.core.views.clear()
    again = await client.ask(begun)
    assert _ids(once["rooms"][room]) == first
    assert _ids(again["rooms"][room]) == [*first, *second]
    assert once["rooms"][room]["required_state"] == again["rooms"][room]["required_state"]
    client.pos = again["pos"]
    assert (await client.next())["rooms"] == {}
    for lost in (begun, once["pos"]):
        assert (await client.ask(lost))["errcode"] == "M_UNKNOWN_POS"


async def test_windows_slide(home: House) -> None:
    """A room is told when it comes into a window, and what happened to it meanwhile when it comes back."""
    author, friend = home.device("author"), home.device("friend")
    old, middle, new = [await author.create(friend) for _ in range(3)]
    client = Connection(friend)
    first = await client.next(lists={"top": rooms_list(0, 0)})
    assert (list(first["rooms"]), first["lists"]) == ([new], {"top": {"count": 3}})
    grown = await client.next(lists={"top": rooms_list(0, 1)})
    assert list(grown["rooms"]) == [middle]
    missed = await say(author, new, 2)
    await say(author, old, 1)
    await say(author, middle, 1)
    found = await client.next(lists={"top": rooms_list(0, 1)})
    assert sorted(found["rooms"]) == sorted([old, middle])
    assert found["rooms"][old]["num_live"] == 1
    late = await say(author, new, 1)
    back = (await client.next())["rooms"]
    assert _ids(back[new]) == [*missed, *late]
    assert "initial" not in back[new]
    both = await client.next(lists={"top": rooms_list(0, 0), "rest": rooms_list(2, 9)})
    assert both["lists"] == {"top": {"count": 3}, "rest": {"count": 3}}
    everything = Connection(friend)
    assert len((await everything.next(lists={"all": {"timeline_limit": 1, "required_state": []}}))["rooms"]) == 3


async def test_more_may_be_wanted_of_a_room(home: House) -> None:
    """A larger limit shows the newest events once more, and more required state what it adds, both at once."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend, name="A")
    sent = await say(author, room, 4)
    client = Connection(friend)
    lists = {"all": rooms_list(0, 9, limit=1, state=[["m.room.create", ""]])}
    first = (await client.next(lists=lists))["rooms"][room]
    assert (_ids(first), first["lists"]) == (sent[-1:], ["all"])
    subscription = {room: {"timeline_limit": 3, "required_state": [["m.room.name", ""]]}}
    more = (await client.next(lists=lists, room_subscriptions=subscription))["rooms"][room]
    assert _ids(more) == sent[-3:]
    assert (more["unstable_expanded_timeline"], more["num_live"]) == (True, 0)
    assert _keys(more) == {("m.room.name", "")}
    assert (await client.next())["rooms"] == {}
    new = await say(author, room, 1)
    again = (await client.next())["rooms"][room]
    assert _ids(again) == new
    assert "unstable_expanded_timeline" not in again


async def test_members_come_as_they_speak(home: House) -> None:
    """Senders and those whom membership events are about, once; all changes of members where there is no gap."""
    author, friend, third, fourth = (home.device(name) for name in ("author", "friend", "third", "fourth"))
    room = await author.create(friend, third, fourth, preset="public_chat")
    await say(third, room, 5)
    client = Connection(friend)
    asked = {"all": rooms_list(0, 9, limit=3, state=[["*", "*"], *_MEMBERS])}
    first = (await client.next(lists=asked))["rooms"][room]
    members = {key for kind, key in _keys(first) if kind == "m.room.member"}
    assert members == {third.user_id}
    assert ("m.room.create", "") in _keys(first)
    await say(third, room, 1)
    assert (await client.next())["rooms"][room]["required_state"] == []
    await say(fourth, room, 1)
    assert _keys((await client.next())["rooms"][room]) == {("m.room.member", fourth.user_id)}
    await act(author, room, "kick", user_id=third.user_id)
    kicked = (await client.next())["rooms"][room]
    assert _keys(kicked) == {("m.room.member", third.user_id), ("m.room.member", author.user_id)}
    await act(third, room, "join")
    await say(fourth, room, 4)
    gap = (await client.next())["rooms"][room]
    assert (gap["limited"], _keys(gap)) == (True, set())


async def test_invitations_knocks_and_ends(home: House) -> None:
    """Stripped state for those outside; the end of a room that was told, and rooms that she was put out of."""
    author, friend, third = home.device("author"), home.device("friend"), home.device("third")
    client = Connection(friend)
    await client.next(lists={"all": rooms_list(0, 9, state=[["m.room.member", "$ME"]])})
    room = await author.create(name="Films")
    await act(author, room, "invite", user_id=friend.user_id)
    invited = (await client.next())["rooms"][room]
    assert {event["type"] for event in invited["invite_state"]} >= {"m.room.name", "m.room.member"}
    assert (invited["membership"], invited["initial"]) == ("invite", True)
    assert "timeline" not in invited
    assert (await client.next())["rooms"] == {}
    await act(friend, room, "join")
    joined = (await client.next())["rooms"][room]
    assert (joined["membership"], joined["initial"], joined["name"]) == ("join", True, "Films")
    last = await say(author, room, 1)
    await act(friend, room, "leave")
    await say(author, room, 1)
    left = (await client.next())["rooms"][room]
    assert left["membership"] == "leave"
    assert _ids(left)[0] == last[0]
    assert [event["content"]["membership"] for event in left["required_state"]] == ["leave"]
    assert (await client.next())["rooms"] == {}
    banned, kicked = await author.create(friend), await author.create(friend)
    await act(author, banned, "ban", user_id=friend.user_id)
    await act(author, kicked, "kick", user_id=friend.user_id)
    anew = (await Connection(friend).next(lists={"all": rooms_list(0, 9)}))["rooms"]
    assert {room_id: found["membership"] for room_id, found in anew.items()} == {banned: "ban", kicked: "leave"}
    assert await _told_of_invitations(home, friend, third)


async def _told_of_invitations(home: House, friend: Device, ignored: Device) -> bool:
    """Invitations of ignored people are not told, and their messages neither."""
    room = await ignored.create(friend)
    await ignore(friend, ignored)
    hidden = await say(ignored, room, 1)
    other = await ignored.create()
    await act(ignored, other, "invite", user_id=friend.user_id)
    found = (await Connection(friend).next(lists={"all": rooms_list(0, 9)}))["rooms"]
    return other not in found and hidden[0] not in _ids(found[room])


async def test_the_most_recent_proper_activity_is_stamped(home: House) -> None:
    """Messages move a room up in a client's list; a new name or a receipt does not."""
    author, friend = home.device("author"), home.device("friend")
    one, two = await author.create(friend), await author.create(friend)
    await say(author, one, 1)
    client = Connection(friend)
    first = (await client.next(lists={"all": rooms_list(0, 9)}))["rooms"]
    assert first[one]["bump_stamp"] > first[two]["bump_stamp"]
    await rename(author, two, "A")
    renamed = (await client.next())["rooms"][two]
    assert renamed["bump_stamp"] == first[two]["bump_stamp"]
    await say(author, two, 1)
    assert (await client.next())["rooms"][two]["bump_stamp"] > first[one]["bump_stamp"]


async def test_reading_elsewhere_is_noticed(home: House) -> None:
    """What is unread is told with a room, and a receipt of another device wakes a poll with the new count."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    client = Connection(friend)
    await client.next(lists={"all": rooms_list(0, 9)})
    sent = await say(author, room, 2)
    assert (await client.next())["rooms"][room]["notification_count"] == 2
    waiting = asyncio.create_task(client.next(wait=20_000))
    await asyncio.sleep(0)
    await act(home.device("friend", "B"), room, f"receipt/m.read/{quote(sent[0])}")
    assert (await waiting)["rooms"] == {room: {"membership": "join", "notification_count": 1, "highlight_count": 0}}
    assert (await client.next())["rooms"] == {}


async def test_a_poll_waits_for_news_of_what_it_looks_at(home: House) -> None:
    """A message in a window wakes it; one outside does not; and it ends in time."""
    author, friend = home.device("author"), home.device("friend")
    other = await author.create(friend)
    room = await author.create(friend)
    client = Connection(friend)
    await client.next(room_subscriptions={room: {"timeline_limit": 5, "required_state": []}})
    waiting = asyncio.create_task(client.next(wait=20_000))
    await asyncio.sleep(0)
    await say(author, other, 1)
    sent = await say(author, room, 1)
    assert _ids((await waiting)["rooms"][room]) == sent
    assert (await client.next(wait=20))["rooms"] == {}


async def test_subscriptions_need_a_part_in_the_room(home: House) -> None:
    """A room that somebody is not in, or that does not exist, is passed over."""
    author, stranger = home.device("author"), home.device("stranger")
    room = await author.create(preset="public_chat")
    asked = {name: {"timeline_limit": 5, "required_state": EVERYTHING} for name in (room, "!none:paraph.test")}
    assert (await Connection(stranger).next(room_subscriptions=asked))["rooms"] == {}


async def test_the_proposed_form(home: House) -> None:
    """Under /v4/sync the request may have the newer form, and the answer has the newer names."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend, name="A")
    invited = await author.create()
    await act(author, invited, "invite", user_id=friend.user_id)
    sent = await say(author, room, 3)
    client = Connection(friend, "main", STABLE)
    state = {"include": [{}], "exclude": [{"type": "m.room.create"}], "lazy_members": True}
    asked = {"timeline_limit": 1, "required_state": state, "range": [0, 9]}
    answer = await client.next(lists={"all": asked})
    assert _ids(answer["rooms"][room], "timeline_events") == sent[-1:]
    assert "m.room.create" not in {event["type"] for event in answer["rooms"][room]["required_state"]}
    assert ("m.room.member", author.user_id) in _keys(answer["rooms"][room])
    assert "stripped_state" in answer["rooms"][invited]
    more = await client.next(lists={"all": asked | {"timeline_limit": 2}})
    assert more["rooms"][room]["expanded_timeline"] is True
    assert (await client.next(wait=1))["rooms"] == {}
