"""Which partners may read what a person says now: asked with every message of somebody who has grants.

What a person's grants say is read once for each of her versions, which every change of a grant, an agreement or a
room's closing makes larger; only the time is looked at anew. What was read is kept only once the write that read it is
durable, so a version that was rolled back leaves nothing behind.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from paraph.server.consent import grant_store, partner_store
from paraph.server.consent.gate import GrantGate
from paraph.server.consent.model import Agreements, HeldGrant
from paraph.server.consent.ports import Rooms
from paraph.server.storage import Transaction

READ = "read"
MAX_PEOPLE = 20_000


@dataclass(slots=True)
class _Known:
    """A person's open grants at one version, and which rooms were found closed or open since."""

    version: int
    grants: list[tuple[HeldGrant, Agreements]]
    closed: dict[str, bool] = field(default_factory=dict)


class Covering:
    """The grants that cover a message at the moment it is sent."""

    def __init__(self, gate: GrantGate, rooms: Rooms, clock: Callable[[], int]) -> None:
        self._gate = gate
        self._rooms = rooms
        self._clock = clock
        self._people: OrderedDict[str, _Known] = OrderedDict()

    def reading(self, tx: Transaction, person: str, device_id: str, room_id: str, verb: str = READ) -> list[HeldGrant]:
        """The person's grants under which what this device of hers says (or, by `verb`, uploads) in the room now may
        be read.
        """
        if not self._gate.may_have_grants(person):
            return []
        version = self._gate.acting_on(tx, person, device_id)
        if version is None:
            return []
        known, now = self._known(tx, person, version), self._clock()
        scopes = ((held, held.scope(agreements, now)) for held, agreements in known.grants)
        found = [held for held, scope in scopes if scope is not None and verb in scope.verbs and scope.covers(room_id)]
        return [] if found and self._is_closed(tx, known, room_id) else found

    def _known(self, tx: Transaction, person: str, version: int) -> _Known:
        known = self._people.get(person)
        if known is None or known.version != version:
            known = self._read(tx, person, version)
            read = known
            tx.after_commit(lambda: self._keep(person, read))
        return known

    def _read(self, tx: Transaction, person: str, version: int) -> _Known:
        agreements: dict[str, Agreements] = {}
        grants = grant_store.open_grants_of(tx, person, self._clock())
        for slug in {held.grant.partner for held in grants}:
            agreements[slug] = partner_store.agreements(tx, slug)
        return _Known(version, [(held, agreements[held.grant.partner]) for held in grants])

    def _keep(self, person: str, known: _Known) -> None:
        self._people[person] = known
        self._people.move_to_end(person)
        if len(self._people) > MAX_PEOPLE:
            self._people.popitem(last=False)

    def _is_closed(self, tx: Transaction, known: _Known, room_id: str) -> bool:
        closed = known.closed.get(room_id)
        if closed is None:
            closed = self._rooms.is_closed(tx, room_id)
            found = closed
            tx.after_commit(lambda: known.closed.__setitem__(room_id, found))
        return closed
