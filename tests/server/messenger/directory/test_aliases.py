"""Aliases: making, finding, listing and removing them; the canonical ones."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.http import MatrixError
from paraph.server.messenger.directory.names import from_local, server_of
from tests.server.messenger.acts import act, outcome, put_state, room_path, state
from tests.server.messenger.house import SERVER, Answer, Device, House
from tests.support.databases import runs_writes_once

FILMS = f"#films:{SERVER}"


async def _alias(method: str, device: Device, alias: str, room: str | None = None) -> Answer:
    body = None if room is None else {"room_id": room}
    answer: Answer = await device.call(method, f"/directory/room/{quote(alias)}", body)
    return answer


async def test_an_alias_leads_to_its_room(home: House) -> None:
    """PUT, GET and DELETE /directory/room/{alias}, and joining and knocking by it; what is taken stays taken."""
    author, friend = home.device("author"), home.device("friend")
    room, other = await author.create(preset="public_chat"), await author.create()
    assert (await _alias("PUT", author, FILMS, room)).status == 200
    assert await _alias("GET", friend, FILMS) == {"room_id": room, "servers": [SERVER]}
    taken = await _alias("PUT", author, FILMS, other)
    assert (taken.status, taken["errcode"]) == (409, "M_UNKNOWN")
    joined = await friend.call("POST", f"/join/{quote(FILMS)}", {})
    assert joined == {"room_id": room}
    assert await act(friend, f"#nothing:{SERVER}", "join") == "M_NOT_FOUND"
    assert await act(friend, f"#nothing:{SERVER}", "knock") == "M_NOT_FOUND"
    assert (await _alias("DELETE", author, FILMS)) == {}
    for method in ("GET", "DELETE"):
        gone = await _alias(method, author, FILMS)
        assert (gone.status, gone["errcode"]) == (404, "M_NOT_FOUND")


async def test_who_may_make_list_and_remove_aliases(home: House) -> None:
    """Members make them; members list them; the maker removes her own, and whoever may name the room any."""
    author, friend, stranger = home.device("author"), home.device("friend"), home.device("stranger")
    room = await author.create(friend)
    listed = f"{room_path(room)}/aliases"
    assert await author.call("GET", listed) == {"aliases": []}
    assert outcome(await _alias("PUT", stranger, FILMS, room)) == "M_FORBIDDEN"
    assert outcome(await _alias("PUT", stranger, FILMS, f"!none:{SERVER}")) == "M_FORBIDDEN"
    second = f"#\u2615:{SERVER}"
    for device, alias in ((friend, FILMS), (author, second)):
        assert outcome(await _alias("PUT", device, alias, room)) == "ok"
    assert await friend.call("GET", listed) == {"aliases": [FILMS, second]}
    assert outcome(await stranger.call("GET", listed)) == "M_FORBIDDEN"
    assert (
        outcome(await put_state(author, room, "m.room.history_visibility", {"history_visibility": "world_readable"}))
        == "ok"
    )
    assert await stranger.call("GET", listed) == {"aliases": [FILMS, second]}
    for device in (stranger, friend):
        assert outcome(await _alias("DELETE", device, second)) == "M_FORBIDDEN"
    assert outcome(await _alias("DELETE", author, FILMS)) == "ok"
    assert outcome(await _alias("DELETE", author, second)) == "ok"


@runs_writes_once
@pytest.mark.parametrize("alias", ["films", "#films", "#:paraph.test", "#films:", f"#{'x' * 250}:{SERVER}", "#a:b c"])
async def test_what_is_no_alias_is_refused(home: House, alias: str) -> None:
    """A malformed alias is M_INVALID_PARAM, and one of another server cannot be made here."""
    author = home.device("author")
    room = await author.create()
    for method in ("GET", "PUT", "DELETE"):
        refused = await _alias(method, author, alias, room)
        assert (refused.status, refused["errcode"]) == (400, "M_INVALID_PARAM")
    assert outcome(await _alias("PUT", author, "#films:elsewhere.example", room)) == "M_INVALID_PARAM"


async def test_a_room_is_created_with_its_alias(home: House) -> None:
    """room_alias_name gives the room its alias and its canonical one; a second room cannot have it."""
    author = home.device("author")
    room = await author.create(room_alias_name="films")
    assert await state(author, room, "m.room.canonical_alias") == {"alias": FILMS}
    assert (await _alias("GET", author, FILMS))["room_id"] == room
    taken = await author.call("POST", "/createRoom", {"room_alias_name": "films"})
    assert (taken.status, taken["errcode"]) == (400, "M_ROOM_IN_USE")
    assert (await author.call("GET", "/joined_rooms"))["joined_rooms"] == [room]


async def test_canonical_aliases_lead_to_the_room(home: House) -> None:
    """alias and alt_aliases must lead here when they are named first; later they may have lost their way."""
    author, friend = home.device("author"), home.device("friend")
    room, other = await author.create(friend), await author.create()
    mine, lost, theirs = FILMS, f"#lost:{SERVER}", f"#theirs:{SERVER}"
    for device, alias, target in ((author, mine, room), (friend, lost, room), (author, theirs, other)):
        await _alias("PUT", device, alias, target)

    async def name(content: Any) -> str:
        return outcome(await put_state(author, room, "m.room.canonical_alias", content))

    assert await name({"alias": f"#none:{SERVER}"}) == "M_BAD_ALIAS"
    assert await name({"alias": theirs}) == "M_BAD_ALIAS"
    assert await name({"alias": mine, "alt_aliases": [theirs]}) == "M_BAD_ALIAS"
    assert await name({"alias": mine, "alt_aliases": [f"#none:{SERVER}"]}) == "M_BAD_ALIAS"
    assert await name({"alias": "%films:paraph.test"}) == "M_INVALID_PARAM"
    assert await name({"alias": mine, "alt_aliases": ["%films:paraph.test"]}) == "M_INVALID_PARAM"
    assert await name({"alias": 1}) == "M_BAD_JSON"
    assert await name({"alt_aliases": mine}) == "M_BAD_JSON"
    assert await name({"alias": mine, "alt_aliases": [lost, mine]}) == "ok"
    assert outcome(await _alias("DELETE", friend, lost)) == "ok"
    assert await name({"alias": mine, "alt_aliases": [lost]}) == "ok"
    assert await name({"alias": ""}) == "ok"
    assert await name({}) == "ok"


async def test_a_removed_alias_is_no_longer_canonical(home: House) -> None:
    """Removing an alias takes it out of the room's canonical ones, if whoever removes it may change them."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    first, second, third = FILMS, f"#second:{SERVER}", f"#third:{SERVER}"
    for alias in (first, second, third):
        await _alias("PUT", friend, alias, room)
    named = {"alias": first, "alt_aliases": [second, third]}
    assert outcome(await put_state(author, room, "m.room.canonical_alias", named)) == "ok"
    assert outcome(await _alias("DELETE", friend, third)) == "ok"
    assert await state(author, room, "m.room.canonical_alias") == named
    assert outcome(await _alias("DELETE", author, second)) == "ok"
    assert await state(author, room, "m.room.canonical_alias") == {"alias": first, "alt_aliases": [third]}
    assert outcome(await put_state(author, room, "m.room.canonical_alias", {"alias": first})) == "ok"
    assert outcome(await _alias("DELETE", author, first)) == "ok"
    assert await state(author, room, "m.room.canonical_alias") == {}


def test_an_alias_in_its_parts() -> None:
    """The server is what follows the first colon; a local part holds neither colon, nor # at its beginning."""
    assert server_of("#a:b.example:8448") == "b.example:8448"
    assert from_local("films", "b.example") == "#films:b.example"
    for local in ("", "a:b", "#a", "a b", "x" * 300):
        with pytest.raises(MatrixError) as refused:
            from_local(local, "b.example")
        assert refused.value.code == "M_INVALID_PARAM"
