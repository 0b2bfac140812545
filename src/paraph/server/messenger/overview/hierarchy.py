"""The tree of a space: its rooms, depth first, page by page (Client-Server API, "Spaces").

A page walks the tree anew and leaves out what earlier pages showed: nothing is kept between pages, and who may see
what is decided by what is so now. At most `MAX_ROOMS` rooms are walked.
"""

from __future__ import annotations

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

        def read(tx: Transaction) -> HierarchyPage:
            root = self._core.room_now(tx, room_id)
            if root is None or not may_know(self._core, tx, root, person.user_id):
                raise forbidden(f"{room_id} is no room that you may look into")
            return self._page(tx, person.user_id, room_id, walk, limit)

        return await self._core.look(read)

    def _page(self, tx: Transaction, user_id: str, root: str, walk: Walk, limit: int) -> HierarchyPage:
        page, seen, met = HierarchyPage([]), {root}, 0
        ahead = [_Node(root, 0)]
        while ahead and len(seen) <= MAX_ROOMS:
            node = ahead.pop()
            room = self._core.room_now(tx, node.room_id)
            if room is None or not may_know(self._core, tx, room, user_id):
                continue
            if len(page.rooms) == limit:
                page.next_batch = _token(walk, met)
                return page
            children = self._children(room, walk, node)
            met += 1
            if met > walk.shown:
                page.rooms.append(_shown(room, children))
            new = [str(child.state_key) for child in children if child.state_key not in seen]
            seen.update(new)
            ahead += [_Node(child, node.depth + 1) for child in reversed(new)]
        return page

    def _children(self, room: Room, walk: Walk, node: _Node) -> list[Event]:
        """The room's links to its children, in their order; none where the walk goes no deeper."""
        if _content(room, "m.room.create").get("type") != SPACE or node.depth == walk.max_depth:
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
    """Stripped state with its time, which children are ordered by."""
    return b'%b,"origin_server_ts":%d}' % (events.stripped(event)[:-1], event.ts)


def _token(walk: Walk, shown: int) -> str:
    return urlsafe_b64encode(encode((walk.suggested_only, walk.max_depth, shown))).rstrip(b"=").decode()
