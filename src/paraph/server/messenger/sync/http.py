"""Endpoints of sync and its filters."""

from __future__ import annotations

from typing import Any

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.http_client import own
from paraph.server.messenger.reading import parse_token
from paraph.server.messenger.service import Messenger

CLIENT = "/_matrix/client/v3"
MAX_SYNC_TIMEOUT_MS = 60_000


class _Sync:
    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger

    async def add_filter(self, request: Request) -> Reply:
        own(request)
        definition = request.json(dict[str, Any])
        return Reply.json({"filter_id": await self._messenger.filters.add_filter(request.person, definition)})

    async def filter(self, request: Request) -> Reply:
        own(request)
        return Reply(200, await self._messenger.filters.filter(request.person, request.params["filter_id"]))

    async def sync(self, request: Request) -> Reply:
        query = request.query()
        since = query.get("since")
        limit = await self._messenger.filters.timeline_limit(request.person, query.get("filter"))
        body = await self._messenger.sync.answer(
            request.person,
            parse_token(since) if since else None,
            _milliseconds(query.get("timeout", "0")) / 1000,
            limit,
            query.get("full_state") == "true",
        )
        return Reply(200, body)


def _milliseconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise invalid("timeout must be a whole number of milliseconds")
    return min(int(text), MAX_SYNC_TIMEOUT_MS)


def endpoints(messenger: Messenger) -> list[Endpoint]:
    """Rows for sync and its filters."""
    on, person = _Sync(messenger), Access.PERSON
    filters = f"{CLIENT}/user/{{user_id}}/filter"
    return [
        Endpoint("POST", filters, person, on.add_filter, "Keep a sync filter."),
        Endpoint("GET", f"{filters}/{{filter_id}}", person, on.filter, "A sync filter."),
        Endpoint("GET", f"{CLIENT}/sync", person, on.sync, "What happened since a token; waits if asked to."),
    ]
