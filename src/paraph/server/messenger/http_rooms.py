"""Endpoints for rooms and who is in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.endpoint import EMPTY
from paraph.server.messenger import events
from paraph.server.messenger.creation import CreateRoom
from paraph.server.messenger.errors import bad_json, no_third_party
from paraph.server.messenger.reading import parse_token
from paraph.server.messenger.service import Messenger
from paraph.server.messenger.upgrade import UpgradeRoom

CLIENT = "/_matrix/client/v3"
ROOM = f"{CLIENT}/rooms/{{room_id}}"


class _Target(msgspec.Struct):
    user_id: str
    reason: str | None = None


class _Invited(msgspec.Struct):
    user_id: str | None = None
    reason: str | None = None
    medium: str | None = None
    address: str | None = None


class _Reason(msgspec.Struct):
    reason: str | None = None


class _Rooms:
    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger
        self._memberships = messenger.memberships

    async def create(self, request: Request) -> Reply:
        room_id = await self._messenger.creation.create(request.person, request.json(CreateRoom))
        return Reply.json({"room_id": room_id})

    async def join(self, request: Request) -> Reply:
        body, reason = request.json(dict[str, Any]), request.json(_Reason).reason
        if body.pop("third_party_signed", None) is not None:
            raise no_third_party()
        room_id = await self._messenger.aliases.room_id(request.params["room_id"])
        await self._memberships.join(request.person, room_id, reason, body)
        return Reply.json({"room_id": room_id})

    async def knock(self, request: Request) -> Reply:
        reason = request.json(_Reason).reason
        room_id = await self._messenger.aliases.room_id(request.params["room_id"])
        await self._memberships.knock(request.person, room_id, reason)
        return Reply.json({"room_id": room_id})

    async def invite(self, request: Request) -> Reply:
        body = request.json(_Invited)
        if body.user_id is None:
            if body.medium is not None or body.address is not None:
                raise no_third_party()
            raise bad_json("user_id is missing")
        await self._memberships.act(request.person, request.params["room_id"], "invite", body.user_id, body.reason)
        return EMPTY

    async def leave(self, request: Request) -> Reply:
        await self._memberships.leave(request.person, request.params["room_id"], request.json(_Reason).reason)
        return EMPTY

    def act(self, action: str) -> Callable[[Request], Awaitable[Reply]]:
        async def handler(request: Request) -> Reply:
            body = request.json(_Target)
            await self._memberships.act(request.person, request.params["room_id"], action, body.user_id, body.reason)
            return EMPTY

        return handler

    async def upgrade(self, request: Request) -> Reply:
        room_id = request.params["room_id"]
        new_id = await self._messenger.upgrade.upgrade(request.person, room_id, request.json(UpgradeRoom))
        return Reply.json({"replacement_room": new_id})

    async def forget(self, request: Request) -> Reply:
        await self._memberships.forget(request.person, request.params["room_id"])
        return EMPTY

    async def joined_rooms(self, request: Request) -> Reply:
        user_id = request.person.user_id
        rooms = await self._messenger.core.database.read(lambda tx: self._messenger.joined_rooms(tx, user_id))
        return Reply.json({"joined_rooms": rooms})

    async def joined_members(self, request: Request) -> Reply:
        return Reply.json(
            {"joined": await self._messenger.reading.joined_members(request.person, request.params["room_id"])}
        )

    async def members(self, request: Request) -> Reply:
        query = request.query()
        at = query.get("at")
        found = await self._messenger.reading.members(
            request.person,
            request.params["room_id"],
            parse_token(at) if at else None,
            query.get("membership"),
            query.get("not_membership"),
        )
        return Reply.json({"chunk": [msgspec.Raw(events.full(event)) for event in found]})


def endpoints(messenger: Messenger) -> list[Endpoint]:
    """Rows for rooms and membership."""
    on, person = _Rooms(messenger), Access.PERSON
    return [
        Endpoint("POST", f"{CLIENT}/createRoom", person, on.create, "Create a room."),
        Endpoint("POST", f"{CLIENT}/join/{{room_id}}", person, on.join, "Join a room by its id or alias."),
        Endpoint("POST", f"{CLIENT}/knock/{{room_id}}", person, on.knock, "Ask to be let into a room."),
        Endpoint("POST", f"{ROOM}/join", person, on.join, "Join a room."),
        Endpoint("POST", f"{ROOM}/leave", person, on.leave, "Leave a room, or turn an invitation down."),
        Endpoint("POST", f"{ROOM}/invite", person, on.invite, "Invite somebody."),
        Endpoint("POST", f"{ROOM}/kick", person, on.act("kick"), "Put somebody out."),
        Endpoint("POST", f"{ROOM}/ban", person, on.act("ban"), "Ban somebody."),
        Endpoint("POST", f"{ROOM}/unban", person, on.act("unban"), "Lift a ban."),
        Endpoint("POST", f"{ROOM}/upgrade", person, on.upgrade, "Replace a room by one of another version."),
        Endpoint("POST", f"{ROOM}/forget", person, on.forget, "Take a room off one's list."),
        Endpoint("GET", f"{CLIENT}/joined_rooms", person, on.joined_rooms, "Rooms that one is joined to."),
        Endpoint("GET", f"{ROOM}/joined_members", person, on.joined_members, "Who is joined, and how they are shown."),
        Endpoint("GET", f"{ROOM}/members", person, on.members, "Membership events."),
    ]
