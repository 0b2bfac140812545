"""The Inbox API over HTTP (docs/protocol.md section 8). Errors are problem details (RFC 9457)."""

from typing import Any

import msgspec

from paraph.server.consent.service import Consent
from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.inbox.errors import bad_parameter, problems, whole
from paraph.server.inbox.keys import PartnerQueues
from paraph.server.inbox.reading import MAX_MESSAGES, Query, Reading, parse_cursor
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


def endpoints(reading: Reading, queues: PartnerQueues, consent: Consent, database: Database) -> list[Endpoint]:
    """The endpoints of this room."""
    handlers, partner = Handlers(reading, queues, consent, database), Access.PARTNER
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
        Endpoint("GET", f"{API}/grants", partner, problems(handlers.grants), "Live grants with the authors' devices"),
        Endpoint("GET", f"{API}/rooms", partner, problems(handlers.rooms), "Rooms in which something is granted"),
        Endpoint(
            "GET",
            f"{API}/rooms/{{room_id}}/messages",
            partner,
            problems(handlers.messages),
            "Encrypted messages by granting authors, each access recorded first",
        ),
    ]


class Handlers:
    """Parse, ask the services, render."""

    def __init__(self, reading: Reading, queues: PartnerQueues, consent: Consent, database: Database) -> None:
        self._reading = reading
        self._queues = queues
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
        query = request.query()
        device_id, since = query.get("device_id"), parse_cursor(query.get("since", ""))
        if device_id is None:
            raise bad_parameter("device_id is missing")
        limit = request.query_int("limit", 100, 1, MAX_EVENTS)
        timeout = request.query_int("timeout", 0, 0, MAX_TIMEOUT_MS)
        waiting = await self._queues.events(whole(request), device_id, since, limit, timeout)
        events = [
            {"sender": event.sender, "sender_device": event.sender_device, "content": event.content}
            for event in waiting
        ]
        return Reply.json({"events": events, "next": f"p{waiting[-1].position if waiting else since}"})

    async def grants(self, request: Request) -> Reply:
        """Live grants."""
        return Reply.json({"grants": await self._reading.grants(request.partner.slug, request.partner.grant_id)})

    async def rooms(self, request: Request) -> Reply:
        """Open rooms."""
        return Reply.json({"rooms": await self._reading.rooms(request.partner.slug, request.partner.grant_id)})

    async def messages(self, request: Request) -> Reply:
        """Messages, with their access entries and receipts."""
        query = request.query()
        if not query.get("purpose"):
            raise bad_parameter("purpose is missing: every access names one granted purpose")
        limit = request.query_int("limit", 100, 1, MAX_MESSAGES)
        since = parse_cursor(query.get("since", ""))
        caller, room_id = request.partner, request.params["room_id"]
        asked = Query(caller.slug, room_id, query["purpose"], since, limit, caller.grant_id)
        return Reply.json(await self._reading.messages(asked))
