"""The endpoint for searching."""

from __future__ import annotations

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.search.model import Search, place
from paraph.server.messenger.search.service import Searching


class _Search:
    def __init__(self, searching: Searching) -> None:
        self._searching = searching

    async def search(self, request: Request) -> Reply:
        asked = request.json(Search).search_categories.room_events
        token = request.query().get("next_batch")
        if asked is None:
            return Reply.json({"search_categories": {}})
        if not asked.search_term.strip():
            raise invalid("search_term is not empty")
        found = await self._searching.room_events(request.person, asked, place(token) if token else None)
        return Reply.json({"search_categories": {"room_events": found}})


def endpoints(searching: Searching) -> list[Endpoint]:
    """The row for searching."""
    on = _Search(searching)
    return [
        Endpoint(
            "POST",
            "/_matrix/client/v3/search",
            Access.PERSON,
            on.search,
            "Search what this server can read: names and topics of rooms, and messages that are not encrypted.",
        )
    ]
