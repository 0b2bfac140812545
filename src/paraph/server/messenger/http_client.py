"""What a client asks before anything else: versions, capabilities, push rules, filters; and sync."""

from __future__ import annotations

from typing import Any

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.messenger.errors import forbidden, invalid, not_found
from paraph.server.messenger.model import ROOM_VERSION
from paraph.server.messenger.pushrules import default_ruleset
from paraph.server.messenger.reading import parse_token
from paraph.server.messenger.service import Messenger

CLIENT = "/_matrix/client/v3"
MAX_SYNC_TIMEOUT_MS = 60_000
VERSIONS = [f"v1.{minor}" for minor in range(1, 14)]


def own(request: Request) -> None:
    """Whether the path's `user_id` is the caller; raises M_FORBIDDEN."""
    if request.params["user_id"] != request.person.user_id:
        raise forbidden("this belongs to somebody else")


class _Client:
    def __init__(self, messenger: Messenger, base_url: str) -> None:
        self._messenger = messenger
        self._versions = Reply.json({"versions": VERSIONS, "unstable_features": {}})
        self._well_known = Reply.json({"m.homeserver": {"base_url": base_url}})
        self._capabilities = Reply.json(
            {
                "capabilities": {
                    "m.change_password": {"enabled": True},
                    "m.room_versions": {"default": ROOM_VERSION, "available": {ROOM_VERSION: "stable"}},
                    "m.set_displayname": {"enabled": True},
                    "m.set_avatar_url": {"enabled": True},
                    "m.3pid_changes": {"enabled": False},
                    "m.get_login_token": {"enabled": False},
                }
            }
        )

    async def versions(self, _request: Request) -> Reply:
        return self._versions

    async def well_known(self, _request: Request) -> Reply:
        return self._well_known

    async def capabilities(self, _request: Request) -> Reply:
        return self._capabilities

    async def push_rules(self, request: Request) -> Reply:
        return Reply.json(default_ruleset(request.person.user_id))

    async def global_push_rules(self, request: Request) -> Reply:
        return Reply.json(default_ruleset(request.person.user_id)["global"])

    async def turn_server(self, _request: Request) -> Reply:
        return Reply(200, b"{}")

    async def no_backup(self, _request: Request) -> Reply:
        raise not_found("there is no key backup")

    async def add_filter(self, request: Request) -> Reply:
        own(request)
        definition = request.json(dict[str, Any])
        return Reply.json({"filter_id": await self._messenger.personal.add_filter(request.person, definition)})

    async def filter(self, request: Request) -> Reply:
        own(request)
        return Reply(200, await self._messenger.personal.filter(request.person, request.params["filter_id"]))

    async def sync(self, request: Request) -> Reply:
        query = request.query()
        since = query.get("since")
        limit = await self._messenger.personal.timeline_limit(request.person, query.get("filter"))
        body = await self._messenger.sync.answer(
            request.person,
            parse_token(since) if since else None,
            _milliseconds(query.get("timeout", "0")) / 1000,
            limit,
            query.get("full_state") == "true",
        )
        return Reply(200, body)


def _milliseconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise invalid("timeout must be a whole number of milliseconds")
    return min(int(text), MAX_SYNC_TIMEOUT_MS)


def endpoints(messenger: Messenger, base_url: str) -> list[Endpoint]:
    """Rows for client start-up and sync."""
    client = _Client(messenger, base_url)
    public, person = Access.PUBLIC, Access.PERSON
    return [
        Endpoint("GET", "/_matrix/client/versions", public, client.versions, "Versions of the specification served."),
        Endpoint("GET", "/.well-known/matrix/client", public, client.well_known, "Where clients find this server."),
        Endpoint("GET", f"{CLIENT}/capabilities", person, client.capabilities, "What this server can do."),
        Endpoint("GET", f"{CLIENT}/pushrules/", person, client.push_rules, "The default push rules."),
        Endpoint("GET", f"{CLIENT}/pushrules", person, client.push_rules, "The default push rules."),
        Endpoint("GET", f"{CLIENT}/pushrules/global/", person, client.global_push_rules, "The default push rules."),
        Endpoint("GET", f"{CLIENT}/pushrules/global", person, client.global_push_rules, "The default push rules."),
        Endpoint("GET", f"{CLIENT}/voip/turnServer", person, client.turn_server, "No TURN server is offered."),
        Endpoint("GET", f"{CLIENT}/room_keys/version", person, client.no_backup, "There is no key backup."),
        Endpoint("POST", f"{CLIENT}/user/{{user_id}}/filter", person, client.add_filter, "Keep a sync filter."),
        Endpoint("GET", f"{CLIENT}/user/{{user_id}}/filter/{{filter_id}}", person, client.filter, "A sync filter."),
        Endpoint("GET", f"{CLIENT}/sync", person, client.sync, "What happened since a token; waits if asked to."),
    ]
