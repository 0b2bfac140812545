"""Creating a room: presets, encryption from the first message, first invitations, all in one transaction."""

from __future__ import annotations

import secrets
from typing import Any, Literal

import msgspec

from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.messenger import auth
from paraph.server.messenger.core import Core, RoomWrite
from paraph.server.messenger.errors import bad_json, forbidden, invalid
from paraph.server.messenger.events import check_name
from paraph.server.messenger.membership import Memberships, member_content
from paraph.server.messenger.model import (
    CLOSED,
    CREATE,
    ENCRYPTION,
    GRANT,
    JOIN_RULES,
    MEGOLM,
    MEMBER,
    POWER,
    ROOM_VERSION,
    VISIBILITY,
)
from paraph.server.storage import Transaction

MAX_INVITES = 500
MAX_INITIAL_STATE = 100
_FORBIDDEN_STATE = frozenset({CREATE, MEMBER, GRANT, CLOSED})

# join rule, guests, and whether invitees get the creator's power level
_PRESETS = {
    "private_chat": ("invite", "can_join", False),
    "trusted_private_chat": ("invite", "can_join", True),
    "public_chat": ("public", "forbidden", False),
}


class InitialState(msgspec.Struct):
    """One entry of `initial_state`."""

    type: str
    content: dict[str, Any]
    state_key: str = ""


class CreateRoom(msgspec.Struct):
    """Body of POST /createRoom (Client-Server API, "Creation")."""

    preset: Literal["private_chat", "trusted_private_chat", "public_chat"] | None = None
    visibility: Literal["public", "private"] = "private"
    name: str | None = None
    topic: str | None = None
    invite: list[str] = []
    invite_3pid: list[Any] = []
    is_direct: bool = False
    initial_state: list[InitialState] = []
    creation_content: dict[str, Any] = {}
    power_level_content_override: dict[str, Any] = {}
    room_version: str = ROOM_VERSION
    room_alias_name: str | None = None


class Creation:
    """Makes rooms."""

    def __init__(self, core: Core, memberships: Memberships) -> None:
        self._core = core
        self._memberships = memberships

    async def create(self, person: PersonPrincipal, body: CreateRoom) -> str:
        """A new room with its first state and invitations; returns its id. All or nothing is written."""
        _check(body)
        room_id = f"!{secrets.token_urlsafe(18)}:{self._core.server_name}"
        await self._core.database.write(lambda tx: self._write(tx, room_id, person, body))
        return room_id

    def _write(self, tx: Transaction, room_id: str, person: PersonPrincipal, body: CreateRoom) -> None:
        work = RoomWrite.create(self._core, tx, room_id)
        user_id, device_id = person.user_id, person.device_id
        work.put(user_id, device_id, CREATE, "", body.creation_content | {"room_version": ROOM_VERSION})
        profile = self._core.store.profile(tx, user_id)
        work.put(user_id, device_id, MEMBER, user_id, member_content("join", profile, None))
        for kind, state_key, content in self._state(user_id, body):
            auth.check_state_content(kind, state_key, content)
            work.put(user_id, device_id, kind, state_key, content)
        for target in dict.fromkeys(body.invite):
            self._memberships.write_action(tx, work, person, "invite", target, is_direct=body.is_direct)

    def _state(self, creator: str, body: CreateRoom) -> list[tuple[str, str, dict[str, Any]]]:
        """The first state in the order that the specification gives; later entries replace earlier ones."""
        preset = body.preset or ("public_chat" if body.visibility == "public" else "private_chat")
        join_rule, guests, trusted = _PRESETS[preset]
        state: dict[tuple[str, str], dict[str, Any]] = {
            (POWER, ""): _power(creator, body, trusted),
            (JOIN_RULES, ""): {"join_rule": join_rule},
            (VISIBILITY, ""): {"history_visibility": "shared"},
            ("m.room.guest_access", ""): {"guest_access": guests},
        }
        if self._core.require_encryption or preset != "public_chat":
            state[ENCRYPTION, ""] = {"algorithm": MEGOLM}
        for entry in body.initial_state:
            state[entry.type, entry.state_key] = entry.content
        if body.name:
            state["m.room.name", ""] = {"name": body.name}
        if body.topic:
            state["m.room.topic", ""] = {"topic": body.topic}
        return [(kind, state_key, content) for (kind, state_key), content in state.items()]


def _power(creator: str, body: CreateRoom, trusted: bool) -> dict[str, Any]:
    chiefs = [creator, *body.invite] if trusted else [creator]
    levels: dict[str, Any] = {
        "users": dict.fromkeys(chiefs, 100),
        "users_default": 0,
        "events": {
            "m.room.name": 50,
            "m.room.avatar": 50,
            "m.room.topic": 50,
            POWER: 100,
            VISIBILITY: 100,
            ENCRYPTION: 100,
            "m.room.tombstone": 100,
            GRANT: 0,
            CLOSED: 0,
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": 0,
    }
    return levels | body.power_level_content_override


def _check(body: CreateRoom) -> None:
    if body.room_version != ROOM_VERSION:
        raise MatrixError(400, "M_UNSUPPORTED_ROOM_VERSION", f"rooms here have version {ROOM_VERSION}")
    if body.invite_3pid or body.room_alias_name is not None:
        raise invalid("this server knows neither third-party invitations nor room aliases")
    if len(body.invite) > MAX_INVITES or len(body.initial_state) > MAX_INITIAL_STATE:
        raise invalid(f"at most {MAX_INVITES} invitations and {MAX_INITIAL_STATE} state events at once")
    for entry in body.initial_state:
        check_name("type", entry.type)
        check_name("state_key", entry.state_key)
        if entry.type in _FORBIDDEN_STATE:
            raise forbidden(f"{entry.type} cannot be part of the initial state")
        if entry.type == ENCRYPTION and entry.state_key == "":
            auth.check_encryption(entry.content)
    for what, text in (("name", body.name), ("topic", body.topic)):
        if text is not None and len(text) > 4_000:
            raise bad_json(f"{what} is longer than 4000 characters")
