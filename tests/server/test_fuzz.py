"""Made-up requests at every endpoint of the people's API: an answer below 500 in the shape of Matrix, and where it is a
refusal, nothing is written.

The table of endpoints says what is called, and the structs beside each handler what a body nearly looks like: a new
endpoint is fuzzed the moment it exists. `PARAPH_FUZZ` sets the requests at each (`make fuzz` takes many, at random).
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pkgutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paraph.server.app import Server, build
from paraph.server.config import Settings
from paraph.server.http import Access, Endpoint
from tests.support.matrix import PASSWORD, V3, auth, register

GATE = 5
"""Requests at each endpoint, unless PARAPH_FUZZ says otherwise."""
EXAMPLES = int(os.environ.get("PARAPH_FUZZ", GATE))
PEOPLE = (Access.PERSON, Access.PERSON_OR_OPERATOR)
ENDS_SESSIONS = ("/logout", "/logout/all")
QUERIES = (
    *("from", "to", "since", "limit", "dir", "filter", "version", "user_id", "ts", "via", "server_name", "kind"),
    *("username", "token", "session", "access_token", "width", "height", "method", "types", "order", "include"),
    *("rel_type", "recurse", "membership", "not_membership", "at", "room_id", "event_id", "term", "before", "after"),
    *("format", "set_presence", "full_state", "use_state_after", "suggested_only", "max_depth", "pos", "next", "url"),
)


# --- What is sent


ODD = (
    *("", " ", ".", "..", "%", "\U0010ffff", "é", "'\"\\", "*", "@", "!", "#", "$", ":", "x" * 300),
    *("-1", "0", "1e400", "true"),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(ODD)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@cache
def structs(package: str) -> tuple[type[msgspec.Struct], ...]:
    """The structs that the modules of a room define."""
    names = [
        package,
        *(one.name for one in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}.")),
    ]
    modules = [importlib.import_module(name) for name in names]
    found = {value for module in modules for value in vars(module).values() if _is_struct(value, package)}
    return tuple(sorted(found, key=lambda kind: kind.__qualname__))


def _is_struct(value: Any, package: str) -> bool:
    return isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__.startswith(package)


class Like:
    """Values that are nearly of a type, or are something else in its place."""

    def __init__(self, known: dict[str, str]) -> None:
        self._texts = st.sampled_from([*known.values(), PASSWORD, "m.login.password", "m.login.dummy", "m.room.topic"])

    def struct(self, kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
        """A JSON object with most members of a struct."""
        return self._of(msgspec.inspect.type_info(kind), 0)

    def _of(self, info: Any, depth: int) -> st.SearchStrategy[Any]:
        name = type(info).__name__
        if depth > 4:
            return JSON
        if name == "StructType":
            members = {one.encode_name: self._of(one.type, depth + 1) | JSON for one in info.fields}
            return st.fixed_dictionaries({}, optional=members) | st.fixed_dictionaries(members)
        if name == "UnionType":
            return st.one_of(*(self._of(one, depth + 1) for one in info.types))
        if name in ("ListType", "VarTupleType", "SetType", "FrozenSetType"):
            return st.lists(self._of(info.item_type, depth + 1), max_size=3)
        if name == "DictType":
            return st.dictionaries(self._texts | st.text(max_size=8), self._of(info.value_type, depth + 1), max_size=3)
        return self._plain(name, info)

    def _plain(self, name: str, info: Any) -> st.SearchStrategy[Any]:
        plain: dict[str, st.SearchStrategy[Any]] = {
            "BoolType": st.booleans(),
            "IntType": st.integers(-2, 100) | st.integers(),
            "FloatType": st.floats(allow_nan=False, allow_infinity=False),
            "StrType": self._texts | st.sampled_from(ODD) | st.text(max_size=20),
            "NoneType": st.none(),
        }
        return st.sampled_from(info.values) if name == "LiteralType" else plain.get(name, JSON)


@dataclass(frozen=True)
class Call:
    """One request."""

    path: str
    query: str
    body: bytes
    token: str | None


def calls(world: World, endpoint: Endpoint) -> st.SearchStrategy[Call]:
    """Requests at an endpoint: path values that are there or are odd, any query, a body that nearly fits or is junk."""
    like, odd = Like(world.ids), st.sampled_from(ODD[1:]) | st.text(min_size=1, max_size=12)
    names = [segment[1:-1] for segment in endpoint.path.split("/") if segment.startswith("{")]
    paths = st.fixed_dictionaries({name: st.just(world.ids.get(name, "x")) | odd for name in names})
    values = (
        st.sampled_from(list(world.ids.values())) | st.sampled_from(ODD) | st.integers().map(str) | st.text(max_size=8)
    )
    queries = st.lists(st.tuples(st.sampled_from(QUERIES), values), max_size=4)
    fitting = [like.struct(kind) for kind in structs(endpoint.handler.__module__.rpartition(".")[0])]
    bodies = st.one_of(*fitting, JSON).map(msgspec.json.encode) | st.binary(max_size=40)
    token = st.just(world.author) if endpoint.access in PEOPLE else st.sampled_from([None, world.author])
    return st.builds(lambda *parts: _call(endpoint, *parts), paths, queries, bodies, token)


def _call(
    endpoint: Endpoint, path: dict[str, str], query: list[tuple[str, str]], body: bytes, token: str | None
) -> Call:
    filled = "/".join(
        quote(path[segment[1:-1]], safe="") if segment.startswith("{") else segment
        for segment in endpoint.path.split("/")
    )
    never_wait = [("timeout", "0"), ("timeout_ms", "0")]
    return Call(filled, urlencode([*query, *never_wait]), b"" if endpoint.method == "GET" else body, token)


# --- What comes back


@dataclass
class Answer:
    """What the application sent."""

    status: int = 0
    content_type: bytes = b""
    body: bytes = b""


@dataclass
class World:
    """A platform in this process, with a person, her room and what else a path can name."""

    server: Server
    loop: asyncio.AbstractEventLoop
    path: Path
    author: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    _seen: tuple[int, str] = (-1, "")

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    async def send(self, method: str, call: Call) -> Answer:
        """One request, straight into the application."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(call.body))]
        headers += [] if call.token is None else [(b"authorization", f"Bearer {call.token}".encode())]
        scope = {
            "type": "http",
            "method": method,
            "raw_path": call.path.encode(),
            "query_string": call.query.encode(),
            "headers": headers,
            "client": ("192.0.2.1", 4711),
        }
        answer = Answer()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": call.body, "more_body": False}

        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.content_type = dict(message["headers"])[b"content-type"]
            answer.body += message.get("body", b"")

        await self.server.application(scope, receive, told)
        return answer

    def contents(self) -> str:
        """All that the database holds, as text; looked at again only if a statement has changed a row since."""
        changes = int(self.server.database._writer.total_changes)  # type: ignore[attr-defined]
        if changes != self._seen[0]:
            with sqlite3.connect(self.path) as connection:
                self._seen = (changes, "\n".join(connection.iterdump()))
            connection.close()
        return self._seen[1]

    async def set_right(self) -> None:
        """What requests may have undone: she is in her room, and has a backup."""
        await self.send("POST", Call(f"{V3}/join/{quote(self.ids['room_id'])}", "", b"{}", self.author))
        backups = f"{V3}/room_keys/version"
        found = await self.send("GET", Call(backups, "", b"", self.author))
        if found.status == 404:
            body = msgspec.json.encode({"algorithm": "m.megolm_backup.v1", "auth_data": {}})
            found = await self.send("POST", Call(backups, "", body, self.author))
        self.ids["version"] = msgspec.json.decode(found.body)["version"]

    async def log_in(self) -> None:
        """A new session of the same device."""
        body = {"type": "m.login.password", "user": "author", "password": PASSWORD, "device_id": "FUZZED"}
        call = Call(f"{V3}/login", "", msgspec.json.encode(body), None)
        self.author = msgspec.json.decode((await self.send("POST", call)).body)["access_token"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The platform that all requests meet, one after the other."""
    data, loop = tmp_path_factory.mktemp("fuzz"), asyncio.new_event_loop()

    async def started() -> World:
        config = Settings(data=data, registration="open", rate_limits=False, require_encryption=False, profile="test")
        server = build(config)
        await server.start()
        return World(server, loop, data / "paraph.db")

    made = loop.run_until_complete(started())
    loop.run_until_complete(_furnish(made))
    yield made
    loop.run_until_complete(made.server.stop())
    loop.close()


async def _furnish(world: World) -> None:
    transport = httpx.ASGITransport(app=world.server.application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        author, other = await register(http, "author"), await register(http, "other")
        await world.log_in()
        head = {"Authorization": f"Bearer {world.author}"}
        made = await http.post(f"{V3}/createRoom", json={"preset": "public_chat"}, headers=head)
        room_id = made.json()["room_id"]
        sent = await http.put(f"{V3}/rooms/{room_id}/send/m.room.message/1", json={"body": "a"}, headers=head)
        kept = await http.post(f"{V3}/user/{author['user_id']}/filter", json={}, headers=auth(author))
        await http.put(f"{V3}/directory/room/%23fuzz:localhost", json={"room_id": room_id}, headers=head)
    world.ids = {
        "user_id": author["user_id"],
        "other": other["user_id"],
        "room_id": room_id,
        "event_id": sent.json()["event_id"],
        "filter_id": kept.json()["filter_id"],
        "device_id": "FUZZED",
        "alias": "#fuzz:localhost",
        "server_name": "localhost",
        "version": "1",
        "dir": "b",
        "limit": "5",
        "ts": "1",
        "via": "localhost",
        "type": "m.room.topic",
        "event_type": "m.room.topic",
        "rel_type": "m.thread",
        "kind": "override",
        "scope": "global",
        "rule_id": ".m.rule.master",
        "attribute": "enabled",
        "key_name": "displayname",
        "tag": "u.fuzz",
        "slug": "marquee",
        "password stage": "m.login.password",
    }


def check(world: World, endpoint: Endpoint, call: Call) -> None:
    """Send one request and judge the answer."""
    before = world.contents()
    answer = world.run(world.send(endpoint.method, call))
    where = (endpoint.method, call, answer)
    if answer.status < 400:
        if endpoint.path.endswith(ENDS_SESSIONS):
            world.run(world.log_in())
        return
    assert world.contents() == before, where
    if answer.content_type.startswith(b"text/html"):
        assert endpoint.path.endswith("/fallback/web"), where
        return
    said = msgspec.json.decode(answer.body)
    if "flows" not in said or answer.status != 401:
        assert said["errcode"].startswith(("M_", "ORG_PARAPH_")), where
        assert isinstance(said["error"], str), where
        assert said["error"], where
    assert answer.status < 500 or said["errcode"] == "M_NOT_YET_UPLOADED", where


def table(world: World) -> list[Endpoint]:
    """The people's API: what takes a person's token, and what anybody may ask of Matrix."""
    return [one for one in world.server.application.endpoints if one.access in PEOPLE or _is_open(one)]


def _is_open(endpoint: Endpoint) -> bool:
    return endpoint.access is Access.PUBLIC and endpoint.path.startswith(("/_matrix/", "/.well-known/matrix/"))


def fuzz(world: World, endpoint: Endpoint) -> None:
    """Send some requests to one endpoint."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=EXAMPLES == GATE,
        suppress_health_check=list(HealthCheck),
    )
    @given(calls(world, endpoint))
    def one(call: Call) -> None:
        check(world, endpoint, call)

    one()


def test_no_request_is_a_failure_of_the_server(world: World) -> None:
    """Whatever is sent to whichever endpoint: never a 5xx, always an error of Matrix, no row where it is refused."""
    endpoints = table(world)
    assert len(endpoints) > 150
    for endpoint in endpoints:
        world.run(world.set_right())
        fuzz(world, endpoint)


def test_the_search_itself_finds_a_failure(world: World) -> None:
    """An endpoint that fails, answers with no Matrix error, or writes what it then refuses is noticed."""
    (endpoint,) = [one for one in table(world) if one.path == f"{V3}/account/whoami"]
    application = world.server.application
    call = Call(endpoint.path, "", b"", world.author)

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await application(scope | {"raw_path": b"/_matrix/none"}, receive, send)
        await world.server.database.write(lambda tx: tx.run("UPDATE accounts SET created = created + 1"))

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"error": "x"}'})

    for broken, fault in ((fails, AssertionError), (plain, KeyError)):
        world.server.application = broken  # type: ignore[assignment]
        try:
            with pytest.raises(fault):
                check(world, endpoint, call)
        finally:
            world.server.application = application
