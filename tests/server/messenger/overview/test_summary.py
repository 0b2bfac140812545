"""What a room is, for whoever thinks of joining it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.server.messenger.acts import act, outcome, put_state
from tests.server.messenger.house import SERVER, Answer, Device, House

V1 = "/_matrix/client/v1"


async def _summary(device: Device, room: str) -> Answer:
    answer: Answer = await device.call("GET", f"{V1}/room_summary/{quote(room)}")
    return answer


async def test_a_summary(home: House) -> None:
    """By id or alias: names, members, rules, version and encryption, and what the reader is to the room."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(preset="public_chat", name="Films", topic="Tonight", room_alias_name="films")
    expected = {
        "room_id": room,
        "num_joined_members": 1,
        "world_readable": False,
        "guest_can_join": False,
        "join_rule": "public",
        "name": "Films",
        "topic": "Tonight",
        "canonical_alias": f"#films:{SERVER}",
        "room_version": "11",
        "encryption": "m.megolm.v1.aes-sha2",
        "membership": "leave",
    }
    assert await _summary(friend, room) == expected
    assert await _summary(friend, f"#films:{SERVER}") == expected
    proposed = "/_matrix/client/unstable/im.nheko.summary/summary"
    assert await friend.call("GET", f"{proposed}/{quote(room)}", via=SERVER) == expected
    assert (await _summary(author, room))["membership"] == "join"
    assert outcome(await _summary(friend, f"!none:{SERVER}")) == "M_NOT_FOUND"
    assert outcome(await _summary(friend, f"#none:{SERVER}")) == "M_NOT_FOUND"


@pytest.mark.parametrize(
    ("rule", "visibility", "known"),
    [
        ("invite", "shared", False),
        ("invite", "world_readable", True),
        ("public", "joined", True),
        ("knock", "shared", True),
        ("restricted", "shared", False),
    ],
)
async def test_who_may_know_of_a_room(home: House, rule: str, visibility: str, known: bool) -> None:
    """Whoever could join or knock, or may read the room; the invited always; the banned only if everybody may."""
    author, friend, stranger = home.device("author"), home.device("friend"), home.device("stranger")
    lobby = await author.create(friend)
    rules: dict[str, Any] = {"join_rule": rule, "allow": [{"type": "m.room_membership", "room_id": lobby}]}
    state = [
        {"type": "m.room.join_rules", "content": rules},
        {"type": "m.room.history_visibility", "content": {"history_visibility": visibility}},
    ]
    room = await author.create(initial_state=state)
    answer = outcome(await _summary(stranger, room))
    assert answer == ("ok" if known else "M_NOT_FOUND")
    assert outcome(await _summary(friend, room)) == ("ok" if known or rule == "restricted" else "M_NOT_FOUND")
    if rule == "restricted":
        assert (await _summary(friend, room))["allowed_room_ids"] == [lobby]
    assert await act(author, room, "invite", stranger) == "ok"
    assert (await _summary(stranger, room))["membership"] == "invite"
    assert await act(author, room, "ban", stranger) == "ok"
    assert outcome(await _summary(stranger, room)) == ("ok" if visibility == "world_readable" else "M_NOT_FOUND")


async def test_a_summary_tells_what_is_there(home: House) -> None:
    """A room's type and picture are told; state of another shape is not."""
    author = home.device("author")
    room = await author.create(preset="public_chat", creation_content={"type": "m.space"})
    await put_state(author, room, "m.room.avatar", {"url": "mxc://paraph.test/x"})
    await put_state(author, room, "m.room.name", {"name": 5})
    await put_state(author, room, "m.room.topic", {"topic": ["x"]})
    found = await _summary(author, room)
    assert (found["room_type"], found["avatar_url"]) == ("m.space", "mxc://paraph.test/x")
    assert "name" not in found
    assert "topic" not in found
