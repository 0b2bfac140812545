"""Endpoints for what belongs to one person or passes by."""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import check_room_id
from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.endpoint import EMPTY
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.http_client import own
from paraph.server.messenger.service import Messenger

CLIENT = "/_matrix/client/v3"
ROOM = f"{CLIENT}/rooms/{{room_id}}"
USER = f"{CLIENT}/user/{{user_id}}"


class _Typing(msgspec.Struct):
    typing: bool
    timeout: int = 30_000


class _Personal:
    def __init__(self, messenger: Messenger) -> None:
        self._personal = messenger.personal

    async def set_data(self, request: Request) -> Reply:
        own(request)
        params = request.params
        content = request.json(dict[str, Any])
        await self._personal.set_data(request.person, _room(params), params["type"], content)
        return EMPTY

    async def data(self, request: Request) -> Reply:
        own(request)
        params = request.params
        return Reply(200, await self._personal.data(request.person, _room(params), params["type"]))

    async def tags(self, request: Request) -> Reply:
        own(request)
        return Reply.json({"tags": await self._personal.tags(request.person, request.params["room_id"])})

    async def set_tag(self, request: Request) -> Reply:
        own(request)
        params = request.params
        content = request.json(dict[str, Any])
        await self._personal.set_tag(request.person, params["room_id"], params["tag"], content)
        return EMPTY

    async def remove_tag(self, request: Request) -> Reply:
        own(request)
        await self._personal.set_tag(request.person, request.params["room_id"], request.params["tag"], None)
        return EMPTY

    async def typing(self, request: Request) -> Reply:
        own(request)
        body = request.json(_Typing)
        timeout = max(0, body.timeout) / 1000
        await self._personal.set_typing(request.person, request.params["room_id"], body.typing, timeout)
        return EMPTY


def _room(params: dict[str, str]) -> str:
    """The room that data is for, empty for global data; raises M_INVALID_PARAM for what is no room id."""
    if "room_id" not in params:
        return ""
    try:
        return check_room_id(params["room_id"])
    except IdentifierError as error:
        raise invalid(str(error)) from None


def endpoints(messenger: Messenger) -> list[Endpoint]:
    """Rows for account data, tags and typing."""
    on, person = _Personal(messenger), Access.PERSON
    data, room_data = f"{USER}/account_data/{{type}}", f"{USER}/rooms/{{room_id}}/account_data/{{type}}"
    tags = f"{USER}/rooms/{{room_id}}/tags"
    return [
        Endpoint("PUT", data, person, on.set_data, "Keep data of one's own."),
        Endpoint("GET", data, person, on.data, "Data of one's own."),
        Endpoint("PUT", room_data, person, on.set_data, "Keep data of one's own for a room."),
        Endpoint("GET", room_data, person, on.data, "Data of one's own for a room."),
        Endpoint("GET", tags, person, on.tags, "One's tags of a room."),
        Endpoint("PUT", f"{tags}/{{tag}}", person, on.set_tag, "Put a tag on a room."),
        Endpoint("DELETE", f"{tags}/{{tag}}", person, on.remove_tag, "Take a tag off a room."),
        Endpoint("PUT", f"{ROOM}/typing/{{user_id}}", person, on.typing, "Say that one types."),
    ]
