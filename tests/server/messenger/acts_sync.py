"""What the tests of sync do and look at again and again."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.server.messenger.house import Device


async def rename(author: Device, room: str, name: str) -> str:
    """Give a room a name; returns the event id."""
    return await put_state(author, room, "m.room.name", {"name": name})


async def put_state(author: Device, room: str, kind: str, content: Any, key: str = "") -> str:
    """Set a piece of state; returns the event id."""
    answer = await author.call("PUT", f"/rooms/{quote(room)}/state/{kind}/{quote(key)}", content)
    assert answer.status == 200, answer
    return str(answer["event_id"])


async def act(device: Device, room: str, action: str, **body: Any) -> None:
    """`leave`, `invite`, `kick`, `ban` and the like."""
    answer = await device.call("POST", f"/rooms/{quote(room)}/{action}", body)
    assert answer.status == 200, answer


async def say(author: Device, room: str, count: int, kind: str = "m.room.encrypted") -> list[str]:
    """Send so many messages; returns their ids."""
    return [(await author.send(room, kind=kind))["event_id"] for _ in range(count)]


async def ignore(device: Device, *others: Device) -> None:
    """Ignore these people from now on, and nobody else."""
    content = {"ignored_users": {other.user_id: {} for other in others}}
    answer = await device.call("PUT", f"/user/{device.user_id}/account_data/m.ignored_user_list", content)
    assert answer.status == 200, answer


def wanting(**room: Any) -> dict[str, str]:
    """Query parameters with a filter of rooms: `wanting(timeline={"limit": 1})`."""
    return {"filter": json.dumps({"room": room})}


def section(answer: Any, room: str, part: str = "join") -> Any:
    """A room's part of an answer; empty if it has none."""
    return answer.get("rooms", {}).get(part, {}).get(room, {})


def ids(events: Any) -> list[str]:
    """The ids of a list of events as it stands in an answer."""
    return [event["event_id"] for event in events.get("events", [])]


def members(found: Any, where: str = "state") -> list[str]:
    """Whose membership events stand beside a timeline, sorted."""
    return sorted(event["state_key"] for event in found[where]["events"] if event["type"] == "m.room.member")
