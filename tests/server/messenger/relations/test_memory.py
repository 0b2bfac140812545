"""What a room in memory knows of relations."""

from __future__ import annotations

import json

import pytest

from paraph.server.messenger.model import Event
from paraph.server.messenger.room import TAIL_EVENTS, Room


@pytest.fixture
def dialect() -> str:
    """No database here."""
    return "none"


def event(position: int, target: str | None) -> Event:
    content = {} if target is None else {"m.relates_to": {"rel_type": "m.reference", "event_id": target}}
    made = json.dumps({"content": content, "type": "m.x"}, separators=(",", ":")).encode()
    return Event(position, f"${position}", "!r", "@a:b", "A", "m.x", None, 1, "n", None, None, made)


def test_a_room_knows_which_events_of_its_tail_others_relate_to() -> None:
    """And forgets those that fall out of it, and those that were never in it."""
    room = Room("!r")
    for position in range(1, 4 * TAIL_EVENTS, 2):
        room.apply(event(position, None))
        room.apply(event(position + 1, f"${position}"))
    newest = room.last_position
    assert set(room.related) == {f"${n}" for n in range(1, newest) if n > room.tail_from and n % 2}
    assert room.has_related(newest - 2, newest)
    assert not room.has_related(newest - 1, newest)
    for position in range(newest + 1, newest + 4 * TAIL_EVENTS):
        room.apply(event(position, f"$before-{position}"))
    assert len(room.related) <= 2 * TAIL_EVENTS
