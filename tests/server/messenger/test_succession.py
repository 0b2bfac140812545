"""What follows a person from a room to its successor."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.server.messenger.acts import act, outcome, put_state, room_path
from tests.server.messenger.house import Device, House

TAGS = {"tags": {"m.favourite": {"order": 0.5}}}
ROOM_RULE = {"actions": ["dont_notify"]}


def _own(device: Device, *parts: str) -> str:
    return "/".join(("/user", device.user_id, *parts))


async def _say(device: Device, room: str) -> None:
    """Tag a room, call it a direct chat, and silence it in both ways that clients use."""
    await device.call("PUT", _own(device, "rooms", quote(room), "tags", "m.favourite"), {"order": 0.5})
    direct = {"@x:paraph.test": ["!other:paraph.test", room], "@y:paraph.test": ["!other:paraph.test"]}
    await device.call("PUT", _own(device, "account_data", "m.direct"), direct)
    await device.call("PUT", f"/pushrules/global/room/{quote(room)}", ROOM_RULE)
    muted = {"actions": [], "conditions": [{"kind": "event_match", "key": "room_id", "pattern": room}]}
    await device.call("PUT", f"/pushrules/global/override/{quote(room)}", muted)


async def _said(device: Device, room: str) -> tuple[Any, Any, list[str], Any]:
    tags = await device.call("GET", _own(device, "rooms", quote(room), "tags"))
    direct = await device.call("GET", _own(device, "account_data", "m.direct"))
    rules = (await device.call("GET", "/pushrules/"))["global"]
    muted = [rule["conditions"][0]["pattern"] for rule in rules["override"] if rule["rule_id"] == room]
    return tags, direct, [rule["rule_id"] for rule in rules["room"]], muted


@pytest.mark.parametrize("manual", [False, True])
async def test_what_was_said_of_the_old_room_is_said_of_the_new_one(home: House, manual: bool) -> None:
    """Whoever upgrades, and whoever follows, finds her tags, push rules and direct chats there."""
    author, friend = home.device("author"), home.device("friend")
    old = await author.create(friend, preset="public_chat")
    for device in (author, friend):
        await _say(device, old)
        await device.next()
    if manual:
        new = await author.create(preset="public_chat", creation_content={"predecessor": {"room_id": old}})
        await put_state(author, old, "m.room.tombstone", {"body": "gone", "replacement_room": new})
    else:
        upgraded = await author.call("POST", f"{room_path(old)}/upgrade", {"new_version": "11"})
        new = upgraded["replacement_room"]
    assert (await _said(friend, new))[2] == [old]
    assert await act(friend, new, "join") == "ok"
    for device in (author, friend):
        tags, direct, rules, muted = await _said(device, new)
        assert tags == TAGS
        chats = {"@x:paraph.test": ["!other:paraph.test", old, new], "@y:paraph.test": ["!other:paraph.test"]}
        assert direct == chats
        assert set(rules) == {old, new}
        assert muted == [new]
        heard = await device.next()
        assert {event["type"] for event in heard["account_data"]["events"]} == {"m.direct", "m.push_rules"}
        assert [event["type"] for event in heard["rooms"]["join"][new]["account_data"]["events"]] == ["m.tag"]


async def test_nothing_follows_into_a_room_that_only_claims_to_be_the_successor(home: House) -> None:
    """Without the old room's tombstone, and for whoever was not in it, nothing is copied; nor is it copied twice."""
    author, friend, stranger = home.device("author"), home.device("friend"), home.device("stranger")
    old = await author.create(friend)
    await _say(friend, old)
    claim = {"preset": "public_chat", "creation_content": {"predecessor": {"room_id": old}}}
    new = await stranger.create(**claim)
    assert await act(friend, new, "join") == "ok"
    tags, direct, rules, muted = await _said(friend, new)
    assert (tags, rules, muted) == ({"tags": {}}, [old], [])
    assert new not in direct["@x:paraph.test"]
    assert outcome(await stranger.call("GET", _own(stranger, "account_data", "m.direct"))) == "M_NOT_FOUND"


async def test_what_was_said_of_the_new_room_stays(home: House) -> None:
    """Whoever comes back to the successor keeps what she has changed there since."""
    author, friend = home.device("author"), home.device("friend")
    old = await author.create(friend, preset="public_chat")
    await _say(friend, old)
    new = (await author.call("POST", f"{room_path(old)}/upgrade", {"new_version": "12"}))["replacement_room"]
    assert await act(friend, new, "join") == "ok"
    path = _own(friend, "rooms", quote(new), "tags")
    await friend.call("PUT", f"{path}/u.later", {})
    await friend.call("DELETE", f"{path}/m.favourite")
    assert await act(friend, new, "leave") == "ok"
    assert await act(friend, new, "join") == "ok"
    tags, direct, _, _ = await _said(friend, new)
    assert tags == {"tags": {"u.later": {}}}
    assert direct["@x:paraph.test"].count(new) == 1


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("predecessor", [None, "x", [], {}, {"room_id": 1}, {"room_id": "!none:paraph.test"}])
async def test_a_predecessor_of_another_shape_is_none(home: House, predecessor: Any) -> None:
    """Whatever a create event calls its predecessor, the room is made and joined."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(preset="public_chat", creation_content={"predecessor": predecessor})
    assert await act(friend, room, "join") == "ok"
