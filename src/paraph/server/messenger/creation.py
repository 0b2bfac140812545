"""Creating a room: presets, encryption from the first message, alias, first invitations, all in one transaction."""

from __future__ import annotations

import secrets
from typing import Any, Literal

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger import auth
from paraph.server.messenger.core import Core, RoomWrite
from paraph.server.messenger.directory.aliases import Aliases
from paraph.server.messenger.directory.listing import Listing
from paraph.server.messenger.directory.names import from_local
from paraph.server.messenger.errors import bad_json, forbidden, invalid, no_third_party, unsupported_version
from paraph.server.messenger.events import check_name
from paraph.server.messenger.membership import Memberships, member_content
from paraph.server.messenger.model import (
    CANONICAL_ALIAS,
    CLOSED,
    CREATE,
    ENCRYPTION,
    GRANT,
    JOIN_RULES,
    MEGOLM,
    MEMBER,
    POWER,
    VISIBILITY,
)
from paraph.server.messenger.versions import DEFAULT_VERSION, ROOM_VERSIONS, RoomVersion
from paraph.server.storage import Transaction

MAX_INVITES = 500
MAX_INITIAL_STATE = 100
MAX_TEXT = 4_000
"""Characters of a name or a topic."""
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
    room_version: str = DEFAULT_VERSION
    room_alias_name: str | None = None


StateEntry = tuple[str, str, dict[str, Any]]


class Creation:
    """Makes rooms."""

    def __init__(self, core: Core, memberships: Memberships, aliases: Aliases, listing: Listing) -> None:
        self._core = core
        self._memberships = memberships
        self._aliases = aliases
        self._listing = listing

    async def create(self, person: PersonPrincipal, body: CreateRoom) -> str:
        """A new room with its first state and invitations; returns its id. All or nothing is written."""
        version = _check(body)
        alias = None if body.room_alias_name is None else from_local(body.room_alias_name, self._core.server_name)
        room_id = new_room_id(self._core.server_name)
        await self._core.database.write(lambda tx: self._write(tx, room_id, person, body, version, alias))
        return room_id

    def _write(
        self,
        tx: Transaction,
        room_id: str,
        person: PersonPrincipal,
        body: CreateRoom,
        version: RoomVersion,
        alias: str | None,
    ) -> None:
        work = self.begin(tx, room_id, person, body.creation_content, version)
        if alias is not None:
            self._aliases.claim(tx, alias, room_id, person.user_id)
        for kind, state_key, content in self._state(person.user_id, body, alias):
            self._check_state(tx, work, kind, state_key, content)
            work.put(person.user_id, person.device_id, kind, state_key, content)
        if body.visibility == "public":
            self._listing.put(tx, work.room, listed=True)
        extra = {"is_direct": True} if body.is_direct else None
        for target in dict.fromkeys(body.invite):
            self._memberships.write_action(tx, work, person, "invite", target, extra=extra)

    def begin(
        self, tx: Transaction, room_id: str, person: PersonPrincipal, content: dict[str, Any], version: RoomVersion
    ) -> RoomWrite:
        """Within a write: a new room with nothing but its create event and its creator."""
        work = RoomWrite.create(self._core, tx, room_id)
        content = {name: value for name, value in content.items() if name not in ("creator", "room_version")}
        content["room_version"] = version.id
        if version.names_creator:
            content["creator"] = person.user_id
        work.put(person.user_id, person.device_id, CREATE, "", content)
        profile = self._core.store.profile(tx, person.user_id)
        work.put(person.user_id, person.device_id, MEMBER, person.user_id, member_content("join", profile, None))
        return work

    def _check_state(
        self, tx: Transaction, work: RoomWrite, kind: str, state_key: str, content: dict[str, Any]
    ) -> None:
        auth.check_state_content(work.room, kind, state_key, content)
        if (kind, state_key) == (CANONICAL_ALIAS, ""):
            self._aliases.check_canonical(tx, work.room, content)

    def _state(self, creator: str, body: CreateRoom, alias: str | None) -> list[StateEntry]:
        """The first state in the order that the specification gives; later entries replace earlier ones."""
        preset = body.preset or ("public_chat" if body.visibility == "public" else "private_chat")
        join_rule, guests, trusted = _PRESETS[preset]
        state: dict[tuple[str, str], dict[str, Any]] = {(POWER, ""): _power(creator, body, trusted)}
        if alias is not None:
            state[CANONICAL_ALIAS, ""] = {"alias": alias}
        state[JOIN_RULES, ""] = {"join_rule": join_rule}
        state[VISIBILITY, ""] = {"history_visibility": "shared"}
        state["m.room.guest_access", ""] = {"guest_access": guests}
        if self._core.require_encryption:
            state[ENCRYPTION, ""] = {"algorithm": MEGOLM}
        for entry in body.initial_state:
            if (entry.type, entry.state_key) != (POWER, ""):  # levels come before what they allow
                state.pop((entry.type, entry.state_key), None)
            state[entry.type, entry.state_key] = entry.content
        if body.name:
            state["m.room.name", ""] = {"name": body.name}
        if body.topic:
            state["m.room.topic", ""] = {"topic": body.topic, "m.topic": {"m.text": [{"body": body.topic}]}}
        return [(kind, state_key, content) for (kind, state_key), content in state.items()]


def new_room_id(server_name: str) -> str:
    """An id that no room has."""
    return f"!{secrets.token_urlsafe(18)}:{server_name}"


def _power(creator: str, body: CreateRoom, trusted: bool) -> dict[str, Any]:
    override = body.power_level_content_override
    if isinstance(override.get("users"), dict) and creator not in override["users"]:
        raise bad_json("the users of power_level_content_override must contain the creator")
    return default_power([creator, *body.invite] if trusted else [creator]) | override


def default_power(chiefs: list[str]) -> dict[str, Any]:
    """The power levels of a new room, with these people at its head."""
    return {
        "users": dict.fromkeys(chiefs, 100),
        "users_default": 0,
        "events": {
            "m.room.name": 50,
            "m.room.avatar": 50,
            "m.room.topic": 50,
            CANONICAL_ALIAS: 50,
            POWER: 100,
            VISIBILITY: 100,
            ENCRYPTION: 100,
            "m.room.server_acl": 100,
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


def _check(body: CreateRoom) -> RoomVersion:
    version = ROOM_VERSIONS.get(body.room_version)
    if version is None:
        raise unsupported_version(body.room_version)
    if body.invite_3pid:
        raise no_third_party()
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
        if text is not None and len(text) > MAX_TEXT:
            raise bad_json(f"{what} is longer than {MAX_TEXT} characters")
    return version
