"""Upgrading a room: a new one of another version takes its place (Client-Server API, "Room upgrades").

All of it is one write: the tombstone, the new room with what mattered of the old one's state, its bans, aliases and
place in the public list, and the old room's levels, so that nobody goes on talking there by mistake.
"""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.messenger import auth
from paraph.server.messenger.core import Core, RoomWrite
from paraph.server.messenger.creation import Creation, default_power, new_room_id, with_creators
from paraph.server.messenger.directory import store as directory
from paraph.server.messenger.directory.aliases import named, without_aliases
from paraph.server.messenger.directory.listing import Listing
from paraph.server.messenger.errors import not_joined, unsupported_version
from paraph.server.messenger.model import (
    CANONICAL_ALIAS,
    CLOSED,
    CREATE,
    ENCRYPTION,
    JOIN_RULES,
    MEGOLM,
    MEMBER,
    POWER,
    TOMBSTONE,
    VISIBILITY,
    Event,
)
from paraph.server.messenger.power import as_integers
from paraph.server.messenger.room import Room
from paraph.server.messenger.versions import ROOM_VERSIONS, RoomVersion
from paraph.server.storage import Transaction

COPIED = (
    JOIN_RULES,
    VISIBILITY,
    "m.room.guest_access",
    ENCRYPTION,
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.server_acl",
    "m.room.related_groups",
)
"""State with an empty key that the new room begins with; levels and aliases are seen to apart from it."""
MAX_COPIED = 5_000
_QUIET = 50
"""What it takes to speak, or to invite, in a room that was replaced (or one above its ordinary members)."""


class UpgradeRoom(msgspec.Struct):
    """Body of POST /rooms/{roomId}/upgrade."""

    new_version: str
    additional_creators: list[str] = []


class Upgrade:
    """Replaces rooms."""

    def __init__(self, core: Core, creation: Creation, listing: Listing) -> None:
        self._core = core
        self._creation = creation
        self._listing = listing

    async def upgrade(self, person: PersonPrincipal, room_id: str, body: UpgradeRoom) -> str:
        """Replace a room by one of another version; returns the new room's id.

        Raises M_UNSUPPORTED_ROOM_VERSION, M_FORBIDDEN.
        """
        version = ROOM_VERSIONS.get(body.new_version)
        if version is None:
            raise unsupported_version(body.new_version)
        return await self._core.database.write(lambda tx: self._write(tx, room_id, person, version, body))

    def _write(
        self, tx: Transaction, room_id: str, person: PersonPrincipal, version: RoomVersion, body: UpgradeRoom
    ) -> str:
        old = RoomWrite.open(self._core, tx, room_id)
        if person.user_id not in old.room.joined:
            raise not_joined(person.user_id, room_id)
        auth.check_level(old.room, person.user_id, TOMBSTONE, is_state=True)
        new = self._founded(tx, old, person, version, body)
        self._copy(old, new, person)
        self._move_names(tx, old, new, person)
        self._put_power(old, new, person)
        self._quieten(old, person)
        return new.room.room_id

    def _founded(
        self, tx: Transaction, old: RoomWrite, person: PersonPrincipal, version: RoomVersion, body: UpgradeRoom
    ) -> RoomWrite:
        """The new room and the old one's tombstone, which name each other as far as the version lets them."""
        kept = {name: value for name, value in _content(old, CREATE).items() if name in ("type", "m.federate")}
        predecessor = {"room_id": old.room.room_id}
        if version.creators_above_all:  # the new room's id is made of what names the old one
            content = with_creators(kept | {"predecessor": predecessor}, body.additional_creators)
            new = self._creation.begin(tx, person, content, version)
            self._bury(old, person, new.room.room_id)
            return new
        new_id = new_room_id(self._core.server_name)
        predecessor["event_id"] = self._bury(old, person, new_id)
        return self._creation.begin(tx, person, kept | {"predecessor": predecessor}, version, new_id)

    def _bury(self, old: RoomWrite, person: PersonPrincipal, new_id: str) -> str:
        said = {"body": "This room has been replaced", "replacement_room": new_id}
        return old.put(person.user_id, person.device_id, TOMBSTONE, "", said).event_id

    def _copy(self, old: RoomWrite, new: RoomWrite, person: PersonPrincipal) -> None:
        """The state that the new room begins with."""
        chiefs = [] if new.room.version.creators_above_all else [person.user_id]
        new.put(person.user_id, person.device_id, POWER, "", default_power(new.room.version, chiefs))
        for kind in COPIED:
            if (kind, "") in old.room.state:
                new.put(person.user_id, person.device_id, kind, "", _content(old, kind))
        if self._core.require_encryption and not new.room.encrypted:
            new.put(person.user_id, person.device_id, ENCRYPTION, "", {"algorithm": MEGOLM})
        for event in _further(old.room):
            new.put(person.user_id, person.device_id, event.type, event.state_key or "", event.content)
        self._stay_closed(old.room, new)

    def _stay_closed(self, old: Room, new: RoomWrite) -> None:
        """Whoever closed the old room to partners has closed the new one, which she alone reopens."""
        for (kind, user_id), event in old.state.items():
            if kind == CLOSED and event.content.get("closed") is True:
                new.put(user_id, "", CLOSED, user_id, event.content)

    def _move_names(self, tx: Transaction, old: RoomWrite, new: RoomWrite, person: PersonPrincipal) -> None:
        """Aliases lead to the new room from now on, and it takes the old one's place in the public list."""
        directory.move_aliases(tx, old.room.room_id, new.room.room_id)
        content = _content(old, CANONICAL_ALIAS)
        if named(content):
            new.put(person.user_id, person.device_id, CANONICAL_ALIAS, "", content)
            left = without_aliases(content, named(content))
            old.put(person.user_id, person.device_id, CANONICAL_ALIAS, "", left)
        if directory.is_listed(tx, old.room.room_id):
            self._listing.put(tx, old.room, listed=False)
            self._listing.put(tx, new.room, listed=True)

    def _put_power(self, old: RoomWrite, new: RoomWrite, person: PersonPrincipal) -> None:
        """The old room's levels; last, as they may not allow what came before."""
        if (POWER, "") in old.room.state:
            levels = _levels(_content(old, POWER), old.room, new.room)
            new.put(person.user_id, person.device_id, POWER, "", levels)

    def _quieten(self, old: RoomWrite, person: PersonPrincipal) -> None:
        """Only moderators go on speaking and inviting in the old room, if the person may say so."""
        power = old.room.power
        if (POWER, "") not in old.room.state or power.of(person.user_id) < power.to_send(POWER, is_state=True):
            return
        quiet = max(_QUIET, power.of_anybody + 1)
        raised = {name: quiet for name in ("events_default", "invite") if power.level(name) < quiet}
        if raised and quiet <= power.of(person.user_id):
            old.put(person.user_id, person.device_id, POWER, "", _content(old, POWER) | raised)


def _levels(content: dict[str, Any], old: Room, new: Room) -> dict[str, Any]:
    """Levels as the new room's version has them: its creators may not stand in them, or have to."""
    levels = as_integers(content) if new.version.integers_only else dict(content)
    users = dict(levels.get("users", {}))
    if new.version.creators_above_all:
        users = {name: level for name, level in users.items() if name not in new.creators}
    elif old.version.creators_above_all:
        users = dict.fromkeys(old.creators, 100) | users
    return {**levels, "users": users} if users != levels.get("users", {}) else levels


def _further(room: Room) -> list[Event]:
    """The bans, and of a space the links to its rooms; raises M_UNKNOWN if one write should not hold them all."""
    banned = [room.state[MEMBER, user_id] for user_id, there in room.memberships.items() if there == "ban"]
    links = [event for (kind, _), event in room.state.items() if kind == "m.space.child" and event.content]
    if len(banned) + len(links) > MAX_COPIED:
        raise MatrixError(400, "M_UNKNOWN", f"more than {MAX_COPIED} bans and links are not copied at once")
    return banned + links


def _content(work: RoomWrite, kind: str) -> dict[str, Any]:
    event = work.room.state.get((kind, ""))
    return {} if event is None else event.content
