"""The sidecar as an ASGI application: who is let in, which address, and how it answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from paraph.cli.sidecar.feed import Feed
from paraph.cli.sidecar.handlers import Handlers
from paraph.cli.sidecar.problems import Refused, refusal
from paraph.cli.sidecar.request import Receive, Request, Scope, Send, body_of, check_sender, query_of
from paraph.cli.sidecar.routes import BYTES, Route, openapi, routes
from paraph.sdk import SdkError

LINES, EVENTS = "application/jsonl", "text/event-stream"
QUIET_SECONDS = 15.0
"""How long a stream says nothing at most: then a blank line shows that it is still there."""


class Application:
    """Serves one partner. `token` is that of this run; `version` that of the software."""

    def __init__(self, handlers: Handlers, token: str, port: Callable[[], int], version: str) -> None:
        self._handlers = handlers
        self._token = token.encode()
        self._port = port
        self._routes = routes(handlers)
        self._document = msgspec.json.encode(openapi(self._routes, version))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the run's beginning and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            await self._serve(scope, receive, send)
        except Refused as error:
            await _problem(send, error)
        except SdkError as error:
            await _problem(send, refusal(error))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._handlers.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._handlers.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        public = (scope["method"], scope["path"]) == ("GET", "/openapi.json")
        check_sender(headers, self._hosts(), None if public else self._token)
        if public:
            await _answer(send, 200, "application/json", self._document)
            return
        route, params = self._route(scope["method"], scope["path"])
        request = Request(scope["method"], query_of(scope), params, headers, await body_of(receive))
        accept = headers.get("accept", "")
        kind = next((kind for kind in (EVENTS, LINES) if kind in accept), None)
        if route.path == "/changes" and kind is not None:
            await self._stream(request, kind, receive, send)
            return
        found = await route.handler(request)
        if found is None:
            await _answer(send, 204, None, b"")
        elif isinstance(found, bytes):
            await _answer(send, 200, BYTES, found)
        else:
            await _answer(send, 200, "application/json", msgspec.json.encode(found))

    def _hosts(self) -> frozenset[str]:
        return frozenset(f"{name}:{self._port()}" for name in ("127.0.0.1", "localhost"))

    def _route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The address's row; raises Refused."""
        here = [(route, params) for route in self._routes if (params := _matched(route.path, path)) is not None]
        if not here:
            raise Refused("not-found", f"{path[:200]} is no address here; /openapi.json has those there are")
        for route, params in here:
            if route.method == method:
                return route, params
        raise Refused("method-not-allowed", f"{path[:200]} has {', '.join(route.method for route, _ in here)}")

    async def _stream(self, request: Request, kind: str, receive: Receive, send: Send) -> None:
        """Changes one by one for as long as somebody listens. Each names its state, to be acknowledged."""
        state = request.optional("since") or request.headers.get("last-event-id")
        feed = self._handlers.feed(self._handlers.purpose(request.optional("purpose")))
        if state is not None:
            feed.acknowledge(state)
        await send({"type": "http.response.start", "status": 200, "headers": _headers(kind)})
        gone = asyncio.ensure_future(receive())  # the body is read: what comes now is that nobody listens any more
        try:
            async for change_state, change in _changes(feed, state):
                if gone.done():
                    return
                text = b"\n" if kind == LINES else b":\n\n"
                if change is not None:
                    text = _event(change_state, change) if kind == EVENTS else _line(change_state, change)
                await send({"type": "http.response.body", "body": text, "more_body": True})
        finally:
            gone.cancel()


async def _changes(feed: Feed, state: str | None) -> AsyncIterator[tuple[str, dict[str, Any] | None]]:
    """Changes behind a state, and now and then nothing."""
    while True:
        found = feed.after(state, 100)
        for state, change in found:
            yield state, change
        if not found:
            await feed.moved(QUIET_SECONDS)
            if not feed.after(state, 1):
                yield "", None


def _event(state: str, change: dict[str, Any]) -> bytes:
    return b"event: change\nid: " + state.encode() + b"\ndata: " + msgspec.json.encode(change) + b"\n\n"


def _line(state: str, change: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"state": state, "change": change}) + b"\n"


def _matched(template: str, path: str) -> dict[str, str] | None:
    """The parameters of a path under a template; None where it is another."""
    wanted, given = template.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    pairs = list(zip(wanted, given, strict=True))
    if any(want != got if not want.startswith("{") else not got for want, got in pairs):
        return None
    return {want[1:-1]: got for want, got in pairs if want.startswith("{")}


def _headers(kind: str | None) -> list[tuple[bytes, bytes]]:
    made = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
    return made if kind is None else [(b"content-type", kind.encode()), *made]


async def _answer(send: Send, status: int, kind: str | None, body: bytes) -> None:
    headers = _headers(kind) + ([] if status == 204 else [(b"content-length", str(len(body)).encode())])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _problem(send: Send, error: Refused) -> None:
    await _answer(send, error.status, "application/problem+json", msgspec.json.encode(error.rendered))
