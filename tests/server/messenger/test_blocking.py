"""People who take no invitations."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.server.messenger.house import Device, House


async def configure(device: Device, content: dict[str, Any]) -> None:
    path = f"/user/{device.user_id}/account_data/m.invite_permission_config"
    assert (await device.call("PUT", path, content)).status == 200


async def test_whoever_takes_no_invitations_gets_none(home: House) -> None:
    """By no endpoint, until she takes them again; knocking and being in rooms is as before."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create()
    await configure(friend, {"default_action": "block"})
    state = f"/rooms/{quote(room)}/state/m.room.member/{quote(friend.user_id)}"
    for method, path, body in (
        ("POST", f"/rooms/{quote(room)}/invite", {"user_id": friend.user_id}),
        ("PUT", state, {"membership": "invite"}),
        ("POST", "/createRoom", {"invite": [friend.user_id]}),
    ):
        answer = await author.call(method, path, body)
        assert (answer.status, answer["errcode"]) == (403, "M_INVITE_BLOCKED")
    await configure(friend, {})
    answer = await author.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": friend.user_id})
    assert answer.status == 200


async def test_earlier_invitations_are_not_shown(home: House) -> None:
    """While she takes none; afterwards the one that was there is shown again."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create()
    await author.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": friend.user_id})
    for content, shown in (({"default_action": "block"}, []), ({}, [room])):
        await configure(friend, content)
        assert list((await friend.sync()).get("rooms", {}).get("invite", {})) == shown


@pytest.mark.parametrize("content", [{"default_action": "allow"}, {"default_action": 7}, {"other": "block"}])
async def test_what_says_nothing_blocks_nobody(home: House, content: dict[str, Any]) -> None:
    """Another action, another type, another member: she is invited as ever."""
    author, friend = home.device("author"), home.device("friend")
    await configure(friend, content)
    await author.create(friend)
