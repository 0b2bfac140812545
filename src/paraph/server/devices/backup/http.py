"""The endpoints of key backups (Client-Server API v1.19, "Server-side key backups")."""

from collections.abc import Iterable
from typing import Any

from paraph.server.devices.backup.errors import not_found
from paraph.server.devices.backup.model import BackedUpKey, Configuration, Keys, Place, RoomKeys
from paraph.server.devices.backup.service import Backups
from paraph.server.devices.backup.store import Found
from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request
from paraph.server.http.endpoint import EMPTY, Handler

_BASE = "/_matrix/client/v3/room_keys"
_KEYS_BODY = 8 << 20
_SMALL = 65_536


def endpoints(backups: Backups) -> list[Endpoint]:
    """Everything that key backups answer."""
    on = _Handlers(backups)
    rows = [
        _row("POST", "/version", on.create, "Begin a backup of message keys"),
        _row("GET", "/version", on.current, "My current backup"),
        _row("GET", "/version/{version}", on.version, "One of my backups"),
        _row("PUT", "/version/{version}", on.update, "Change how a backup is protected"),
        _row("DELETE", "/version/{version}", on.delete, "Remove a backup with its keys"),
    ]
    places = ("/keys", "/keys/{room_id}", "/keys/{room_id}/{session_id}")
    for place, whose in zip(places, ("all keys", "a room's keys", "one key"), strict=True):
        rows += [
            _row("PUT", place, on.put, f"Back up: {whose}", max_body=_KEYS_BODY),
            _row("GET", place, on.get, f"Fetch from a backup: {whose}"),
            _row("DELETE", place, on.remove, f"Remove from a backup: {whose}"),
        ]
    return rows


def _row(method: str, path: str, handler: Handler, summary: str, *, max_body: int = _SMALL) -> Endpoint:
    return Endpoint(method, _BASE + path, Access.PERSON, handler, summary, limit="keys", max_body=max_body)


class _Handlers:
    """Parse, ask the service, render."""

    def __init__(self, backups: Backups) -> None:
        self._backups = backups

    async def create(self, request: Request) -> Reply:
        version = await self._backups.create(request.person.user_id, request.json(Configuration))
        return Reply.json({"version": str(version)})

    async def current(self, request: Request) -> Reply:
        return Reply.json((await self._backups.version(request.person.user_id)).shown())

    async def version(self, request: Request) -> Reply:
        found = await self._backups.version(request.person.user_id, request.params["version"])
        return Reply.json(found.shown())

    async def update(self, request: Request) -> Reply:
        body = request.json(Configuration)
        await self._backups.update(request.person.user_id, request.params["version"], body)
        return EMPTY

    async def delete(self, request: Request) -> Reply:
        await self._backups.delete(request.person.user_id, request.params["version"])
        return EMPTY

    async def put(self, request: Request) -> Reply:
        version = _version(request)
        found = await self._backups.put(request.person.user_id, version, _keys(request, _place(request)))
        return Reply.json(found.counted())

    async def get(self, request: Request) -> Reply:
        place = _place(request)
        found = await self._backups.get(request.person.user_id, _version(request), place)
        return Reply.json(_shown(found, place))

    async def remove(self, request: Request) -> Reply:
        found = await self._backups.remove(request.person.user_id, _version(request), _place(request))
        return Reply.json(found.counted())


def _version(request: Request) -> str:
    version = request.query().get("version")
    if version is None:
        raise MatrixError(400, "M_MISSING_PARAM", "the query lacks version")
    return version


def _place(request: Request) -> Place:
    return Place(request.params.get("room_id"), request.params.get("session_id"))


def _keys(request: Request, place: Place) -> Keys:
    if place.room_id is None:
        return request.json(Keys)
    if place.session_id is None:
        return Keys({place.room_id: request.json(RoomKeys)})
    return Keys({place.room_id: RoomKeys({place.session_id: request.json(BackedUpKey)})})


def _shown(found: Iterable[Found], place: Place) -> Any:
    rooms: dict[str, dict[str, dict[str, BackedUpKey]]] = {}
    for room_id, session_id, key in found:
        rooms.setdefault(room_id, {"sessions": {}})["sessions"][session_id] = key
    if place.room_id is None:
        return {"rooms": rooms}
    sessions = rooms.get(place.room_id, {"sessions": {}})
    if place.session_id is None:
        return sessions
    if place.session_id not in sessions["sessions"]:
        raise not_found("there is no such key in this backup")
    return sessions["sessions"][place.session_id]
