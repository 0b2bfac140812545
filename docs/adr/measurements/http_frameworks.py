"""The measurement behind ADR 0002: processor time of one small request under three HTTP layers.

Each layer serves the same table of 60 paths and is driven in this process through its ASGI entry point, without a
socket: look the path up among the others, read a bearer token, read 800 bytes of JSON, answer 60 bytes of JSON. The
layers take turns, and the median of the rounds is printed.

    python -m venv /some/where && /some/where/bin/pip install litestar starlette msgspec structlog uvloop
    PYTHONPATH=src /some/where/bin/python docs/adr/measurements/http_frameworks.py

Litestar and Starlette are no dependencies of Paraph; install them in an environment of their own.
"""

# ruff: noqa: T201

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvloop
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import put as litestar_put
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from paraph.server.http import Access, Endpoint, PersonPrincipal, Reply, Request
from paraph.server.http.asgi import Application
from paraph.server.http.limits import Limiter

REQUESTS, ROUNDS = 20_000, 5
TOKEN = "t" * 40
SEND = "/_matrix/client/v3/rooms/{room}/send/{kind}/{txn}"
OTHERS = [f"/_matrix/client/v3/{name}/{{user}}/thing" for name in map("part{}".format, range(59))]
PATH = "/_matrix/client/v3/rooms/!abcdefghijklmnopqr:example.org/send/m.room.encrypted/m1700000000.17"
BODY = msgspec.json.encode({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "A" * 740})
HEADERS = [(b"host", b"example.org"), (b"authorization", b"Bearer " + TOKEN.encode()), (b"content-type", b"text/json")]
PERSON = PersonPrincipal("@author:example.org", "DEVICE")
App = Callable[[Any, Any, Any], Awaitable[None]]


async def authenticate(token: str) -> PersonPrincipal | None:
    """Who holds this token: as cheap as it gets, and the same for everybody."""
    return PERSON if token == TOKEN else None


def ours() -> App:
    """Paraph's own layer, with its authentication and its limiter."""

    async def send(request: Request) -> Reply:
        request.json(dict)
        return Reply.json({"event_id": "$" + request.params["txn"] + request.person.user_id})

    table = [Endpoint("PUT", path, Access.PERSON, send, "measured") for path in [*OTHERS[:30], SEND, *OTHERS[30:]]]
    return Application(table, {Access.PERSON: authenticate}, Limiter(time.monotonic, enabled=False), lifespan=None)


def starlette() -> App:
    """Starlette, with the same two steps written into the handler."""

    async def send(request: StarletteRequest) -> StarletteResponse:
        person = await authenticate(request.headers["authorization"].removeprefix("Bearer "))
        msgspec.json.decode(await request.body())
        body = msgspec.json.encode({"event_id": "$" + request.path_params["txn"] + person.user_id})
        return StarletteResponse(body, media_type="application/json")

    return Starlette(routes=[Route(path, send, methods=["PUT"]) for path in [*OTHERS[:30], SEND, *OTHERS[30:]]])


def litestar() -> App:
    """Litestar as its documentation writes it: typed body, typed answer."""

    async def answer(request: LitestarRequest, txn: str) -> dict[str, str]:
        person = await authenticate(request.headers["authorization"].removeprefix("Bearer "))
        return {"event_id": "$" + txn + person.user_id}

    @litestar_put(SEND.replace("}", ":str}"))
    async def send(request: LitestarRequest, room: str, kind: str, txn: str, data: dict[str, Any]) -> dict[str, str]:
        return await answer(request, txn)

    @litestar_put([path.replace("}", ":str}") for path in OTHERS])
    async def other(request: LitestarRequest, user: str, data: dict[str, Any]) -> dict[str, str]:
        return await answer(request, user)

    return Litestar([send, other], openapi_config=None)


async def call(app: App, raw_path: str) -> tuple[int, bytes]:
    """One request through the ASGI interface; its status and body."""
    answered: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        answered.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "PUT", "scheme": "http",
        "path": raw_path.replace("%2F", "/"), "raw_path": raw_path.encode(), "query_string": b"", "root_path": "",
        "headers": HEADERS, "client": ("127.0.0.1", 40000), "server": ("127.0.0.1", 8008),
    }  # fmt: skip
    await app(scope, receive, send)
    return answered[0]["status"], b"".join(message.get("body", b"") for message in answered[1:])


async def measure() -> None:
    """Rounds of all layers in turn; prints microseconds of processor time per request."""
    apps = {"paraph": ours(), "starlette": starlette(), "litestar": litestar()}
    figures: dict[str, list[float]] = {name: [] for name in apps}
    for name, app in apps.items():
        status, body = await call(app, PATH)
        assert b"m1700000000.17@author" in body, (name, status, body)
        slash, _ = await call(app, PATH.replace("m1700000000.17", "a%2Fb"))
        print(f"{name}: a transaction id holding %2F answers {slash}")
    for _ in range(ROUNDS):
        for name, app in apps.items():
            began = time.process_time()
            for _ in range(REQUESTS):
                await call(app, PATH)
            figures[name].append((time.process_time() - began) / REQUESTS * 1e6)
    for name, values in figures.items():
        print(f"{name:>10}: {statistics.median(values):6.1f} us  ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}, {REQUESTS} requests x {ROUNDS} rounds")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure())
