"""Endpoints of presence."""

from __future__ import annotations

from typing import Literal

import msgspec

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.endpoint import EMPTY
from paraph.server.messenger.http_client import own
from paraph.server.messenger.service import Messenger

STATUS = "/_matrix/client/v3/presence/{user_id}/status"


class _Status(msgspec.Struct):
    presence: Literal["online", "offline", "unavailable"]
    status_msg: str | None = None


class _Presence:
    def __init__(self, messenger: Messenger) -> None:
        self._presence = messenger.presence

    async def presence(self, request: Request) -> Reply:
        return Reply.json(await self._presence.status(request.person, request.params["user_id"]))

    async def set_presence(self, request: Request) -> Reply:
        own(request)
        body = request.json(_Status)
        await self._presence.set(request.person, body.presence, body.status_msg)
        return EMPTY


def endpoints(messenger: Messenger) -> list[Endpoint]:
    """Rows for presence."""
    on, person = _Presence(messenger), Access.PERSON
    return [
        Endpoint("GET", STATUS, person, on.presence, "Whether somebody is here."),
        Endpoint("PUT", STATUS, person, on.set_presence, "Say whether one is here."),
    ]
