"""Rooms that one shares with somebody."""

from __future__ import annotations

import pytest

from paraph.server.messenger.profiles import service
from tests.server.messenger.house import House

PATH = "/_matrix/client/v1/mutual_rooms"


async def test_rooms_of_both_are_listed_in_pages(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those that both are joined to now; a page says where the next begins."""
    monkeypatch.setattr(service, "ROOMS_AT_ONCE", 2)
    author, friend = home.device("author"), home.device("friend")
    shared = sorted([await author.create(friend) for _ in range(3)])
    await author.create()
    await friend.create()
    left = await author.create(friend)
    await friend.call("POST", f"/rooms/{left}/leave", {})
    first = await author.call("GET", PATH, user_id=friend.user_id)
    assert (first["joined"], first["count"]) == (shared[:2], 3)
    second = await author.call("GET", PATH, user_id=friend.user_id, **{"from": first["next_batch"]})
    assert second == {"joined": shared[2:], "count": 3}


async def test_with_nobody_nothing_is_shared(home: House) -> None:
    """Somebody who does not exist shares no room; oneself and what is no user id are refused."""
    author = home.device("author")
    assert await author.call("GET", PATH, user_id="@nobody:paraph.test") == {"joined": [], "count": 0}
    for wrong, errcode in ((author.user_id, "M_INVALID_PARAM"), ("nobody", "M_INVALID_PARAM")):
        answer = await author.call("GET", PATH, user_id=wrong)
        assert (answer.status, answer["errcode"]) == (400, errcode)
    assert (await author.call("GET", PATH))["errcode"] == "M_MISSING_PARAM"
