"""What a push gateway is sent, and what it says about it (Push Gateway API, `POST /_matrix/push/v1/notify`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from paraph.server.messenger.model import CANONICAL_ALIAS, MEMBER, Event
from paraph.server.messenger.push.store import Waiting
from paraph.server.messenger.room import Room

EVENT_ID_ONLY = "event_id_only"


class _Rejected(msgspec.Struct):
    rejected: list[str] = []


def notification(push: Waiting, event: Event, room: Room, unread: int) -> bytes:
    """The body of the request: with the event or, in the format `event_id_only`, with its id alone."""
    data = push.pusher.settings
    device = {
        "app_id": push.pusher.app_id,
        "pushkey": push.pusher.pushkey,
        "pushkey_ts": push.pusher.set_at // 1000,
        "data": {name: value for name, value in data.items() if name != "url"},
    }
    said: dict[str, Any] = {"event_id": event.event_id, "room_id": event.room_id, "counts": _counts(unread)}
    if data.get("format") != EVENT_ID_ONLY:
        said |= _described(event, room, push.pusher.user_id)
        device["tweaks"] = push.tweaks
    said |= {"prio": "high" if push.tweaks else "low", "devices": [device]}
    return msgspec.json.encode({"notification": said})


def _counts(unread: int) -> dict[str, int]:
    return {"unread": unread} if unread else {}


def _described(event: Event, room: Room, user_id: str) -> dict[str, Any]:
    described: dict[str, Any] = {"type": event.type, "sender": event.sender, "content": event.content}
    names = {
        "sender_display_name": _said(room, MEMBER, event.sender, "displayname"),
        "room_name": _said(room, "m.room.name", "", "name"),
        "room_alias": _said(room, CANONICAL_ALIAS, "", "alias"),
    }
    described |= {name: value for name, value in names.items() if value}
    if event.type == MEMBER:
        described["user_is_target"] = event.state_key == user_id
    return described


def _said(room: Room, kind: str, state_key: str, name: str) -> str | None:
    event = room.state.get((kind, state_key))
    content: Mapping[str, Any] = {} if event is None else event.content
    value = content.get(name)
    return value if isinstance(value, str) else None


def rejects(body: bytes, pushkey: str) -> bool:
    """Whether a gateway's answer says that the key is no good any more; what cannot be read rejects nothing."""
    try:
        return pushkey in msgspec.json.decode(body, type=_Rejected).rejected
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
