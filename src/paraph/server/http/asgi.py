"""The ASGI application: route, bound, authenticate, limit, call, render. Nothing else answers.

Raw ASGI rather than a framework: see docs/adr/0002-one-endpoint-table.md for what was measured.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Protocol

import structlog

from paraph.server.http.endpoint import (
    Access,
    Endpoint,
    PartnerPrincipal,
    PersonPrincipal,
    Presented,
    Principal,
    Reply,
    Request,
    Standing,
    api_of,
    query_pairs,
    refuse_nul,
)
from paraph.server.http.errors import ApiError, MatrixError, Overloaded, render
from paraph.server.http.limits import Limiter
from paraph.server.http.routing import Router
from paraph.server.http.told_limits import LIMIT_HEADERS, ToldLimits, is_told, limit_name

log = structlog.get_logger("paraph.http")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Guarding = Callable[[str], AbstractContextManager[None]]
"""(token): a context in which a handler runs."""
Moderate = Callable[[Endpoint, PersonPrincipal], None]
"""(endpoint, person): raises ApiError where an account that does not stand well may not call this."""
ErrorPage = Callable[[ApiError, str], Reply | None]
"""(error, raw path): the error as a page for people, or None where the path is no page's."""

_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"X-Requested-With, Content-Type, Authorization, DPoP"),
    (b"access-control-expose-headers", b"Retry-After, WWW-Authenticate, DPoP-Nonce, RateLimit, RateLimit-Policy"),
)
_NO_ROUTE = ("", "none")
_NO_STORE = (b"cache-control", b"no-store")


class Authenticator(Protocol):
    """Who holds this token? None when nobody does (unknown, expired, logged out, of another kind)."""

    def __call__(self, token: str) -> Awaitable[Principal]:
        """The principal that `token` speaks for."""
        ...


class PartnerDoor(Protocol):
    """Lets partners in. Their tokens are bound to keys, so the door looks at the whole request."""

    async def authenticate(self, presented: Presented) -> PartnerPrincipal:
        """Who presents this; raises ApiError with the challenge that fits."""
        ...

    def headers(self, path: str) -> tuple[tuple[bytes, bytes], ...]:
        """What every answer at this path carries, errors included."""
        ...


class Lifespan(Protocol):
    """What starts and stops with the server."""

    async def start(self) -> None:
        """Begin background work; raising refuses to start."""
        ...

    async def stop(self) -> None:
        """Finish: wake every long poll, flush, close."""
        ...


class Application:
    """Answers the endpoints of its table, and M_UNRECOGNIZED for everything else."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        authenticators: Mapping[Access, Authenticator],
        limiter: Limiter,
        lifespan: Lifespan,
        *,
        partners: PartnerDoor | None = None,
        guards: Mapping[Access, Guarding] = MappingProxyType({}),
        overloads: tuple[type[Exception], ...] = (),
        error_page: ErrorPage = lambda _error, _path: None,
        moderate: Moderate = lambda _endpoint, _person: None,
    ) -> None:
        """`partners` is needed where the table has endpoints for them. `moderate` judges calls by accounts that are
        not in good standing.

        `guards` stand around the handlers of endpoints with that access, and are given the caller's token.

        `overloads` are the errors of other rooms that mean: too much waits, nothing was taken, come back later.
        `error_page` gives errors another shape than that of their API, where people look at them.
        """
        self.endpoints = tuple(endpoints)
        self._router = Router(self.endpoints)
        self._authenticators = authenticators
        self._partners = partners
        self._limiter = limiter
        self._lifespan = lifespan
        self._guards = guards
        self._overloads = overloads
        self._moderate = moderate
        self.answered: dict[tuple[str, str, int], int] = {}
        """Requests so far, by method, path of the endpoint with its variables unfilled, and status."""
        self._error_page = error_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope (`http` or `lifespan`)."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._lifespan.start()
        except Exception as error:
            log.exception("start refused")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._lifespan.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw_path = scope["raw_path"].decode("latin-1").partition("?")[0]
        try:
            reply = await self._answer(scope, receive, raw_path)
        except ApiError as error:
            reply = self._refused(error, raw_path)
        except self._overloads:
            reply = self._refused(Overloaded(), raw_path)
        except Exception:
            # The path may hold ids but never a secret, and a query is not logged.
            log.exception("request failed", method=scope["method"], path=raw_path)
            failure = ApiError(500, "M_UNKNOWN", "the platform failed to answer; the failure is logged")
            reply = self._refused(failure, raw_path)
        answered = (*scope.get("paraph.route", _NO_ROUTE), reply.status)
        self.answered[answered] = self.answered.get(answered, 0) + 1
        headers = _headers(reply)
        if self._partners is not None:
            headers += self._partners.headers(raw_path)
            headers += scope.get(LIMIT_HEADERS, ())
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if reply.stream is not None and scope["method"] != "HEAD":
            async with contextlib.aclosing(reply.stream.chunks) as chunks:
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": reply.body})

    def _refused(self, error: ApiError, raw_path: str) -> Reply:
        return self._error_page(error, raw_path) or _rendered(error, raw_path)

    async def _answer(self, scope: Scope, receive: Receive, raw_path: str) -> Reply:
        method = scope["method"]
        match = self._router.match("GET" if method == "HEAD" else method, raw_path)
        if isinstance(match, frozenset):
            return _unmatched(method, match)
        endpoint, params = match
        scope["paraph.route"] = (endpoint.method, endpoint.path)
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        address = scope["client"][0] if scope["client"] else "unknown"
        token = bearer_token(headers)
        if token is None and endpoint.access in _PEOPLE and endpoint.path.startswith("/_matrix/"):
            token = query_token(scope["query_string"])
        told = ToldLimits(self._limiter, scope, endpoint) if is_told(endpoint) else None
        if endpoint.access is Access.PARTNER:
            principal: Principal = await self._partner(presented(headers, method, raw_path))
        else:
            principal = await self._authenticate(endpoint, token)
        if told is None:
            self._limiter.check(limit_name(endpoint), address if principal is None else _limited(principal))
        else:
            told.count(principal, address, params.get("grant_id"))
        chunks = _chunks(receive, endpoint.max_body) if endpoint.streamed else None
        body = b"" if chunks or method in ("GET", "HEAD") else await _read_body(receive, endpoint.max_body)
        refuse_nul(raw_path, scope["query_string"], body)
        request = Request(method, params, scope["query_string"], headers, body, address, principal, chunks)
        if told is not None:
            told.count_named(request)
        guard = self._guards.get(endpoint.access)
        if guard is None or token is None:
            return await endpoint.handler(request)
        with guard(token):
            return await endpoint.handler(request)

    async def _partner(self, found: Presented) -> PartnerPrincipal:
        if self._partners is None:
            raise TypeError("the table has endpoints for partners, and nobody to let them in")
        return await self._partners.authenticate(found)

    async def _authenticate(self, endpoint: Endpoint, token: str | None) -> Principal:
        if endpoint.access is Access.PUBLIC:
            return None
        if token is None:
            raise ApiError(401, "M_MISSING_TOKEN", "an access token is required", headers=(_CHALLENGE,))
        principal = await self._authenticators[endpoint.access](token)
        if principal is None:
            raise ApiError(
                401,
                "M_UNKNOWN_TOKEN",
                f"this endpoint needs {endpoint.access.value}, and this is not a live one",
                extra={"soft_logout": False} if endpoint.access in _PEOPLE else None,
                headers=(_CHALLENGE_INVALID,),
            )
        if isinstance(principal, PersonPrincipal) and principal.standing is not Standing.GOOD:
            self._moderate(endpoint, principal)
        return principal


def _limited(principal: Principal) -> str:
    """Whose requests count together: a person's from all her devices."""
    return principal.user_id if isinstance(principal, PersonPrincipal) else str(principal)


_PEOPLE = frozenset({Access.PERSON, Access.PERSON_OR_OPERATOR})
_CHALLENGE = (b"www-authenticate", b"Bearer")
_CHALLENGE_INVALID = (b"www-authenticate", b'Bearer error="invalid_token"')


def bearer_token(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The token of the Authorization header (RFC 6750 section 2.1), or None."""
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip().decode("latin-1")
    return None


def query_token(query_string: bytes) -> str | None:
    """The token of the query parameter `access_token`, or None.

    For people only, whom the Client-Server API promises it ("Homeservers MUST support both methods"): such a token
    ends up in the logs of proxies and in histories. Here no query is ever logged.
    """
    if b"access_token=" not in query_string:
        return None
    found = [value for name, value in query_pairs(query_string) if name == "access_token"]
    return found[-1] if found else None


def presented(headers: list[tuple[bytes, bytes]], method: str, path: str) -> Presented:
    """What a request presents in its `Authorization` and `DPoP` headers (RFC 9449 section 7.1)."""
    scheme, token, proofs = "", "", []
    for name, value in headers:
        if name == b"authorization" and not scheme:
            first, _, rest = value.decode("latin-1").partition(" ")
            scheme, token = first.lower(), rest.strip()
        elif name == b"dpop":
            proofs.append(value.decode("latin-1"))
    return Presented(scheme, token, tuple(proofs), method, path)


def _rendered(error: ApiError, raw_path: str) -> Reply:
    body, content_type = render(error, api_of(raw_path))
    return Reply(error.status, body, content_type, error.headers)


def answer_to(error: ApiError, raw_path: str) -> tuple[Reply, list[tuple[bytes, bytes]]]:
    """The answer that an error at this path gets, and its complete headers."""
    reply = _rendered(error, raw_path)
    return reply, _headers(reply)


def _unmatched(method: str, allowed: frozenset[str]) -> Reply:
    if method == "OPTIONS":
        return Reply(204, b"")
    if not allowed:
        raise MatrixError(404, "M_UNRECOGNIZED", "no such endpoint")
    methods = ", ".join(sorted(allowed))
    raise MatrixError(
        405,
        "M_UNRECOGNIZED",
        f"this endpoint answers {methods}, not {method}",
        headers=((b"allow", methods.encode()),),
    )


async def _read_body(receive: Receive, max_body: int) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise MatrixError(400, "M_NOT_JSON", "the client went away before its body was complete")
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > max_body:
            raise _too_large(max_body)
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        if size > max_body:
            raise _too_large(max_body)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MatrixError(400, "M_NOT_JSON", "the client went away before its body was complete")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    if size > max_body:
        raise _too_large(max_body)
    return b"".join(chunks)


async def _chunks(receive: Receive, max_body: int) -> AsyncIterator[bytes]:
    """The body as it comes, at most `max_body` bytes of it."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MatrixError(400, "M_NOT_JSON", "the client went away before its body was complete")
        body: bytes = message.get("body", b"")
        size += len(body)
        if size > max_body:
            raise _too_large(max_body)
        yield body
        more = bool(message.get("more_body"))


def _too_large(max_body: int) -> ApiError:
    return ApiError(413, "M_TOO_LARGE", f"the body is larger than {max_body} bytes")


def _headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", reply.content_type),
        *_CORS,
        *reply.headers,
    ]
    if reply.status != HTTPStatus.NOT_MODIFIED:  # it would be the length of what is not sent (RFC 9110 section 8.6)
        length = len(reply.body) if reply.stream is None else reply.stream.length
        headers.append((b"content-length", b"%d" % length))
    if not any(name == b"cache-control" for name, _ in reply.headers):
        headers.append(_NO_STORE)
    return headers
