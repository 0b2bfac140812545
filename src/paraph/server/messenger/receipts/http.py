"""Endpoints for receipts and read markers."""

from __future__ import annotations

import msgspec

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.endpoint import EMPTY
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.receipts.service import FULLY_READ, KINDS, Receipts

ROOM = "/_matrix/client/v3/rooms/{room_id}"


class _Receipt(msgspec.Struct):
    thread_id: str | None = None


class _Markers(msgspec.Struct, rename={"read": "m.read", "private": "m.read.private", "fully": "m.fully_read"}):
    read: str | None = None
    private: str | None = None
    fully: str | None = None


class _Receipts:
    def __init__(self, receipts: Receipts) -> None:
        self._receipts = receipts

    async def receipt(self, request: Request) -> Reply:
        params = request.params
        kind, thread = params["kind"], request.json(_Receipt).thread_id
        if kind not in KINDS:
            raise invalid(f"a receipt is one of {', '.join(KINDS)}")
        if thread == "" or (thread is not None and kind == FULLY_READ):
            raise invalid("thread_id is not empty, and not used with m.fully_read")
        marks = {kind: params["event_id"]}
        await self._receipts.read_up_to(request.person, params["room_id"], marks, thread or "")
        return EMPTY

    async def markers(self, request: Request) -> Reply:
        body = request.json(_Markers)
        marks = dict(zip(KINDS, (body.read, body.private, body.fully), strict=True))
        given = {kind: event_id for kind, event_id in marks.items() if event_id is not None}
        await self._receipts.read_up_to(request.person, request.params["room_id"], given)
        return EMPTY


def endpoints(receipts: Receipts) -> list[Endpoint]:
    """Rows for receipts."""
    on, person = _Receipts(receipts), Access.PERSON
    return [
        Endpoint("POST", f"{ROOM}/receipt/{{kind}}/{{event_id}}", person, on.receipt, "Say how far one has read."),
        Endpoint("POST", f"{ROOM}/read_markers", person, on.markers, "Say how far one has read."),
    ]
