"""The endpoints of accounts for people (Client-Server API v1.19, "Client Authentication")."""

from collections.abc import Awaitable, Callable

from paraph.server.accounts.entrance import LOGIN_TOKEN, PASSWORD
from paraph.server.accounts.errors import interactive, missing
from paraph.server.accounts.fallback import endpoints as fallback_endpoints
from paraph.server.accounts.http_addresses import endpoints as address_endpoints
from paraph.server.accounts.http_moderation import endpoints as moderation_endpoints
from paraph.server.accounts.http_operator import endpoints as operator_endpoints
from paraph.server.accounts.http_tokens import endpoints as token_endpoints
from paraph.server.accounts.model import DeactivateBody, LoginBody, PasswordBody, RefreshBody, RegisterBody
from paraph.server.accounts.names import check_new_password
from paraph.server.accounts.service import Accounts
from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request
from paraph.server.http.endpoint import EMPTY

_V3 = "/_matrix/client/v3"
_SMALL = 16_384
_FLOWS = Reply.json({"flows": [{"type": PASSWORD}, {"type": LOGIN_TOKEN, "get_login_token": True}]})
# "Must be success if the homeserver has no identifiers to unbind for the user" (POST /account/deactivate).
_UNBOUND = Reply.json({"id_server_unbind_result": "success"})


def endpoints(accounts: Accounts) -> list[Endpoint]:
    """Everything that this room answers."""
    return [
        *_doors(accounts),
        *_sessions(accounts),
        *_account(accounts),
        *token_endpoints(accounts),
        *address_endpoints(),
        *fallback_endpoints(accounts),
        *moderation_endpoints(accounts),
        *operator_endpoints(accounts),
    ]


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
            "Log in with a password, or a token of another device",
            limit="login",
            max_body=_SMALL,
        ),
        Endpoint(
            "POST",
            f"{_V3}/refresh",
            Access.PUBLIC,
            _refresh(accounts),
            "Replace an access token that expires",
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


def _account(accounts: Accounts) -> list[Endpoint]:
    return [
        Endpoint(
            "POST",
            f"{_V3}/account/password",
            Access.PERSON,
            interactive(_change_password(accounts)),
            "Change my password",
            max_body=_SMALL,
        ),
        Endpoint(
            "POST",
            f"{_V3}/account/deactivate",
            Access.PERSON,
            interactive(_deactivate(accounts)),
            "End my account for good",
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


def _refresh(accounts: Accounts) -> _Handler:
    async def refresh(request: Request) -> Reply:
        token = request.json(RefreshBody).refresh_token
        if token is None:
            raise missing(["refresh_token"])
        return Reply.json(await accounts.sessions.refresh(token))

    return refresh


def _change_password(accounts: Accounts) -> _Handler:
    async def change_password(request: Request) -> Reply:
        body = request.json(PasswordBody)
        if body.new_password is not None:
            check_new_password(body.new_password)
        proof = await accounts.check_user_interactive(request, request.person.user_id, body.auth, "password")
        if body.new_password is None:
            raise missing(["new_password"])
        await accounts.change_password(request.person, proof, body.new_password, logout_devices=body.logout_devices)
        return EMPTY

    return change_password


def _deactivate(accounts: Accounts) -> _Handler:
    async def deactivate(request: Request) -> Reply:
        user_id, body = request.person.user_id, request.json(DeactivateBody)
        proof = await accounts.check_user_interactive(request, user_id, body.auth, "deactivate")
        await accounts.deactivate(user_id, proof, erase=body.erase)
        return _UNBOUND

    return deactivate


def _query(request: Request, name: str) -> str:
    value = request.query().get(name)
    if value is None:
        raise missing([name])
    return value
