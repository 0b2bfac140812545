"""Endpoints for relations and threads."""

from __future__ import annotations

import msgspec

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.messenger import events
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.model import Event
from paraph.server.messenger.reading import check_dir, parse_token
from paraph.server.messenger.relations.bundles import with_relations
from paraph.server.messenger.relations.model import MAX_HOPS
from paraph.server.messenger.relations.service import Asked, Relations, Served

ROOM = "/_matrix/client/v1/rooms/{room_id}"
MAX_PAGE = 100
DEFAULT_PAGE = 20
_SWITCH = {None: False, "false": False, "true": True}
_INCLUDE = {None: False, "all": False, "participated": True}


class _Relations:
    def __init__(self, relations: Relations) -> None:
        self._relations = relations

    async def children(self, request: Request) -> Reply:
        params, query = request.params, request.query()
        asked = Asked(
            params.get("rel_type", ""),
            params.get("event_type", ""),
            check_dir(query.get("dir", "b")),
            _choice(query, "recurse", _SWITCH),
            _token(query, "from"),
            _token(query, "to"),
            request.query_int("limit", DEFAULT_PAGE, 1, MAX_PAGE),
        )
        served = await self._relations.children(request.person, params["room_id"], params["event_id"], asked)
        answer = _answer(served, request)
        if "recurse" in query:
            answer["recursion_depth"] = MAX_HOPS
        if "from" in query:
            answer["prev_batch"] = query["from"]
        return Reply.json(answer)

    async def threads(self, request: Request) -> Reply:
        query = request.query()
        served = await self._relations.threads(
            request.person,
            request.params["room_id"],
            _token(query, "from"),
            request.query_int("limit", DEFAULT_PAGE, 1, MAX_PAGE),
            participated=_choice(query, "include", _INCLUDE),
        )
        return Reply.json(_answer(served, request))


def _choice(query: dict[str, str], name: str, choices: dict[str | None, bool]) -> bool:
    value = query.get(name)
    if value not in choices:
        raise invalid(f"{name} is one of {', '.join(choice for choice in choices if choice)}")
    return choices[value]


def _token(query: dict[str, str], name: str) -> int | None:
    token = query.get(name)
    return parse_token(token) if token else None


def _event(event: Event, served: Served, request: Request) -> msgspec.Raw:
    json = events.full_for_device(event, request.person.user_id, request.person.device_id)
    return msgspec.Raw(with_relations(json, served.bundles.get(event.event_id)))


def _answer(served: Served, request: Request) -> dict[str, object]:
    answer: dict[str, object] = {"chunk": [_event(event, served, request) for event in served.events]}
    if served.end is not None:
        answer["next_batch"] = f"s{served.end}"
    return answer


def endpoints(relations: Relations) -> list[Endpoint]:
    """Rows for relations."""
    on, person = _Relations(relations), Access.PERSON
    children = f"{ROOM}/relations/{{event_id}}"
    return [
        Endpoint("GET", children, person, on.children, "What relates to an event."),
        Endpoint("GET", f"{children}/{{rel_type}}", person, on.children, "What relates to an event in one way."),
        Endpoint(
            "GET",
            f"{children}/{{rel_type}}/{{event_type}}",
            person,
            on.children,
            "Events of one type that relate to an event in one way.",
        ),
        Endpoint("GET", f"{ROOM}/threads", person, on.threads, "The threads of a room, by their newest event."),
    ]
