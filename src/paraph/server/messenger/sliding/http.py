"""Endpoints of sliding sync."""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.server.http import Access, Endpoint, Reply
from paraph.server.http import Request as HttpRequest
from paraph.server.messenger.errors import bad_json
from paraph.server.messenger.service import Messenger
from paraph.server.messenger.sliding.model import Request, with_query
from paraph.server.messenger.sliding.rooms import Names

UNSTABLE = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
STABLE = "/_matrix/client/v4/sync"
MAX_BODY = 256 * 1024

_TODAY = Names()
_PROPOSED = Names("timeline_events", "stripped_state", "expanded_timeline")


class _Sliding:
    def __init__(self, messenger: Messenger) -> None:
        self._sliding = messenger.sliding

    async def today(self, request: HttpRequest) -> Reply:
        return Reply(200, await self._sliding.answer(request.person, _parsed(request), _TODAY))

    async def proposed(self, request: HttpRequest) -> Reply:
        return Reply(200, await self._sliding.answer(request.person, _parsed(request), _PROPOSED))


def _parsed(request: HttpRequest) -> Request:
    try:
        return msgspec.convert(with_query(request.json(dict[str, Any]), request.query()), Request)
    except msgspec.ValidationError as error:
        raise bad_json(f"the request does not fit: {error}") from None


def endpoints(messenger: Messenger) -> list[Endpoint]:
    """Rows for sliding sync."""
    on, person = _Sliding(messenger), Access.PERSON
    said = "What is new in the rooms a client looks at; waits if asked to."
    return [
        Endpoint("POST", UNSTABLE, person, on.today, said, max_body=MAX_BODY),
        Endpoint("POST", STABLE, person, on.proposed, said, max_body=MAX_BODY),
    ]
