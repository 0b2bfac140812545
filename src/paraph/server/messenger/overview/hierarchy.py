"""The tree of a space: its rooms, depth first, page by page (Client-Server API, "Spaces").

A page walks the tree anew and leaves out what earlier pages showed: nothing is kept between pages, and who may see
what is decided by what is so now. At most `MAX_ROOMS` rooms are walked.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger import events
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import forbidden, invalid
from paraph.server.messenger.model import Event
from paraph.server.messenger.overview.access import may_know
from paraph.server.messenger.overview.summary import FullSummary, full_summary
from paraph.server.messenger.room import Room
from paraph.server.storage import Transaction

CHILD = "m.space.child"
SPACE = "m.space"
MAX_PAGE = 50
MAX_ROOMS = 1_000
ROOMS_PER_READ = 20
"""Rooms looked at before others get their turn on the event loop."""
MAX_ORDER = 50
Raw = msgspec.Raw
encode = msgspec.json.Encoder().encode


class HierarchyRoom(FullSummary):
    """A room of the tree."""

    children_state: list[Raw] = msgspec.field(default_factory=list)


class HierarchyPage(msgspec.Struct):
    """A page of the tree."""

    rooms: list[HierarchyRoom]
    next_batch: str | msgspec.UnsetType = msgspec.UNSET


class Walk(msgspec.Struct, frozen=True, array_like=True):
    """How the tree is walked: only to suggested rooms, how deep (-1: to its end), and how many rooms were shown."""

    suggested_only: bool = False
    max_depth: Annotated[int, msgspec.Meta(ge=-1, le=MAX_ROOMS)] = -1
    shown: Annotated[int, msgspec.Meta(ge=0, le=MAX_ROOMS)] = 0


_walk = msgspec.json.Decoder(Walk)


def resume(token: str | None, walk: Walk) -> Walk:
    """The walk that a token goes on with; raises M_INVALID_PARAM if it belongs to another one."""
    if not token:
        return walk
    try:
        found = _walk.decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, msgspec.DecodeError):
        raise invalid(f"{token[:40]!r} is no token of a hierarchy") from None
    if (found.suggested_only, found.max_depth) != (walk.suggested_only, walk.max_depth):
        raise invalid("suggested_only and max_depth must be what they were on the first page")
    return found


@dataclass(frozen=True, slots=True)
class _Node:
    room_id: str
    depth: int


class Hierarchy:
    """Walks spaces."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def page(self, person: PersonPrincipal, room_id: str, walk: Walk, limit: int) -> HierarchyPage:
        """The rooms of a space that the person may know of; raises M_FORBIDDEN if the space itself is none of them."""
        await self._core.look(lambda tx: self._check(tx, room_id, person.user_id))
        walking = _Walking(self._core, person.user_id, room_id, walk, limit)
        for _ in range(MAX_ROOMS // ROOMS_PER_READ + 1):
            if not await self._core.database.read(walking.on):
                break
            await asyncio.sleep(0)
        return walking.page

    def _check(self, tx: Transaction, room_id: str, user_id: str) -> None:
        root = self._core.room_now(tx, room_id)
        if root is None or not may_know(self._core, tx, root, user_id):
            raise forbidden(f"{room_id[:80]} is no room that you may look into")


class _Walking:
    """One walk, a few rooms at a time. `met` counts the rooms that may be known of."""

    def __init__(self, core: Core, user_id: str, root: str, walk: Walk, limit: int) -> None:
        self.page = HierarchyPage([])
        self._core = core
        self._user_id = user_id
        self._walk = walk
        self._limit = limit
        self._seen = {root}
        self._ahead = [_Node(root, 0)]
        self._met = 0

    def on(self, tx: Transaction) -> bool:
        """Look at the next rooms; returns whether there is more to look at."""
        for _ in range(ROOMS_PER_READ):
            if not self._ahead or self.page.next_batch is not msgspec.UNSET:
                return False
            self._visit(tx, self._ahead.pop())
        return True

    def _visit(self, tx: Transaction, node: _Node) -> None:
        room = self._core.room_now(tx, node.room_id)
        if room is None or not may_know(self._core, tx, room, self._user_id):
            return
        if len(self.page.rooms) == self._limit:
            self.page.next_batch = _token(self._walk, self._met)
            return
        children = _children(room, self._walk)
        self._met += 1
        if self._met > self._walk.shown:
            self.page.rooms.append(_shown(room, children))
        if node.depth == self._walk.max_depth:
            return
        new = [str(child.state_key) for child in children if child.state_key not in self._seen]
        new = new[: MAX_ROOMS - len(self._seen)]
        self._seen.update(new)
        self._ahead += [_Node(child, node.depth + 1) for child in reversed(new)]


def _children(room: Room, walk: Walk) -> list[Event]:
    """The room's links to its children, in their order; whoever walks no deeper sees them all the same."""
    if _content(room, "m.room.create").get("type") != SPACE:
        return []
    found: list[tuple[tuple[bool, str, int, str], Event]] = []
    for (kind, child), event in room.state.items():
        content = event.content if kind == CHILD else {}
        via = content.get("via")
        if not isinstance(via, list) or not via or (walk.suggested_only and content.get("suggested") is not True):
            continue
        order = _order(content.get("order"))
        found.append(((order is None, order or "", event.ts, child), event))
    return [event for _, event in sorted(found, key=lambda entry: entry[0])]


def _order(value: Any) -> str | None:
    """A valid `order`: at most 50 visible ASCII characters or spaces; anything else counts as none."""
    valid = isinstance(value, str) and len(value) <= MAX_ORDER and all(" " <= character <= "~" for character in value)
    return value if valid else None


def _content(room: Room, kind: str) -> dict[str, Any]:
    event = room.state.get((kind, ""))
    return {} if event is None else event.content


def _shown(room: Room, children: list[Event]) -> HierarchyRoom:
    shown = HierarchyRoom(**msgspec.structs.asdict(full_summary(room)))
    shown.children_state = [Raw(_child(event)) for event in children]
    return shown


def _child(event: Event) -> bytes:
    """Stripped state with its time, which children are ordered by, and the space that the link stands in."""
    return b'%b,"origin_server_ts":%d,"room_id":%b}' % (events.stripped(event)[:-1], event.ts, encode(event.room_id))


def _token(walk: Walk, shown: int) -> str:
    return urlsafe_b64encode(encode((walk.suggested_only, walk.max_depth, shown))).rstrip(b"=").decode()
