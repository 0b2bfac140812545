"""Endpoints for events: sending, state, redaction, history."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request
from paraph.server.messenger import events
from paraph.server.messenger.filters.choice import PageFilter
from paraph.server.messenger.model import Event
from paraph.server.messenger.reading import MAX_PAGE, Page, check_dir, parse_token
from paraph.server.messenger.relations.bundles import with_relations
from paraph.server.messenger.service import Messenger
from paraph.server.messenger.visibility import Sight

ROOM = "/_matrix/client/v3/rooms/{room_id}"
ROOM_V1 = "/_matrix/client/v1/rooms/{room_id}"
MAX_TIME = 2**53
MAX_BODY = 128 * 1024
"""Bytes of a sent content; an event may have half of that, so a larger one is named as such."""


class _Redact(msgspec.Struct):
    reason: str | None = None


class _Events:
    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger
        self._reading = messenger.reading
        self._send = messenger.sending.send

    async def send(self, request: Request) -> Reply:
        params = request.params
        content = request.json(dict[str, Any])
        event_id = await self._send(request.person, params["room_id"], params["type"], params["txn_id"], content)
        return Reply(200, b'{"event_id":"%b"}' % event_id.encode())

    async def send_once(self, request: Request) -> Reply:
        request.params["txn_id"] = secrets.token_urlsafe(16)
        return await self.send(request)

    async def redact_once(self, request: Request) -> Reply:
        request.params["txn_id"] = secrets.token_urlsafe(16)
        return await self.redact(request)

    async def redact(self, request: Request) -> Reply:
        params = request.params
        event_id = await self._messenger.sending.redact(
            request.person, params["room_id"], params["event_id"], params["txn_id"], request.json(_Redact).reason
        )
        return Reply.json({"event_id": event_id})

    async def set_state(self, request: Request) -> Reply:
        params = request.params
        event_id = await self._messenger.sending.set_state(
            request.person, params["room_id"], params["type"], params.get("state_key", ""), request.json(dict[str, Any])
        )
        return Reply.json({"event_id": event_id})

    async def state_entry(self, request: Request) -> Reply:
        params = request.params
        event = await self._reading.state_entry(
            request.person, params["room_id"], params["type"], params.get("state_key", "")
        )
        if request.query().get("format") == "event":
            return Reply(200, events.full(event))
        return Reply.json(event.content)

    async def state(self, request: Request) -> Reply:
        found = await self._reading.state(request.person, request.params["room_id"])
        return Reply.json([msgspec.Raw(events.full(event)) for event in found])

    async def event(self, request: Request) -> Reply:
        event, sight = await self._reading.event(request.person, request.params["room_id"], request.params["event_id"])
        bundles = await self._bundles(request, [event])
        return Reply(200, _seen(event, sight, request, bundles))

    async def messages(self, request: Request) -> Reply:
        query = request.query()
        start, to = query.get("from"), query.get("to")
        page = await self._reading.messages(
            request.person,
            request.params["room_id"],
            query.get("dir"),
            parse_token(start) if start else None,
            parse_token(to) if to else None,
            request.query_int("limit", 10, 1, MAX_PAGE),
            PageFilter.parse(query.get("filter")),
        )
        first = start or f"s{min(page.start, self._messenger.core.database.position)}"
        bundles = await self._bundles(request, page.events)
        members = [msgspec.Raw(events.full(event)) for event in page.members]
        answer = {"chunk": _all(page, request, bundles), "start": first, "state": members}
        return Reply.json(answer if page.end is None else answer | {"end": f"s{page.end}"})

    async def by_time(self, request: Request) -> Reply:
        query = request.query()
        if "ts" not in query:
            raise MatrixError(400, "M_MISSING_PARAM", "ts is the moment to look for, in milliseconds since 1970")
        event = await self._messenger.by_time.nearest(
            request.person,
            request.params["room_id"],
            request.query_int("ts", 0, 0, MAX_TIME),
            backwards=check_dir(query.get("dir")),
        )
        return Reply.json({"event_id": event.event_id, "origin_server_ts": event.ts})

    async def context(self, request: Request) -> Reply:
        limit = request.query_int("limit", 10, 0, MAX_PAGE)
        wanted = PageFilter.parse(request.query().get("filter"))
        found = await self._reading.context(
            request.person, request.params["room_id"], request.params["event_id"], limit, wanted
        )
        event, before, after = found.event, found.before, found.after
        oldest = before.events[-1].position - 1 if before.events else event.position - 1
        newest = after.events[-1].position if after.events else event.position
        bundles = await self._bundles(request, [event, *before.events, *after.events])
        return Reply.json(
            {
                "event": msgspec.Raw(_seen(event, before.sight, request, bundles)),
                "events_before": _all(before, request, bundles),
                "events_after": _all(after, request, bundles),
                "state": [msgspec.Raw(events.full(entry)) for entry in found.state],
                "start": f"s{oldest}",
                "end": f"s{newest}",
            }
        )

    async def _bundles(self, request: Request, found: Sequence[Event]) -> dict[str, msgspec.Raw]:
        return await self._messenger.relations.of(request.person, request.params["room_id"], found)


def _seen(event: Event, sight: Sight, request: Request, bundles: Mapping[str, msgspec.Raw]) -> bytes:
    person, there = request.person, sight.membership_at(event.position)
    served = events.with_membership(event, person.user_id, person.device_id, there)
    return with_relations(served, bundles.get(event.event_id))


def _all(page: Page, request: Request, bundles: Mapping[str, msgspec.Raw]) -> list[msgspec.Raw]:
    return [msgspec.Raw(_seen(event, page.sight, request, bundles)) for event in page.events]


def endpoints(messenger: Messenger) -> list[Endpoint]:
    """Rows for events."""
    on, person = _Events(messenger), Access.PERSON
    state = f"{ROOM}/state/{{type}}"
    return [
        Endpoint(
            "PUT", f"{ROOM}/send/{{type}}/{{txn_id}}", person, on.send, "Send a message event.", max_body=MAX_BODY
        ),
        Endpoint("POST", f"{ROOM}/send/{{type}}", person, on.send_once, "As older clients send.", max_body=MAX_BODY),
        Endpoint("POST", f"{ROOM}/redact/{{event_id}}", person, on.redact_once, "As older clients redact."),
        Endpoint("PUT", f"{ROOM}/redact/{{event_id}}/{{txn_id}}", person, on.redact, "Empty an event for good."),
        Endpoint("PUT", state, person, on.set_state, "Set room state.", max_body=MAX_BODY),
        Endpoint("PUT", f"{state}/{{state_key}}", person, on.set_state, "Set room state.", max_body=MAX_BODY),
        Endpoint("GET", state, person, on.state_entry, "One piece of room state."),
        Endpoint("GET", f"{state}/{{state_key}}", person, on.state_entry, "One piece of room state."),
        Endpoint("GET", f"{ROOM}/state", person, on.state, "The room's state."),
        Endpoint("GET", f"{ROOM}/event/{{event_id}}", person, on.event, "One event."),
        Endpoint("GET", f"{ROOM}/messages", person, on.messages, "A page of the room's history."),
        Endpoint("GET", f"{ROOM_V1}/timestamp_to_event", person, on.by_time, "The event nearest to a moment."),
        Endpoint("GET", f"{ROOM}/context/{{event_id}}", person, on.context, "An event and what is around it."),
    ]
