"""A room in a few words, from its state (Client-Server API, "PublicRoomsChunk" and "Room summaries")."""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.server.messenger.model import CANONICAL_ALIAS, CREATE, ENCRYPTION, MEGOLM
from paraph.server.messenger.room import Room

Text = str | msgspec.UnsetType
SHOWN = frozenset(
    {
        "m.room.name",
        "m.room.topic",
        "m.room.avatar",
        CANONICAL_ALIAS,
        "m.room.guest_access",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.member",
    }
)
"""State that a summary is made of."""


class Summary(msgspec.Struct):
    """What the public list shows of a room."""

    room_id: str
    num_joined_members: int
    world_readable: bool
    guest_can_join: bool
    join_rule: str
    name: Text = msgspec.UNSET
    topic: Text = msgspec.UNSET
    avatar_url: Text = msgspec.UNSET
    canonical_alias: Text = msgspec.UNSET
    room_type: Text = msgspec.UNSET


class FullSummary(Summary):
    """What a room's own summary and a space's tree show besides."""

    room_version: Text = msgspec.UNSET
    encryption: Text = msgspec.UNSET
    allowed_room_ids: list[str] | msgspec.UnsetType = msgspec.UNSET
    membership: Text = msgspec.UNSET


def summary(room: Room) -> Summary:
    """A room as the public list shows it."""
    return Summary(**_shown(room))


def full_summary(room: Room) -> FullSummary:
    """A room as its summary and a space's tree show it; `membership` is for the caller to add."""
    found = FullSummary(**_shown(room))
    found.room_version = room.version.id
    if room.encrypted:
        found.encryption = _text(room, ENCRYPTION, "algorithm") or MEGOLM
    if room.restricted:
        found.allowed_room_ids = list(room.allowed_rooms)
    return found


def _shown(room: Room) -> dict[str, Any]:
    texts = {
        "name": _text(room, "m.room.name", "name"),
        "topic": _text(room, "m.room.topic", "topic"),
        "avatar_url": _text(room, "m.room.avatar", "url"),
        "canonical_alias": _text(room, CANONICAL_ALIAS, "alias"),
        "room_type": _text(room, CREATE, "type"),
    }
    return {
        "room_id": room.room_id,
        "num_joined_members": len(room.joined),
        "world_readable": room.visibility == "world_readable",
        "guest_can_join": _text(room, "m.room.guest_access", "guest_access") == "can_join",
        "join_rule": room.join_rule,
    } | {name: text for name, text in texts.items() if text}


def _text(room: Room, kind: str, name: str) -> str | None:
    event = room.state.get((kind, ""))
    value = None if event is None else event.content.get(name)
    return value if isinstance(value, str) else None
