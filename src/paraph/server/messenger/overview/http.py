"""Endpoints of summaries and spaces."""

from __future__ import annotations

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.messenger.directory.aliases import Aliases
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.overview.hierarchy import MAX_PAGE, MAX_ROOMS, Hierarchy, Walk, resume
from paraph.server.messenger.overview.service import Overview

CLIENT = "/_matrix/client/v1"
PROPOSED = "/_matrix/client/unstable/im.nheko.summary/summary"
"""Where clients look that take a server for one of before version 1.15, as they take this one."""
_SWITCH = {None: False, "false": False, "true": True}


class _Overview:
    def __init__(self, overview: Overview, hierarchy: Hierarchy, aliases: Aliases) -> None:
        self._overview = overview
        self._hierarchy = hierarchy
        self._aliases = aliases

    async def summary(self, request: Request) -> Reply:
        room_id = await self._aliases.room_id(request.params["room_id"])
        return Reply.json(await self._overview.summary(request.person, room_id))

    async def hierarchy(self, request: Request) -> Reply:
        query = request.query()
        suggested = query.get("suggested_only")
        if suggested not in _SWITCH:
            raise invalid("suggested_only is true or false")
        walk = Walk(_SWITCH[suggested], request.query_int("max_depth", -1, 0, MAX_ROOMS))
        limit = request.query_int("limit", MAX_PAGE, 1, MAX_PAGE)
        page = await self._hierarchy.page(
            request.person, request.params["room_id"], resume(query.get("from"), walk), limit
        )
        return Reply.json(page)


def endpoints(overview: Overview, hierarchy: Hierarchy, aliases: Aliases) -> list[Endpoint]:
    """Rows for summaries and spaces."""
    on, person = _Overview(overview, hierarchy, aliases), Access.PERSON
    return [
        Endpoint("GET", f"{CLIENT}/room_summary/{{room_id}}", person, on.summary, "What a room is."),
        Endpoint("GET", f"{PROPOSED}/{{room_id}}", person, on.summary, "What a room is, as it was proposed (MSC3266)."),
        Endpoint("GET", f"{CLIENT}/rooms/{{room_id}}/hierarchy", person, on.hierarchy, "The rooms of a space."),
    ]
