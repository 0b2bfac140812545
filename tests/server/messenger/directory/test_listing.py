"""The public list of rooms."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.messenger.directory import listing
from tests.server.messenger.acts import act, outcome, put_state
from tests.server.messenger.house import SERVER, Device, House


async def _list(device: Device, **params: Any) -> Any:
    return await device.call("GET", "/publicRooms", **params)


async def _search(device: Device, **body: Any) -> list[str]:
    found = await device.call("POST", "/publicRooms", body)
    return [entry["room_id"] for entry in found["chunk"]]


def _listed(room: str) -> str:
    return f"/directory/list/room/{quote(room)}"


async def test_what_the_list_shows_of_a_room(home: House) -> None:
    """A public room is listed with name, topic, alias and picture, and the list follows the room's state."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(visibility="public", name="Films", topic="Tonight", room_alias_name="films")
    await author.create(preset="public_chat")  # anybody may join it, but it is not listed
    entry = {
        "room_id": room,
        "num_joined_members": 1,
        "world_readable": False,
        "guest_can_join": False,
        "join_rule": "public",
        "name": "Films",
        "topic": "Tonight",
        "canonical_alias": f"#films:{SERVER}",
    }
    assert await _list(friend) == {"chunk": [entry], "total_room_count_estimate": 1}
    await act(friend, room, "join")
    await put_state(author, room, "m.room.avatar", {"url": "mxc://paraph.test/x"})
    await put_state(author, room, "m.room.history_visibility", {"history_visibility": "world_readable"})
    await put_state(author, room, "m.room.guest_access", {"guest_access": "can_join"})
    named = await put_state(author, room, "m.room.name", {"name": "Songs"})
    changed = entry | {"num_joined_members": 2, "world_readable": True, "guest_can_join": True, "name": "Songs"}
    changed["avatar_url"] = "mxc://paraph.test/x"
    assert (await _list(friend))["chunk"] == [changed]
    redact = f"/rooms/{quote(room)}/redact/{named['event_id']}/t1"
    assert outcome(await author.call("PUT", redact, {})) == "ok"
    del changed["name"]
    assert (await _list(friend))["chunk"] == [changed]
    await act(friend, room, "leave")
    assert (await _list(friend))["chunk"] == [changed | {"num_joined_members": 1}]


async def test_who_may_list_a_room(home: House) -> None:
    """Whoever may set the canonical alias says whether the room is listed; everybody may ask."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    assert await friend.call("GET", _listed(room)) == {"visibility": "private"}
    assert outcome(await friend.call("PUT", _listed(room), {"visibility": "public"})) == "M_FORBIDDEN"
    assert outcome(await author.call("PUT", _listed(room), {"visibility": "hidden"})) == "M_BAD_JSON"
    assert outcome(await author.call("PUT", _listed(room), {})) == "ok"
    assert await friend.call("GET", _listed(room)) == {"visibility": "public"}
    assert [entry["room_id"] for entry in (await _list(friend))["chunk"]] == [room]
    assert outcome(await author.call("PUT", _listed(room), {"visibility": "private"})) == "ok"
    assert (await _list(friend))["chunk"] == []
    for method in ("GET", "PUT"):
        assert outcome(await author.call(method, _listed(f"!none:{SERVER}"), {})) == "M_NOT_FOUND"


async def test_the_list_is_searched(home: House) -> None:
    """A term is found in name, topic and alias, whatever its case; room types are told apart."""
    author = home.device("author")
    films = await author.create(visibility="public", name="Films tonight")
    songs = await author.create(visibility="public", topic="What the FILMS sound like", room_alias_name="songs")
    space = await author.create(visibility="public", name="Culture", creation_content={"type": "m.space"})
    assert set(await _search(author, filter={"generic_search_term": "films"})) == {films, songs}
    assert await _search(author, filter={"generic_search_term": "#SONGS"}) == [songs]
    assert await _search(author, filter={"generic_search_term": "nothing"}) == []
    assert await _search(author, filter={"room_types": ["m.space"]}) == [space]
    assert set(await _search(author, filter={"room_types": [None]})) == {films, songs}
    assert set(await _search(author, filter={"room_types": [None, "m.space"]})) == {films, songs, space}
    assert set(await _search(author)) == {films, songs, space}
    for body in ({"filter": {"room_types": "m.space"}}, {"limit": "2"}, {"filter": {"generic_search_term": "x" * 256}}):
        assert outcome(await author.call("POST", "/publicRooms", body)) == "M_BAD_JSON"


@pytest.mark.parametrize("scanned", [2_000, 4])
async def test_the_list_is_paged_both_ways(home: House, monkeypatch: pytest.MonkeyPatch, scanned: int) -> None:
    """The largest room comes first; next_batch and prev_batch lead through every room once, whatever is looked at."""
    monkeypatch.setattr(listing, "MAX_SCAN", scanned)
    author, friend = home.device("author"), home.device("friend")
    rooms = [await author.create(visibility="public", name="Films") for _ in range(5)]
    await act(friend, rooms[3], "join")
    whole = [entry["room_id"] for entry in (await _list(author))["chunk"]]
    assert (whole[0], set(whole)) == (rooms[3], set(rooms))
    first = await _list(author, limit=2)
    assert "prev_batch" not in first
    second = await _list(author, limit=2, since=first["next_batch"])
    third = await _list(author, limit=2, since=second["next_batch"])
    assert [entry["room_id"] for page in (first, second, third) for entry in page["chunk"]] == whole
    assert "next_batch" not in third
    assert (await _list(author, limit=2, since=third["prev_batch"]))["chunk"] == second["chunk"]
    back = await _list(author, limit=2, since=second["prev_batch"])
    assert back["chunk"] == first["chunk"]
    assert (await _list(author, limit=2, since=back["next_batch"]))["chunk"] == second["chunk"]
    found, since = list[str](), None
    while len(found) < 5:
        page = await author.call(
            "POST", "/publicRooms", {"limit": 1, "since": since, "filter": {"generic_search_term": "film"}}
        )
        found += [entry["room_id"] for entry in page["chunk"]]
        since = page.get("next_batch")
    assert found == whole


@pytest.mark.parametrize("since", ["x", "!", "eyJ9", "WzEsMV0", "Wy0xLCJ4Il0", "WzEsIlx1MDAwMCJd"])
@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
async def test_a_token_of_something_else_is_refused(home: House, since: str) -> None:
    """What is no token of the list is M_INVALID_PARAM; another server's list is not found here."""
    author = home.device("author")
    assert outcome(await _list(author, since=since)) == "M_INVALID_PARAM"
    assert outcome(await author.call("POST", "/publicRooms", {"since": since})) == "M_INVALID_PARAM"
    assert outcome(await _list(author, server="elsewhere.example")) == "M_NOT_FOUND"
    assert (await _list(author, server=SERVER)).status == 200
