"""Reading relations: the children of an event, the threads of a room, and the bundles of what is served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import not_found
from paraph.server.messenger.model import Event
from paraph.server.messenger.reading import MAX_SCAN, Reading
from paraph.server.messenger.relations.bundles import Bundles, Reader
from paraph.server.messenger.relations.store import Wanted
from paraph.server.messenger.store import END
from paraph.server.messenger.visibility import Sight
from paraph.server.storage import Transaction

Raw = msgspec.Raw


@dataclass(frozen=True, slots=True)
class Asked:
    """Which children are asked for: by relation and event type ("" is any), between two tokens, in one direction."""

    rel_type: str
    type: str
    backwards: bool
    recurse: bool
    start: int | None
    to: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class Served:
    """Events in the asked order, their bundles, and the position to go on from (None at the end)."""

    events: list[Event]
    bundles: dict[str, Raw]
    end: int | None


class Relations:
    """Answers questions about relations."""

    def __init__(self, core: Core, reading: Reading) -> None:
        self._core = core
        self._reading = reading
        self._store = core.relations.store
        self.bundles = Bundles(self._store)

    def reader(self, tx: Transaction, person: PersonPrincipal, upto: int) -> Reader:
        """The person as a reader who sees everything up to there."""
        return Reader(person.user_id, person.device_id, upto, self._core.ignored(tx, person.user_id))

    async def of(self, person: PersonPrincipal, room_id: str, found: Sequence[Event]) -> dict[str, Raw]:
        """The bundles of events of one room that are served to somebody who may see them."""
        if not found:
            return {}

        def read(tx: Transaction) -> dict[str, Raw]:
            sight, upto = self._reading.sight(tx, room_id, person.user_id)
            return self.bundles.of(tx, replace(self.reader(tx, person, upto), sees=sight.sees), found)

        return await self._core.look(read)

    async def children(self, person: PersonPrincipal, room_id: str, event_id: str, asked: Asked) -> Served:
        """A page of what relates to an event; raises M_NOT_FOUND unless the person may see that event."""

        def read(tx: Transaction) -> Served:
            sight, upto = self._reading.sight(tx, room_id, person.user_id)
            parent = self._core.store.event(tx, room_id, event_id)
            if parent is None or parent.position > upto or not sight.sees(parent):
                raise not_found(f"there is no event {event_id} that you may see")
            found, end = self._page(tx, room_id, event_id, asked, sight, upto)
            reader = replace(self.reader(tx, person, upto), sees=sight.sees)
            return Served(found, self.bundles.of(tx, reader, found), end)

        await self._core.reach(max(asked.start or 0, asked.to or 0))
        return await self._core.look(read)

    def _page(
        self, tx: Transaction, room_id: str, event_id: str, asked: Asked, sight: Sight, upto: int
    ) -> tuple[list[Event], int | None]:
        """Children that may be seen until there are enough, no more, or enough were looked at."""
        low, high = asked.start or 0, min(upto, END if asked.to is None else asked.to)
        if asked.backwards:
            low, high = asked.to or 0, min(upto, END if asked.start is None else asked.start)
        fetch = self._store.descendants if asked.recurse else self._store.children
        wanted = Wanted(room_id, event_id, asked.rel_type, asked.type, low, high, asked.limit)
        found: list[Event] = []
        for _ in range(-(-MAX_SCAN // asked.limit)):
            batch = fetch(tx, wanted, backwards=asked.backwards)
            for event in batch:
                wanted = _behind(wanted, event, backwards=asked.backwards)
                if sight.sees(event):
                    found.append(event)
                    if len(found) == asked.limit:
                        return found, wanted.upto if asked.backwards else wanted.after
            if len(batch) < asked.limit:
                return found, None
        return found, wanted.upto if asked.backwards else wanted.after

    async def threads(
        self, person: PersonPrincipal, room_id: str, start: int | None, limit: int, *, participated: bool
    ) -> Served:
        """A page of a room's threads, by their newest events; `end` is where the next page begins."""

        def read(tx: Transaction) -> Served:
            sight, upto = self._reading.sight(tx, room_id, person.user_id)
            reader = replace(self.reader(tx, person, upto), sees=sight.sees)
            who = person.user_id if participated else ""
            rows = self._store.threads(tx, room_id, min(upto, END if start is None else start), who, limit)
            roots = [root for _, root in rows if sight.sees(root)]
            bundles = self.bundles.of(tx, reader, roots)
            end = rows[-1][0] - 1 if len(rows) == limit else None
            return Served([_shown(root, reader) for root in roots], bundles, end)

        await self._core.reach(start or 0)
        return await self._core.look(read)


def _behind(wanted: Wanted, event: Event, *, backwards: bool) -> Wanted:
    """What is left to be asked for once this event was seen."""
    return replace(wanted, upto=event.position - 1) if backwards else replace(wanted, after=event.position)


class _Emptied(msgspec.Struct):
    content: dict[str, Raw]
    event_id: str
    origin_server_ts: int
    sender: str
    type: str


def _shown(root: Event, reader: Reader) -> Event:
    """The root itself; emptied where the reader ignores whoever sent it."""
    if root.sender not in reader.ignored:
        return root
    emptied = msgspec.structs.replace(root)
    emptied.json = msgspec.json.encode(_Emptied({}, root.event_id, root.ts, root.sender, root.type))
    return emptied
