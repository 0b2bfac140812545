"""What the messenger's parts hand each other."""

from __future__ import annotations

from typing import Any

import msgspec

CREATE = "m.room.create"
MEMBER = "m.room.member"
POWER = "m.room.power_levels"
JOIN_RULES = "m.room.join_rules"
VISIBILITY = "m.room.history_visibility"
ENCRYPTION = "m.room.encryption"
ENCRYPTED = "m.room.encrypted"
REDACTION = "m.room.redaction"
REACTION = "m.reaction"
GRANT = "org.paraph.grant"
CLOSED = "org.paraph.closed"
IGNORED = "m.ignored_user_list"

ALIASES = "m.room.aliases"
CANONICAL_ALIAS = "m.room.canonical_alias"
THIRD_PARTY_INVITE = "m.room.third_party_invite"
TOMBSTONE = "m.room.tombstone"

MEGOLM = "m.megolm.v1.aes-sha2"


class Event(msgspec.Struct, gc=False):
    """One event. `json` is the client event without `room_id`, serialised once when it was accepted.

    `position` is its place in the server's one order, 0 until it has one; `ts` is milliseconds since 1970;
    `device_id` is empty for what the platform writes; `state_key` is None for message events.
    """

    position: int
    event_id: str
    room_id: str
    sender: str
    device_id: str
    type: str
    state_key: str | None
    ts: int
    nonce: str
    txn_id: str | None
    redacted_by: str | None
    json: bytes

    @property
    def content(self) -> dict[str, Any]:
        """The event's content, parsed anew."""
        return _content.decode(self.json).content


class _Content(msgspec.Struct):
    content: dict[str, Any]


_content = msgspec.json.Decoder(_Content)


class StoredEvent(msgspec.Struct, frozen=True):
    """An event as other rooms of the server get it: its position and the complete client event.

    With `device_id` and `nonce` the event id can be computed again (see `events.py`).
    """

    position: int
    event: dict[str, Any]
    device_id: str
    nonce: str


class Membership(msgspec.Struct, frozen=True):
    """What a person is to a room (`join`, `invite`, `knock`, `leave`, `ban`) and the position where that began."""

    membership: str
    position: int


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a person shows itself; either part may be missing."""

    displayname: str | None = None
    avatar_url: str | None = None


class Receipt(msgspec.Struct, frozen=True):
    """How far a person has read (Client-Server API, "Receipts"); `thread_id` is empty for the unthreaded one.

    `position` is the receipt's own, `event_position` that of the event.
    """

    user_id: str
    type: str
    thread_id: str
    event_id: str
    ts: int
    position: int
    event_position: int = 0
