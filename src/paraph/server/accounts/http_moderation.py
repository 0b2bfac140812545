"""What the operator does to an account under the paths of Matrix (Client-Server API v1.19, "Server Administration").

The operator is whoever holds the admin token of the deployment: no account has that power, and whoever calls with an
account's token is told so, whatever account the path names.
"""

from typing import Any

from paraph.server.accounts.model import Locked, Suspended
from paraph.server.accounts.service import Accounts
from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request

_SUSPEND, _LOCK = "/_matrix/client/v1/admin/suspend/{user_id}", "/_matrix/client/v1/admin/lock/{user_id}"
_SMALL = 16_384


def endpoints(accounts: Accounts) -> list[Endpoint]:
    """What this file answers."""
    on, either = _Moderation(accounts), Access.PERSON_OR_OPERATOR
    return [
        Endpoint(
            "GET", "/_matrix/client/v3/admin/whois/{user_id}", either, on.whois, "An account's sessions: one's own"
        ),
        Endpoint("GET", _SUSPEND, either, on.suspended, "Whether an account is suspended"),
        Endpoint("PUT", _SUSPEND, either, on.suspend, "Suspend an account, or lift it", max_body=_SMALL),
        Endpoint("GET", _LOCK, either, on.locked, "Whether an account is locked"),
        Endpoint("PUT", _LOCK, either, on.lock, "Lock an account, or lift it", max_body=_SMALL),
    ]


def _check_operator(request: Request) -> None:
    if not request.by_operator:
        raise MatrixError(403, "M_FORBIDDEN", "only the operator of this server may do this")


class _Moderation:
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._moderation = accounts.moderation

    async def whois(self, request: Request) -> Reply:
        user_id = request.params["user_id"]
        if not request.by_operator and request.person.user_id != user_id:
            raise MatrixError(403, "M_FORBIDDEN", "one sees one's own sessions only")
        seen = await self._accounts.sessions_of(user_id)
        devices: dict[str, Any] = {
            # No addresses and no user agents are kept, so a connection is only a time.
            device_id: {"sessions": [{"connections": [{"last_seen": last_seen}]}]}
            for device_id, last_seen in seen.items()
        }
        return Reply.json({"user_id": user_id, "devices": devices})

    async def suspended(self, request: Request) -> Reply:
        _check_operator(request)
        return Reply.json(Suspended((await self._moderation.standing(request.params["user_id"]))[0]))

    async def suspend(self, request: Request) -> Reply:
        _check_operator(request)
        body = request.json(Suspended)
        await self._moderation.suspend(request.params["user_id"], body.suspended)
        return Reply.json(body)

    async def locked(self, request: Request) -> Reply:
        _check_operator(request)
        return Reply.json(Locked((await self._moderation.standing(request.params["user_id"]))[1]))

    async def lock(self, request: Request) -> Reply:
        _check_operator(request)
        body = request.json(Locked)
        await self._moderation.lock(request.params["user_id"], body.locked)
        return Reply.json(body)
