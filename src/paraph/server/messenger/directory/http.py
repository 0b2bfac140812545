"""Endpoints of aliases and the public list."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.endpoint import EMPTY
from paraph.server.messenger.directory.aliases import Aliases
from paraph.server.messenger.directory.listing import MAX_PAGE, MAX_TERM, Listing, Search, parse_place
from paraph.server.messenger.errors import not_found

CLIENT = "/_matrix/client/v3"
ALIAS = f"{CLIENT}/directory/room/{{alias}}"
LISTED = f"{CLIENT}/directory/list/room/{{room_id}}"


class _Alias(msgspec.Struct):
    room_id: str


class _Visibility(msgspec.Struct):
    visibility: Literal["public", "private"] = "public"


class _Filter(msgspec.Struct):
    generic_search_term: Annotated[str, msgspec.Meta(max_length=MAX_TERM)] | None = None
    room_types: Annotated[list[str | None], msgspec.Meta(max_length=100)] | None = None


class _Search(msgspec.Struct):
    filter: _Filter | None = None
    limit: int | None = None
    since: str | None = None
    third_party_instance_id: str | None = None
    include_all_networks: bool = False


class _Directory:
    def __init__(self, aliases: Aliases, listing: Listing, server_name: str) -> None:
        self._aliases = aliases
        self._listing = listing
        self._server_name = server_name

    async def resolve(self, request: Request) -> Reply:
        room_id = await self._aliases.resolve(request.params["alias"])
        return Reply.json({"room_id": room_id, "servers": [self._server_name]})

    async def add(self, request: Request) -> Reply:
        await self._aliases.add(request.person, request.params["alias"], request.json(_Alias).room_id)
        return EMPTY

    async def remove(self, request: Request) -> Reply:
        await self._aliases.remove(request.person, request.params["alias"])
        return EMPTY

    async def of_room(self, request: Request) -> Reply:
        return Reply.json({"aliases": await self._aliases.of_room(request.person, request.params["room_id"])})

    async def is_public(self, request: Request) -> Reply:
        public = await self._listing.is_public(request.params["room_id"])
        return Reply.json({"visibility": "public" if public else "private"})

    async def set_public(self, request: Request) -> Reply:
        visibility = request.json(_Visibility).visibility
        await self._listing.set_public(request.person, request.params["room_id"], visibility)
        return EMPTY

    async def list(self, request: Request) -> Reply:
        self._check_server(request)
        limit = request.query_int("limit", MAX_PAGE, 1, MAX_PAGE)
        place = parse_place(request.query().get("since"))
        return Reply.json(await self._listing.page(place, limit, Search()))

    async def search(self, request: Request) -> Reply:
        self._check_server(request)
        body = request.json(_Search)
        asked = body.filter or _Filter()
        kinds = None if asked.room_types is None else frozenset(asked.room_types)
        search = Search((asked.generic_search_term or "").casefold(), kinds)
        limit = min(max(MAX_PAGE if body.limit is None else body.limit, 1), MAX_PAGE)
        return Reply.json(await self._listing.page(parse_place(body.since), limit, search))

    def _check_server(self, request: Request) -> None:
        server = request.query().get("server")
        if server not in (None, "", self._server_name):
            raise not_found("this server does not federate: it knows its own list only")


def endpoints(aliases: Aliases, listing: Listing, server_name: str) -> list[Endpoint]:
    """Rows for aliases and the public list."""
    on, public, person = _Directory(aliases, listing, server_name), Access.PUBLIC, Access.PERSON
    rooms = f"{CLIENT}/publicRooms"
    return [
        Endpoint("GET", ALIAS, public, on.resolve, "The room that an alias leads to.", "public"),
        Endpoint("PUT", ALIAS, person, on.add, "Let an alias lead to a room."),
        Endpoint("DELETE", ALIAS, person, on.remove, "Remove an alias."),
        Endpoint("GET", f"{CLIENT}/rooms/{{room_id}}/aliases", person, on.of_room, "A room's aliases."),
        Endpoint("GET", LISTED, public, on.is_public, "Whether a room is in the public list.", "public"),
        Endpoint("PUT", LISTED, person, on.set_public, "Put a room into the public list, or take it out."),
        Endpoint("GET", rooms, public, on.list, "The public list of rooms.", "public"),
        Endpoint("POST", rooms, person, on.search, "Look through the public list of rooms."),
    ]
