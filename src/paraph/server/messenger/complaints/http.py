"""Endpoints for reports."""

from __future__ import annotations

from typing import Annotated

import msgspec

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.endpoint import EMPTY
from paraph.server.messenger.complaints.service import MAX_REASON, Complaints

CLIENT = "/_matrix/client/v3"
MAX_PAGE = 100
_NEWEST = 2**53


class _Complaint(msgspec.Struct):
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON)] | None = None
    score: int | None = None


class _Complaints:
    def __init__(self, complaints: Complaints) -> None:
        self._complaints = complaints

    async def event(self, request: Request) -> Reply:
        params, reason = request.params, request.json(_Complaint).reason
        await self._complaints.about_event(request.person, params["room_id"], params["event_id"], reason or "")
        return EMPTY

    async def room(self, request: Request) -> Reply:
        reason = request.json(_Complaint).reason
        await self._complaints.about_room(request.person, request.params["room_id"], reason or "")
        return EMPTY

    async def person(self, request: Request) -> Reply:
        reason = request.json(_Complaint).reason
        await self._complaints.about_person(request.person, request.params["user_id"], reason or "")
        return EMPTY

    async def newest(self, request: Request) -> Reply:
        before = request.query_int("before", _NEWEST, 0, _NEWEST)
        limit = request.query_int("limit", MAX_PAGE, 1, MAX_PAGE)
        return Reply.json({"complaints": await self._complaints.newest(before, limit)})


def endpoints(complaints: Complaints) -> list[Endpoint]:
    """Rows for reports, and for the operator to read them."""
    on, person = _Complaints(complaints), Access.PERSON
    room = f"{CLIENT}/rooms/{{room_id}}/report"
    return [
        Endpoint("POST", f"{room}/{{event_id}}", person, on.event, "Report an event to the operator."),
        Endpoint("POST", room, person, on.room, "Report a room to the operator."),
        Endpoint("POST", f"{CLIENT}/users/{{user_id}}/report", person, on.person, "Report a person to the operator."),
        Endpoint("GET", "/_paraph/v1/admin/complaints", Access.OPERATOR, on.newest, "What people reported."),
    ]
