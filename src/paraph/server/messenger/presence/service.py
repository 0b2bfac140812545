"""Whether somebody is here."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import forbidden, invalid
from paraph.server.messenger.events import check_name

MAX_PRESENCES = 50_000
_PRESENCES = ("online", "offline", "unavailable")


class Presence:
    """What people say about themselves, in memory."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._presence: OrderedDict[str, tuple[str, str | None, int]] = OrderedDict()

    async def presence(self, person: PersonPrincipal, user_id: str) -> dict[str, Any]:
        """Whether somebody is here; of oneself, or of people one shares a room with."""
        if user_id != person.user_id and not await self._core.database.read(
            lambda tx: self._core.store.share_a_room(tx, person.user_id, user_id)
        ):
            raise forbidden("presence is shown to people who share a room")
        said = self._presence.get(user_id)
        waiting = self._core.notifier.is_waiting(user_id)
        if said is None:
            return {"presence": "online" if waiting else "offline", "currently_active": waiting}
        state, message, at = said
        answer: dict[str, Any] = {
            "presence": state,
            "currently_active": waiting,
            "last_active_ago": max(0, self._core.clock() - at),
        }
        return answer if message is None else answer | {"status_msg": message}

    def set_presence(self, person: PersonPrincipal, state: str, message: str | None) -> None:
        """Say whether one is here; forgotten when the server restarts."""
        if state not in _PRESENCES:
            raise invalid(f"presence must be one of {', '.join(_PRESENCES)}")
        if message is not None:
            check_name("status_msg", message)
        self._presence.pop(person.user_id, None)
        self._presence[person.user_id] = (state, message, self._core.clock())
        if len(self._presence) > MAX_PRESENCES:
            self._presence.popitem(last=False)
