"""Power levels (Client-Server API, `m.room.power_levels`; authorization rules of room version 11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import check_user_id
from paraph.server.messenger.errors import bad_json, forbidden
from paraph.server.messenger.model import CLOSED, GRANT

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
MAX_LEVEL = 2**53 - 1


class Power:
    """A room's power levels, ready to ask."""

    __slots__ = ("_content", "_creator", "_events", "_events_default", "_state_default", "_users", "_users_default")

    def __init__(self, content: Mapping[str, Any] | None, creator: str) -> None:
        self._creator = creator
        self._content = content or {}
        self._users: Mapping[str, int] = self._content.get("users", {}) if content else {creator: 100}
        self._events: Mapping[str, int] = {**self._content.get("events", {}), **PINNED}
        self._users_default = self.level("users_default")
        self._events_default = self.level("events_default")
        self._state_default = self.level("state_default") if content else 0

    def level(self, name: str) -> int:
        """The level that an action needs: `ban`, `kick`, `redact` or `invite` (or one of the defaults)."""
        level: int = self._content.get(name, _LEVELS[name])
        return level

    def of(self, user_id: str) -> int:
        """A person's level."""
        return self._users.get(user_id, self._users_default)

    def to_send(self, event_type: str, is_state: bool) -> int:
        """The level that an event of this type needs."""
        return self._events.get(event_type, self._state_default if is_state else self._events_default)

    def check_change(self, user_id: str, new: Mapping[str, Any]) -> None:
        """Whether `user_id` may replace these levels by `new` (already checked by `check_levels`).

        Nobody grants more than they have, nobody touches what is above them, nobody demotes their equals.
        Raises M_FORBIDDEN.
        """
        own, old = self.of(user_id), self._content
        pairs = [(old.get(name), new.get(name)) for name in _LEVELS]
        for part in ("events", "notifications"):
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


def check_levels(content: Mapping[str, Any]) -> None:
    """Whether this is well-formed power levels content (integers only; pinned types at 0).

    Raises M_BAD_JSON, or M_FORBIDDEN for an attempt to raise a pinned type.
    """
    for name in _LEVELS:
        if name in content:
            _check_level(name, content[name])
    for part in ("users", "events", "notifications"):
        levels = content.get(part, {})
        if not isinstance(levels, dict):
            raise bad_json(f"{part} must be an object, not {type(levels).__name__}")
        for name, level in levels.items():
            _check_level(name, level)
    for name in content.get("users", {}):
        try:
            check_user_id(name)
        except IdentifierError as error:
            raise bad_json(str(error)) from None
    for name, level in PINNED.items():
        if content.get("events", {}).get(name, level) != level:
            raise forbidden(f"the power level of {name} is {level} in every room")


def _check_level(name: str, level: object) -> None:
    if type(level) is not int or not -MAX_LEVEL <= level <= MAX_LEVEL:
        raise bad_json(f"the power level of {name[:80]} must be an integer")
