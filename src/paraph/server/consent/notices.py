"""What correspondents see: `org.paraph.grant` in every room that a person's grants cover."""

from collections.abc import Callable, Iterable
from typing import Any

from paraph.protocol.scope import Scope
from paraph.server.consent import grant_store, partner_store
from paraph.server.consent.gate import GrantGate
from paraph.server.consent.hooks import GrantChange
from paraph.server.consent.model import HeldGrant
from paraph.server.consent.ports import Rooms
from paraph.server.storage import Transaction

GRANT_EVENT = "org.paraph.grant"


class Notices:
    """Writes who may read an author's words into the rooms themselves, in the transaction that changes it."""

    def __init__(self, rooms: Rooms, gate: GrantGate, clock: Callable[[], int]) -> None:
        self._rooms = rooms
        self._gate = gate
        self._clock = clock

    def refresh(self, tx: Transaction, person: str) -> None:
        """Bring every room that the person is in up to date."""
        scopes = self._standing(tx, person)
        told = grant_store.rooms_with_notices(tx, person)
        for room_id in self._rooms.joined_rooms(tx, person):
            if room_id in told or any(scope.covers(room_id) for _, scope in scopes):
                self._write(tx, person, room_id, scopes)

    def on_membership(self, tx: Transaction, room_id: str, user_id: str, membership: str) -> None:
        """A room that a person with grants joins learns of them at once (hook of the messenger)."""
        if membership == "join" and self._gate.may_have_grants(user_id):
            self._write(tx, user_id, room_id, self._standing(tx, user_id))

    def on_closed(self, tx: Transaction, room_id: str, _user_id: str, _closed: bool) -> None:
        """A member closed or reopened a room: a new state of every grant that touches it (hook of the messenger)."""
        for person in list(self._rooms.members(tx, room_id)):
            if not self._gate.may_have_grants(person):
                continue
            scopes = self._standing(tx, person)
            covering = [(held, scope) for held, scope in scopes if scope.covers(room_id)]
            if covering:
                self._gate.bump(tx, person)
                self._write(tx, person, room_id, scopes)
            what = "closed" if self._rooms.is_closed(tx, room_id) else "reopened"
            for grant in (held.grant for held, _ in covering):
                change = GrantChange(person, grant.partner, grant.grant_id, what, {"room_id": room_id})
                self._gate.hooks.grant(tx, change)

    def _standing(self, tx: Transaction, person: str) -> list[tuple[HeldGrant, Scope]]:
        """Each grant that gives something, now or once it begins, with its scope."""
        now, found = self._clock(), []
        for held in grant_store.open_grants_of(tx, person, now):
            agreements = partner_store.agreements(tx, held.grant.partner)
            scope = held.scope(agreements, max(now, held.grant.from_))
            if scope is not None:
                found.append((held, scope))
        return found

    def _write(self, tx: Transaction, person: str, room_id: str, scopes: Iterable[tuple[HeldGrant, Scope]]) -> None:
        closed = self._rooms.is_closed(tx, room_id)
        covering = [(held.grant.partner, scope) for held, scope in scopes if scope.covers(room_id)]
        content = _content([] if closed else covering)
        before = grant_store.room_notice(tx, person, room_id) or _content([])
        if content != before:
            grant_store.put_room_notice(tx, person, room_id, content)
            self._rooms.put_platform_state(tx, room_id, GRANT_EVENT, person, person, content)


def _content(scopes: Iterable[tuple[str, Scope]]) -> dict[str, Any]:
    until: dict[str, int] = {}
    for slug, scope in scopes:
        until[slug] = max(until.get(slug, 0), scope.until)
    return {"partners": [{"partner": slug, "until": until[slug]} for slug in sorted(until)]}
