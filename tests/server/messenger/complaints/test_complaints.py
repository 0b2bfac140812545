"""Reporting events, rooms and people to the operator."""

from __future__ import annotations

from typing import Any

from paraph.server.messenger.complaints.service import MAX_REASON
from tests.server.messenger.acts import act, outcome, room_path
from tests.server.messenger.house import SERVER, House


async def _kept(home: House, before: int = 2**53) -> list[tuple[Any, ...]]:
    found = await home.messenger.complaints.newest(before, 10)
    return [(one.reporter, one.room_id, one.event_id, one.user_id, one.reason) for one in found]


async def test_what_is_reported_is_kept_for_the_operator(home: House) -> None:
    """Events, rooms and people are reported with or without a reason; the newest report comes first."""
    author, friend, stranger = home.device("author"), home.device("friend"), home.device("stranger")
    room = await author.create(friend)
    said = (await author.send(room))["event_id"]
    event = f"{room_path(room)}/report/{said}"
    assert await friend.call("POST", event, {"reason": "rude", "score": -100}) == {}
    assert await stranger.call("POST", f"{room_path(room)}/report", {"reason": "odd"}) == {}
    assert await friend.call("POST", f"/users/{author.user_id}/report", {}) == {}
    kept = await _kept(home)
    assert kept == [
        (friend.user_id, None, None, author.user_id, ""),
        (stranger.user_id, room, None, None, "odd"),
        (friend.user_id, room, said, author.user_id, "rude"),
    ]
    newest = await home.messenger.complaints.newest(2**53, 1)
    assert await _kept(home, newest[0].position) == kept[1:]


async def test_what_is_not_there_is_not_reported(home: House) -> None:
    """An event is reported by members alone; unknown rooms and people are not found; nothing is kept of a refusal."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    said = (await author.send(room))["event_id"]
    event = f"{room_path(room)}/report/{said}"
    assert outcome(await home.device("stranger").call("POST", event, {})) == "M_NOT_FOUND"
    assert outcome(await author.call("POST", f"{room_path(room)}/report/$none", {})) == "M_NOT_FOUND"
    assert await act(friend, room, "leave") == "ok"
    assert outcome(await friend.call("POST", event, {})) == "M_NOT_FOUND"
    assert outcome(await author.call("POST", f"{room_path(f'!none:{SERVER}')}/report", {})) == "M_NOT_FOUND"
    assert outcome(await author.call("POST", "/users/@nobody:paraph.test/report", {})) == "M_NOT_FOUND"
    assert outcome(await author.call("POST", "/users/nobody/report", {})) == "M_INVALID_PARAM"
    for body in ({"reason": 1}, {"reason": "x" * (MAX_REASON + 1)}, {"score": "much"}):
        assert outcome(await author.call("POST", event, body)) == "M_BAD_JSON"
    assert await _kept(home) == []
