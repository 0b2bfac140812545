"""The Inbox API over HTTP (docs/protocol.md section 8). Errors are problem details (RFC 9457)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from paraph.server.consent.service import Consent
from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.told_limits import grant_in_query
from paraph.server.inbox.changes import Ask
from paraph.server.inbox.errors import bad_parameter, problems, whole
from paraph.server.inbox.reading import Query
from paraph.server.inbox.service import Inbox
from paraph.server.inbox.serving import MAX_MESSAGES
from paraph.server.storage import Database

API = "/inbox/v1"
MAX_TIMEOUT_MS = 30_000
MAX_EVENTS = 500
MAX_DOCUMENT = 128 * 1024
"""Bytes of a body that carries one document."""


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class DeviceBody(_Body, frozen=True):
    """POST /devices."""

    device: dict[str, Any]


class EndingBody(_Body, frozen=True):
    """POST /devices/{device_id}/end."""

    ending: dict[str, Any]


class KeysBody(_Body, frozen=True):
    """POST /device-keys."""

    device_id: str
    one_time_keys: dict[str, Any] = {}
    fallback_keys: dict[str, Any] = {}


def endpoints(inbox: Inbox, consent: Consent, database: Database) -> list[Endpoint]:
    """The endpoints of this room."""
    handlers, partner = Handlers(inbox, consent, database), Access.PARTNER
    return [
        Endpoint(
            "POST",
            f"{API}/devices",
            partner,
            problems(handlers.register),
            "Publish a device, signed by the partner's master key",
            max_body=MAX_DOCUMENT,
        ),
        Endpoint(
            "POST",
            f"{API}/devices/{{device_id}}/end",
            partner,
            problems(handlers.end),
            "End a device",
            max_body=MAX_DOCUMENT,
        ),
        Endpoint(
            "POST", f"{API}/device-keys", partner, problems(handlers.upload), "Publish a device's one-time keys", "keys"
        ),
        Endpoint(
            "GET", f"{API}/key-events", partner, problems(handlers.events), "Keys sent to a device; waits for some"
        ),
        Endpoint(
            "GET",
            f"{API}/grants",
            partner,
            problems(handlers.grants),
            "Live grants with the authors' devices",
            grant=grant_in_query,
        ),
        Endpoint("GET", f"{API}/rooms", partner, problems(handlers.rooms), "Rooms in which something is granted"),
        Endpoint(
            "GET",
            f"{API}/rooms/{{room_id}}/messages",
            partner,
            problems(handlers.messages),
            "Encrypted messages by granting authors, each access recorded first",
        ),
        Endpoint(
            "GET",
            f"{API}/changes",
            partner,
            problems(handlers.changes),
            "Everything new under all grants, in one order, each access recorded first; waits for some",
        ),
    ]


class Handlers:
    """Parse, ask the services, render."""

    def __init__(self, inbox: Inbox, consent: Consent, database: Database) -> None:
        self._reading = inbox.reading
        self._changes = inbox.changes
        self._queues = inbox.queues
        self._partners = consent.partners
        self._database = database

    async def register(self, request: Request) -> Reply:
        """Publish a device."""
        body, slug = request.json(DeviceBody), whole(request)
        record = await self._database.write(lambda tx: self._partners.register_device(tx, slug, body.device))
        return Reply.json({"record": record})

    async def end(self, request: Request) -> Reply:
        """End a device."""
        body, slug, device_id = request.json(EndingBody), whole(request), request.params["device_id"]
        record = await self._database.write(lambda tx: self._partners.end_device(tx, slug, device_id, body.ending))
        return Reply.json({"record": record})

    async def upload(self, request: Request) -> Reply:
        """Publish one-time keys."""
        body = request.json(KeysBody)
        counts = await self._queues.upload(whole(request), body.device_id, body.one_time_keys, body.fallback_keys)
        return Reply.json({"one_time_key_counts": counts.one_time, "unused_fallback_key_types": counts.unused_fallback})

    async def events(self, request: Request) -> Reply:
        """Key events; `next` is the `since` that deletes them and goes on."""
        query, slug = request.query(), whole(request)
        device_id = query.get("device_id")
        if device_id is None:
            raise bad_parameter("device_id is missing")
        since = self._queues.position(slug, device_id, query.get("since", ""))
        limit = request.query_int("limit", 100, 1, MAX_EVENTS)
        timeout = request.query_int("timeout", 0, 0, MAX_TIMEOUT_MS)
        waiting = await self._queues.events(slug, device_id, since, limit, timeout)
        events = [
            {"sender": event.sender, "sender_device": event.sender_device, "content": event.content}
            for event in waiting
        ]
        following = self._queues.cursor(slug, device_id, waiting[-1].position if waiting else since)
        return Reply.json({"events": events, "next": following})

    async def grants(self, request: Request) -> Reply:
        """Live grants: all, the one named, or those of one person."""
        query = request.query()
        found = await self._reading.grants(request.partner, grant_id=query.get("grant_id"), person=query.get("person"))
        return Reply.json({"grants": found})

    async def rooms(self, request: Request) -> Reply:
        """Open rooms."""
        return Reply.json({"rooms": await self._reading.rooms(request.partner.slug, request.partner.grant_id)})

    async def messages(self, request: Request) -> Reply:
        """Messages, with their access entries and receipts."""
        query, caller, room_id = request.query(), request.partner, request.params["room_id"]
        limit = request.query_int("limit", 100, 1, MAX_MESSAGES)
        since = self._reading.cursors.position(caller.slug, room_id, query.get("since", ""))
        asked = Query(caller.slug, room_id, _purpose(query), since, limit, caller.grant_id)
        return Reply.json(await self._reading.messages(asked))

    async def changes(self, request: Request) -> Reply:
        """The stream of changes."""
        query, caller = request.query(), request.partner
        purpose = _purpose(query)
        limit = request.query_int("limit", 100, 1, MAX_MESSAGES)
        timeout = request.query_int("timeout", 0, 0, MAX_TIMEOUT_MS)
        place = self._changes.states.place(caller.slug, purpose, caller.grant_id, query.get("state", ""))
        asked = Ask(caller.slug, purpose, caller.grant_id, place, limit)
        return Reply.json(await self._changes.read(asked, timeout))


def _purpose(query: Mapping[str, str]) -> str:
    if not query.get("purpose"):
        raise bad_parameter("purpose is missing: every access names one granted purpose")
    return query["purpose"]
