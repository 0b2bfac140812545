"""Endpoints of profiles and of the directory of people (Client-Server API v1.19, "Profiles", "User Directory")."""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request
from paraph.server.http.endpoint import EMPTY
from paraph.server.messenger.http_client import own
from paraph.server.messenger.model import Profile
from paraph.server.messenger.profiles.service import MAX_PROFILE_BYTES, Profiles

_V3 = "/_matrix/client/v3"
_PROFILE = f"{_V3}/profile/{{user_id}}"
_FIELD = f"{_PROFILE}/{{key_name}}"


class _Search(msgspec.Struct):
    search_term: str
    limit: int = 10


def endpoints(profiles: Profiles) -> list[Endpoint]:
    """This part's rows of the endpoint table."""
    on, person, anyone, body = _Profiles(profiles), Access.PERSON, Access.PUBLIC, 2 * MAX_PROFILE_BYTES
    return [
        Endpoint("GET", _PROFILE, anyone, on.profile, "What somebody says of herself", limit="profiles"),
        Endpoint("GET", _FIELD, anyone, on.field, "One field of a profile", limit="profiles"),
        Endpoint("PUT", _FIELD, person, on.set_field, "Set a field of one's profile", max_body=body),
        Endpoint("DELETE", _FIELD, person, on.remove_field, "Remove a field of one's profile"),
        Endpoint("POST", f"{_V3}/user_directory/search", person, on.search, "Find people"),
        Endpoint("GET", "/_matrix/client/v1/mutual_rooms", person, on.mutual, "Rooms that one shares with somebody"),
    ]


class _Profiles:
    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    async def profile(self, request: Request) -> Reply:
        return Reply.json(await self._profiles.profile(request.params["user_id"]))

    async def field(self, request: Request) -> Reply:
        return Reply.json(await self._profiles.field(request.params["user_id"], request.params["key_name"]))

    async def set_field(self, request: Request) -> Reply:
        own(request)
        name, body = request.params["key_name"], request.json(dict[str, Any])
        if name not in body:
            raise MatrixError(400, "M_MISSING_PARAM", f"the body lacks {name[:80]}")
        await self._profiles.set(request.person, name, body[name])
        return EMPTY

    async def remove_field(self, request: Request) -> Reply:
        own(request)
        await self._profiles.remove(request.person, request.params["key_name"])
        return EMPTY

    async def search(self, request: Request) -> Reply:
        body = request.json(_Search)
        found, more = await self._profiles.search(request.person, body.search_term, body.limit)
        results = [{"user_id": user_id} | _shown(profile) for user_id, profile in found]
        return Reply.json({"results": results, "limited": more})

    async def mutual(self, request: Request) -> Reply:
        query = request.query()
        if "user_id" not in query:
            raise MatrixError(400, "M_MISSING_PARAM", "the query lacks user_id")
        found = await self._profiles.mutual_rooms(request.person, query["user_id"], query.get("from", ""))
        joined, count, following = found
        return Reply.json({"joined": joined, "count": count} | ({"next_batch": following} if following else {}))


def _shown(profile: Profile) -> dict[str, str]:
    shown = {"display_name": profile.displayname, "avatar_url": profile.avatar_url}
    return {name: value for name, value in shown.items() if value is not None}
