"""What a push gateway is sent, and what it says about it (Push Gateway API, `POST /_matrix/push/v1/notify`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from paraph.server.messenger.model import CANONICAL_ALIAS, MEMBER, Event
from paraph.server.messenger.push.store import Pusher, Waiting
from paraph.server.messenger.room import Room

EVENT_ID_ONLY = "event_id_only"


class _Rejected(msgspec.Struct):
    rejected: list[str] = []


def notification(push: Waiting, event: Event, room: Room, unread: int) -> bytes:
    """The body of the request: with the event or, in the format `event_id_only`, with its id alone."""
    device = _device(push.pusher)
    said: dict[str, Any] = {"event_id": event.event_id, "room_id": event.room_id, "counts": {}}
    if unread:  # what is zero is left out where there is something else to say
        said["counts"] = {"unread": unread}
    if push.pusher.settings.get("format") != EVENT_ID_ONLY:
        said |= _described(event, room, push.pusher.user_id)
        device["tweaks"] = push.tweaks
    said |= {"prio": "high" if push.tweaks else "low", "devices": [device]}
    return msgspec.json.encode({"notification": said})


def count(pusher: Pusher, unread: int) -> bytes:
    """The body of a request that says how much is unread, and tells of no event. Nothing left is said as 0."""
    said = {"counts": {"unread": unread}, "prio": "low", "devices": [_device(pusher)]}
    return msgspec.json.encode({"notification": said})


def _device(pusher: Pusher) -> dict[str, Any]:
    return {
        "app_id": pusher.app_id,
        "pushkey": pusher.pushkey,
        "pushkey_ts": pusher.set_at // 1000,
        "data": {name: value for name, value in pusher.settings.items() if name != "url"},
    }


def _described(event: Event, room: Room, user_id: str) -> dict[str, Any]:
    described: dict[str, Any] = {"type": event.type, "sender": event.sender, "content": event.content}
    alias = _said(room, CANONICAL_ALIAS, "", "alias")
    names = {
        "sender_display_name": _said(room, MEMBER, event.sender, "displayname"),
        "room_name": _said(room, "m.room.name", "", "name") or alias,
        "room_alias": alias,
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
