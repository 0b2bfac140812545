"""What a filter leaves out of a sync, and what it must not."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from paraph.server.messenger.sync import parts
from tests.server.messenger.acts_sync import act, ids, put_state, rename, say, section, wanting
from tests.server.messenger.house import House
from tests.support.databases import runs_writes_once

pytestmark = runs_writes_once

_STATE = {"types": ["org.example.state"]}


@pytest.mark.parametrize("filler", [0, 12, 60])
async def test_a_filtered_timeline_reaches_back_for_its_events(
    open_home: House, monkeypatch: pytest.MonkeyPatch, filler: int
) -> None:
    """The limit counts wanted events; where too much else would have to be read, the timeline is limited."""
    monkeypatch.setattr(parts, "MAX_SCAN", 20)
    author = open_home.device("author")
    room = await author.create()
    sent = await say(author, room, 1, "m.room.message")
    await say(author, room, filler, "org.example.filler")
    found = section(await author.sync(**wanting(timeline={"limit": 1, "types": ["m.room.message"]})), room)
    assert (ids(found["timeline"]), found["timeline"]["limited"]) == (([], True) if filler == 60 else (sent, False))


async def test_state_is_filtered_by_itself(open_home: House) -> None:
    """State that the timeline shows is not repeated; what the timeline's filter hides is told beside it."""
    author = open_home.device("author")
    room = await author.create()
    first = await put_state(author, room, "org.example.state", {"key": 1})
    shown = section(await author.sync(**wanting(timeline=_STATE, state=_STATE)), room)
    assert (ids(shown["timeline"]), ids(shown["state"])) == ([first], [])
    hidden = section(await author.sync(**wanting(timeline={"types": []}, state=_STATE)), room)
    assert (ids(hidden["timeline"]), ids(hidden["state"])) == ([], [first])
    since = (await author.sync())["next_batch"]
    await put_state(author, room, "org.example.state", {"key": 2})
    second = await put_state(author, room, "org.example.state", {"key": 3})
    await say(author, room, 20, "org.example.filler")
    gap = wanting(timeline={"types": ["org.example.filler"], "limit": 1}, state=_STATE)
    found = section(await author.sync(since, **gap), room)
    assert (ids(found["state"]), found["timeline"]["limited"]) == ([second], True)


async def test_hidden_state_between_shown_events_is_told(open_home: House) -> None:
    """A change between two shown messages is part of the state that the client ends up with."""
    author = open_home.device("author")
    room = await author.create()
    before = await say(author, room, 1, "m.room.message")
    named = await rename(author, room, "A")
    after = await say(author, room, 1, "m.room.message")
    found = section(await author.sync(**wanting(timeline={"types": ["m.room.message"]})), room)
    assert ids(found["timeline"]) == [*before, *after]
    assert named in ids(found["state"])


async def test_nothing_wanted_is_no_news(open_home: House) -> None:
    """A room of which nothing is wanted does not appear, and no state is told again."""
    author = open_home.device("author")
    room = await author.create()
    await put_state(author, room, "org.example.state", {"key": 1})
    wants = wanting(timeline={"types": []}, state=_STATE, ephemeral={"types": []})
    since = (await author.sync(**wants))["next_batch"]
    await say(author, room, 1)
    await put_state(author, room, "m.room.member", {"membership": "join", "displayname": "A."}, author.user_id)
    assert "rooms" not in await author.sync(since, **wants)


async def test_rooms_are_chosen(home: House) -> None:
    """Rooms that are not wanted are left out of every part."""
    author, friend = home.device("author"), home.device("friend")
    one, two = await author.create(friend), await author.create(friend)
    assert list((await friend.sync(**wanting(rooms=[one])))["rooms"]["join"]) == [one]
    assert list((await friend.sync(**wanting(not_rooms=[one])))["rooms"]["join"]) == [two]
    await friend.next()
    await say(author, one, 1)
    assert "rooms" not in await friend.sync(friend.since, **wanting(rooms=[two]))
    await act(author, one, "kick", user_id=friend.user_id)
    assert "rooms" not in await friend.sync(friend.since, **wanting(not_rooms=[one]))


async def test_senders_and_limits(home: House) -> None:
    """Events of one sender, and a timeline without any."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    own, other = await say(author, room, 2), await say(friend, room, 2)
    wants = wanting(timeline={"senders": [friend.user_id], "types": ["m.room.encrypted"]})
    assert ids(section(await author.sync(**wants), room)["timeline"]) == other
    wants = wanting(timeline={"not_senders": [friend.user_id], "types": ["m.room.encrypted"]})
    assert ids(section(await author.sync(**wants), room)["timeline"]) == own
    none = section(await author.sync(**wanting(timeline={"limit": 0}, state={"types": ["m.room.member"]})), room)
    assert (ids(none["timeline"]), none["timeline"]["limited"]) == ([], True)
    assert len(none["state"]["events"]) == 2


async def test_account_data_and_ephemeral_events_are_filtered(home: House) -> None:
    """By type, each where it stands."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    event = (await say(author, room, 1))[0]
    for path, content in (
        (f"/user/{author.user_id}/account_data/org.example.one", {"one": 1}),
        (f"/user/{author.user_id}/rooms/{quote(room)}/account_data/org.example.two", {"two": 2}),
    ):
        assert (await author.call("PUT", path, content)).status == 200
    await act(author, room, f"receipt/m.read/{quote(event)}")
    definition = {
        "account_data": {"types": ["org.example.*"]},
        "room": {"account_data": {"not_types": ["org.example.two"]}, "ephemeral": {"types": ["m.receipt"]}},
    }
    answer = await author.sync(filter=json.dumps(definition))
    assert [found["type"] for found in answer["account_data"]["events"]] == ["org.example.one"]
    assert section(answer, room)["account_data"]["events"] == []
    assert [found["type"] for found in section(answer, room)["ephemeral"]["events"]] == ["m.receipt"]
    nothing = await author.sync(filter='{"account_data":{"types":[]},"room":{"ephemeral":{"types":[]}}}')
    assert "account_data" not in nothing
    assert section(nothing, room)["ephemeral"]["events"] == []


async def test_fields_and_format(home: House) -> None:
    """Only the fields asked for; and the form between servers, which has nothing in it here."""
    author = home.device("author")
    room = await author.create()
    event = (await say(author, room, 1))[0]
    fields = await author.sync(filter='{"event_fields":["event_id","content.session_id","content.absent.deeper"]}')
    newest = section(fields, room)["timeline"]["events"][-1]
    assert newest == {"event_id": event, "content": {"session_id": "s1"}}
    federation = await author.sync(filter='{"event_format":"federation"}')
    newest = section(federation, room)["timeline"]["events"][-1]
    assert newest["room_id"] == room
    assert {"auth_events", "prev_events", "depth", "hashes", "signatures"} <= set(newest)


async def test_memory_answers_a_filter_as_the_tables_do(home: House) -> None:
    """A filter changes nothing about which of both is asked, as far as the answer goes."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    since = (await friend.next())["next_batch"]
    await say(author, room, 3)
    await rename(author, room, "A")
    await say(author, room, 3)
    for limit in (2, 5, 50):
        plain = await friend.sync(since, **wanting(timeline={"limit": limit}))
        tables = await friend.sync(since, **wanting(timeline={"limit": limit, "not_types": ["org.example.none"]}))
        assert plain == tables
