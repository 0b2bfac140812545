"""Creating a room: presets, encryption from the first message, alias, first invitations, all in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger import auth, events
from paraph.server.messenger.core import Core, RoomWrite, check_address
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
    TOMBSTONE,
    VISIBILITY,
)
from paraph.server.messenger.room import Room
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
        content = _creation_content(body, version)
        return await self._core.database.write(lambda tx: self._write(tx, person, body, content, version, alias))

    def _write(
        self,
        tx: Transaction,
        person: PersonPrincipal,
        body: CreateRoom,
        content: dict[str, Any],
        version: RoomVersion,
        alias: str | None,
    ) -> str:
        work = self.begin(tx, person, content, version)
        if alias is not None:
            self._aliases.claim(tx, alias, work.room.room_id, person.user_id)
        for kind, state_key, content in self._state(work.room, body, alias):
            self._check_state(tx, work, kind, state_key, content)
            work.put(person.user_id, person.device_id, kind, state_key, content)
        if body.visibility == "public":
            self._listing.put(tx, work.room, listed=True)
        extra = {"is_direct": True} if body.is_direct else None
        for target in dict.fromkeys(body.invite):
            self._memberships.write_action(tx, work, person, "invite", target, extra=extra)
        return work.room.room_id

    def begin(
        self,
        tx: Transaction,
        person: PersonPrincipal,
        content: dict[str, Any],
        version: RoomVersion,
        room_id: str | None = None,
    ) -> RoomWrite:
        """Within a write: a new room with nothing but its create event and its creator.

        From version 12 on the id of a room is that of its create event; before, it is `room_id`, or made up.
        """
        content = {name: value for name, value in content.items() if name not in ("creator", "room_version")}
        content["room_version"] = version.id
        if version.names_creator:
            content["creator"] = person.user_id
        sealed = events.canonical_content(content)
        room_id = "" if version.creators_above_all else room_id or new_room_id(self._core.server_name)
        create = events.seal(
            room_id, person.user_id, person.device_id, CREATE, sealed, self._core.clock(), state_key=""
        )
        create.room_id = room_id or f"!{create.event_id[1:]}"
        work = RoomWrite.create(self._core, tx, create.room_id)
        work.write(create, CREATE, "", content)
        profile = self._core.store.profile(tx, person.user_id)
        work.put(person.user_id, person.device_id, MEMBER, person.user_id, member_content("join", profile, None))
        return work

    def _check_state(
        self, tx: Transaction, work: RoomWrite, kind: str, state_key: str, content: dict[str, Any]
    ) -> None:
        auth.check_state_content(work.room, kind, state_key, content)
        if (kind, state_key) == (CANONICAL_ALIAS, ""):
            self._aliases.check_canonical(tx, work.room, content)

    def _state(self, room: Room, body: CreateRoom, alias: str | None) -> list[StateEntry]:
        """The first state in the order that the specification gives; later entries replace earlier ones."""
        preset = body.preset or ("public_chat" if body.visibility == "public" else "private_chat")
        join_rule, guests, trusted = _PRESETS[preset]
        state: dict[tuple[str, str], dict[str, Any]] = {(POWER, ""): _power(room, body, trusted)}
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


def _creation_content(body: CreateRoom, version: RoomVersion) -> dict[str, Any]:
    """Content of the create event as far as the client has a say in it; raises M_BAD_JSON."""
    if not version.creators_above_all:
        return body.creation_content
    further = body.creation_content.get("additional_creators", [])
    if body.preset == "trusted_private_chat":
        further = [*(further if isinstance(further, list) else [None]), *body.invite]
    return with_creators(body.creation_content, further)


def with_creators(content: dict[str, Any], further: Any) -> dict[str, Any]:
    """Content of a create event that names further creators; raises M_BAD_JSON, M_FORBIDDEN."""
    if not isinstance(further, list) or len(further) > MAX_INVITES:
        raise bad_json(f"additional_creators is a list of at most {MAX_INVITES} user ids")
    for user_id in further:
        if not isinstance(user_id, str):
            raise bad_json("additional_creators is a list of user ids")
        check_address(user_id)
    kept = {name: value for name, value in content.items() if name != "additional_creators"}
    return {**kept, "additional_creators": list(dict.fromkeys(further))} if further else kept


def _power(room: Room, body: CreateRoom, trusted: bool) -> dict[str, Any]:
    override, creators = body.power_level_content_override, room.creators
    if room.version.creators_above_all:
        return default_power(room.version, []) | override
    if isinstance(override.get("users"), dict) and not override["users"].keys() >= set(creators):
        raise bad_json("the users of power_level_content_override must contain the creator")
    return default_power(room.version, [*creators, *body.invite] if trusted else creators) | override


def default_power(version: RoomVersion, chiefs: Sequence[str]) -> dict[str, Any]:
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
            TOMBSTONE: 150 if version.creators_above_all else 100,
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
