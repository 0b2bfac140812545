"""Searching finds what this server can read and the person may see, and nothing that is encrypted."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.server.messenger.house import CIPHERTEXT, Answer, Device, House
from tests.server.messenger.relations.test_relations import edit, say, text
from tests.support.databases import runs_writes_once

pytestmark = runs_writes_once


async def search(device: Device, term: str, token: str | None = None, **asked: Any) -> Answer:
    body = {"search_categories": {"room_events": {"search_term": term, **asked}}}
    params = {} if token is None else {"next_batch": token}
    answer: Answer = await device.call("POST", "/search", body, **params)
    return answer


async def found(device: Device, term: str, **asked: Any) -> list[str]:
    answer = await search(device, term, **asked)
    assert answer.status == 200, answer
    events = answer["search_categories"]["room_events"]
    ids = [result["result"]["event_id"] for result in events["results"]]
    assert events["count"] == len(ids)
    return ids


async def test_all_words_of_the_term_are_found_in_any_case(open_home: House) -> None:
    """Words in any order and case, not parts of words; with room, content and type of the event, and its bundle."""
    author = open_home.device("author")
    room = await author.create()
    hello = await say(author, room, text("Hello, World: \u00c9T\u00c9 is here"))
    await say(author, room, text("helloworld"))
    assert (
        await found(author, "hello")
        == await found(author, "world HELLO")
        == await found(author, "\u00e9t\u00e9")
        == [hello]
    )
    assert await found(author, "hello there") == await found(author, "...") == []
    await say(author, room, edit(hello, "changed"))
    answer = await search(author, "hello")
    (result,) = answer["search_categories"]["room_events"]["results"]
    assert (result["result"]["room_id"], result["result"]["content"]["msgtype"]) == (room, "m.text")
    assert result["result"]["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"] == "changed"
    assert answer["search_categories"]["room_events"]["highlights"] == ["hello"]


async def test_pages_lead_through_all_results(open_home: House) -> None:
    """Newest first; what is said meanwhile does not shift the pages; the page after the last is empty and final."""
    author = open_home.device("author")
    room = await author.create()
    ids = [await say(author, room, text(f"Message number {n}")) for n in range(20)]
    pages, token = [], None
    for _ in range(3):
        answer = await search(author, "message", token, order_by="recent", filter={"limit": 10, "rooms": [room]})
        events = answer["search_categories"]["room_events"]
        assert events["count"] == 20
        pages.append([result["result"]["event_id"] for result in events["results"]])
        token = events.get("next_batch")
        await say(author, room, text("one more message"))
    assert (pages, token) == ([ids[:9:-1], ids[9::-1], []], None)
    assert (await search(author, "message", "nonsense"))["errcode"] == "M_INVALID_PARAM"


async def test_rank_is_the_default_order(open_home: House) -> None:
    """Where the words stand more often comes first; of two alike, the older."""
    author = open_home.device("author")
    first, second = await author.create(), await author.create()
    one = await say(author, first, text("before upgrade"))
    two = await say(author, second, text("after upgrade"))
    three = await say(author, second, text("upgrade the upgrade"))
    assert await found(author, "upgrade", filter={"rooms": [first, second]}) == [three, one, two]
    assert await found(author, "upgrade", order_by="recent") == [three, two, one]
    assert await found(author, "upgrade", filter={"not_rooms": [second]}) == [one]


async def test_context_profiles_and_state_come_where_asked_for(open_home: House) -> None:
    """Events before (newest first) and after, how senders were shown then, and the room's state."""
    author = open_home.device("author")
    await author.call("PUT", f"/profile/{author.user_id}/displayname", {"displayname": "Then"})
    room = await author.create(name="A room")
    ids = [await say(author, room, text(f"Message number {n}")) for n in range(1, 8)]
    await author.call("PUT", f"/profile/{author.user_id}/displayname", {"displayname": "Now"})
    context = {"before_limit": 2, "after_limit": 2, "include_profile": True}
    answer = await search(author, "message 4", event_context=context, include_state=True, filter={"limit": 1})
    events = answer["search_categories"]["room_events"]
    (result,) = events["results"]
    shown = result["context"]
    assert [event["event_id"] for event in shown["events_before"]] == [ids[2], ids[1]]
    assert [event["event_id"] for event in shown["events_after"]] == [ids[4], ids[5]]
    assert shown["profile_info"] == {author.user_id: {"displayname": "Then"}}
    assert {"m.room.create", "m.room.name"} <= {event["type"] for event in events["state"][room]}
    page = await author.call("GET", f"/rooms/{quote(room)}/messages", dir="b", limit=1, **{"from": shown["start"]})
    assert page["chunk"][0]["event_id"] == ids[0]


async def test_names_and_topics_are_found_in_encrypted_rooms_and_messages_are_not(home: House) -> None:
    """Of an encrypted room the server finds what it can read; nothing is kept for searching there."""
    author = home.device("author")
    room = await author.create(name="Secret garden", topic="Roses and gardens")
    await say(author, room, CIPHERTEXT | {"body": "garden"}, "m.room.encrypted")
    named = await search(author, "garden")
    (result,) = named["search_categories"]["room_events"]["results"]
    assert (result["result"]["type"], result["result"]["content"]) == ("m.room.name", {"name": "Secret garden"})
    assert await found(author, "roses", keys=["content.name", "content.body"]) == []
    assert len(await found(author, "roses", keys=["content.topic"])) == 1
    rows = await home.messenger.core.database.read(lambda tx: tx.rows("SELECT * FROM search_words"))
    assert rows == []


async def test_nobody_finds_what_she_may_not_see(open_home: House) -> None:
    """Not as a stranger, not what was said before joining (`joined`) or after leaving, nothing redacted or ignored."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    visibility = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    room = await author.create(initial_state=[visibility])
    await say(author, room, text("needle before"))
    await author.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": other.user_id})
    assert await found(other, "needle") == []
    await other.call("POST", f"/join/{quote(room)}", {})
    seen = await say(author, room, text("needle within"))
    gone = await say(author, room, text("needle redacted"))
    for order in ("rank", "recent"):
        assert len(await found(other, "needle", order_by=order)) == 2
    await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(gone)}/r", {})
    assert await found(other, "needle") == [seen]
    assert await found(other, "needle", filter={"not_senders": [author.user_id]}) == []
    await other.call("POST", f"/rooms/{quote(room)}/leave", {})
    await say(author, room, text("needle after"))
    assert await found(other, "needle") == [seen]
    path = f"/user/{other.user_id}/account_data/m.ignored_user_list"
    await other.call("PUT", path, {"ignored_users": {author.user_id: {}}})
    assert await found(other, "needle") == []
    assert await found(open_home.device("stranger"), "needle") == []


async def test_results_are_grouped(open_home: House) -> None:
    """By room and by sender, with an order and, where there may be more, a way on within the group."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    rooms = [await author.create(other) for _ in range(2)]
    ids = [await say(device, room, text("needle")) for room in rooms for device in (author, other)]
    groupings = {"group_by": [{"key": "room_id"}, {"key": "sender"}]}
    answer = await search(author, "needle", groupings=groupings, order_by="recent", filter={"limit": 3})
    groups = answer["search_categories"]["room_events"]["groups"]
    assert groups["room_id"][rooms[1]]["results"] == [ids[3], ids[2]]
    assert (groups["room_id"][rooms[1]]["order"], groups["room_id"][rooms[0]]["order"]) == (1, 2)
    assert groups["sender"][author.user_id]["results"] == [ids[2]]
    token = groups["sender"][author.user_id]["next_batch"]
    rest = await search(author, "needle", token, order_by="recent", filter={"limit": 3})
    assert [one["result"]["event_id"] for one in rest["search_categories"]["room_events"]["results"]] == [ids[0]]
