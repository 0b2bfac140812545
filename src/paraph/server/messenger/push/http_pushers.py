"""Endpoints for pushers and past notifications."""

from __future__ import annotations

from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request
from paraph.server.http.endpoint import EMPTY, parse_json
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.push.past import Past
from paraph.server.messenger.push.pushers import Pushers, SetPusher
from paraph.server.messenger.reading import parse_token

CLIENT = "/_matrix/client/v3"
MAX_PAGE = 100


class _Pushers:
    def __init__(self, pushers: Pushers, past: Past) -> None:
        self._pushers = pushers
        self._past = past

    async def listed(self, request: Request) -> Reply:
        return Reply.json({"pushers": await self._pushers.listed(request.person)})

    async def set(self, request: Request) -> Reply:
        given = request.json(dict[str, object])
        if missing := [name for name in ("app_id", "pushkey", "kind") if name not in given]:
            raise MatrixError(400, "M_MISSING_PARAM", f"Missing parameters: {', '.join(missing)}")
        await self._pushers.set(request.person, parse_json(request.body, SetPusher))
        return EMPTY

    async def notifications(self, request: Request) -> Reply:
        query = request.query()
        only, start = query.get("only"), query.get("from")
        if only not in (None, "", "highlight"):
            raise invalid("only is highlight")
        limit = request.query_int("limit", 20, 1, MAX_PAGE)
        found, end = await self._past.page(
            request.person, parse_token(start) if start else None, limit, highlights=only == "highlight"
        )
        answer: dict[str, object] = {"notifications": found}
        return Reply.json(answer if end is None else answer | {"next_token": f"s{end}"})


def endpoints(pushers: Pushers, past: Past) -> list[Endpoint]:
    """Rows for pushers and notifications."""
    on, person = _Pushers(pushers, past), Access.PERSON
    return [
        Endpoint("GET", f"{CLIENT}/pushers", person, on.listed, "One's pushers."),
        Endpoint("POST", f"{CLIENT}/pushers/set", person, on.set, "Set or delete a pusher."),
        Endpoint("GET", f"{CLIENT}/notifications", person, on.notifications, "What one was notified of."),
    ]
