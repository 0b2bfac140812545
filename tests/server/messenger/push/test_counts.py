"""Unread counts in sync: what notifies, what highlights, and what reading takes away."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.server.messenger.house import CIPHERTEXT, Answer, Device, House
from tests.server.messenger.relations.test_relations import relates, say, text
from tests.support.databases import runs_writes_once

pytestmark = runs_writes_once

THREADS = json.dumps({"room": {"timeline": {"unread_thread_notifications": True}}})
Counts = tuple[int, int]


async def room_section(device: Device, room: str, **params: Any) -> dict[str, Any]:
    synced: Answer = await device.sync(**params)
    section: dict[str, Any] = synced["rooms"]["join"][room]
    return section


async def counts(device: Device, room: str) -> Counts:
    """(notifications, highlights), and the same after everything in memory was forgotten."""
    found = (await room_section(device, room))["unread_notifications"]
    device.house.messenger.push.counts.clear()
    device.house.messenger.core.rooms.clear()
    assert (await room_section(device, room))["unread_notifications"] == found
    assert (await room_section(device, room))["unread_notifications"] == found
    return found["notification_count"], found["highlight_count"]


async def by_thread(device: Device, room: str) -> tuple[Counts, dict[str, Counts]]:
    section = await room_section(device, room, filter=THREADS)
    threads = section.get("unread_thread_notifications")
    assert threads != {}
    shown = {root: (found["notification_count"], found["highlight_count"]) for root, found in (threads or {}).items()}
    main = section["unread_notifications"]
    return (main["notification_count"], main["highlight_count"]), shown


async def read(device: Device, room: str, event_id: str, thread: str | None = None, kind: str = "m.read") -> None:
    body = {} if thread is None else {"thread_id": thread}
    answer = await device.call("POST", f"/rooms/{quote(room)}/receipt/{kind}/{quote(event_id)}", body)
    assert answer.status == 200, answer


async def test_encrypted_messages_count_until_they_are_read(home: House) -> None:
    """Others' encrypted events notify and never highlight; one's own, reactions, edits, redacted ones do not."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    assert await counts(other, room) == (0, 0)
    sent = [await say(author, room, CIPHERTEXT, "m.room.encrypted") for _ in range(3)]
    assert (await counts(other, room), await counts(author, room)) == ((3, 0), (0, 0))
    await say(author, room, relates(sent[0], "m.annotation", key="+1"), "m.reaction")
    await say(author, room, CIPHERTEXT | relates(sent[0], "m.replace"), "m.room.encrypted")
    assert await counts(other, room) == (3, 0)
    await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(sent[1])}/r", {})
    assert await counts(other, room) == (2, 0)
    await read(other, room, sent[0])
    assert await counts(other, room) == (1, 0)
    await say(other, room, CIPHERTEXT, "m.room.encrypted")  # whoever answers has read
    assert await counts(other, room) == (0, 0)


async def test_counts_move_from_sync_to_sync(home: House) -> None:
    """Each sync with something new of a room says how much is unread as of its end; a receipt brings the room again."""
    author, other, tablet = home.device("author"), home.device("correspondent"), home.device("correspondent", "B")
    room = await author.create(other)
    await other.next()
    await tablet.next()
    for expected in (1, 2, 3):
        sent = await say(author, room, CIPHERTEXT, "m.room.encrypted")
        section = (await other.next())["rooms"]["join"][room]
        assert section["unread_notifications"] == {"highlight_count": 0, "notification_count": expected}
    await read(other, room, sent, kind="m.read.private")
    section = (await other.next())["rooms"]["join"][room]
    assert section["unread_notifications"]["notification_count"] == 0
    assert (await tablet.next())["rooms"]["join"][room]["unread_notifications"]["notification_count"] == 0


async def test_threads_are_counted_and_read_apart(open_home: House) -> None:
    """A story of two timelines: receipts for main, for the thread, for neither, and one set at an annotation."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    room = await author.create(other, preset="public_chat")
    a = await say(author, room, text("hello"))
    thread = relates(a, "m.thread")
    b = await say(author, room, text("thread") | thread)
    await say(author, room, text("to you") | thread | {"m.mentions": {"user_ids": [other.user_id]}})
    d = await say(author, room, text("to you") | {"m.mentions": {"user_ids": [other.user_id]}})
    await say(author, room, text("end of thread") | thread)
    f = await say(author, room, text("reference") | relates(a, "m.reference"))
    g = await say(author, room, relates(f, "m.annotation", key="test"), "m.room.reaction")
    assert await counts(other, room) == (6, 2)
    assert await by_thread(other, room) == ((3, 1), {a: (3, 1)})
    await read(other, room, a, "main")
    assert (await counts(other, room), await by_thread(other, room)) == ((5, 2), ((2, 1), {a: (3, 1)}))
    await read(other, room, b, a)
    assert (await counts(other, room), await by_thread(other, room)) == ((4, 2), ((2, 1), {a: (2, 1)}))
    await read(other, room, d)
    assert (await counts(other, room), await by_thread(other, room)) == ((2, 0), ((1, 0), {a: (1, 0)}))
    await read(other, room, g, a)
    assert (await counts(other, room), await by_thread(other, room)) == ((1, 0), ((1, 0), {}))


async def test_what_relates_to_a_threads_event_counts_in_the_thread(open_home: House) -> None:
    """Up to three steps are followed to the root."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    room = await author.create(other)
    root = await say(author, room, text("root"))
    reply = await say(author, room, text("reply") | relates(root, "m.thread"))
    near = await say(author, room, text("near") | relates(reply, "m.reference"))
    await say(author, room, text("nearer") | relates(near, "m.reference"))
    assert await by_thread(other, room) == ((1, 0), {root: (3, 0)})


async def test_mentions_highlight(open_home: House) -> None:
    """By id, of the whole room by those who may, and by name in bodies of events that state no mentions."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    room = await author.create(other)
    await other.call("PUT", f"/profile/{other.user_id}/displayname", {"displayname": "The Reader"})
    await say(author, room, text("nobody"))
    assert await counts(other, room) == (1, 0)
    await say(author, room, text("x", **{"m.mentions": {"user_ids": [other.user_id]}}))
    assert await counts(other, room) == (2, 1)
    await say(author, room, text("x", **{"m.mentions": {"room": True}}))
    assert await counts(other, room) == (3, 2)
    await say(author, room, text("hello correspondent, and the reader"))
    await say(author, room, text("the reader knows"))
    await say(author, room, text("attention @room"))
    assert await counts(other, room) == (6, 5)
    await say(author, room, text("the reader, unmentioned", **{"m.mentions": {}}))
    assert await counts(other, room) == (7, 5)
    await say(other, room, text("x", **{"m.mentions": {"room": True}}))  # may not: a member of level 0
    assert await counts(author, room) == (1, 0)


async def test_rules_decide_what_counts(open_home: House) -> None:
    """Rules for words, senders and rooms, from the next event on; notices are silent; the master rule silences all."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    room = await author.create(other)
    rule = {"actions": ["notify", {"set_tweak": "highlight", "value": True}], "pattern": "c?ke"}
    await other.call("PUT", "/pushrules/global/content/cake", rule)
    await say(author, room, text("there is CAKE!"))
    await say(author, room, text("pancakes"))
    await say(author, room, {"msgtype": "m.notice", "body": "cake"})
    assert await counts(other, room) == (2, 1)
    await other.call("PUT", f"/pushrules/global/room/{quote(room)}", {"actions": ["dont_notify"]})
    before = await say(author, room, text("quiet"))
    await read(other, room, before)
    await say(author, room, text("quiet"))
    assert await counts(other, room) == (0, 0)
    await other.call("DELETE", f"/pushrules/global/room/{quote(room)}")
    await other.call("PUT", "/pushrules/global/override/.m.rule.master/enabled", {"enabled": True})
    await say(author, room, text("silence"))
    assert await counts(other, room) == (0, 0)


async def test_ignored_people_do_not_notify(home: House) -> None:
    """Nor does what was said before one joined."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create()
    await say(author, room, CIPHERTEXT, "m.room.encrypted")
    await author.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": other.user_id})
    await other.call("POST", f"/join/{quote(room)}", {})
    assert await counts(other, room) == (0, 0)
    ignored = {"ignored_users": {author.user_id: {}}}
    await other.call("PUT", f"/user/{other.user_id}/account_data/m.ignored_user_list", ignored)
    await say(author, room, CIPHERTEXT, "m.room.encrypted")
    assert await counts(other, room) == (0, 0)


async def test_counts_are_bounded(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than can be counted shows as that many, and what is held in memory stays within its bounds."""
    monkeypatch.setattr("paraph.server.messenger.push.counts.MAX_COUNTED", 3)
    monkeypatch.setattr("paraph.server.messenger.push.counts.MAX_NOTICES", 4)
    author, other = home.device("author"), home.device("correspondent")
    rooms = [await author.create(other) for _ in range(3)]
    for room in rooms:
        for _ in range(5):
            await say(author, room, CIPHERTEXT, "m.room.encrypted")
        assert await counts(other, room) == (3, 0)
    held = home.messenger.push.counts
    assert held._notices == sum(len(unread.found) for unread in held._held.values()) <= 4
