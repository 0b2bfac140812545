"""Sliding sync's extensions: messages to the device, keys, account data, receipts and typing."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from tests.server.messenger.acts_sync import act, say
from tests.server.messenger.house import Device, House
from tests.server.messenger.sliding_client import Connection, rooms_list
from tests.support.databases import runs_writes_once


async def _data(device: Device, kind: str, content: Any, room: str = "") -> None:
    where = f"rooms/{quote(room)}/account_data" if room else "account_data"
    answer = await device.call("PUT", f"/user/{device.user_id}/{where}/{kind}", content)
    assert answer.status == 200, answer


@runs_writes_once
async def test_messages_to_the_device(home: House) -> None:
    """Each comes until its `next_batch` comes back, in parts as large as asked for, and wakes a poll."""
    author = home.device("author")
    client = Connection(author, "encryption")

    async def ask(since: str | None = None, wait: int = 0) -> Any:
        asked = {"to_device": {"enabled": True, "limit": 2, "since": since}, "e2ee": {"enabled": True}}
        return (await client.next(wait, extensions=asked))["extensions"]

    first = await ask()
    assert first["to_device"]["events"] == []
    assert first["e2ee"] == {
        "device_one_time_keys_count": {"signed_curve25519": 50},
        "device_unused_fallback_key_types": ["signed_curve25519"],
    }
    messages = [{"type": "m.room_key", "sender": "@x:y", "content": {"number": number}} for number in range(3)]
    waiting = asyncio.create_task(ask(first["to_device"]["next_batch"], wait=20_000))
    await asyncio.sleep(0)

    def queue(tx: Any) -> None:
        queued = [(tx.next_position(), message) for message in messages]
        home.devices.queued[author.user_id, "A"] = queued
        tx.after_commit(lambda: home.messenger.devices_changed([author.user_id], queued[-1][0]))

    await home.messenger.core.database.write(queue)
    one = (await waiting)["to_device"]
    assert one["events"] == messages[:2]
    assert (await ask(first["to_device"]["next_batch"]))["to_device"]["events"] == messages[:2]
    two = (await ask(one["next_batch"]))["to_device"]
    assert two["events"] == messages[2:]
    assert (await ask(two["next_batch"]))["to_device"]["events"] == []
    assert (author.user_id, "A", int(one["next_batch"])) in home.devices.acknowledged
    refused = await client.ask(client.pos, extensions={"to_device": {"enabled": True, "since": "x"}})
    assert (refused.status, refused["errcode"]) == (400, "M_INVALID_PARAM")


async def test_account_data(home: House) -> None:
    """All of it at first, of a room once the room is told; then what changes."""
    author, friend = home.device("author"), home.device("friend")
    old = await author.create(friend)
    new = await author.create(friend)
    await _data(author, "m.direct", {friend.user_id: [new]})
    await _data(author, "org.example.one", {"n": 1}, old)
    await _data(author, "org.example.one", {"n": 2}, new)
    client = Connection(author)
    asked = {"account_data": {"enabled": True}}
    first = await client.next(lists={"top": rooms_list(0, 0)}, extensions=asked)
    found = first["extensions"]["account_data"]
    assert [event["type"] for event in found["global"]] == ["m.push_rules", "m.direct"]
    assert found["rooms"] == {new: [{"type": "org.example.one", "content": {"n": 2}}]}
    assert first["rooms"][new]["is_dm"] is True
    grown = await client.next(lists={"top": rooms_list(0, 1)}, extensions=asked)
    assert grown["extensions"]["account_data"]["rooms"] == {old: [{"type": "org.example.one", "content": {"n": 1}}]}
    await _data(author, "org.example.two", {"n": 3}, new)
    await _data(author, "m.direct", {friend.user_id: [old]})
    changed = await client.next()
    assert changed["extensions"]["account_data"] == {
        "global": [{"type": "m.direct", "content": {friend.user_id: [old]}}],
        "rooms": {new: [{"type": "org.example.two", "content": {"n": 3}}]},
    }
    assert {room: found["is_dm"] for room, found in changed["rooms"].items()} == {old: True, new: False}
    assert (await client.next())["extensions"]["account_data"] == {"global": [], "rooms": {}}


async def test_receipts(home: House) -> None:
    """At first those for what is shown and one's own, then new ones; private ones to nobody else."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    early, shown = await say(author, room, 2)
    await act(friend, room, f"receipt/m.read/{quote(early)}")
    await act(author, room, f"receipt/m.read.private/{quote(early)}")
    client, other = Connection(author), Connection(friend)
    asked = {"receipts": {"enabled": True}}

    async def told(who: Connection, **body: Any) -> Any:
        return (await who.next(**body))["extensions"]["receipts"]["rooms"]

    lists = {"all": rooms_list(0, 9, limit=1)}
    first = await told(client, lists=lists, extensions=asked)
    assert set(first[room]["content"][early]) == {"m.read.private"}
    assert set((await told(other, lists=lists, extensions=asked))[room]["content"][early]) == {"m.read"}
    await act(friend, room, f"receipt/m.read/{quote(shown)}")
    await act(author, room, f"receipt/m.read.private/{quote(shown)}")
    assert set((await told(client))[room]["content"][shown]) == {"m.read", "m.read.private"}
    assert set((await told(other))[room]["content"][shown]) == {"m.read"}
    assert await told(client) == {}
    elsewhere = {"receipts": {"enabled": True, "lists": [], "rooms": []}}
    await act(friend, room, f"receipt/m.read/{quote(early)}")
    assert await told(client, lists=lists, extensions=elsewhere) == {}


async def test_typing(home: House) -> None:
    """Who types is told when it changes, once, and wakes a poll."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    path = f"/rooms/{quote(room)}/typing/{friend.user_id}"
    client = Connection(author)

    async def told(wait: int = 0, **body: Any) -> Any:
        return (await client.next(wait, **body))["extensions"]["typing"]["rooms"]

    assert await told(lists={"all": rooms_list(0, 9)}, extensions={"typing": {"enabled": True}}) == {}
    waiting = asyncio.create_task(told(20_000))
    await asyncio.sleep(0)
    await friend.call("PUT", path, {"typing": True, "timeout": 20_000})
    assert await waiting == {room: {"type": "m.typing", "content": {"user_ids": [friend.user_id]}}}
    assert await told() == {}
    await friend.call("PUT", path, {"typing": False})
    assert (await told())[room]["content"] == {"user_ids": []}
    assert await told() == {}


async def test_who_types_already_is_told_with_the_room(home: House) -> None:
    """Also to somebody who connects for the first time, and once."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    await friend.call("PUT", f"/rooms/{quote(room)}/typing/{friend.user_id}", {"typing": True})
    client = Connection(author)
    first = await client.next(lists={"all": rooms_list(0, 9)}, extensions={"typing": {"enabled": True}})
    assert first["extensions"]["typing"]["rooms"][room]["content"] == {"user_ids": [friend.user_id]}
    assert (await client.next())["extensions"]["typing"]["rooms"] == {}


async def test_what_is_not_asked_for_is_not_told(home: House) -> None:
    """Without extensions there are none, and what this server does not know is passed over."""
    author = home.device("author")
    client = Connection(author)
    assert (await client.next(extensions={}))["extensions"] == {}
    unknown = await client.next(extensions={"org.example.unknown": {"enabled": True}, "typing": {"enabled": False}})
    assert unknown["extensions"] == {}
