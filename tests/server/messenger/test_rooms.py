"""Creating rooms, memberships and power levels."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.server.messenger.house import SERVER, Device, House
from tests.support.databases import runs_writes_once

PARTNER = f"@app-marquee:{SERVER}"


async def _state(device: Device, room: str, kind: str, key: str = "") -> Any:
    return await device.call("GET", f"/rooms/{quote(room)}/state/{kind}/{quote(key)}")


async def _put(device: Device, room: str, kind: str, content: Any, key: str = "") -> Any:
    return await device.call("PUT", f"/rooms/{quote(room)}/state/{kind}/{quote(key)}", content)


async def _act(device: Device, room: str, action: str, target: Device | str) -> str:
    user_id = target if isinstance(target, str) else target.user_id
    answer = await device.call("POST", f"/rooms/{quote(room)}/{action}", {"user_id": user_id})
    return str(answer.get("errcode", "ok"))


@pytest.mark.parametrize(
    ("preset", "join_rule", "friend_level"),
    [("private_chat", "invite", 0), ("trusted_private_chat", "invite", 100), ("public_chat", "public", 0)],
)
async def test_presets(home: House, preset: str, join_rule: str, friend_level: int) -> None:
    """Every preset is encrypted from the first message; they differ in who may join and in power."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend, preset=preset, name="Films", topic="Tonight", is_direct=True)
    assert await _state(author, room, "m.room.encryption") == {"algorithm": "m.megolm.v1.aes-sha2"}
    assert (await _state(author, room, "m.room.join_rules"))["join_rule"] == join_rule
    power = await _state(author, room, "m.room.power_levels")
    assert power["users"][author.user_id] == 100
    assert power["users"].get(friend.user_id, power["users_default"]) == friend_level
    assert (await _state(author, room, "m.room.name"))["name"] == "Films"
    assert (await _state(author, room, "m.room.topic"))["topic"] == "Tonight"
    assert (await _state(friend, room, "m.room.member", friend.user_id))["is_direct"] is True


async def test_creation_takes_initial_state_and_overrides(home: House) -> None:
    """initial_state replaces what the preset sets; power levels can be overridden."""
    author = home.device("author")
    room = await author.create(
        initial_state=[
            {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2", "rotation_period_msgs": 5}},
            {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}},
        ],
        power_level_content_override={"events_default": 10},
        creation_content={"type": "org.example.kind"},
    )
    assert (await _state(author, room, "m.room.encryption"))["rotation_period_msgs"] == 5
    assert (await _state(author, room, "m.room.history_visibility"))["history_visibility"] == "joined"
    assert (await _state(author, room, "m.room.power_levels"))["events_default"] == 10
    assert await _state(author, room, "m.room.create") == {"type": "org.example.kind", "room_version": "11"}


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        ({"initial_state": [{"type": "m.room.encryption", "content": {}}]}, 403, "M_FORBIDDEN"),
        ({"initial_state": [{"type": "m.room.encryption", "content": {"algorithm": "none"}}]}, 403, "M_FORBIDDEN"),
        ({"initial_state": [{"type": "org.paraph.grant", "content": {}}]}, 403, "M_FORBIDDEN"),
        ({"initial_state": [{"type": "m.room.member", "content": {}, "state_key": PARTNER}]}, 403, "M_FORBIDDEN"),
        ({"invite": [PARTNER]}, 403, "M_FORBIDDEN"),
        ({"invite": ["@nobody:paraph.test"]}, 404, "M_NOT_FOUND"),
        ({"invite": ["nobody"]}, 400, "M_INVALID_PARAM"),
        ({"invite": ["@x:elsewhere.example"]}, 404, "M_NOT_FOUND"),
        ({"room_version": "nothing"}, 400, "M_UNSUPPORTED_ROOM_VERSION"),
        ({"room_version": 1}, 400, "M_BAD_JSON"),
        ({"room_alias_name": "fi:lms"}, 400, "M_INVALID_PARAM"),
        ({"room_alias_name": "#films"}, 400, "M_INVALID_PARAM"),
        ({"room_alias_name": ""}, 400, "M_INVALID_PARAM"),
        ({"invite_3pid": [{"medium": "email"}]}, 403, "M_SERVER_NOT_TRUSTED"),
        ({"power_level_content_override": {"users": {"@friend:paraph.test": 100}}}, 400, "M_BAD_JSON"),
        (
            {"initial_state": [{"type": "m.room.canonical_alias", "content": {"alias": "#x:paraph.test"}}]},
            400,
            "M_BAD_ALIAS",
        ),
        ({"preset": "party"}, 400, "M_BAD_JSON"),
        ({"power_level_content_override": {"users": {"@author:paraph.test": "100"}}}, 400, "M_BAD_JSON"),
        ({"power_level_content_override": {"users": {"everybody": 1}}}, 400, "M_BAD_JSON"),
        ({"power_level_content_override": {"events": {"org.paraph.closed": 50}}}, 403, "M_FORBIDDEN"),
        ({"initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": "all"}}]}, 400, "M_BAD_JSON"),
        ({"creation_content": {"x": 0.5}}, 400, "M_BAD_JSON"),
    ],
)
async def test_a_refused_creation_leaves_nothing(home: House, body: Any, status: int, errcode: str) -> None:
    """All of a room or nothing of it is written."""
    author = home.device("author")
    answer = await author.call("POST", "/createRoom", body)
    assert (answer.status, answer["errcode"]) == (status, errcode)
    assert await home.event_count() == 0
    assert (await author.call("GET", "/joined_rooms")) == {"joined_rooms": []}


async def test_no_membership_names_a_partner(home: House) -> None:
    """Whatever the way, a partner's address never becomes a member, even where an account of that name exists."""
    author = home.device("author")
    home.device("app-marquee")
    room = await author.create()
    for action in ("invite", "kick", "ban", "unban"):
        assert await _act(author, room, action, PARTNER) == "M_FORBIDDEN"
    for membership in ("invite", "join", "leave", "ban"):
        put = await _put(author, room, "m.room.member", {"membership": membership}, PARTNER)
        assert put["errcode"] == "M_FORBIDDEN"
    found = await author.call("GET", f"/rooms/{quote(room)}/members")
    assert [event["state_key"] for event in found["chunk"]] == [author.user_id]


async def test_membership_steps(home: House) -> None:
    """Invite, join, leave, ban and back, with what is refused in between."""
    author, friend, other = home.device("author"), home.device("friend"), home.device("other")
    room = await author.create()

    async def join(device: Device) -> str:
        return str((await device.call("POST", f"/rooms/{quote(room)}/join", {})).get("errcode", "ok"))

    async def leave(device: Device) -> str:
        return str((await device.call("POST", f"/rooms/{quote(room)}/leave", {})).get("errcode", "ok"))

    assert await join(friend) == "M_FORBIDDEN"
    assert await leave(friend) == "M_FORBIDDEN"
    assert await _act(friend, room, "invite", other) == "M_FORBIDDEN"
    assert await _act(author, room, "invite", friend) == "ok"
    assert await join(friend) == "ok"
    assert await join(friend) == "ok"
    assert await _act(author, room, "invite", friend) == "M_FORBIDDEN"
    assert await _act(friend, room, "kick", author) == "M_FORBIDDEN"
    assert await _act(friend, room, "invite", other) == "ok"
    assert await leave(other) == "ok"
    assert await leave(other) == "ok"
    assert await _act(author, room, "kick", other) == "M_FORBIDDEN"
    assert await _act(author, room, "ban", friend) == "ok"
    assert await join(friend) == "M_FORBIDDEN"
    assert await _act(author, room, "invite", friend) == "M_FORBIDDEN"
    assert await _act(friend, room, "unban", friend) == "M_FORBIDDEN"
    assert await _act(author, room, "unban", friend) == "ok"
    assert await _act(author, room, "unban", friend) == "M_FORBIDDEN"
    assert (await friend.call("POST", f"/rooms/{quote(room)}/forget", {})).status == 200
    assert (await author.call("POST", f"/rooms/{quote(room)}/forget", {}))["errcode"] == "M_UNKNOWN"
    assert (await friend.call("POST", "/join/%23films:paraph.test", {}))["errcode"] == "M_NOT_FOUND"


async def test_a_membership_can_be_set_as_state(home: House) -> None:
    """PUT /state/m.room.member follows the same rules; oneself can change one's name in one room only."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create()
    for membership, errcode in (("join", "M_FORBIDDEN"), ("knock", "M_FORBIDDEN"), ("x", "M_BAD_JSON")):
        refused = await _put(author, room, "m.room.member", {"membership": membership}, friend.user_id)
        assert refused["errcode"] == errcode
    assert (await _put(author, room, "m.room.member", {"membership": "invite"}, friend.user_id)).status == 200
    named = {"membership": "join", "displayname": "F."}
    assert (await _put(friend, room, "m.room.member", named, friend.user_id)).status == 200
    assert await _state(author, room, "m.room.member", friend.user_id) == named
    assert (await _put(author, room, "m.room.member", {"membership": "leave"}, friend.user_id)).status == 200
    for membership, errcode in (("knock", "M_FORBIDDEN"), ("x", "M_BAD_JSON")):
        refused = await _put(author, room, "m.room.member", {"membership": membership}, author.user_id)
        assert refused["errcode"] == errcode


@runs_writes_once
async def test_the_platform_state_belongs_to_the_platform(home: House) -> None:
    """Clients cannot write org.paraph.grant; org.paraph.closed is each member's own, whatever the power levels say."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend, power_level_content_override={"state_default": 100, "events": {}})
    closed: list[Any] = []
    home.hooks.on_closed.append(lambda _tx, room_id, user_id, value: closed.append((room_id, user_id, value)))
    for device in (author, friend):
        grant = await _put(device, room, "org.paraph.grant", {"partners": []}, device.user_id)
        assert grant["errcode"] == "M_FORBIDDEN"
    assert (await _put(friend, room, "org.paraph.closed", {"closed": True}, author.user_id))["errcode"] == "M_FORBIDDEN"
    assert (await _put(author, room, "org.paraph.closed", {"closed": True}, friend.user_id))["errcode"] == "M_FORBIDDEN"
    assert (await _put(friend, room, "org.paraph.closed", {"closed": "yes"}, friend.user_id))["errcode"] == "M_BAD_JSON"
    assert closed == []
    read = home.messenger.core.database.read
    assert not await read(lambda tx: home.messenger.is_closed(tx, room))
    assert (await _put(friend, room, "org.paraph.closed", {"closed": True}, friend.user_id)).status == 200
    assert (await _put(author, room, "org.paraph.closed", {"closed": False}, author.user_id)).status == 200
    assert await read(lambda tx: home.messenger.is_closed(tx, room))
    assert (await _put(friend, room, "org.paraph.closed", {"closed": False}, friend.user_id)).status == 200
    assert not await read(lambda tx: home.messenger.is_closed(tx, room))
    assert closed == [(room, friend.user_id, True), (room, author.user_id, False), (room, friend.user_id, False)]


async def test_encryption_is_a_one_way_street(open_home: House) -> None:
    """It can be switched on and its rotation changed, but never switched off or given another algorithm."""
    author = open_home.device("author")
    room = await author.create(preset="public_chat")
    megolm = {"algorithm": "m.megolm.v1.aes-sha2"}
    assert (await _state(author, room, "m.room.encryption"))["errcode"] == "M_NOT_FOUND"
    assert (await _put(author, room, "m.room.encryption", {}))["errcode"] == "M_FORBIDDEN"
    assert (await _put(author, room, "m.room.encryption", megolm)).status == 200
    assert (await _put(author, room, "m.room.encryption", megolm | {"rotation_period_ms": 1000})).status == 200
    for content in ({}, {"algorithm": "m.other"}, {"algorithm": None}):
        assert (await _put(author, room, "m.room.encryption", content))["errcode"] == "M_FORBIDDEN"


_CHANGES: list[tuple[str, Any, str]] = [
    ("author", {"users_default": 100}, "ok"),
    ("author", {"users_default": 101}, "M_FORBIDDEN"),
    ("author", {"users": {"moderator": 100}}, "ok"),
    ("author", {"users": {"author": 10}}, "ok"),
    ("moderator", {"events_default": 50}, "ok"),
    ("moderator", {"events_default": 51}, "M_FORBIDDEN"),
    ("moderator", {"users": {"friend": 50}}, "ok"),
    ("moderator", {"users": {"friend": 51}}, "M_FORBIDDEN"),
    ("moderator", {"users": {"other": 0}}, "M_FORBIDDEN"),
    ("moderator", {"users": {"author": 0}}, "M_FORBIDDEN"),
    ("moderator", {"users": {"moderator": 0}}, "ok"),
    ("moderator", {"users": {"moderator": 60}}, "M_FORBIDDEN"),
    ("moderator", {"events": {"m.room.name": 0}}, "ok"),
    ("moderator", {"events": {"m.room.encryption": 0}}, "M_FORBIDDEN"),
    ("moderator", {"events": {"org.paraph.grant": 50}}, "M_FORBIDDEN"),
    ("moderator", {"kick": 0.5}, "M_BAD_JSON"),
    ("moderator", {"kick": "50"}, "M_BAD_JSON"),
    ("moderator", {"kick": True}, "M_BAD_JSON"),
    ("moderator", {"users": []}, "M_BAD_JSON"),
    ("friend", {"events_default": 0}, "M_FORBIDDEN"),
]


@pytest.mark.parametrize(("who", "change", "expected"), _CHANGES)
async def test_power_level_changes(home: House, who: str, change: Any, expected: str) -> None:
    """Nobody grants more than they have, or takes from those who have as much."""
    devices = {name: home.device(name) for name in ("author", "moderator", "other", "friend")}
    author = devices["author"]
    users = {author.user_id: 100, devices["moderator"].user_id: 50, devices["other"].user_id: 50}
    override = {"users": users, "events": {"m.room.power_levels": 50, "m.room.encryption": 100}}
    room = await author.create(
        *(device for device in devices.values() if device is not author), power_level_content_override=override
    )
    levels = await _state(author, room, "m.room.power_levels")
    for part, value in change.items():
        if isinstance(value, dict):
            named = {devices[name].user_id if name in devices else name: level for name, level in value.items()}
            levels[part] = levels.get(part, {}) | named
        else:
            levels[part] = value
    answer = await _put(devices[who], room, "m.room.power_levels", dict(levels))
    assert answer.get("errcode", "ok") == expected


@pytest.mark.parametrize(
    ("kind", "key", "content", "expected"),
    [
        ("m.room.name", "", {"name": "x"}, "M_FORBIDDEN"),
        ("m.room.create", "", {}, "M_INVALID_PARAM"),
        ("org.example.state", "", {}, "M_FORBIDDEN"),
        ("org.example.status", "@friend:paraph.test", {}, "M_FORBIDDEN"),
        ("m.room.encrypted", "", {}, "M_FORBIDDEN"),
        ("m.room.message", "", {"body": "plain"}, "M_FORBIDDEN"),
        ("org.example.zero", "", {}, "ok"),
        ("org.example.zero", "@friend:paraph.test", {}, "ok"),
        ("org.example.zero", "@author:paraph.test", {}, "M_FORBIDDEN"),
        ("org.example.zero", "k" * 256, {}, "M_INVALID_PARAM"),
        ("org.example.zero", "", {"x": 1.0}, "M_BAD_JSON"),
        ("org.example.zero", "", {"x": "A" * 66_000}, "M_TOO_LARGE"),
    ],
)
async def test_state_of_an_ordinary_member(home: House, kind: str, key: str, content: Any, expected: str) -> None:
    """Level 0 sets only what the room leaves to level 0, and never under another's user id."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(
        friend,
        power_level_content_override={
            "state_default": 50,
            "events": {"org.example.zero": 0, "m.room.encrypted": 0, "m.room.message": 0},
        },
    )
    assert (await _put(friend, room, kind, content, key)).get("errcode", "ok") == expected


async def test_what_is_so_already_stays(home: House) -> None:
    """Setting the same state again answers the same event and writes none."""
    author = home.device("author")
    room = await author.create()
    first = await _put(author, room, "m.room.name", {"name": "x"})
    count = await home.event_count()
    assert await _put(author, room, "m.room.name", {"name": "x"}) == first
    assert await home.event_count() == count


async def test_a_new_name_reaches_every_room(home: House) -> None:
    """Profile changes are written into all rooms that the person is joined to, and into later memberships."""
    author, friend = home.device("author"), home.device("friend")
    rooms = [await author.create(friend), await author.create(friend)]
    assert (await friend.call("PUT", f"/profile/{friend.user_id}/displayname", {"displayname": "Fern"})).status == 200
    assert (await author.call("PUT", f"/profile/{friend.user_id}/displayname", {"displayname": "x"})).status == 403
    rooms.append(await author.create(friend))
    for room in rooms:
        assert (await _state(author, room, "m.room.member", friend.user_id))["displayname"] == "Fern"
        joined = await author.call("GET", f"/rooms/{quote(room)}/joined_members")
        assert joined["joined"][friend.user_id]["display_name"] == "Fern"
    assert await author.call("GET", f"/profile/{friend.user_id}") == {"displayname": "Fern"}
    assert (await author.call("GET", "/profile/@nobody:paraph.test"))["errcode"] == "M_NOT_FOUND"
    found = await author.call("POST", "/user_directory/search", {"search_term": "fer"})
    assert found["results"] == [{"user_id": friend.user_id, "display_name": "Fern"}]


async def test_what_a_state_event_replaces_is_no_part_of_its_size(home: House) -> None:
    """Large state is replaced by as large state: the content before stands beside the event, and does not count."""
    author = home.device("author")
    room = await author.create()
    for letter in "ab":
        assert (await _put(author, room, "org.example.large", {"x": letter * 60_000})).status == 200
    refused = await _put(author, room, "org.example.large", {"x": "c" * 66_000})
    assert (refused.status, refused["errcode"]) == (413, "M_TOO_LARGE")
    page = await author.call("GET", f"/rooms/{quote(room)}/messages", dir="b", limit="1")
    unsigned = page["chunk"][0]["unsigned"]
    assert (unsigned["membership"], unsigned["prev_content"]) == ("join", {"x": "a" * 60_000})


async def test_every_room_is_encrypted_where_it_must_be(home: House) -> None:
    """Public and listed rooms as well as private ones, and whatever replaces them, refuse plain messages."""
    author = home.device("author")
    for body in ({"visibility": "public"}, {"preset": "public_chat"}, {"preset": "private_chat"}, {}):
        room = await author.create(**body)
        assert await _state(author, room, "m.room.encryption") == {"algorithm": "m.megolm.v1.aes-sha2"}
        plain = await author.send(room, {"body": "x"}, kind="m.room.message")
        assert plain["errcode"] == "M_FORBIDDEN"


async def test_the_test_profile_leaves_encryption_to_clients(open_home: House) -> None:
    """Without require_encryption a room is encrypted if its creator says so, and plain messages are taken."""
    author = open_home.device("author")
    asked = [{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
    for body in ({"visibility": "public"}, {"preset": "private_chat"}, {"initial_state": asked}):
        room = await author.create(**body)
        encrypted = "errcode" not in await _state(author, room, "m.room.encryption")
        assert encrypted is ("initial_state" in body)
        assert (await author.send(room, {"body": "x"}, kind="m.room.message")).status == 200
