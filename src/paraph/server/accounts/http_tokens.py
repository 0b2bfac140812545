"""Tokens that live for minutes: for another device of the same person, and for telling a third party who she is."""

from paraph.server.accounts.errors import interactive
from paraph.server.accounts.model import AuthBody
from paraph.server.accounts.service import Accounts
from paraph.server.accounts.short_tokens import LIFETIMES_MS, LOGIN, OPENID
from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request

_SMALL = 16_384


def endpoints(accounts: Accounts) -> list[Endpoint]:
    """What this file answers."""
    handlers = _Tokens(accounts)
    return [
        Endpoint(
            "POST",
            "/_matrix/client/v1/login/get_token",
            Access.PERSON,
            interactive(handlers.login_token),
            "A token to log in another device with",
            limit="token",
            max_body=_SMALL,
        ),
        Endpoint(
            "POST",
            "/_matrix/client/v3/user/{user_id}/openid/request_token",
            Access.PERSON,
            handlers.openid_token,
            "A token by which a third party learns who one is",
            limit="token",
            max_body=_SMALL,
        ),
        Endpoint(
            "GET",
            "/_matrix/federation/v1/openid/userinfo",
            Access.PUBLIC,
            handlers.who,
            "Whose OpenID token is this?",
        ),
    ]


class _Tokens:
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def login_token(self, request: Request) -> Reply:
        user_id, body = request.person.user_id, request.json(AuthBody)
        await self._accounts.check_user_interactive(request, user_id, body.auth, "login token")
        token = await self._accounts.short_tokens.create(user_id, LOGIN)
        return Reply.json({"login_token": token, "expires_in_ms": LIFETIMES_MS[LOGIN]})

    async def openid_token(self, request: Request) -> Reply:
        user_id = request.person.user_id
        if request.params["user_id"] != user_id:
            raise MatrixError(403, "M_FORBIDDEN", "tokens are made for oneself only")
        request.json(dict[str, object])
        return Reply.json(
            {
                "access_token": await self._accounts.short_tokens.create(user_id, OPENID),
                "token_type": "Bearer",
                "matrix_server_name": self._accounts.server_name,
                "expires_in": LIFETIMES_MS[OPENID] // 1000,
            }
        )

    async def who(self, request: Request) -> Reply:
        """Server-Server API, "OpenID"; the one request of that API which this server answers."""
        token = request.query().get("access_token")
        if token is None:
            raise MatrixError(401, "M_MISSING_TOKEN", "the query lacks access_token, the OpenID token")
        user_id = await self._accounts.short_tokens.holder(token, OPENID)
        if user_id is None:
            raise MatrixError(401, "M_UNKNOWN_TOKEN", "this OpenID token is unknown, or has expired")
        return Reply.json({"sub": user_id})
