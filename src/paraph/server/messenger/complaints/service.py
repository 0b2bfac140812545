"""Reporting events, rooms and people to the operator (Client-Server API, "Reporting Content")."""

from __future__ import annotations

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import check_user_id
from paraph.server.http import PersonPrincipal
from paraph.server.messenger.complaints import store
from paraph.server.messenger.complaints.store import Complaint
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import invalid, not_found
from paraph.server.messenger.reading import Reading
from paraph.server.storage import Transaction

MAX_REASON = 2_000
"""Characters of a reason."""


class Complaints:
    """Takes reports, and hands them to the operator."""

    def __init__(self, core: Core, reading: Reading) -> None:
        self._core = core
        self._reading = reading

    async def about_event(self, person: PersonPrincipal, room_id: str, event_id: str, reason: str) -> None:
        """Report an event of a room that the person is joined to; raises M_NOT_FOUND."""
        event, _ = await self._reading.event(person, room_id, event_id)

        def write(tx: Transaction) -> None:
            room = self._core.rooms.current(tx, room_id)
            if room is None or person.user_id not in room.joined:
                raise not_found("there is no such event in a room that you are joined to")
            self._add(tx, person, reason, room_id=room_id, event_id=event_id, user_id=event.sender)

        await self._core.database.write(write)

    async def about_room(self, person: PersonPrincipal, room_id: str, reason: str) -> None:
        """Report a room, joined or not; raises M_NOT_FOUND."""

        def write(tx: Transaction) -> None:
            if self._core.rooms.current(tx, room_id) is None:
                raise not_found(f"there is no room {room_id[:80]}")
            self._add(tx, person, reason, room_id=room_id)

        await self._core.database.write(write)

    async def about_person(self, person: PersonPrincipal, user_id: str, reason: str) -> None:
        """Report a person; raises M_NOT_FOUND."""
        try:
            check_user_id(user_id)
        except IdentifierError as error:
            raise invalid(str(error)) from None

        def write(tx: Transaction) -> None:
            if not self._core.exists(tx, user_id):
                raise not_found(f"nobody here is called {user_id}")
            self._add(tx, person, reason, user_id=user_id)

        await self._core.database.write(write)

    def _add(
        self,
        tx: Transaction,
        person: PersonPrincipal,
        reason: str,
        *,
        room_id: str | None = None,
        event_id: str | None = None,
        user_id: str | None = None,
    ) -> None:
        now = self._core.clock()
        store.add(tx, Complaint(tx.next_position(), person.user_id, room_id, event_id, user_id, reason, now))

    async def newest(self, before: int, limit: int) -> list[Complaint]:
        """Reports from before a position, the newest first."""
        return await self._core.database.read(lambda tx: store.below(tx, before, limit))
