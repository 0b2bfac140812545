"""What people may read of a room: members, those who left, and everybody where everybody may."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.messenger.acts import act, outcome, put_state, room_path, state
from tests.server.messenger.house import SERVER, Answer, Device, House
from tests.support.databases import runs_writes_once


async def _seen(device: Device, room: str, **params: Any) -> list[str]:
    """Ids of the events on the newest page of history, or the errcode."""
    page = await device.call("GET", f"{room_path(room)}/messages", **{"dir": "b", "limit": "100"} | params)
    return [page["errcode"]] if page.status != 200 else [event["event_id"] for event in page["chunk"]]


async def _event(device: Device, room: str, event_id: str) -> Answer:
    answer: Answer = await device.call("GET", f"{room_path(room)}/event/{event_id}")
    return answer


def _visibility(rule: str) -> list[dict[str, Any]]:
    return [{"type": "m.room.history_visibility", "content": {"history_visibility": rule}}]


@pytest.mark.parametrize(
    ("rule", "stranger", "before", "invited"),
    [
        ("world_readable", True, True, True),
        ("shared", False, True, True),
        ("invited", False, False, True),
        ("joined", False, False, False),
    ],
)
async def test_history_visibility(home: House, rule: str, stranger: bool, before: bool, invited: bool) -> None:
    """Who sees what was said before she was invited, while she was, and after: in /messages, /event and /context."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(initial_state=_visibility(rule))
    first = (await author.send(room))["event_id"]
    assert (first in await _seen(friend, room)) is stranger
    assert outcome(await _event(friend, room, first)) == ("ok" if stranger else "M_NOT_FOUND")
    assert await act(author, room, "invite", friend) == "ok"
    second = (await author.send(room))["event_id"]
    assert await act(friend, room, "join") == "ok"
    third = (await author.send(room))["event_id"]
    expected = [event_id for event_id, seen in ((third, True), (second, invited), (first, before)) if seen]
    found = await _seen(friend, room)
    assert [event_id for event_id in found if event_id in (first, second, third)] == expected
    for event_id in (first, second, third):
        assert outcome(await _event(friend, room, event_id)) == ("ok" if event_id in expected else "M_NOT_FOUND")
    context = await friend.call("GET", f"{room_path(room)}/context/{third}", limit="100")
    around = [event["event_id"] for event in context["events_before"]]
    assert [event_id for event_id in around if event_id in (first, second)] == expected[1:]


async def test_anybody_reads_a_room_that_is_open(home: House) -> None:
    """A world_readable room shows its state, members and newer history to whoever asks, and no longer once closed."""
    author, stranger = home.device("author"), home.device("stranger")
    room = await author.create(name="Films")
    paths = ("state", "state/m.room.name", f"state/m.room.member/{author.user_id}", "members")
    before = (await author.send(room))["event_id"]
    for path in paths:
        assert outcome(await stranger.call("GET", f"{room_path(room)}/{path}")) == "M_FORBIDDEN"
    opened = await put_state(author, room, "m.room.history_visibility", {"history_visibility": "world_readable"})
    said = (await author.send(room))["event_id"]
    assert await state(stranger, room, "m.room.name") == {"name": "Films"}
    for path in paths:
        assert "errcode" not in await stranger.call("GET", f"{room_path(room)}/{path}")
    assert await _seen(stranger, room) == [said, opened["event_id"]]
    assert outcome(await _event(stranger, room, before)) == "M_NOT_FOUND"
    members = await stranger.call("GET", f"{room_path(room)}/joined_members")
    assert members["errcode"] == "M_FORBIDDEN"
    closed = await put_state(author, room, "m.room.history_visibility", {"history_visibility": "shared"})
    assert await _seen(stranger, room) == ["M_FORBIDDEN"]
    assert outcome(await _event(stranger, room, said)) == "M_NOT_FOUND"
    for event_id in (said, "$none"):  # as in /messages: a stranger is told that she is one, and nothing of the event
        around = await stranger.call("GET", f"{room_path(room)}/context/{event_id}")
        assert (around.status, outcome(around)) == (403, "M_FORBIDDEN")
    assert closed["event_id"] in await _seen(author, room)


@pytest.mark.parametrize("end", ["leave", "kick", "ban"])
async def test_whoever_is_gone_sees_the_room_as_it_was(home: House, end: str) -> None:
    """State, members and history stop where her stay ended, also when she is banned later, until she forgets them."""
    author, friend, late = home.device("author"), home.device("friend"), home.device("late")
    room = await author.create(friend, name="before", preset="public_chat")
    said = (await author.send(room))["event_id"]
    if end == "leave":
        assert await act(friend, room, "leave") == "ok"
    else:
        assert await act(author, room, end, friend) == "ok"
    await put_state(author, room, "m.room.name", {"name": "after"})
    later = (await author.send(room))["event_id"]
    assert await act(late, room, "join") == "ok"
    if end != "ban":
        assert await act(author, room, "ban", friend) == "ok"
    assert await state(friend, room, "m.room.name") == {"name": "before"}
    everything = await friend.call("GET", f"{room_path(room)}/state")
    assert [event["content"] for event in everything if event["type"] == "m.room.name"] == [{"name": "before"}]
    chunk = (await friend.call("GET", f"{room_path(room)}/members"))["chunk"]
    assert {event["state_key"] for event in chunk} == {author.user_id, friend.user_id}
    seen = await _seen(friend, room)
    assert said in seen
    assert later not in seen
    token = (await friend.sync())["next_batch"]
    ahead = await friend.call("GET", f"{room_path(room)}/messages", dir="f", **{"from": token})
    assert ahead["chunk"] == []
    assert outcome(await _event(friend, room, later)) == "M_NOT_FOUND"
    assert await act(friend, room, "forget") == "ok"
    for path in ("messages", "state", "members", "state/m.room.name"):
        assert outcome(await friend.call("GET", f"{room_path(room)}/{path}")) == "M_FORBIDDEN"
    assert outcome(await _event(friend, room, said)) == "M_NOT_FOUND"


async def test_whoever_comes_back_sees_what_she_forgot(home: House) -> None:
    """Forgetting ends with the next invitation: a returning member reads on where she was before."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    said = (await author.send(room))["event_id"]
    assert await act(friend, room, "leave") == "ok"
    assert await act(friend, room, "forget") == "ok"
    assert await act(friend, room, "join") == "M_FORBIDDEN"
    assert await act(author, room, "invite", friend) == "ok"
    assert await act(friend, room, "join") == "ok"
    assert said in await _seen(friend, room)


async def test_an_invitation_that_was_turned_down_shows_nothing(home: House) -> None:
    """Whoever was never in the room reads nothing of it, invited or not, and can forget it."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create()
    assert await act(author, room, "invite", friend) == "ok"
    assert await _seen(friend, room) == ["M_FORBIDDEN"]
    assert await act(friend, room, "leave") == "ok"
    assert await _seen(friend, room) == ["M_FORBIDDEN"]
    assert await act(friend, room, "forget") == "ok"
    assert await act(friend, f"!none:{SERVER}", "forget") == "M_NOT_FOUND"


@runs_writes_once
async def test_who_may_not_look_is_told_so_before_what_is_wrong(home: House) -> None:
    """dir is b or f; a stranger learns nothing, whatever she asks."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create()
    for direction in ({}, {"dir": "x"}):
        path = f"{room_path(room)}/messages"
        assert outcome(await author.call("GET", path, **direction)) == "M_INVALID_PARAM"
        assert outcome(await friend.call("GET", path, **direction)) == "M_FORBIDDEN"
    assert await _seen(author, f"!none:{SERVER}") == ["M_FORBIDDEN"]
    assert outcome(await _event(author, room, "$none")) == "M_NOT_FOUND"
    assert outcome(await _event(friend, f"!none:{SERVER}", "$none")) == "M_NOT_FOUND"


async def test_events_tell_what_the_reader_was_then(home: House) -> None:
    """unsigned.membership is the reader's own when the event happened, beside whatever else unsigned holds."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(preset="public_chat")
    first = (await author.send(room, txn="first"))["event_id"]
    await put_state(author, room, "m.room.name", {"name": "one"})
    named = (await put_state(author, room, "m.room.name", {"name": "two"}))["event_id"]
    assert await act(friend, room, "join") == "ok"
    last = (await author.send(room))["event_id"]
    page = await friend.call("GET", f"{room_path(room)}/messages", dir="b", limit="100")
    told = {event["event_id"]: event["unsigned"]["membership"] for event in page["chunk"]}
    assert (told[first], told[named], told[last]) == ("leave", "leave", "join")
    joined = next(event for event in page["chunk"] if event.get("state_key") == friend.user_id)
    assert joined["unsigned"]["membership"] == "join"
    assert (await _event(author, room, first))["unsigned"] == {"transaction_id": "first", "membership": "join"}
    replaced = (await _event(author, room, named))["unsigned"]
    assert (replaced["membership"], replaced["prev_content"]) == ("join", {"name": "one"})
    assert outcome(await author.call("PUT", f"{room_path(room)}/redact/{first}/t1", {})) == "ok"
    redacted = (await _event(friend, room, first))["unsigned"]
    assert (redacted["membership"], redacted["redacted_because"]["type"]) == ("leave", "m.room.redaction")
    context = await friend.call("GET", f"{room_path(room)}/context/{last}", limit="2")
    assert context["event"]["unsigned"]["membership"] == "join"
    assert context["events_before"][0]["unsigned"]["membership"] == "join"


async def test_a_room_at_a_glance(open_home: House) -> None:
    """rooms/{roomId}/initialSync gives state, the newest messages in order, membership, and what one keeps of it."""
    author, friend = open_home.device("author"), open_home.device("friend")
    room = await author.create(friend, name="Films", visibility="public")
    sent = [(await author.send(room, {"body": body}, kind="m.room.message"))["event_id"] for body in "abc"]
    await author.call("PUT", f"/user/{author.user_id}{room_path(room)}/account_data/org.example.x", {"y": 1})
    path = f"{room_path(room)}/initialSync"
    found = await author.call("GET", path, limit="2")
    assert [event["event_id"] for event in found["messages"]["chunk"]] == sent[1:]
    assert (found["room_id"], found["membership"], found["visibility"]) == (room, "join", "public")
    assert found["account_data"] == [{"type": "org.example.x", "content": {"y": 1}}]
    assert {"type": "m.room.name", "content": {"name": "Films"}}.items() <= next(
        event for event in found["state"] if event["type"] == "m.room.name"
    ).items()
    older = await author.call("GET", f"{room_path(room)}/messages", dir="b", **{"from": found["messages"]["start"]})
    assert older["chunk"][0]["event_id"] == sent[0]
    assert await act(friend, room, "leave") == "ok"
    await put_state(author, room, "m.room.name", {"name": "Songs"})
    left = await friend.call("GET", path)
    assert (left["membership"], left["messages"]["chunk"][-1]["type"]) == ("leave", "m.room.member")
    assert outcome(await open_home.device("stranger").call("GET", path)) == "M_FORBIDDEN"


async def test_members_as_of_a_moment_and_by_kind(home: House) -> None:
    """/members takes a sync token as `at`, and keeps or leaves out one membership; state comes as an event if asked."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(preset="public_chat")
    before = (await author.next())["next_batch"]
    assert await act(friend, room, "join") == "ok"
    joined = (await author.next())["next_batch"]
    assert await act(friend, room, "leave") == "ok"

    async def members(**params: str) -> set[str]:
        chunk = (await author.call("GET", f"{room_path(room)}/members", **params))["chunk"]
        assert {event["room_id"] for event in chunk} <= {room}
        return {event["state_key"] for event in chunk}

    both = {author.user_id, friend.user_id}
    assert await members() == both
    timeline = (await author.sync())["rooms"]["join"][room]["timeline"]
    assert await members(at=timeline["prev_batch"]) == {author.user_id}  # from before the room's first event
    assert await members(at=before) == {author.user_id}
    assert await members(at=joined, membership="join") == both
    assert await members(membership="leave") == {friend.user_id}
    assert await members(not_membership="leave") == {author.user_id}
    assert await members(membership="knock") == set()
    member = f"{room_path(room)}/state/m.room.member/{friend.user_id}"
    assert await author.call("GET", member, format="content") == {"membership": "leave"}
    event = await author.call("GET", member, format="event")
    assert (event["sender"], event["room_id"], event["content"]) == (friend.user_id, room, {"membership": "leave"})
