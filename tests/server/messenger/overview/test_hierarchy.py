"""The tree of a space."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.messenger.overview import hierarchy
from tests.server.messenger.acts import act, outcome, put_state
from tests.server.messenger.house import SERVER, Answer, Device, House


async def _tree(device: Device, space: str, **params: Any) -> Answer:
    answer: Answer = await device.call("GET", f"/_matrix/client/v1/rooms/{quote(space)}/hierarchy", **params)
    return answer


def _ids(page: Answer) -> list[str]:
    return [room["room_id"] for room in page["rooms"]]


async def _space(author: Device, **body: Any) -> str:
    return await author.create(preset="public_chat", creation_content={"type": "m.space"}, **body)


async def _link(author: Device, space: str, room: str, **content: Any) -> None:
    await put_state(author, space, "m.space.child", {"via": [SERVER]} | content, room)


async def test_a_space_is_walked_depth_first(home: House) -> None:
    """Children come in their order, then by time; a room shows once; links without `via` count for nothing."""
    author = home.device("author")
    top, inner = await _space(author, name="Culture"), await _space(author)
    films, songs, plays, odd = [await author.create(preset="public_chat") for _ in range(4)]
    await _link(author, top, films)
    await _link(author, top, inner, order="a")
    await _link(author, top, plays, order="b")
    await _link(author, top, odd, order="\u00e9" * 3)
    await _link(author, inner, songs)
    await _link(author, inner, top)
    await _link(author, inner, films)
    await _link(author, songs, odd)  # a room that is no space has no children
    await put_state(author, top, "m.space.child", {}, f"!gone:{SERVER}")
    page = await _tree(author, top)
    assert _ids(page) == [top, inner, songs, plays, films, odd]
    assert "next_batch" not in page
    root = page["rooms"][0]
    assert (root["name"], root["room_type"], root["join_rule"]) == ("Culture", "m.space", "public")
    assert [child["state_key"] for child in root["children_state"]] == [inner, plays, films, odd]
    child = root["children_state"][0]
    assert set(child) == {"content", "sender", "state_key", "type", "origin_server_ts", "room_id"}
    assert child["room_id"] == top
    assert page["rooms"][2]["children_state"] == []


async def test_the_walk_can_be_narrowed(home: House) -> None:
    """max_depth ends it early, suggested_only leaves the rest out, and pages come one after the other."""
    author = home.device("author")
    top, inner = await _space(author), await _space(author)
    films, songs = [await author.create(preset="public_chat") for _ in range(2)]
    await _link(author, top, inner, order="a", suggested=True)
    await _link(author, top, films, order="b")
    await _link(author, inner, songs, suggested=True)
    assert _ids(await _tree(author, top, max_depth=0)) == [top]
    shallow = await _tree(author, top, max_depth=1)
    assert _ids(shallow) == [top, inner, films]
    assert [child["state_key"] for child in shallow["rooms"][1]["children_state"]] == [songs]  # told, not walked
    assert _ids(await _tree(author, top, suggested_only="true")) == [top, inner, songs]
    first = await _tree(author, top, limit=3)
    assert _ids(first) == [top, inner, songs]
    second = await _tree(author, top, limit=3, **{"from": first["next_batch"]})
    assert _ids(second) == [films]
    assert "next_batch" not in second
    other = await _tree(author, top, suggested_only="true", **{"from": first["next_batch"]})
    assert outcome(other) == "M_INVALID_PARAM"


async def test_only_rooms_that_one_may_know_of_are_shown(home: House) -> None:
    """A private room shows to its members alone; a restricted one to those it lets in; a private space not at all."""
    author, friend, stranger = home.device("author"), home.device("friend"), home.device("stranger")
    top = await _space(author)
    rules = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": top}]}
    private = await author.create(friend)
    restricted = await author.create(initial_state=[{"type": "m.room.join_rules", "content": rules}])
    for room in (private, restricted, f"!unknown:{SERVER}"):
        await _link(author, top, room)
    assert _ids(await _tree(stranger, top)) == [top]
    assert _ids(await _tree(friend, top)) == [top, private]
    assert await act(stranger, top, "join") == "ok"
    shown = await _tree(stranger, top)
    assert _ids(shown) == [top, restricted]
    assert shown["rooms"][1]["allowed_room_ids"] == [top]
    assert outcome(await _tree(stranger, private)) == "M_FORBIDDEN"
    assert outcome(await _tree(stranger, f"!unknown:{SERVER}")) == "M_FORBIDDEN"


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
async def test_a_walk_is_bounded(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large a space is, a walk looks at no more rooms than its bound; odd parameters are refused."""
    monkeypatch.setattr(hierarchy, "MAX_ROOMS", 3)
    monkeypatch.setattr(hierarchy, "ROOMS_PER_READ", 2)
    author = home.device("author")
    top = await _space(author)
    for _ in range(6):
        await _link(author, top, await author.create(preset="public_chat"))
    assert len(_ids(await _tree(author, top))) == 3
    odd = [{"suggested_only": "1"}, {"limit": "x"}, {"max_depth": "-1"}, {"from": "x"}, {"from": "WzEsMiwzXQ"}]
    for params in odd:
        assert outcome(await _tree(author, top, **params)) == "M_INVALID_PARAM"
