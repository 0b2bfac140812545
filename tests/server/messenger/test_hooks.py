"""What the rooms above and below hear and may do inside the messenger's transactions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.http import MatrixError
from paraph.server.storage import Transaction
from tests.server.messenger.house import House
from tests.support.databases import runs_writes_once


@runs_writes_once
async def test_memberships_are_told_once_each(home: House) -> None:
    """The hook hears changes of membership, not new display names."""
    heard: list[Any] = []
    home.hooks.on_membership.append(lambda _tx, _room, user_id, membership: heard.append((user_id, membership)))
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    await friend.call("PUT", f"/profile/{friend.user_id}/displayname", {"displayname": "Fern"})
    await friend.call("POST", f"/rooms/{quote(room)}/leave", {})
    assert heard == [
        (author.user_id, "join"),
        (friend.user_id, "invite"),
        (friend.user_id, "join"),
        (friend.user_id, "leave"),
    ]


async def test_a_hook_that_refuses_undoes_the_change(home: House) -> None:
    """The membership and what the hook wrote are one transaction."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create()

    def refuse(_tx: Transaction, _room: str, _user: str, _membership: str) -> None:
        raise MatrixError(403, "M_FORBIDDEN", "not today")

    home.hooks.on_membership.append(refuse)
    refused = await author.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": friend.user_id})
    assert refused["error"] == "not today"
    home.hooks.on_membership.clear()
    assert (await author.send(room)).status == 200
    members = await author.call("GET", f"/rooms/{quote(room)}/members")
    assert len(members["chunk"]) == 1
    assert "invite" not in str((await friend.next()).get("rooms"))


async def test_state_written_by_a_hook_is_neither_lost_nor_reordered(home: House) -> None:
    """A hook may write platform state into the room whose change it hears of; every sync shows both, in order."""
    author, friend = home.device("author"), home.device("friend")

    def announce(tx: Transaction, room_id: str, user_id: str, membership: str) -> None:
        if membership == "join":
            home.messenger.put_platform_state(
                tx, room_id, "org.paraph.grant", user_id, user_id, {"partners": [{"partner": "marquee", "until": 5}]}
            )

    home.hooks.on_membership.append(announce)
    room = await author.create(name="After the hook")
    since = (await author.next())["next_batch"]
    await author.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": friend.user_id})
    await friend.call("POST", f"/rooms/{quote(room)}/join", {})
    live = (await author.sync(since))["rooms"]["join"][room]["timeline"]["events"]
    assert [(event["type"], event["state_key"]) for event in live] == [
        ("m.room.member", friend.user_id),
        ("m.room.member", friend.user_id),
        ("org.paraph.grant", friend.user_id),
    ]
    first = (await author.sync())["rooms"]["join"][room]["timeline"]["events"]
    kinds = [event["type"] for event in first]
    assert kinds[:3] == ["m.room.create", "m.room.member", "org.paraph.grant"]
    assert kinds.count("org.paraph.grant") == 2
    assert "m.room.name" in kinds


async def test_platform_state_keeps_to_its_types(home: House) -> None:
    """The back door is for org.paraph state of existing rooms only."""
    author = home.device("author")
    room = await author.create()
    write, put = home.messenger.core.database.write, home.messenger.put_platform_state
    with pytest.raises(ValueError, match="does not write"):
        await write(lambda tx: put(tx, room, "m.room.member", author.user_id, author.user_id, {"membership": "leave"}))
    with pytest.raises(MatrixError, match="no room"):
        await write(lambda tx: put(tx, "!none:paraph.test", "org.paraph.grant", "", author.user_id, {}))


async def test_the_message_source(home: House) -> None:
    """Ciphertext by the named senders only, oldest first, from a position on, with complete events."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    sent = [(await device.send(room))["event_id"] for device in (author, friend, author, friend, author)]
    messenger, read = home.messenger, home.messenger.core.database.read

    async def events(senders: list[str], after: int, limit: int) -> list[Any]:
        return await read(lambda tx: messenger.encrypted_events(tx, room, senders, after, limit))

    own = await events([author.user_id], 0, 10)
    assert [stored.event["event_id"] for stored in own] == sent[::2]
    assert own[0].event["room_id"] == room
    assert [stored.event["event_id"] for stored in await events([author.user_id], own[0].position, 1)] == [sent[2]]
    both = await events([author.user_id, friend.user_id], 0, 10)
    assert [stored.event["event_id"] for stored in both] == sent
    assert await events([], 0, 10) == []
    assert await read(lambda tx: messenger.joined_rooms(tx, friend.user_id)) == [room]
    assert await read(lambda tx: messenger.members(tx, room)) == [author.user_id, friend.user_id]
    assert await read(lambda tx: messenger.shares_room(tx, author.user_id)) == {friend.user_id}
