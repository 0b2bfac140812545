"""Filters on /messages and /context: the same events as a sync would want, and members loaded lazily."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.server.messenger.acts_sync import ignore, rename, say
from tests.server.messenger.house import Device, House


async def _page(device: Device, room: str, filter_: str | None = None, **params: Any) -> Any:
    wants = {} if filter_ is None else {"filter": filter_}
    answer = await device.call("GET", f"/rooms/{quote(room)}/messages", **{"dir": "b", **params, **wants})
    assert answer.status == 200, answer
    return answer


def _ids(events: Any) -> list[str]:
    return [event["event_id"] for event in events]


async def test_only_what_is_wanted(open_home: House) -> None:
    """By type, sender and link; a page goes on until it has enough."""
    author, friend = open_home.device("author"), open_home.device("friend")
    room = await author.create(friend)
    texts = await say(author, room, 2, "m.room.message")
    await say(friend, room, 25, "org.example.filler")
    linked = (await friend.send(room, {"url": "mxc://s/1"}, kind="m.room.message"))["event_id"]
    only = '{"types":["m.room.message"]}'
    found = await _page(author, room, only)
    assert _ids(found["chunk"]) == [linked, *texts[::-1]]
    one = await _page(author, room, only, limit=1)
    rest = await _page(author, room, only, limit=2, **{"from": one["end"]})
    assert _ids(one["chunk"]) + _ids(rest["chunk"]) == _ids(found["chunk"])
    assert _ids((await _page(author, room, '{"contains_url":true}'))["chunk"]) == [linked]
    other = await _page(author, room, f'{{"not_senders":["{friend.user_id}"],"types":["m.room.m*e"]}}', dir="f")
    assert _ids(other["chunk"]) == texts
    around = await author.call(
        "GET", f"/rooms/{quote(room)}/context/{quote(linked)}", limit=4, filter='{"types":["m.room.message"]}'
    )
    assert _ids(around["events_before"]) == texts[::-1]


async def test_members_are_loaded_lazily(home: House) -> None:
    """Beside a page stand the members who wrote it, and no others; without the filter, none."""
    author, friend, third = home.device("author"), home.device("friend"), home.device("third")
    room = await author.create(friend, third)
    await say(friend, room, 1)
    since = (await author.next())["next_batch"]
    sent = await say(third, room, 2)
    lazy = '{"lazy_load_members":true}'
    page = await _page(author, room, lazy, dir="f", **{"from": since})
    assert [(event["type"], event["state_key"]) for event in page["state"]] == [("m.room.member", third.user_id)]
    assert (await _page(author, room, dir="f", **{"from": since}))["state"] == []
    around = await author.call("GET", f"/rooms/{quote(room)}/context/{quote(sent[1])}", limit=2, filter=lazy)
    members = [event["state_key"] for event in around["state"] if event["type"] == "m.room.member"]
    assert members == [third.user_id]
    assert "m.room.create" in {event["type"] for event in around["state"]}


async def test_ignored_people_do_not_appear(home: House) -> None:
    """Their messages are left out of pages and contexts; their state is not."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    hidden, seen = await say(friend, room, 2), await say(author, room, 1)
    await ignore(author, friend)
    found = await _page(author, room, limit=100)
    assert seen[0] in _ids(found["chunk"])
    assert not set(hidden) & set(_ids(found["chunk"]))
    assert friend.user_id in [event["sender"] for event in found["chunk"]]
    around = await author.call("GET", f"/rooms/{quote(room)}/context/{quote(seen[0])}", limit=4)
    assert not set(hidden) & set(_ids(around["events_before"]))


async def test_what_others_relate_to(open_home: House) -> None:
    """Only events to which something relates: in a certain way, from certain people."""
    author, friend = open_home.device("author"), open_home.device("friend")
    room = await author.create(friend)
    first, second, third = await say(author, room, 3, "m.room.message")
    for device, target, kind in (
        (author, first, "m.thread"),
        (friend, second, "m.thread"),
        (friend, third, "m.example"),
    ):
        await device.send(room, {"m.relates_to": {"rel_type": kind, "event_id": target}}, kind="m.room.message")

    async def related(definition: str) -> list[str]:
        return _ids((await _page(author, room, definition))["chunk"])

    assert await related('{"related_by_rel_types":["m.thread"]}') == [second, first]
    assert await related('{"related_by_rel_types":["m.thread","m.example"]}') == [third, second, first]
    assert await related(f'{{"related_by_senders":["{friend.user_id}"]}}') == [third, second]
    both = f'{{"related_by_senders":["{friend.user_id}"],"related_by_rel_types":["m.thread"]}}'
    assert await related(both) == [second]
    assert await related('{"related_by_rel_types":[]}') == []


@pytest.mark.parametrize("definition", ["{", "[]", '{"types":"m.room.message"}', '{"lazy_load_members":1}'])
async def test_what_is_no_filter_is_refused(home: House, definition: str) -> None:
    """A filter that does not fit is named as such, for pages and contexts."""
    author = home.device("author")
    room = await author.create()
    event = await rename(author, room, "A")
    for path in (f"/rooms/{quote(room)}/messages", f"/rooms/{quote(room)}/context/{quote(event)}"):
        answer = await author.call("GET", path, dir="b", filter=definition)
        assert (answer.status, answer["errcode"]) == (400, "M_INVALID_PARAM")
