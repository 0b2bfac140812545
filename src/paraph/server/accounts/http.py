"""The endpoints of accounts (Client-Server API v1.19, "Client Authentication", and docs/protocol.md section 7)."""

from collections.abc import Awaitable, Callable

import msgspec

from paraph.server.accounts.errors import interactive, missing
from paraph.server.accounts.model import LoginBody, NewRegistrationToken, NewUser, RegisterBody
from paraph.server.accounts.service import PASSWORD, Accounts
from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request
from paraph.server.http.endpoint import EMPTY

_V3 = "/_matrix/client/v3"
_ADMIN = "/_paraph/v1/admin"
_SMALL = 16_384
_FLOWS = Reply.json({"flows": [{"type": PASSWORD}]})


def endpoints(accounts: Accounts) -> list[Endpoint]:
    """Everything that this room answers."""
    return [*_doors(accounts), *_sessions(accounts), *_operator(accounts)]


def _doors(accounts: Accounts) -> list[Endpoint]:
    return [
        Endpoint(
            "POST",
            f"{_V3}/register",
            Access.PUBLIC,
            interactive(_register(accounts)),
            "Make an account",
            limit="register",
            max_body=_SMALL,
        ),
        Endpoint("GET", f"{_V3}/register/available", Access.PUBLIC, _available(accounts), "Is this user name free?"),
        Endpoint(
            "GET",
            "/_matrix/client/v1/register/m.login.registration_token/validity",
            Access.PUBLIC,
            _validity(accounts),
            "Is this registration token good?",
            limit="register",
        ),
        Endpoint("GET", f"{_V3}/login", Access.PUBLIC, _login_flows, "How one can log in"),
        Endpoint(
            "POST",
            f"{_V3}/login",
            Access.PUBLIC,
            _login(accounts),
            "Log in with a password",
            limit="login",
            max_body=_SMALL,
        ),
    ]


def _sessions(accounts: Accounts) -> list[Endpoint]:
    async def logout(request: Request) -> Reply:
        await accounts.logout(request.person)
        return EMPTY

    async def logout_all(request: Request) -> Reply:
        await accounts.logout_all(request.person.user_id)
        return EMPTY

    async def whoami(request: Request) -> Reply:
        person = request.person
        return Reply.json({"user_id": person.user_id, "device_id": person.device_id, "is_guest": False})

    return [
        Endpoint("POST", f"{_V3}/logout", Access.PERSON, logout, "End this session", max_body=_SMALL),
        Endpoint("POST", f"{_V3}/logout/all", Access.PERSON, logout_all, "End all my sessions", max_body=_SMALL),
        Endpoint("GET", f"{_V3}/account/whoami", Access.PERSON, whoami, "Whose token is this?"),
    ]


def _operator(accounts: Accounts) -> list[Endpoint]:
    return [
        Endpoint(
            "POST", f"{_ADMIN}/users", Access.OPERATOR, _create_user(accounts), "Make an account", max_body=_SMALL
        ),
        Endpoint("GET", f"{_ADMIN}/users", Access.OPERATOR, _users(accounts), "List the accounts"),
        Endpoint(
            "POST",
            f"{_ADMIN}/registration-tokens",
            Access.OPERATOR,
            _registration_token(accounts),
            "Make a registration token",
            max_body=_SMALL,
        ),
    ]


_Handler = Callable[[Request], Awaitable[Reply]]


def _register(accounts: Accounts) -> _Handler:
    async def register(request: Request) -> Reply:
        kind = request.query().get("kind", "user")
        if kind == "guest":
            raise MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "there are no guest accounts here")
        if kind != "user":
            raise MatrixError(400, "M_INVALID_PARAM", "kind must be user")
        return Reply.json(await accounts.register(request.json(RegisterBody)))

    return register


def _available(accounts: Accounts) -> _Handler:
    async def available(request: Request) -> Reply:
        await accounts.check_available(_query(request, "username"))
        return Reply.json({"available": True})

    return available


def _validity(accounts: Accounts) -> _Handler:
    async def validity(request: Request) -> Reply:
        return Reply.json({"valid": await accounts.registration_token_is_valid(_query(request, "token"))})

    return validity


async def _login_flows(request: Request) -> Reply:
    return _FLOWS


def _login(accounts: Accounts) -> _Handler:
    async def login(request: Request) -> Reply:
        return Reply.json(await accounts.login(request.json(LoginBody)))

    return login


def _create_user(accounts: Accounts) -> _Handler:
    async def create_user(request: Request) -> Reply:
        body = request.json(NewUser)
        return Reply.json({"user_id": await accounts.create_user(body.username, body.password)})

    return create_user


def _users(accounts: Accounts) -> _Handler:
    async def users(request: Request) -> Reply:
        limit = request.query_int("limit", 100, 1, 1000)
        found = await accounts.users(request.query().get("from", ""), limit)
        after = found[-1].user_id if len(found) == limit else None
        return Reply.json({"users": msgspec.to_builtins(found), "next": after})

    return users


def _registration_token(accounts: Accounts) -> _Handler:
    async def registration_token(request: Request) -> Reply:
        uses = request.json(NewRegistrationToken).uses
        return Reply.json({"token": await accounts.create_registration_token(uses)})

    return registration_token


def _query(request: Request, name: str) -> str:
    value = request.query().get(name)
    if value is None:
        raise missing([name])
    return value
