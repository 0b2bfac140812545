"""The endpoints of accounts for the operator (docs/protocol.md section 7)."""

from typing import Any

import msgspec

from paraph.server.accounts.model import Invitation, NewPassword, NewRegistrationToken, NewUser
from paraph.server.accounts.service import Accounts
from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.endpoint import EMPTY, Handler

_SMALL = 16_384


def endpoints(accounts: Accounts) -> list[Endpoint]:
    """What the operator may do with accounts and registration tokens."""
    return [*_users(accounts), *_invitations(accounts)]


def _row(method: str, path: str, handler: Handler, summary: str) -> Endpoint:
    return Endpoint(method, f"/_paraph/v1/admin{path}", Access.OPERATOR, handler, summary, max_body=_SMALL)


def _users(accounts: Accounts) -> list[Endpoint]:
    async def create(request: Request) -> Reply:
        body = request.json(NewUser)
        return Reply.json({"user_id": await accounts.create_user(body.username, body.password)})

    async def listed(request: Request) -> Reply:
        after, limit = _page(request)
        found = await accounts.users(after, limit)
        following = found[-1].user_id if len(found) == limit else None
        return Reply.json({"users": msgspec.to_builtins(found), "next": following})

    async def reset_password(request: Request) -> Reply:
        user_id, body = request.params["user_id"], request.json(NewPassword)
        await accounts.reset_password(user_id, body.password, logout_devices=body.logout_devices)
        return EMPTY

    async def deactivate(request: Request) -> Reply:
        await accounts.deactivate(request.params["user_id"])
        return EMPTY

    return [
        _row("POST", "/users", create, "Make an account"),
        _row("GET", "/users", listed, "List the accounts"),
        _row("POST", "/users/{user_id}/password", reset_password, "Give an account another password"),
        _row("POST", "/users/{user_id}/deactivate", deactivate, "End an account for good"),
    ]


def _invitations(accounts: Accounts) -> list[Endpoint]:
    async def create(request: Request) -> Reply:
        body = request.json(NewRegistrationToken)
        token, invitation = await accounts.invitations.create(body.uses, body.expires)
        return Reply.json({"token": token} | _shown(invitation))

    async def listed(request: Request) -> Reply:
        after, limit = _page(request)
        found = await accounts.invitations.listed(after, limit)
        following = found[-1].id if len(found) == limit else None
        return Reply.json({"tokens": [_shown(invitation) for invitation in found], "next": following})

    async def revoke(request: Request) -> Reply:
        await accounts.invitations.revoke(request.params["token_id"])
        return EMPTY

    return [
        _row("POST", "/registration-tokens", create, "Make a registration token"),
        _row("GET", "/registration-tokens", listed, "List the registration tokens"),
        _row("POST", "/registration-tokens/{token_id}/revoke", revoke, "Revoke a registration token"),
    ]


def _page(request: Request) -> tuple[str, int]:
    return request.query().get("from", ""), request.query_int("limit", 100, 1, 1000)


def _shown(invitation: Invitation) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(invitation)
    return shown
