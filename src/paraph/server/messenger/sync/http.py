"""Endpoints of sync and its filters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.http_client import own
from paraph.server.messenger.service import Messenger
from paraph.server.messenger.sync.service import Asked
from paraph.server.messenger.tokens import Token

CLIENT = "/_matrix/client/v3"
MAX_SYNC_TIMEOUT_MS = 60_000


class _Sync:
    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger

    async def add_filter(self, request: Request) -> Reply:
        own(request)
        definition = request.json(dict[str, Any])
        return Reply.json({"filter_id": await self._messenger.filters.add(request.person, definition)})

    async def filter(self, request: Request) -> Reply:
        own(request)
        return Reply(200, await self._messenger.filters.definition(request.person, request.params["filter_id"]))

    async def sync(self, request: Request) -> Reply:
        query = request.query()
        since = query.get("since")
        asked = Asked(
            Token.parse(since) if since else None,
            _milliseconds(query.get("timeout", "0")) / 1000,
            await self._messenger.filters.plan(request.person, query.get("filter")),
            _switch(query, "full_state"),
            _switch(query, "use_state_after") or _switch(query, "org.matrix.msc4222.use_state_after"),
            query.get("set_presence", "online"),
        )
        return Reply(200, await self._messenger.sync.answer(request.person, asked))


def _milliseconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise invalid("timeout must be a whole number of milliseconds")
    return min(int(text), MAX_SYNC_TIMEOUT_MS)


def _switch(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise invalid(f"{name} must be true or false")
    return value == "true"


def endpoints(messenger: Messenger) -> list[Endpoint]:
    """Rows for sync and its filters."""
    on, person = _Sync(messenger), Access.PERSON
    filters = f"{CLIENT}/user/{{user_id}}/filter"
    return [
        Endpoint("POST", filters, person, on.add_filter, "Keep a sync filter."),
        Endpoint("GET", f"{filters}/{{filter_id}}", person, on.filter, "A sync filter."),
        Endpoint("GET", f"{CLIENT}/sync", person, on.sync, "What happened since a token; waits if asked to."),
    ]
