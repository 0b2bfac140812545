"""Replacing a room by one of another version."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.messenger import upgrade
from tests.server.messenger.acts import act, outcome, put_state, room_path, state
from tests.server.messenger.house import SERVER, Answer, Device, House

FILMS = f"#films:{SERVER}"


async def _upgrade(device: Device, room: str, version: Any = "11", **body: Any) -> Answer:
    answer: Answer = await device.call("POST", f"{room_path(room)}/upgrade", {"new_version": version, **body})
    return answer


async def test_the_new_room_takes_the_old_ones_place(home: House) -> None:
    """Tombstone and predecessor name each other; state, levels, bans, aliases and listing move; members may follow."""
    author, friend = home.device("author"), home.device("friend")
    copied = {
        "m.room.topic": {"topic": "Tonight"},
        "m.room.history_visibility": {"history_visibility": "joined"},
        "m.room.guest_access": {"guest_access": "forbidden"},
        "m.room.avatar": {"url": "mxc://paraph.test/x"},
        "m.room.server_acl": {"allow": ["*"], "allow_ip_literals": False},
        "m.room.join_rules": {"join_rule": "public"},
    }
    old = await author.create(
        friend,
        room_version="9",
        room_alias_name="films",
        visibility="public",
        name="Films",
        creation_content={"type": "org.example.kind", "m.federate": False, "org.example.else": 1},
        initial_state=[{"type": kind, "content": content} for kind, content in copied.items()],
    )
    assert await act(author, old, "ban", "@rude:elsewhere.example", reason="rude") == "ok"
    levels = await state(author, old, "m.room.power_levels")
    levels["users"][friend.user_id] = "40"
    levels["events"] = dict.fromkeys(copied, 80) | {"m.room.tombstone": 50}
    assert outcome(await put_state(author, old, "m.room.power_levels", dict(levels))) == "ok"
    await author.next()
    new = (await _upgrade(author, old))["replacement_room"]
    created = await state(author, new, "m.room.create")
    tombstone = await state(author, old, "m.room.tombstone")
    assert tombstone["replacement_room"] == new
    shown = (await author.next())["rooms"]["join"]
    first = shown[old]["timeline"]["events"][0]
    assert (first["type"], first["content"]) == ("m.room.tombstone", tombstone)
    assert created == {
        "type": "org.example.kind",
        "m.federate": False,
        "room_version": "11",
        "predecessor": {"room_id": old, "event_id": first["event_id"]},
    }
    assert shown[new]["timeline"]["events"][0]["type"] == "m.room.create"
    for kind, content in copied.items():
        assert await state(author, new, kind) == content
    assert await state(author, new, "m.room.name") == {"name": "Films"}
    banned = await state(author, new, "m.room.member", "@rude:elsewhere.example")
    assert banned == {"membership": "ban", "reason": "rude"}
    levels["users"][friend.user_id] = 40
    assert await state(author, new, "m.room.power_levels") == levels
    assert await state(author, new, "m.room.canonical_alias") == {"alias": FILMS}
    assert await state(author, old, "m.room.canonical_alias") == {}
    assert (await author.call("GET", f"/directory/room/{quote(FILMS)}"))["room_id"] == new
    listed = (await author.call("GET", "/publicRooms"))["chunk"]
    assert [(room["room_id"], room["name"], room["canonical_alias"]) for room in listed] == [(new, "Films", FILMS)]
    assert (await author.call("GET", f"{room_path(new)}/joined_members"))["joined"].keys() == {author.user_id}
    assert await act(friend, new, "join") == "ok"


async def test_the_old_room_goes_quiet(home: House) -> None:
    """Ordinary members neither speak nor invite in a room that was replaced; moderators do."""
    author, friend, other = home.device("author"), home.device("friend"), home.device("other")
    old = await author.create(friend)
    assert (await _upgrade(author, old)).status == 200
    levels = await state(author, old, "m.room.power_levels")
    assert (levels["events_default"], levels["invite"]) == (50, 50)
    assert outcome(await friend.send(old)) == "M_FORBIDDEN"
    assert await act(friend, old, "invite", other) == "M_FORBIDDEN"
    assert outcome(await author.send(old)) == "ok"


async def test_a_moderator_upgrades_within_her_levels(home: House) -> None:
    """Whoever may set the tombstone may upgrade; levels that she may not change stay as they are."""
    author, friend = home.device("author"), home.device("friend")
    override = {
        "users": {author.user_id: 100, friend.user_id: 50},
        "events": {"m.room.tombstone": 50, "m.room.power_levels": 100},
    }
    old = await author.create(friend, power_level_content_override=override)
    before = await state(author, old, "m.room.power_levels")
    new = (await _upgrade(friend, old))["replacement_room"]
    assert await state(author, old, "m.room.power_levels") == before
    assert await state(friend, new, "m.room.power_levels") == before


async def test_who_may_not_upgrade(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown versions, ordinary members and strangers are refused, and nothing is written."""
    author, friend, stranger = home.device("author"), home.device("friend"), home.device("stranger")
    room = await author.create(friend)
    assert await act(author, room, "ban", "@rude:elsewhere.example") == "ok"
    before = await home.event_count()
    for version, errcode in (("nothing", "M_UNSUPPORTED_ROOM_VERSION"), (None, "M_BAD_JSON"), (11, "M_BAD_JSON")):
        assert outcome(await _upgrade(author, room, version)) == errcode
    assert outcome(await author.call("POST", f"{room_path(room)}/upgrade", {})) == "M_BAD_JSON"
    for device in (friend, stranger):
        assert outcome(await _upgrade(device, room)) == "M_FORBIDDEN"
    assert outcome(await _upgrade(author, f"!none:{SERVER}")) == "M_NOT_FOUND"
    monkeypatch.setattr(upgrade, "MAX_COPIED", 0)
    assert outcome(await _upgrade(author, room)) == "M_UNKNOWN"
    assert await home.event_count() == before


async def test_a_space_keeps_its_rooms(home: House) -> None:
    """The links of a space are copied, and so is its type."""
    author = home.device("author")
    space = await author.create(creation_content={"type": "m.space"})
    room = await author.create()
    await put_state(author, space, "m.space.child", {"via": [SERVER]}, room)
    await put_state(author, space, "m.space.child", {}, f"!gone:{SERVER}")
    new = (await _upgrade(author, space))["replacement_room"]
    tree = await author.call("GET", f"/_matrix/client/v1/rooms/{quote(new)}/hierarchy")
    assert [shown["room_id"] for shown in tree["rooms"]] == [new, room]
    gone = await state(author, new, "m.space.child", f"!gone:{SERVER}")
    assert gone["errcode"] == "M_NOT_FOUND"


async def test_a_replacement_is_encrypted_where_rooms_must_be(home: House) -> None:
    """The new room is encrypted from its first message, as its predecessor was."""
    author = home.device("author")
    old = await author.create(preset="public_chat")
    new = (await _upgrade(author, old))["replacement_room"]
    assert await state(author, new, "m.room.encryption") == {"algorithm": "m.megolm.v1.aes-sha2"}


async def test_a_room_closed_to_partners_stays_closed(home: House) -> None:
    """What a member closed is closed in the new room as well, before anybody follows; she alone reopens it."""
    author, friend = home.device("author"), home.device("friend")
    old = await author.create(friend, preset="public_chat")
    read = home.messenger.core.database.read
    assert outcome(await put_state(friend, old, "org.paraph.closed", {"closed": True}, friend.user_id)) == "ok"
    told: list[tuple[str, str, bool]] = []
    home.hooks.on_closed.append(lambda _tx, room_id, user_id, closed: told.append((room_id, user_id, closed)))
    new = (await _upgrade(author, old))["replacement_room"]
    assert await read(lambda tx: home.messenger.is_closed(tx, new))
    assert (new, friend.user_id, True) in told
    assert outcome(await put_state(author, new, "org.paraph.closed", {"closed": False}, author.user_id)) == "ok"
    assert await read(lambda tx: home.messenger.is_closed(tx, new))
    assert await act(friend, new, "join") == "ok"
    assert outcome(await put_state(friend, new, "org.paraph.closed", {"closed": False}, friend.user_id)) == "ok"
    assert not await read(lambda tx: home.messenger.is_closed(tx, new))
