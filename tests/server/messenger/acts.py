"""What people do in rooms, in few words."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.server.messenger.house import Answer, Device


def room_path(room: str) -> str:
    """The path of a room's endpoints."""
    return f"/rooms/{quote(room)}"


async def state(device: Device, room: str, kind: str, key: str = "") -> Any:
    """The content of one piece of state."""
    return await device.call("GET", f"{room_path(room)}/state/{kind}/{quote(key)}")


async def put_state(device: Device, room: str, kind: str, content: Any, key: str = "") -> Answer:
    """Set one piece of state."""
    answer: Answer = await device.call("PUT", f"{room_path(room)}/state/{kind}/{quote(key)}", content)
    return answer


async def act(device: Device, room: str, action: str, target: Device | str | None = None, **body: Any) -> str:
    """`join`, `leave`, `knock`, `invite`, `kick`, `ban`, `unban` or `forget`; the errcode, or `ok`."""
    if target is not None:
        body["user_id"] = target if isinstance(target, str) else target.user_id
    path = f"/{action}/{quote(room)}" if action in ("join", "knock") else f"{room_path(room)}/{action}"
    return outcome(await device.call("POST", path, body))


def outcome(answer: Answer) -> str:
    """The errcode of an answer, or `ok`."""
    return str(answer.get("errcode", "ok"))


async def membership(device: Device, room: str, target: Device) -> Any:
    """The content of somebody's membership."""
    return await state(device, room, "m.room.member", target.user_id)
