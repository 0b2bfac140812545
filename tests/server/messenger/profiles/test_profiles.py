"""Profiles with fields of any name, and the directory of people."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.messenger.profiles import service
from tests.server.messenger.house import CLIENT, Device, House


def at(device: Device, name: str = "") -> str:
    return f"/profile/{quote(device.user_id)}" + (f"/{quote(name, safe='')}" if name else "")


async def put(device: Device, name: str, value: Any) -> Any:
    return await device.call("PUT", at(device, name), {name: value})


async def search(device: Device, term: str, **more: Any) -> list[str]:
    """Whom a search finds, by user id."""
    found = await device.call("POST", "/user_directory/search", {"search_term": term, **more})
    assert found.status == 200, found
    return [result["user_id"] for result in found["results"]]


VALUES: dict[str, Any] = {
    "m.tz": "Europe/London",
    "org.example.job-title": {"en": "Reader", "since": [1999, 2.5, None, True]},
    "org.example.nothing": None,
}


async def test_fields_of_any_kind_are_kept_and_removed(home: House) -> None:
    """Each is served alone and with the others, and gone once it is removed; removing what is not there is fine."""
    author = home.device("author")
    assert await author.call("GET", at(author)) == {}
    await put(author, "displayname", "The Author")
    for name, value in VALUES.items():
        assert (await put(author, name, value)).status == 200
        assert await author.call("GET", at(author, name)) == {name: value}
    assert await author.call("GET", at(author)) == {"displayname": "The Author", **VALUES}
    await put(author, "m.tz", "Europe/Paris")
    assert (await author.call("GET", at(author, "m.tz")))["m.tz"] == "Europe/Paris"
    for _ in range(2):
        for name in ("displayname", *VALUES):
            assert (await author.call("DELETE", at(author, name))).status == 200
    assert await author.call("GET", at(author)) == {}


async def test_what_is_not_set_is_not_found(home: House) -> None:
    """Neither a field that nobody set nor a person who does not exist."""
    author = home.device("author")
    for path in (
        at(author, "displayname"),
        at(author, "avatar_url"),
        at(author, "m.tz"),
        "/profile/@nobody:paraph.test",
    ):
        answer = await author.call("GET", path)
        assert (answer.status, answer["errcode"]) == (404, "M_NOT_FOUND")


async def test_profiles_are_read_without_a_token_and_written_by_their_owner(home: House) -> None:
    """Anybody may look; nobody else may change or remove."""
    author, stranger = home.device("author"), home.device("stranger")
    await put(author, "displayname", "The Author")
    answer = await home.client.get(f"{CLIENT}{at(author, 'displayname')}")
    assert answer.json() == {"displayname": "The Author"}
    for method, body in (("PUT", {"displayname": "x"}), ("DELETE", None)):
        refused = await stranger.call(method, at(author, "displayname"), body)
        assert (refused.status, refused["errcode"]) == (403, "M_FORBIDDEN")
        assert (await home.client.request(method, f"{CLIENT}{at(author, 'displayname')}", json=body)).status_code == 401
    assert await author.call("GET", at(author)) == {"displayname": "The Author"}


@pytest.mark.parametrize(
    ("name", "body", "errcode"),
    [
        ("m.tz", {}, "M_MISSING_PARAM"),
        ("m.tz", {"m.other": "x"}, "M_MISSING_PARAM"),
        ("m.tz", [], "M_BAD_JSON"),
        ("displayname", {"displayname": 7}, "M_BAD_JSON"),
        ("avatar_url", {"avatar_url": {}}, "M_BAD_JSON"),
        ("displayname", {"displayname": "x" * 256}, "M_INVALID_PARAM"),
        ("plain", {"plain": 1}, "M_INVALID_PARAM"),
        ("M.tz", {"M.tz": 1}, "M_INVALID_PARAM"),
        ("m.", {"m.": 1}, "M_INVALID_PARAM"),
        (".m", {".m": 1}, "M_INVALID_PARAM"),
        ("m.t z", {"m.t z": 1}, "M_INVALID_PARAM"),
        ("m." + "x" * 254, {}, "M_MISSING_PARAM"),
        ("m." + "x" * 254, {"m." + "x" * 254: 1}, "M_KEY_TOO_LARGE"),
        ("m.tz", {"m.tz": "x" * 65_600}, "M_PROFILE_TOO_LARGE"),
    ],
)
async def test_bad_fields_are_refused(home: House, name: str, body: Any, errcode: str) -> None:
    """Each has its error, and the profile stays as it was."""
    author = home.device("author")
    answer = await author.call("PUT", at(author, name), body)
    assert (answer.status, answer["errcode"]) == (400, errcode)
    assert await author.call("GET", at(author)) == {}


async def test_a_profile_holds_so_much_in_all(home: House) -> None:
    """Many small fields are bounded like a large one; what takes the place of something counts once."""
    author = home.device("author")
    for n in range(6):
        assert (await put(author, f"org.example.f{n}", "x" * 10_000)).status == 200
    assert (await put(author, "org.example.f6", "x" * 10_000))["errcode"] == "M_PROFILE_TOO_LARGE"
    assert (await put(author, "org.example.f0", "y" * 10_000)).status == 200


async def test_only_name_and_picture_show_in_rooms(home: House) -> None:
    """Setting or removing them writes a membership event; another field writes none."""
    author = home.device("author")
    room = await author.create()
    events = await home.event_count()
    await put(author, "avatar_url", "mxc://paraph.test/picture")
    await put(author, "m.tz", "Europe/London")
    assert await home.event_count() == events + 1
    await author.call("DELETE", at(author, "avatar_url"))
    shown = await author.call("GET", f"/rooms/{quote(room)}/state/m.room.member/{quote(author.user_id)}")
    assert (await home.event_count(), "avatar_url" in shown) == (events + 2, False)


async def test_the_end_of_an_account_ends_its_profile(home: House) -> None:
    """Nothing is left of what its owner said of herself."""
    author = home.device("author")
    await put(author, "displayname", "The Author")
    await put(author, "m.tz", "Europe/London")
    database = home.messenger.core.database
    await database.write(lambda tx: home.messenger.profiles.on_deactivate(tx, author.user_id))
    assert await author.call("GET", at(author)) == {}


# --- The directory


async def test_people_are_found_by_name_and_id(home: House) -> None:
    """By how either begins, whatever the case, among those whom the searcher shares a room with; never oneself."""
    author, friend = home.device("author"), home.device("friend")
    await put(friend, "displayname", "Fern Weh")
    assert await search(author, "fern") == []
    await author.create(friend)
    for term in ("fern", "FERN W", "Fern Weh", "frie", "@FRIE", "@friend:paraph.test"):
        assert await search(author, term) == [friend.user_id], term
    found = await author.call("POST", "/user_directory/search", {"search_term": "fern"})
    assert found == {"results": [{"user_id": friend.user_id, "display_name": "Fern Weh"}], "limited": False}
    for term in ("weh", "riend", "author", "@author:paraph.test", "nobody", "@nobody:paraph.test"):
        assert await search(author, term) == [], term


async def test_who_is_in_the_open_is_found_by_strangers(home: House) -> None:
    """In a room that anybody can join or read, and not in one that only members know."""
    author, stranger = home.device("author"), home.device("stranger")
    await put(author, "displayname", "Fern Weh")
    private = await author.create()
    assert await search(stranger, "fern") == []
    assert await search(stranger, "@author:paraph.test") == [author.user_id]
    state = f"/rooms/{quote(private)}/state"
    for kind, content in (
        ("m.room.history_visibility", {"history_visibility": "world_readable"}),
        ("m.room.join_rules", {"join_rule": "public"}),
    ):
        before = await author.call("GET", f"{state}/{kind}")
        await author.call("PUT", f"{state}/{kind}", content)
        assert await search(stranger, "fern") == [author.user_id]
        before.pop("status", None)
        await author.call("PUT", f"{state}/{kind}", dict(before))
        assert await search(stranger, "fern") == []


async def test_a_name_for_one_room_is_not_told_to_others(home: House) -> None:
    """What she is called in a room is found by nobody; by her own name she still is."""
    author, friend, stranger = home.device("author"), home.device("friend"), home.device("stranger")
    await put(author, "displayname", "Fern Weh")
    await author.create(preset="public_chat")
    private = await friend.create(author)
    content = {"membership": "join", "displayname": "Freddy"}
    path = f"/rooms/{quote(private)}/state/m.room.member/{quote(author.user_id)}"
    assert (await author.call("PUT", path, content)).status == 200
    for searcher in (friend, stranger):
        assert await search(searcher, "freddy") == []
        assert await search(searcher, "Fern Weh") == await search(searcher, "@auth") == [author.user_id]


async def test_a_search_is_bounded(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is kept, and that there are more is told; so are what it looks at and how long a term is."""
    author = home.device("author")
    mates = [home.device(f"mate{n}") for n in range(3)]
    await author.create(*mates)
    found = await author.call("POST", "/user_directory/search", {"search_term": "mate", "limit": 2})
    assert (len(found["results"]), found["limited"]) == (2, True)
    assert len(await search(author, "mate", limit=0)) == 1
    assert len(await search(author, "mate", limit=9999)) == 3
    monkeypatch.setattr(service, "LOOKED_AT", 1)
    assert await search(author, "mate") == [mates[0].user_id]
    for term in ("", "x" * 256):
        refused = await author.call("POST", "/user_directory/search", {"search_term": term})
        assert (refused.status, refused["errcode"]) == (400, "M_INVALID_PARAM")
