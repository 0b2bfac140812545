"""A room's summary for whoever thinks of joining it."""

from __future__ import annotations

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import not_found
from paraph.server.messenger.overview.access import may_know
from paraph.server.messenger.overview.summary import FullSummary, full_summary
from paraph.server.storage import Transaction


class Overview:
    """Says what a room is."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def summary(self, person: PersonPrincipal, room_id: str) -> FullSummary:
        """A room's summary with what the person is to it; raises M_NOT_FOUND if she may not know of it."""

        def read(tx: Transaction) -> FullSummary:
            room = self._core.room_now(tx, room_id)
            if room is None or not may_know(self._core, tx, room, person.user_id):
                raise not_found(f"there is no room {room_id[:80]} that you may know of")
            found = full_summary(room)
            found.membership = room.memberships.get(person.user_id, "leave")
            return found

        return await self._core.look(read)
