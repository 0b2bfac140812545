"""Who may do what in a room: the authorization rules of room version 11, for one server with one order.

Without federation there is one state at any time, so the rules are questions to that state. `org.paraph.grant` is
the platform's own, `org.paraph.closed` belongs to each member, and encryption is a one-way street.
"""

from __future__ import annotations

from typing import Any

from paraph.server.messenger.errors import bad_json, forbidden, not_joined
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
    VISIBILITY,
    Event,
)
from paraph.server.messenger.power import check_levels
from paraph.server.messenger.room import Room

MESSAGES_ONLY = frozenset({ENCRYPTED, REACTION, REDACTION, "m.room.message"})
"""Types that are never state: as state they would get around what messages are checked for."""
PLAINTEXT_ALLOWED = frozenset({REACTION, REDACTION})
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
        raise forbidden("a room is created once")
    if event_type == CLOSED:
        _check_closed(user_id, state_key, content)
    check_level(room, user_id, event_type, is_state=True)
    if state_key.startswith("@") and state_key != user_id:
        raise forbidden("a state key that is a user id belongs to that user")
    check_state_content(event_type, state_key, content)
    if event_type == POWER and state_key == "":
        room.power.check_change(user_id, content)


def check_state_content(event_type: str, state_key: str, content: dict[str, Any]) -> None:
    """Whether content fits a state type whose meaning the server acts on; raises M_BAD_JSON or M_FORBIDDEN."""
    if event_type in MESSAGES_ONLY:
        raise forbidden(f"{event_type} is sent as a message, not set as state")
    if state_key != "":
        return
    if event_type == POWER:
        check_levels(content)
    elif event_type == ENCRYPTION:
        check_encryption(content)
    elif event_type in _RULES:
        name, allowed = _RULES[event_type]
        if content.get(name) not in allowed:
            raise bad_json(f"{name} must be one of {', '.join(sorted(allowed))}")


def check_encryption(content: dict[str, Any]) -> None:
    """Encryption is Megolm, and never switched off; raises M_FORBIDDEN."""
    if content.get("algorithm") != MEGOLM:
        raise forbidden(f"the algorithm of a room is {MEGOLM}; it cannot be changed or switched off")


def _check_closed(user_id: str, state_key: str, content: dict[str, Any]) -> None:
    if state_key != user_id:
        raise forbidden(f"{CLOSED} is set under your own user id only")
    if not isinstance(content.get("closed"), bool):
        raise bad_json(f"the content of {CLOSED} is {{closed: true or false}}")


def check_message(room: Room, event_type: str, require_encryption: bool) -> None:
    """Whether this kind of message event may be sent here unencrypted or at all; raises M_FORBIDDEN."""
    if event_type == ENCRYPTED or not require_encryption or event_type in PLAINTEXT_ALLOWED:
        return
    where = "in an encrypted room" if room.encrypted else "on this server"
    raise forbidden(f"{event_type} would be readable by the server; {where} messages are sent as {ENCRYPTED}")


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


def check_invite(room: Room, sender: str, target: str) -> None:
    """Whether `sender` may invite `target`; raises M_FORBIDDEN."""
    if sender not in room.joined:
        raise not_joined(sender, room.room_id)
    there = room.memberships.get(target)
    if there in ("join", "ban"):
        raise forbidden(f"{target} is already {'joined' if there == 'join' else 'banned'}")
    _check_action(room, sender, "invite")


def check_join(room: Room, user_id: str) -> None:
    """Whether somebody not joined may join; raises M_FORBIDDEN."""
    there = room.memberships.get(user_id)
    if there == "ban":
        raise forbidden("you are banned from this room")
    if there != "invite" and room.join_rule != "public":
        raise forbidden("you are not invited to this room")


def check_leave(room: Room, user_id: str) -> None:
    """Whether somebody has anything to leave; raises M_FORBIDDEN."""
    if room.memberships.get(user_id) not in ("join", "invite"):
        raise forbidden("you are neither joined nor invited to this room")


def check_kick(room: Room, sender: str, target: str) -> None:
    """Whether `sender` may put `target` out; raises M_FORBIDDEN."""
    _check_above(room, sender, target, "kick")
    if room.memberships.get(target) not in ("join", "invite"):
        raise forbidden(f"{target} is neither joined nor invited")


def check_ban(room: Room, sender: str, target: str) -> None:
    """Whether `sender` may ban `target`; raises M_FORBIDDEN."""
    _check_above(room, sender, target, "ban")


def check_unban(room: Room, sender: str, target: str) -> None:
    """Whether `sender` may lift the ban of `target`; raises M_FORBIDDEN."""
    _check_action(room, sender, "ban")
    _check_above(room, sender, target, "kick")
    if room.memberships.get(target) != "ban":
        raise forbidden(f"{target} is not banned")


def _check_above(room: Room, sender: str, target: str, action: str) -> None:
    _check_action(room, sender, action)
    if room.power.of(target) >= room.power.of(sender):
        raise forbidden(f"{target} has at least your own power level")


def _check_action(room: Room, sender: str, action: str) -> None:
    if sender not in room.joined:
        raise not_joined(sender, room.room_id)
    needed, own = room.power.level(action), room.power.of(sender)
    if own < needed:
        raise forbidden(f"to {action} needs power level {needed}; yours is {own}")
