"""Pushers: setting them, what gateways are told, and what becomes of those that do not answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.messenger.push import delivery as delivering
from paraph.server.messenger.push.delivery import Delivery
from paraph.server.outgoing.sender import Sender
from tests.server.inbox.hooks import Call, Hook, hook
from tests.server.messenger.house import CIPHERTEXT, Answer, Device, House
from tests.server.messenger.relations.test_relations import say, text
from tests.support.databases import runs_writes_once

pytestmark = runs_writes_once

PATH = "/_matrix/push/v1/notify"


def pusher(url: str, key: str = "key", **more: Any) -> dict[str, Any]:
    data = {"url": url} | more.pop("data", {})
    names = {"app_display_name": "App", "device_display_name": "Phone", "lang": "en", "profile_tag": "tag"}
    return {"kind": "http", "app_id": "org.example.app", "pushkey": key, **names, "data": data, **more}


async def set_pusher(device: Device, body: Any) -> Answer:
    answer: Answer = await device.call("POST", "/pushers/set", body)
    return answer


async def keys(device: Device) -> list[str]:
    return [found["pushkey"] for found in (await device.call("GET", "/pushers"))["pushers"]]


@asynccontextmanager
async def sending(house: House) -> AsyncIterator[Delivery]:
    messenger = house.messenger
    delivery = Delivery(messenger.core, messenger.push, Sender(anywhere=True), messenger.core.clock)
    messenger.receipts.on_receipt.append(delivery.received)
    await delivery.start()
    try:
        yield delivery
    finally:
        messenger.receipts.on_receipt.remove(delivery.received)
        await delivery.stop()


async def calls(gateway: Hook, number: int) -> list[dict[str, Any]]:
    """The notifications in the first `number` requests."""
    async with asyncio.timeout(10):
        while len(gateway.calls) < number:
            gateway.came.clear()
            if len(gateway.calls) < number:
                await gateway.came.wait()
    return [call.said["notification"] for call in gateway.calls[:number]]


def url_of(gateway: Hook) -> str:
    return f"http://127.0.0.1:{gateway.port}{PATH}"


async def test_pushers_are_listed_replaced_and_deleted(home: House) -> None:
    """One per app and key; setting it again replaces it; `kind` null deletes; one's own data comes back."""
    author, other = home.device("author"), home.device("correspondent")
    url = f"https://push.example.org{PATH}"
    assert await set_pusher(author, pusher(url, data={"format": "event_id_only", "own": 1})) == {}
    (found,) = (await author.call("GET", "/pushers"))["pushers"]
    assert found == pusher(url, data={"format": "event_id_only", "own": 1})
    await set_pusher(author, pusher(url, lang="fr"))
    (found,) = (await author.call("GET", "/pushers"))["pushers"]
    assert (found["lang"], found["data"]) == ("fr", {"url": url})
    await set_pusher(other, pusher(url, append=True))
    assert (await keys(author), await keys(other)) == (["key"], ["key"])
    await set_pusher(other, pusher(url))  # the app belongs to somebody else now
    assert (await keys(author), await keys(other)) == ([], ["key"])
    await set_pusher(author, {"kind": None, "app_id": "org.example.app", "pushkey": "key"})
    assert await keys(other) == ["key"]
    assert await set_pusher(other, {"kind": None, "app_id": "org.example.app", "pushkey": "key"}) == {}
    assert await keys(other) == []


NO_PUSHERS: list[Any] = [
    ({"kind": "email"}, "M_INVALID_PARAM"),
    ({"kind": 7}, "M_BAD_JSON"),
    ({"lang": None, "data": None}, "M_MISSING_PARAM"),
    ({"data": {}}, "M_MISSING_PARAM"),
    ({"data": {"url": 7}}, "M_MISSING_PARAM"),
    ({"data": {"url": "https://push.example.org/elsewhere"}}, "M_INVALID_PARAM"),
    ({"data": {"url": f"https://push.example.org{PATH}?a=b"}}, "M_INVALID_PARAM"),
    ({"data": {"url": f"ftp://push.example.org{PATH}"}}, "M_INVALID_PARAM"),
    ({"data": {"url": f"https://user@push.example.org{PATH}"}}, "M_INVALID_PARAM"),
    ({"data": {"url": f"https://push.example.org{PATH}", "format": 7}}, "M_INVALID_PARAM"),
    ({"data": {"url": f"https://push.example.org{PATH}", "much": "x" * 5000}}, "M_INVALID_PARAM"),
    ({"pushkey": "x" * 513}, "M_INVALID_PARAM"),
    ({"pushkey": ""}, "M_INVALID_PARAM"),
    ({"app_id": "x" * 65}, "M_INVALID_PARAM"),
    ({"device_display_name": "x" * 256}, "M_INVALID_PARAM"),
    ({"append": "yes"}, "M_BAD_JSON"),
]


async def test_what_is_no_pusher_is_refused(home: House) -> None:
    """400, and nothing is kept."""
    author = home.device("author")
    for change, code in NO_PUSHERS:
        refused = await set_pusher(author, pusher(f"https://push.example.org{PATH}") | change)
        assert (refused.status, refused["errcode"], await keys(author)) == (400, code, [])
    for name in ("app_id", "pushkey", "kind"):
        body = pusher(f"https://push.example.org{PATH}")
        del body[name]
        assert (await set_pusher(author, body))["errcode"] == "M_MISSING_PARAM"


async def test_a_session_takes_its_pushers_with_it(home: House) -> None:
    """Those of other sessions stay."""
    phone, laptop = home.device("author", "PHONE"), home.device("author", "LAPTOP")
    await set_pusher(phone, pusher(f"https://push.example.org{PATH}", "phone"))
    await set_pusher(laptop, pusher(f"https://push.example.org{PATH}", "laptop"))
    messenger = home.messenger
    await messenger.core.database.write(lambda tx: messenger.pushers.on_logout(tx, phone.user_id, "PHONE"))
    assert await keys(laptop) == ["laptop"]


async def test_a_gateway_is_told_of_what_notifies(open_home: House) -> None:
    """With the event, names, counts and tweaks, or with the event's id alone; not of one's own events or old ones."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    room = await author.create(other, name="A room")
    await author.call("PUT", f"/profile/{author.user_id}/displayname", {"displayname": "The Author"})
    await say(author, room, text("before there was a pusher"))
    async with hook() as full, hook() as short, sending(open_home):
        await set_pusher(other, pusher(url_of(full), "full"))
        await set_pusher(other, pusher(url_of(short), "short", data={"format": "event_id_only"}))
        await say(other, room, text("one's own"))
        first = await say(author, room, text("hello"))
        (told,), (brief,) = await calls(full, 1), await calls(short, 1)
    device = told["devices"][0]
    assert device.pop("pushkey_ts") > 0
    assert device == {"app_id": "org.example.app", "pushkey": "full", "data": {}, "tweaks": {"sound": "default"}}
    assert (told["event_id"], told["room_id"], told["counts"], told["prio"]) == (first, room, {"unread": 1}, "high")
    assert (told["type"], told["sender"], told["content"]) == ("m.room.message", author.user_id, text("hello"))
    assert (told["sender_display_name"], told["room_name"]) == ("The Author", "A room")
    assert set(brief) == {"event_id", "room_id", "counts", "prio", "devices"}
    assert (brief["devices"][0]["data"], "tweaks" in brief["devices"][0]) == ({"format": "event_id_only"}, False)


async def test_invitations_and_encrypted_messages_are_pushed(home: House) -> None:
    """To whom is invited, as the target; of an encrypted message the ciphertext is all there is to tell."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create()
    async with hook() as gateway, sending(home):
        await set_pusher(other, pusher(url_of(gateway)))
        await author.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": other.user_id})
        (invited,) = await calls(gateway, 1)
        await other.call("POST", f"/join/{quote(room)}", {})
        sent = await say(author, room, CIPHERTEXT, "m.room.encrypted")
        told = (await calls(gateway, 2))[1]
    assert (invited["type"], invited["user_is_target"]) == ("m.room.member", True)
    assert (told["event_id"], told["content"]) == (sent, CIPHERTEXT)


async def test_what_a_gateway_rejects_is_removed(home: House) -> None:
    """A key that the gateway names as rejected is sent nothing more; other pushers go on."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)

    def answering(call: Call) -> tuple[int, bytes]:
        key = call.said["notification"]["devices"][0]["pushkey"]
        return 200, json.dumps({"rejected": ["bad"]} if key == "bad" else {}).encode()

    async with hook() as gateway, sending(home):
        gateway.answering = answering
        for key in ("bad", "good"):
            await set_pusher(other, pusher(url_of(gateway), key))
        await say(author, room, CIPHERTEXT, "m.room.encrypted")
        await calls(gateway, 2)
        await say(author, room, CIPHERTEXT, "m.room.encrypted")
        told = await calls(gateway, 3)
    assert await keys(other) == ["good"]
    assert [call["devices"][0]["pushkey"] for call in told].count("bad") == 1


async def test_what_fails_is_tried_again_after_a_restart_as_well(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order and from where it stopped, also by another process; each failure doubles the pause."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    monkeypatch.setattr(delivering, "FIRST_PAUSE_MS", 1)
    async with hook() as gateway:
        gateway.answering = lambda _call: (500, b"")
        async with sending(home):
            await set_pusher(other, pusher(url_of(gateway)))
            first = await say(author, room, CIPHERTEXT, "m.room.encrypted")
            assert {call["event_id"] for call in await calls(gateway, 2)} == {first}
        second = await say(author, room, CIPHERTEXT, "m.room.encrypted")
        gateway.answering = lambda _call: (200, b"{}")
        gateway.calls.clear()
        async with sending(home):
            assert [call["event_id"] for call in await calls(gateway, 2)] == [first, second]


async def test_what_was_read_meanwhile_is_not_pushed(home: House) -> None:
    """Nor what was redacted: the next thing that the gateway hears of is the next unread message."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    async with hook() as gateway:
        async with sending(home):
            await set_pusher(other, pusher(url_of(gateway)))
            await say(author, room, CIPHERTEXT, "m.room.encrypted")
            await calls(gateway, 1)
        read = await say(author, room, CIPHERTEXT, "m.room.encrypted")
        gone = await say(author, room, CIPHERTEXT, "m.room.encrypted")
        await other.call("POST", f"/rooms/{quote(room)}/receipt/m.read.private/{quote(read)}", {})
        await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(gone)}/r", {})
        last = await say(author, room, CIPHERTEXT, "m.room.encrypted")
        async with sending(home):
            told = (await calls(gateway, 2))[1]
    assert (told["event_id"], told["counts"]) == (last, {"unread": 1})


async def test_notifications_are_listed_until_read(open_home: House) -> None:
    """Newest first and by pages; read ones only if they were highlighted; `only=highlight` leaves out the others."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    rooms = [await author.create(other) for _ in range(2)]
    mention = {"m.mentions": {"user_ids": [other.user_id]}}
    first = await say(author, rooms[0], text("first", **mention))
    second = await say(author, rooms[1], text("second"))
    third = await say(author, rooms[0], text("third"))
    await say(author, rooms[0], {"msgtype": "m.notice", "body": "silent"})

    async def listed(**params: Any) -> tuple[list[tuple[str, bool]], str | None]:
        answer = await other.call("GET", "/notifications", **params)
        assert answer.status == 200, answer
        return [(found["event"]["event_id"], found["read"]) for found in answer["notifications"]], answer.get(
            "next_token"
        )

    assert await listed() == ([(third, False), (second, False), (first, False)], None)
    page, token = await listed(limit=2)
    assert page == [(third, False), (second, False)]
    assert await listed(limit=2, **{"from": token}) == ([(first, False)], None)
    assert await listed(only="highlight") == ([(first, False)], None)
    await other.call("POST", f"/rooms/{quote(rooms[0])}/receipt/m.read/{quote(third)}", {})
    assert await listed() == ([(second, False), (first, True)], None)
    found = (await other.call("GET", "/notifications"))["notifications"][0]
    assert (found["room_id"], found["actions"][0], "profile_tag" in found) == (rooms[1], "notify", True)
    for bad in ({"only": "some"}, {"from": "x"}, {"limit": "x"}):
        assert (await other.call("GET", "/notifications", **bad))["errcode"] == "M_INVALID_PARAM"


async def test_a_new_pusher_is_not_told_of_what_came_before(home: House) -> None:
    """Though others, set earlier, still are."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    async with hook() as early, hook() as late:
        await set_pusher(other, pusher(url_of(early), "early"))
        first = await say(author, room, CIPHERTEXT, "m.room.encrypted")
        await set_pusher(other, pusher(url_of(late), "late"))
        second = await say(author, room, CIPHERTEXT, "m.room.encrypted")
        async with sending(home):
            assert [call["event_id"] for call in await calls(early, 2)] == [first, second]
            assert [call["event_id"] for call in await calls(late, 1)] == [second]


async def test_an_app_is_told_when_there_is_less_to_read(home: House) -> None:
    """After a receipt, the count alone, down to nothing left; and nothing where it is the same."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    async with hook() as gateway, sending(home):
        await set_pusher(other, pusher(url_of(gateway)))
        sent = [await say(author, room, CIPHERTEXT, "m.room.encrypted") for _ in range(2)]
        await calls(gateway, 2)
        await other.call("POST", f"/rooms/{quote(room)}/receipt/m.read/{quote(sent[0])}", {})
        assert (await calls(gateway, 3))[2]["counts"] == {"unread": 1}
        await other.call("POST", f"/rooms/{quote(room)}/receipt/m.read.private/{quote(sent[0])}", {})
        await other.call("POST", f"/rooms/{quote(room)}/receipt/m.read.private/{quote(sent[1])}", {})
        told = (await calls(gateway, 4))[3]
    assert (told["counts"], set(told)) == ({"unread": 0}, {"counts", "devices", "prio"})
