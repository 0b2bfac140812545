"""Aliases: making, finding and removing them; and the canonical ones, which are state (Client-Server API, "Room
aliases", `m.room.canonical_alias`).
"""

from __future__ import annotations

from typing import Any

from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.messenger.core import Core, RoomWrite
from paraph.server.messenger.directory import store
from paraph.server.messenger.directory.names import is_alias, server_of
from paraph.server.messenger.errors import bad_json, forbidden, invalid, not_found, not_joined
from paraph.server.messenger.model import CANONICAL_ALIAS
from paraph.server.messenger.room import Room
from paraph.server.storage import Transaction

MAX_ALIASES = 100
"""Of one room."""


class Aliases:
    """What rooms are called."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def resolve(self, alias: str) -> str:
        """The room that an alias leads to; raises M_INVALID_PARAM, M_NOT_FOUND."""
        server_of(alias)
        return (await self._core.look(lambda tx: _find(tx, alias)))[0]

    async def room_id(self, name: str) -> str:
        """The room id that `name` is, or that it leads to where it is an alias."""
        return await self.resolve(name) if is_alias(name) else name

    async def add(self, person: PersonPrincipal, alias: str, room_id: str) -> None:
        """Let an alias lead to a room that the person is joined to; raises M_UNKNOWN where it is taken."""
        if server_of(alias) != self._core.server_name:
            raise invalid(f"aliases of this server end with :{self._core.server_name}")

        def write(tx: Transaction) -> None:
            self._core.room_joined_by(tx, room_id, person.user_id)
            if len(store.aliases_of(tx, room_id)) >= MAX_ALIASES:
                raise forbidden(f"a room has at most {MAX_ALIASES} aliases")
            if not store.add_alias(tx, alias, room_id, person.user_id):
                raise MatrixError(409, "M_UNKNOWN", f"{alias} leads to a room already")

        await self._core.database.write(write)

    def claim(self, tx: Transaction, alias: str, room_id: str, creator: str) -> None:
        """Within a write: give a new room its alias; raises M_ROOM_IN_USE."""
        if not store.add_alias(tx, alias, room_id, creator):
            raise MatrixError(400, "M_ROOM_IN_USE", f"{alias} leads to a room already")

    async def remove(self, person: PersonPrincipal, alias: str) -> None:
        """Remove an alias: its maker may, and whoever may say which alias is the canonical one."""
        server_of(alias)

        def write(tx: Transaction) -> None:
            room_id, creator = _find(tx, alias)
            work = RoomWrite.open(self._core, tx, room_id)
            may_rename = may_publish(work.room, person.user_id)
            if creator != person.user_id and not may_rename:
                raise forbidden(f"{alias} was made by somebody else")
            store.remove_alias(tx, alias)
            if may_rename:
                self._no_longer_canonical(work, person, alias)

        await self._core.database.write(write)

    def _no_longer_canonical(self, work: RoomWrite, person: PersonPrincipal, alias: str) -> None:
        current = work.room.state.get((CANONICAL_ALIAS, ""))
        if current is None:
            return
        content = without_aliases(current.content, {alias})
        if content != current.content:
            work.put(person.user_id, person.device_id, CANONICAL_ALIAS, "", content)

    async def of_room(self, person: PersonPrincipal, room_id: str) -> list[str]:
        """A room's aliases, for its members; for everybody if everybody may read the room."""

        def read(tx: Transaction) -> list[str]:
            room = self._core.room_now(tx, room_id)
            if room is None or not (person.user_id in room.joined or room.visibility == "world_readable"):
                raise not_joined(person.user_id, room_id)
            return store.aliases_of(tx, room_id)

        return await self._core.look(read)

    def check_canonical(self, tx: Transaction, room: Room, content: dict[str, Any]) -> None:
        """Whether `m.room.canonical_alias` names aliases of this room; what it named before is not looked at again.

        Raises M_BAD_JSON, M_INVALID_PARAM, M_BAD_ALIAS.
        """
        current = room.state.get((CANONICAL_ALIAS, ""))
        known = set() if current is None else named(current.content)
        _check_shape(content)
        for alias in sorted(named(content) - known):
            server_of(alias)
            found = store.find_alias(tx, alias)
            if found is None or found[0] != room.room_id:
                raise MatrixError(400, "M_BAD_ALIAS", f"{alias} does not lead to this room")


def _find(tx: Transaction, alias: str) -> tuple[str, str]:
    found = store.find_alias(tx, alias)
    if found is None:
        raise not_found(f"{alias} leads to no room here")
    return found


def _check_shape(content: dict[str, Any]) -> None:
    alias, others = content.get("alias"), content.get("alt_aliases", [])
    if alias is not None and not isinstance(alias, str):
        raise bad_json("alias must be text")
    if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
        raise bad_json("alt_aliases must be a list of aliases")
    if len(others) > MAX_ALIASES:
        raise bad_json(f"alt_aliases are at most {MAX_ALIASES}")


def named(content: dict[str, Any]) -> set[str]:
    """The aliases that the content of `m.room.canonical_alias` names; an empty one counts as none."""
    alias, others = content.get("alias"), content.get("alt_aliases")
    found = {alias} if isinstance(alias, str) and alias else set()
    return found | {other for other in (others if isinstance(others, list) else ()) if isinstance(other, str)}


def without_aliases(content: dict[str, Any], gone: set[str]) -> dict[str, Any]:
    """Content of `m.room.canonical_alias` without the aliases that are gone."""
    kept = {name: value for name, value in content.items() if name != "alias" or value not in gone}
    others = kept.pop("alt_aliases", [])
    left = [other for other in others if other not in gone] if isinstance(others, list) else []
    return {**kept, "alt_aliases": left} if left else kept


def may_publish(room: Room, user_id: str) -> bool:
    """Whether a person may say how the room is found: its canonical alias, its place in the public list."""
    return user_id in room.joined and room.power.of(user_id) >= room.power.to_send(CANONICAL_ALIAS, is_state=True)
