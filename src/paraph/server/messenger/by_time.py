"""Which event is nearest to a moment (Client-Server API, "timestamp_to_event").

Events are stored in the order in which they were accepted, and their times follow the server's clock: the moment is
found by halving, so that no index over times is needed, which every message would have to pay for. Where the clock was
set back, an event beside the nearest one may be found.
"""

from __future__ import annotations

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import not_found
from paraph.server.messenger.model import Event
from paraph.server.messenger.reading import MAX_SCAN, Reading
from paraph.server.messenger.visibility import Sight
from paraph.server.storage import Transaction

_BATCH = 50


class ByTime:
    """Finds events by when they happened."""

    def __init__(self, core: Core, reading: Reading) -> None:
        self._core = core
        self._reading = reading

    async def nearest(self, person: PersonPrincipal, room_id: str, ts: int, *, backwards: bool) -> Event:
        """The nearest event at or after `ts` (ms), or at or before it, that the person may see; raises M_NOT_FOUND."""

        def read(tx: Transaction) -> Event:
            sight, upto = self._reading.sight(tx, room_id, person.user_id)
            found = self._search(tx, room_id, sight, upto, ts, backwards)
            if found is None:
                raise not_found(f"there is no event {'before' if backwards else 'after'} that time that you may see")
            return found

        return await self._core.look(read)

    def _search(self, tx: Transaction, room_id: str, sight: Sight, upto: int, ts: int, backwards: bool) -> Event | None:
        at = self._last_before(tx, room_id, upto, ts + 1 if backwards else ts)
        for _ in range(MAX_SCAN // _BATCH):
            batch = self._next(tx, room_id, at, upto, backwards)
            for event in batch:
                if sight.sees(event):
                    return event
            if len(batch) < _BATCH:
                return None
            at = batch[-1].position - 1 if backwards else batch[-1].position
        return None

    def _next(self, tx: Transaction, room_id: str, at: int, upto: int, backwards: bool) -> list[Event]:
        store = self._core.store
        if backwards:
            return store.events_backwards(tx, room_id, 0, at, _BATCH)
        return store.events_forwards(tx, room_id, at, upto, _BATCH)

    def _last_before(self, tx: Transaction, room_id: str, upto: int, ts: int) -> int:
        """A position up to which events are older than `ts`, and behind which they are not."""
        low, high = 0, upto
        while low < high:
            middle = (low + high) // 2
            after = self._core.store.events_forwards(tx, room_id, middle, upto, 1)
            if after and after[0].ts < ts:
                low = after[0].position
            else:
                high = middle
        return low
