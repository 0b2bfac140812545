"""Endpoints for what belongs to one person or passes by."""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.endpoint import EMPTY
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.http_client import own
from paraph.server.messenger.model import Profile
from paraph.server.messenger.service import Messenger

CLIENT = "/_matrix/client/v3"
ROOM = f"{CLIENT}/rooms/{{room_id}}"
USER = f"{CLIENT}/user/{{user_id}}"
PROFILE = f"{CLIENT}/profile/{{user_id}}"


class _DisplayName(msgspec.Struct):
    displayname: str | None = None


class _AvatarUrl(msgspec.Struct):
    avatar_url: str | None = None


class _Typing(msgspec.Struct):
    typing: bool
    timeout: int = 30_000


class _Search(msgspec.Struct):
    search_term: str
    limit: int = 10


class _Personal:
    def __init__(self, messenger: Messenger) -> None:
        self._memberships = messenger.memberships
        self._personal = messenger.personal

    async def profile(self, request: Request) -> Reply:
        return Reply.json(await self._memberships.profile(request.params["user_id"]))

    async def display_name(self, request: Request) -> Reply:
        profile = await self._memberships.profile(request.params["user_id"])
        return Reply.json(Profile(displayname=profile.displayname))

    async def avatar_url(self, request: Request) -> Reply:
        profile = await self._memberships.profile(request.params["user_id"])
        return Reply.json(Profile(avatar_url=profile.avatar_url))

    async def set_display_name(self, request: Request) -> Reply:
        own(request)
        await self._memberships.set_profile(request.person, "displayname", request.json(_DisplayName).displayname)
        return EMPTY

    async def set_avatar_url(self, request: Request) -> Reply:
        own(request)
        await self._memberships.set_profile(request.person, "avatar_url", request.json(_AvatarUrl).avatar_url)
        return EMPTY

    async def set_data(self, request: Request) -> Reply:
        own(request)
        params = request.params
        content = request.json(dict[str, Any])
        await self._personal.set_data(request.person, params.get("room_id", ""), params["type"], content)
        return EMPTY

    async def data(self, request: Request) -> Reply:
        own(request)
        params = request.params
        return Reply(200, await self._personal.data(request.person, params.get("room_id", ""), params["type"]))

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

    async def search(self, request: Request) -> Reply:
        body = request.json(_Search)
        if not 0 < len(body.search_term) <= 255:
            raise invalid("search_term has 1 to 255 characters")
        found, more = await self._personal.search(body.search_term, min(max(body.limit, 1), 50))
        results = [{"user_id": name} | _shown(profile) for name, profile in found]
        return Reply.json({"results": results, "limited": more})


def _shown(profile: Profile) -> dict[str, str]:
    shown = {"display_name": profile.displayname, "avatar_url": profile.avatar_url}
    return {name: value for name, value in shown.items() if value is not None}


def endpoints(messenger: Messenger) -> list[Endpoint]:
    """Rows for profiles, account data, tags, typing, receipts and the directory."""
    on, person = _Personal(messenger), Access.PERSON
    data, room_data = f"{USER}/account_data/{{type}}", f"{USER}/rooms/{{room_id}}/account_data/{{type}}"
    tags = f"{USER}/rooms/{{room_id}}/tags"
    return [
        Endpoint("GET", PROFILE, person, on.profile, "How somebody is shown."),
        Endpoint("GET", f"{PROFILE}/displayname", person, on.display_name, "Somebody's display name."),
        Endpoint("PUT", f"{PROFILE}/displayname", person, on.set_display_name, "Set one's display name."),
        Endpoint("GET", f"{PROFILE}/avatar_url", person, on.avatar_url, "Somebody's picture."),
        Endpoint("PUT", f"{PROFILE}/avatar_url", person, on.set_avatar_url, "Set one's picture."),
        Endpoint("PUT", data, person, on.set_data, "Keep data of one's own."),
        Endpoint("GET", data, person, on.data, "Data of one's own."),
        Endpoint("PUT", room_data, person, on.set_data, "Keep data of one's own for a room."),
        Endpoint("GET", room_data, person, on.data, "Data of one's own for a room."),
        Endpoint("GET", tags, person, on.tags, "One's tags of a room."),
        Endpoint("PUT", f"{tags}/{{tag}}", person, on.set_tag, "Put a tag on a room."),
        Endpoint("DELETE", f"{tags}/{{tag}}", person, on.remove_tag, "Take a tag off a room."),
        Endpoint("PUT", f"{ROOM}/typing/{{user_id}}", person, on.typing, "Say that one types."),
        Endpoint("POST", f"{CLIENT}/user_directory/search", person, on.search, "Find people."),
    ]
