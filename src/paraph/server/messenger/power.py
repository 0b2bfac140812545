"""Power levels (Client-Server API, `m.room.power_levels`; authorization rules of the room versions)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import check_user_id
from paraph.server.messenger.errors import bad_json, forbidden
from paraph.server.messenger.model import CLOSED, GRANT
from paraph.server.messenger.versions import DEFAULT_VERSION, ROOM_VERSIONS, RoomVersion

PINNED = {GRANT: 0, CLOSED: 0}
"""Event types whose level no room can change: everyone may learn of grants, and everyone may close a room."""

_LEVELS = {
    "users_default": 0,
    "events_default": 0,
    "state_default": 50,
    "ban": 50,
    "kick": 50,
    "redact": 50,
    "invite": 0,
}
_PARTS = ("users", "events", "notifications")
MAX_LEVEL = 2**53 - 1
ABOVE_ALL = MAX_LEVEL + 1
"""The level of creators where the room version puts them above everybody."""
_INTEGER = re.compile(r"[ \t\n\r\v\f]*[+-]?[0-9]{1,16}[ \t\n\r\v\f]*")


class Power:
    """A room's power levels, ready to ask."""

    __slots__ = (
        "_above",
        "_content",
        "_events",
        "_events_default",
        "_notifications",
        "_state_default",
        "_users",
        "_users_default",
    )

    def __init__(
        self,
        content: Mapping[str, Any] | None,
        creators: Iterable[str] = (),
        version: RoomVersion = ROOM_VERSIONS[DEFAULT_VERSION],
    ) -> None:
        creators = tuple(creators)
        self._above = frozenset(creators) if version.creators_above_all else frozenset()
        self._content = content if content is None or version.integers_only else as_integers(content)
        known = self._content or {}
        self._users: Mapping[str, int] = dict.fromkeys(creators, 100) if content is None else known.get("users", {})
        self._events: Mapping[str, int] = {**known.get("events", {}), **PINNED}
        self._notifications = version.guards_notifications
        self._users_default = self.level("users_default")
        self._events_default = self.level("events_default")
        self._state_default = 0 if content is None else self.level("state_default")

    def level(self, name: str) -> int:
        """The level that an action needs: `ban`, `kick`, `redact` or `invite` (or one of the defaults)."""
        level: int = (self._content or {}).get(name, _LEVELS[name])
        return level

    def to_notify(self, name: str) -> int:
        """The level that notifying everybody (`room`) needs; for names that the room says nothing of as well."""
        level = (self._content or {}).get("notifications", {}).get(name, 50)
        return level if isinstance(level, int) else 50

    def of(self, user_id: str) -> int:
        """A person's level."""
        if user_id in self._above:
            return ABOVE_ALL
        return self._users.get(user_id, self._users_default)

    @property
    def of_anybody(self) -> int:
        """The level of whoever is not named."""
        return self._users_default

    def to_send(self, event_type: str, is_state: bool) -> int:
        """The level that an event of this type needs."""
        return self._events.get(event_type, self._state_default if is_state else self._events_default)

    def check_change(self, user_id: str, new: Mapping[str, Any]) -> None:
        """Whether `user_id` may replace these levels by `new` (already checked by `check_levels`).

        Nobody grants more than they have, nobody touches what is above them, nobody demotes their equals.
        Raises M_FORBIDDEN.
        """
        own, old, new = self.of(user_id), self._content or {}, as_integers(new)
        pairs = [(old.get(name), new.get(name)) for name in _LEVELS]
        for part in ("events", "notifications") if self._notifications else ("events",):
            before, after = old.get(part, {}), new.get(part, {})
            pairs += [(before.get(name), after.get(name)) for name in before.keys() | after.keys()]
        for was, becomes in pairs:
            if was != becomes and max(was or 0, becomes or 0) > own:
                raise forbidden(f"a level above your own ({own}) can be neither set nor changed")
        self._check_users(user_id, own, new.get("users", {}))

    def _check_users(self, user_id: str, own: int, new: Mapping[str, int]) -> None:
        for name in self._users.keys() | new.keys():
            was, becomes = self._users.get(name), new.get(name)
            if was == becomes:
                continue
            if name != user_id and was is not None and was >= own:
                raise forbidden(f"{name} has level {was}; only someone above can change it")
            if becomes is not None and becomes > own:
                raise forbidden(f"a level above your own ({own}) can be neither set nor changed")


def check_levels(
    content: Mapping[str, Any], version: RoomVersion = ROOM_VERSIONS[DEFAULT_VERSION], creators: Iterable[str] = ()
) -> None:
    """Whether this is well-formed power levels content in a room of this version (pinned types at 0).

    Raises M_BAD_JSON, or M_FORBIDDEN for an attempt to raise a pinned type.
    """
    for name in _LEVELS:
        if name in content:
            _check_level(name, content[name], version)
    for part in _PARTS:
        levels = content.get(part, {})
        if not isinstance(levels, dict):
            raise bad_json(f"{part} must be an object, not {type(levels).__name__}")
        for name, level in levels.items():
            _check_level(name, level, version)
    for name in content.get("users", {}):
        try:
            check_user_id(name)
        except IdentifierError as error:
            raise bad_json(str(error)) from None
    if version.creators_above_all and not set(creators).isdisjoint(content.get("users", {})):
        raise bad_json(f"creators of a room of version {version.id} stand above all levels: users cannot name them")
    for name, pinned in PINNED.items():
        if _integer(content.get("events", {}).get(name, pinned)) != pinned:
            raise forbidden(f"the power level of {name} is {pinned} in every room")


def _check_level(name: str, level: object, version: RoomVersion) -> None:
    if type(level) is str and not version.integers_only and _INTEGER.fullmatch(level):
        level = int(level)
    if type(level) is not int or not -MAX_LEVEL <= level <= MAX_LEVEL:
        raise bad_json(f"the power level of {name[:80]} must be an integer")


def as_integers(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same levels as numbers, where an old room wrote them as text."""
    found = {name: _integer(value) if name in _LEVELS else value for name, value in content.items()}
    for part in _PARTS:
        if part in content:
            found[part] = {name: _integer(level) for name, level in content[part].items()}
    return found


def _integer(level: int | str) -> int:
    return int(level)
