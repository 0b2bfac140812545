"""Who may send what in a room: the authorization rules of its version, for one server with one order.

Without federation there is one state at any time, so the rules are questions to that state. `org.paraph.grant` is
the platform's own, `org.paraph.closed` belongs to each member, and encryption is a one-way street. Memberships have
rules of their own (`auth_members`).
"""

from __future__ import annotations

from typing import Any

from paraph.server.messenger.errors import bad_json, forbidden, invalid, not_joined
from paraph.server.messenger.model import (
    CLOSED,
    CREATE,
    ENCRYPTED,
    ENCRYPTION,
    GRANT,
    JOIN_RULES,
    MEGOLM,
    POWER,
    REACTION,
    REDACTION,
    THIRD_PARTY_INVITE,
    TOMBSTONE,
    VISIBILITY,
    Event,
)
from paraph.server.messenger.power import check_levels
from paraph.server.messenger.room import Room

MESSAGES_ONLY = frozenset({ENCRYPTED, REACTION, REDACTION, "m.room.message"})
"""Types that are never state: as state they would get around what messages are checked for."""
UNREDACTABLE = frozenset({CREATE, ENCRYPTION, GRANT, CLOSED})
_RULES = {
    JOIN_RULES: ("join_rule", frozenset({"public", "invite", "knock", "private", "restricted", "knock_restricted"})),
    VISIBILITY: ("history_visibility", frozenset({"shared", "invited", "joined", "world_readable"})),
}
MAX_SESSION_ID = 255


def check_level(room: Room, user_id: str, event_type: str, is_state: bool) -> None:
    """Whether a member's power level is enough to send this type; raises M_FORBIDDEN."""
    needed = room.power.to_send(event_type, is_state)
    if needed > 0 or is_state:
        own = room.power.of(user_id)
        if own < needed:
            raise forbidden(f"{event_type} needs power level {needed}; yours is {own}")


def check_state(room: Room, user_id: str, event_type: str, state_key: str, content: dict[str, Any]) -> None:
    """Whether a joined member may set this state (memberships are decided elsewhere).

    Raises M_FORBIDDEN, or M_BAD_JSON for content that the type cannot have.
    """
    if user_id not in room.joined:
        raise not_joined(user_id, room.room_id)
    if event_type == GRANT:
        raise forbidden(f"{GRANT} is written by the platform alone")
    if event_type == CREATE:
        raise invalid("a room is created once")
    if event_type == CLOSED:
        _check_closed(user_id, state_key, content)
    _check_state_level(room, user_id, event_type)
    if state_key.startswith("@") and state_key != user_id:
        raise forbidden("a state key that is a user id belongs to that user")
    check_state_content(room, event_type, state_key, content)
    if event_type == POWER and state_key == "":
        room.power.check_change(user_id, content)


def _check_state_level(room: Room, user_id: str, event_type: str) -> None:
    if event_type != THIRD_PARTY_INVITE:
        check_level(room, user_id, event_type, is_state=True)
    elif room.power.of(user_id) < room.power.level("invite"):
        raise forbidden(f"to invite needs power level {room.power.level('invite')}")


def check_state_content(room: Room, event_type: str, state_key: str, content: dict[str, Any]) -> None:
    """Whether content fits a state type whose meaning the server acts on; raises M_BAD_JSON or M_FORBIDDEN."""
    if event_type in MESSAGES_ONLY:
        raise forbidden(f"{event_type} is sent as a message, not set as state")
    if state_key != "":
        return
    if event_type == TOMBSTONE:
        check_tombstone(room, content)
    if event_type == POWER:
        check_levels(content, room.version, room.creators)
    elif event_type == ENCRYPTION:
        check_encryption(content)
    elif event_type in _RULES:
        name, allowed = _RULES[event_type]
        value = content.get(name)
        if not isinstance(value, str) or value not in allowed:
            raise bad_json(f"{name} must be one of {', '.join(sorted(allowed))}")


def check_tombstone(room: Room, content: dict[str, Any]) -> None:
    """Whether a tombstone leads out of its room; raises M_INVALID_PARAM."""
    if content.get("replacement_room") == room.room_id:
        raise invalid("a room cannot be its own replacement")


def check_encryption(content: dict[str, Any]) -> None:
    """Encryption is Megolm, and never switched off; raises M_FORBIDDEN."""
    if content.get("algorithm") != MEGOLM:
        raise forbidden(f"the algorithm of a room is {MEGOLM}; it cannot be changed or switched off")


def _check_closed(user_id: str, state_key: str, content: dict[str, Any]) -> None:
    if state_key != user_id:
        raise forbidden(f"{CLOSED} is set under your own user id only")
    if not isinstance(content.get("closed"), bool):
        raise bad_json(f"the content of {CLOSED} is {{closed: true or false}}")


def check_encrypted(content: dict[str, Any]) -> None:
    """The shape of `m.room.encrypted` content in a room (Client-Server API, "m.megolm.v1.aes-sha2").

    Raises M_BAD_JSON. How long a ciphertext may be is for the event's own limit to say (M_TOO_LARGE).
    """
    if content.get("algorithm") != MEGOLM:
        raise bad_json(f"algorithm must be {MEGOLM}")
    ciphertext = content.get("ciphertext")
    if type(ciphertext) is not str or not ciphertext:
        raise bad_json("ciphertext must be text")
    _check_text(content, "session_id", MAX_SESSION_ID, required=True)
    _check_text(content, "sender_key", MAX_SESSION_ID, required=False)
    _check_text(content, "device_id", MAX_SESSION_ID, required=False)


def _check_text(content: dict[str, Any], name: str, longest: int, *, required: bool) -> None:
    value = content.get(name)
    if value is None and not required:
        return
    if type(value) is not str or not 0 < len(value) <= longest:
        raise bad_json(f"{name} must be text of 1 to {longest} characters")


def check_redaction(room: Room, user_id: str, target: Event) -> None:
    """Whether `user_id` may redact `target`; raises M_FORBIDDEN."""
    if target.type in UNREDACTABLE:
        raise forbidden(f"{target.type} cannot be redacted")
    check_level(room, user_id, REDACTION, is_state=False)
    needed = room.power.level("redact")
    if target.sender != user_id and room.power.of(user_id) < needed:
        raise forbidden(f"redacting others' events needs power level {needed}")
