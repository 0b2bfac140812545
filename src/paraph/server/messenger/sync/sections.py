"""The shapes of a sync answer. Events are spliced in as the bytes that were stored, never parsed again."""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.server.messenger.push.counts import Count

Raw = msgspec.Raw


class Events(msgspec.Struct):
    """A list of events."""

    events: list[Raw] = []


class Timeline(msgspec.Struct):
    """The newest events; `limited` says that there is a gap before them, which `prev_batch` leads into."""

    events: list[Raw]
    limited: bool
    prev_batch: str


class JoinedRoom(msgspec.Struct, rename={"unstable_state_after": "org.matrix.msc4222.state_after"}):
    """A room that the person is joined to, or has left; with its state before the timeline, or else after it."""

    timeline: Timeline
    ephemeral: Events
    account_data: Events
    state: Events | msgspec.UnsetType = msgspec.UNSET
    state_after: Events | msgspec.UnsetType = msgspec.UNSET
    unstable_state_after: Events | msgspec.UnsetType = msgspec.UNSET
    summary: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    unread_notifications: Count | msgspec.UnsetType = msgspec.UNSET
    unread_thread_notifications: dict[str, Count] | msgspec.UnsetType = msgspec.UNSET


class InvitedRoom(msgspec.Struct):
    """A room that the person is invited to."""

    invite_state: Events


class KnockedRoom(msgspec.Struct):
    """A room that the person asks to be let into."""

    knock_state: Events


class RoomSections(msgspec.Struct):
    """Rooms by what the person is to them."""

    join: dict[str, JoinedRoom]
    invite: dict[str, InvitedRoom]
    leave: dict[str, JoinedRoom]
    knock: dict[str, KnockedRoom]


class DeviceLists(msgspec.Struct):
    """Whose devices changed, and who is no longer of interest."""

    changed: list[str]
    left: list[str]


class ToDevice(msgspec.Struct):
    """Messages to this very device, as the devices room hands them out."""

    events: list[Any]


class SyncAnswer(msgspec.Struct):
    """The answer to GET /sync."""

    next_batch: str
    device_one_time_keys_count: dict[str, int]
    device_unused_fallback_key_types: list[str]
    rooms: RoomSections | msgspec.UnsetType = msgspec.UNSET
    account_data: Events | msgspec.UnsetType = msgspec.UNSET
    presence: Events | msgspec.UnsetType = msgspec.UNSET
    to_device: ToDevice | msgspec.UnsetType = msgspec.UNSET
    device_lists: DeviceLists | msgspec.UnsetType = msgspec.UNSET


encode = msgspec.json.Encoder().encode
