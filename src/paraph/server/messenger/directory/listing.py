"""The public list of rooms: who is in it, and looking through it (Client-Server API, "Published room directory").

What is shown of a room is kept in its row and renewed with each state change that shows, so that a page of the list
costs one search of an index, however many rooms there are.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.directory import store
from paraph.server.messenger.directory.aliases import may_publish
from paraph.server.messenger.directory.store import Listed
from paraph.server.messenger.errors import forbidden, invalid, not_found
from paraph.server.messenger.model import Event
from paraph.server.messenger.overview.summary import SHOWN, summary
from paraph.server.messenger.room import Room
from paraph.server.storage import Transaction

MAX_PAGE = 500
MAX_SCAN = 2_000
"""Rooms looked at for one page of a search."""
MAX_COUNT = 10_000
"""Up to here the number of listed rooms is counted."""
MAX_TERM = 255
END = 2**53

encode = msgspec.json.Encoder().encode


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins: behind this room, or before it."""

    members: Annotated[int, msgspec.Meta(ge=0, le=END)] = END
    room_id: Annotated[str, msgspec.Meta(pattern=r"\A[ -~]{0,255}\Z")] = ""
    backwards: bool = False


_place = msgspec.json.Decoder(Place)


def parse_place(token: str | None) -> Place:
    """The place in a `next_batch` or `prev_batch` of this list; raises M_INVALID_PARAM."""
    if not token:
        return Place()
    try:
        return _place.decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, msgspec.DecodeError):
        raise invalid(f"{token[:40]!r} is no token of this list") from None


def _token(members: int, room_id: str, *, backwards: bool) -> str:
    return urlsafe_b64encode(encode(Place(members, room_id, backwards))).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: text in name, topic or alias; room types (None stands for the usual one), or all of them."""

    term: str = ""
    kinds: frozenset[str | None] | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.term and self.kinds is None

    def finds(self, row: Listed) -> bool:
        """Whether a room is looked for."""
        return self.term in row.folded and (self.kinds is None or (row.kind or None) in self.kinds)


class Page(msgspec.Struct):
    """A page of the list."""

    chunk: list[msgspec.Raw]
    total_room_count_estimate: int
    next_batch: str | msgspec.UnsetType = msgspec.UNSET
    prev_batch: str | msgspec.UnsetType = msgspec.UNSET


class Listing:
    """The public list."""

    def __init__(self, core: Core) -> None:
        self._core = core
        core.on_state.append(self.note)

    async def is_public(self, room_id: str) -> bool:
        """Whether a room is listed; raises M_NOT_FOUND for none."""

        def read(tx: Transaction) -> bool:
            if self._core.room_now(tx, room_id) is None:
                raise not_found(f"there is no room {room_id}")
            return store.is_listed(tx, room_id)

        return await self._core.look(read)

    async def set_public(self, person: PersonPrincipal, room_id: str, visibility: Literal["public", "private"]) -> None:
        """List a room, or list it no more; for whoever may set its canonical alias."""

        def write(tx: Transaction) -> None:
            room = self._core.rooms.current(tx, room_id)
            if room is None:
                raise not_found(f"there is no room {room_id}")
            if not may_publish(room, person.user_id):
                raise forbidden("your power level is not enough to say whether this room is listed")
            self.put(tx, room, listed=visibility == "public")

        await self._core.database.write(write)

    def put(self, tx: Transaction, room: Room, *, listed: bool) -> None:
        """Within a write: list a room, or list it no more."""
        if listed:
            store.put_listed(tx, _row(room))
        else:
            store.remove_listed(tx, room.room_id)

    def note(self, tx: Transaction, room: Room, event: Event) -> None:
        """Within a write: state changed. What the list says of a listed room is renewed."""
        if event.type in SHOWN and store.is_listed(tx, room.room_id):
            store.put_listed(tx, _row(room))

    async def page(self, place: Place, limit: int, search: Search) -> Page:
        """The rooms that follow a place, the largest first."""

        def read(tx: Transaction) -> Page:
            rows, rest = _scan(tx, place, limit, search)
            total = store.count_listed(tx, MAX_COUNT) if search.everything else len(rows)
            return _page(place, rows, rest, total)

        return await self._core.database.read(read)


Rest = tuple[int, str] | None


def _scan(tx: Transaction, place: Place, limit: int, search: Search) -> tuple[list[Listed], Rest]:
    """At most `limit` rows that are looked for, and where to go on from (None: there are no more)."""
    found: list[Listed] = []
    at, scanned = (place.members, place.room_id), 0
    size = limit + 1 if search.everything else MAX_SCAN // 4
    while True:
        batch = store.listed(tx, *at, size, backwards=place.backwards)
        for row in batch:
            if len(found) == limit:
                return found, at
            if search.finds(row):
                found.append(row)
            at = (row.members, row.room_id)
        scanned += len(batch)
        if len(batch) < size:
            return found, None
        if scanned >= MAX_SCAN:
            return found, at


def _page(place: Place, rows: list[Listed], rest: Rest, total: int) -> Page:
    """A page with the tokens of its neighbours; asked for backwards, the list was walked from its end."""
    begin = None if place == Place() else (place.members, place.room_id)
    if rows:
        begin = None if place == Place() else (rows[0].members, rows[0].room_id)
    before, after = (rest, begin) if place.backwards else (begin, rest)
    if place.backwards:
        rows.reverse()
    page = Page([msgspec.Raw(row.entry) for row in rows], total)
    if after is not None:
        page.next_batch = _token(*after, backwards=False)
    if before is not None:
        page.prev_batch = _token(*before, backwards=True)
    return page


def _row(room: Room) -> Listed:
    shown = summary(room)
    texts = (shown.name, shown.topic, shown.canonical_alias)
    folded = "\n".join(text.casefold() for text in texts if isinstance(text, str))
    kind = shown.room_type if isinstance(shown.room_type, str) else ""
    return Listed(shown.num_joined_members, room.room_id, kind, folded, encode(shown))
