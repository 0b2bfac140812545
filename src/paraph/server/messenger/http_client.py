"""What a client asks before anything else: versions, capabilities, push rules."""

from __future__ import annotations

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.messenger.errors import forbidden
from paraph.server.messenger.service import Messenger
from paraph.server.messenger.versions import DEFAULT_VERSION, ROOM_VERSIONS

CLIENT = "/_matrix/client/v3"
VERSIONS = [f"v1.{minor}" for minor in range(1, 20)]

UNSTABLE_FEATURES = {"org.matrix.simplified_msc3575": True, "org.matrix.msc4222": True}
"""Proposals that are served: sliding sync, and the state after a timeline."""


def own(request: Request) -> None:
    """Whether the path's `user_id` is the caller; raises M_FORBIDDEN."""
    if request.params["user_id"] != request.person.user_id:
        raise forbidden("this belongs to somebody else")


class _Client:
    def __init__(self, messenger: Messenger, base_url: str) -> None:
        self._messenger = messenger
        self._versions = Reply.json({"versions": VERSIONS, "unstable_features": UNSTABLE_FEATURES})
        self._well_known = Reply.json({"m.homeserver": {"base_url": base_url}})
        self._capabilities = Reply.json(
            {
                "capabilities": {
                    "m.change_password": {"enabled": True},
                    "m.room_versions": {
                        "default": DEFAULT_VERSION,
                        "available": dict.fromkeys(ROOM_VERSIONS, "stable"),
                    },
                    "m.set_displayname": {"enabled": True},
                    "m.set_avatar_url": {"enabled": True},
                    "m.3pid_changes": {"enabled": False},
                    "m.get_login_token": {"enabled": True},
                    "m.profile_fields": {"enabled": True},
                }
            }
        )

    async def versions(self, _request: Request) -> Reply:
        return self._versions

    async def well_known(self, _request: Request) -> Reply:
        return self._well_known

    async def capabilities(self, _request: Request) -> Reply:
        return self._capabilities

    async def turn_server(self, _request: Request) -> Reply:
        return Reply(200, b"{}")


def endpoints(messenger: Messenger, base_url: str) -> list[Endpoint]:
    """Rows for client start-up."""
    client = _Client(messenger, base_url)
    public, person = Access.PUBLIC, Access.PERSON
    return [
        Endpoint("GET", "/_matrix/client/versions", public, client.versions, "Versions of the specification served."),
        Endpoint("GET", "/.well-known/matrix/client", public, client.well_known, "Where clients find this server."),
        Endpoint("GET", f"{CLIENT}/capabilities", person, client.capabilities, "What this server can do."),
        Endpoint("GET", f"{CLIENT}/voip/turnServer", person, client.turn_server, "No TURN server is offered."),
    ]
