"""Profiles: a display name, a picture, and any fields that clients agree on; and the directory of people."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import check_user_id
from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import bad_json, invalid, not_found
from paraph.server.messenger.membership import Memberships
from paraph.server.messenger.model import Profile
from paraph.server.messenger.profiles import store
from paraph.server.storage import Transaction

DISPLAY_NAME, AVATAR = "displayname", "avatar_url"
SHOWN_IN_ROOMS = (DISPLAY_NAME, AVATAR)
MAX_PROFILE_BYTES = 65_536
MAX_FIELD_NAME = 255
MAX_TERM = 255
MAX_RESULTS = 50
LOOKED_AT = 100
"""People whose name or id fits that one search looks at."""
ROOMS_LOOKED_AT = 50
"""Rooms of each of them that may be open to anybody."""
ROOMS_AT_ONCE = 100
_FIELD = re.compile(r"[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)+")
"""Common Namespaced Identifier Grammar (Matrix, Appendices), with a namespace."""


class Profiles:
    """What people say of themselves. All of it is public."""

    def __init__(self, core: Core, memberships: Memberships) -> None:
        self._core = core
        self._memberships = memberships

    async def profile(self, user_id: str) -> dict[str, Any]:
        """Everything that a person says of herself; raises M_NOT_FOUND for nobody."""

        def read(tx: Transaction) -> dict[str, Any]:
            if not self._core.exists(tx, user_id):
                raise not_found(f"nobody here is called {user_id}")
            return _all(self._core.store.profile(tx, user_id), store.fields(tx, user_id))

        return await self._core.database.read(read)

    async def field(self, user_id: str, name: str) -> dict[str, Any]:
        """One field under its name; raises M_NOT_FOUND, and what `set` raises for a name."""
        check_field_name(name)
        found = await self.profile(user_id)
        if name not in found:
            raise not_found(f"{user_id} has no {name}")
        return {name: found[name]}

    async def set(self, person: PersonPrincipal, name: str, value: Any) -> None:
        """Set a field. Name and picture are text, and every room that the person is joined to learns of them.

        Raises M_INVALID_PARAM or M_KEY_TOO_LARGE for the name, M_BAD_JSON for the value, M_PROFILE_TOO_LARGE.
        """
        check_field_name(name)
        if name in SHOWN_IN_ROOMS:
            if value is not None and not isinstance(value, str):
                raise bad_json(f"{name} must be text")
            await self._memberships.set_profile(person, name, value)
            return
        data = msgspec.json.encode(value)

        def write(tx: Transaction) -> None:
            found = _all(self._core.store.profile(tx, person.user_id), store.fields(tx, person.user_id))
            if len(msgspec.json.encode(found | {name: msgspec.Raw(data)})) >= MAX_PROFILE_BYTES:
                raise MatrixError(
                    400, "M_PROFILE_TOO_LARGE", f"a profile has less than {MAX_PROFILE_BYTES} bytes in all"
                )
            store.put_field(tx, person.user_id, name, data)

        await self._core.database.write(write)

    async def remove(self, person: PersonPrincipal, name: str) -> None:
        """Remove a field, if there is one; raises as `set` for its name."""
        check_field_name(name)
        if name in SHOWN_IN_ROOMS:
            await self._memberships.set_profile(person, name, None)
        else:
            await self._core.database.write(lambda tx: store.drop_field(tx, person.user_id, name))

    def on_deactivate(self, tx: Transaction, user_id: str) -> None:
        """An account ends: what its owner said of herself goes."""
        store.forget(tx, user_id)

    # --- The directory

    async def search(self, person: PersonPrincipal, term: str, limit: int) -> tuple[list[tuple[str, Profile]], bool]:
        """People by the beginning of their display name or user id, and whether there are more.

        Found are those whom the searcher shares a room with, or who are in a room that anybody can join or read; and
        by a complete user id anybody, since a profile can be asked for by that. Never oneself.
        """
        if not 0 < len(term) <= MAX_TERM:
            raise invalid(f"search_term has 1 to {MAX_TERM} characters")
        most = min(max(limit, 1), MAX_RESULTS)

        def read(tx: Transaction) -> list[tuple[str, Profile]]:
            fitting = [term.lower(), *store.called(tx, term, LOOKED_AT), *store.named(tx, term, LOOKED_AT)]
            found: list[tuple[str, Profile]] = []
            for user_id in dict.fromkeys(fitting):
                if len(found) <= most and self._may_find(tx, person.user_id, user_id, term):
                    found.append((user_id, self._core.store.profile(tx, user_id)))
            return found

        found = await self._core.database.read(read)
        return found[:most], len(found) > most

    async def mutual_rooms(self, person: PersonPrincipal, other: str, after: str) -> tuple[list[str], int, str | None]:
        """Rooms that both are joined to, `after` a token of before: a page, how many in all, and the next token.

        Raises M_INVALID_PARAM for what is no user id, and where it is one's own.
        """
        try:
            check_user_id(other)
        except IdentifierError as error:
            raise invalid(str(error)) from None
        if other == person.user_id:
            raise invalid("expected somebody else's user id")
        found, count = await self._core.database.read(
            lambda tx: store.mutual_rooms(tx, person.user_id, other, after, ROOMS_AT_ONCE + 1)
        )
        page = found[:ROOMS_AT_ONCE]
        return page, count, page[-1] if len(found) > len(page) else None

    def _may_find(self, tx: Transaction, searcher: str, user_id: str, term: str) -> bool:
        if user_id == searcher or not self._core.exists(tx, user_id):
            return False
        return (
            user_id == term.lower()
            or self._core.store.share_a_room(tx, searcher, user_id)
            or store.is_in_the_open(tx, user_id, ROOMS_LOOKED_AT)
        )


def check_field_name(name: str) -> None:
    """Whether a profile may have such a field; raises M_KEY_TOO_LARGE or M_INVALID_PARAM."""
    if len(name) > MAX_FIELD_NAME:
        raise MatrixError(400, "M_KEY_TOO_LARGE", f"the name of a field has at most {MAX_FIELD_NAME} characters")
    if name not in SHOWN_IN_ROOMS and not _FIELD.fullmatch(name):
        raise invalid(f"expected {DISPLAY_NAME}, {AVATAR} or a name like org.example.field")


def _all(profile: Profile, fields: dict[str, msgspec.Raw]) -> dict[str, Any]:
    shown = {DISPLAY_NAME: profile.displayname, AVATAR: profile.avatar_url}
    return {name: value for name, value in shown.items() if value is not None} | fields
