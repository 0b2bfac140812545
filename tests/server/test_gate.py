"""The gate: sends beyond what can be answered soon wait outside, and are refused after a while, whole and in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import httptools
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from paraph.server.http.gate import MAX_WAITING_BYTES, Gate, is_whole_send

Message = MutableMapping[str, Any]
PATH = "/_matrix/client/v3/rooms/r/send/m.room.encrypted/"


class Slow:
    """Answers each request with its path, sends only once they are let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.news = asyncio.Event()
        self.let_go: dict[str, asyncio.Event] = {}

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        name = scope["path"].rpartition("/")[2]
        self.begun.append(name)
        self.news.set()
        if scope["method"] == "PUT":
            await receive()
            await self.let_go.setdefault(name, asyncio.Event()).wait()
        body = name.encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def until_begun(self, *names: str) -> None:
        """Wait until exactly these requests have reached the application, in this order."""
        async with asyncio.timeout(5):
            while self.begun != list(names):
                self.news.clear()
                await self.news.wait()

    def release(self, name: str) -> None:
        """Let a send be answered."""
        self.let_go.setdefault(name, asyncio.Event()).set()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something inside the server is so; neither uvicorn nor the gate tells."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


class Client:
    """A connection that reads answers as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, name: str, body: bytes = b"{}", method: str = "PUT", path: str = PATH) -> None:
        head = f"{method} {path}{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(5):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            return int(lines[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))


class Served:
    """The slow application behind a gate, on a port of this process."""

    def __init__(self, app: Slow, gate: Gate, port: int) -> None:
        self.app, self.gate, self.port = app, gate, port
        self.clients: list[Client] = []

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def held(self, count: int) -> None:
        """Wait until so many sends wait outside."""
        await until(lambda: len(self.gate._waiting) == count)


@contextlib.asynccontextmanager
async def serving(gate: Gate) -> AsyncIterator[Served]:
    app = Slow()
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, http=gate.protocol(), ws="none", lifespan="off", log_level="warning")
    )
    serve = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    served = Served(app, gate, server.servers[0].sockets[0].getsockname()[1])
    yield served
    for name in list(app.let_go):
        app.release(name)
    for client in served.clients:
        client.writer.close()
    server.should_exit = server.force_exit = True
    await serve


async def test_a_send_beyond_the_limit_is_let_in_when_another_was_answered() -> None:
    """Whoever waits gets the ordinary answer, once there is room; nobody is refused."""
    async with serving(Gate(max_under_way=1)) as served:
        first, second = await served.client(), await served.client()
        first.send("a")
        await served.app.until_begun("a")
        second.send("b")
        await served.held(1)
        assert served.app.begun == ["a"]
        served.app.release("a")
        assert (await first.answer())[0] == 200
        await served.app.until_begun("a", "b")
        served.app.release("b")
        assert (await second.answer())[::2] == (200, b"b")
        assert served.gate.under_way == 0


async def test_the_newest_is_let_in_first() -> None:
    """Under an overload that lasts, those who came last can still be answered in time."""
    async with serving(Gate(max_under_way=1)) as served:
        clients = [await served.client() for _ in range(4)]
        for n, client in enumerate(clients):
            client.send(str(n))
            await (served.app.until_begun("0") if n == 0 else served.held(n))
        for name in "0321":
            served.app.release(name)
        for client in clients:
            assert (await client.answer())[0] == 200
        assert served.app.begun == ["0", "3", "2", "1"]


async def test_who_waits_too_long_is_refused_and_may_come_again() -> None:
    """The refusal has the Matrix shape and says when to come back; the connection stays good."""
    async with serving(Gate(max_under_way=1, patience=0.0)) as served:
        first, second = await served.client(), await served.client()
        first.send("a")
        await served.app.until_begun("a")
        second.send("b")
        status, headers, body = await second.answer()
        assert status == 503
        assert int(headers["retry-after"]) >= 1
        assert headers["access-control-allow-origin"] == "*"
        assert b'"errcode":"M_LIMIT_EXCEEDED"' in body
        served.app.release("a")
        served.app.release("c")
        await first.answer()
        second.send("c")
        assert (await second.answer())[::2] == (200, b"c")
        assert served.app.begun == ["a", "c"]


@pytest.mark.parametrize("body", [b"{}", b" " * MAX_WAITING_BYTES], ids=["room for nobody", "too large to wait"])
async def test_what_cannot_wait_is_refused_at_once(body: bytes) -> None:
    """There is a bound on how many wait, and on what they weigh."""
    waiting = 0 if body == b"{}" else 10
    async with serving(Gate(max_under_way=0, max_waiting=waiting, patience=60)) as served:
        client = await served.client()
        client.send("a", body)
        assert (await client.answer())[0] == 503


async def test_other_requests_pass_a_full_gate() -> None:
    """Reads and long polls are not held up, nor is what another API answers in another shape."""
    async with serving(Gate(max_under_way=0, patience=60)) as served:
        client = await served.client()
        client.send("sync", b"", "GET")
        assert (await client.answer())[2] == b"sync"
        client.send("token", b"{}", "POST", "/oauth/")
        assert (await client.answer())[2] == b"token"


async def test_a_request_behind_one_that_waits_does_not_overtake_it() -> None:
    """Answers come in the order of the requests on a connection, held up or not."""
    async with serving(Gate(max_under_way=1)) as served:
        first, second = await served.client(), await served.client()
        first.send("a")
        await served.app.until_begun("a")
        second.send("b")
        await served.held(1)
        second.send("later", b"", "GET")
        for name in "ab":
            served.app.release(name)
        assert (await second.answer())[2] == b"b"
        assert (await second.answer())[2] == b"later"


async def test_a_connection_that_goes_away_while_waiting_is_forgotten() -> None:
    """Nothing of it reaches the application, and the next one is let in."""
    async with serving(Gate(max_under_way=1)) as served:
        first, gone, third = [await served.client() for _ in range(3)]
        first.send("a")
        await served.app.until_begun("a")
        third.send("c")
        await served.held(1)
        gone.send("b")
        await served.held(2)
        held = served.gate._waiting[-1][1]
        gone.writer.transport.abort()
        held.transport.resume_reading()  # a paused connection is not watched for its end
        await until(lambda: held._held is None)
        served.app.release("a")
        served.app.release("c")
        assert (await third.answer())[2] == b"c"
        assert served.app.begun == ["a", "c"]
        assert served.gate.under_way == 0


async def test_a_connection_lost_while_its_send_is_under_way_gives_its_place_back() -> None:
    """A client that gives up does not narrow the gate for ever."""
    async with serving(Gate(max_under_way=1)) as served:
        first, second = await served.client(), await served.client()
        first.send("a")
        await served.app.until_begun("a")
        second.send("b")
        await served.held(1)
        first.writer.transport.abort()
        served.app.release("b")
        assert (await second.answer())[2] == b"b"


class Parsed:
    """What the parser behind the gate makes of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.events: list[str] = []
        self.method = b""
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method = parser.get_method()

    def on_message_begin(self) -> None:
        self.events.append("begin")

    def on_message_complete(self) -> None:
        self.events.append("complete")


FRAGMENTS = st.sampled_from(
    [
        b"PUT /_matrix/x HTTP/1.1\r\n",
        b"Content-Length: 2\r\n",
        b"content-length:2\r\n",
        b"Content-Length: 02\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length : 2\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length-X: 2\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"X: y\r\n",
        b"X: y\n",
        b" folded\r\n",
        b"\r\n",
        b"\n",
        b"{}",
        b"2\r\n{}\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ]
)


@given(st.lists(FRAGMENTS, max_size=7).map(lambda parts: b"PUT /_matrix/x HTTP/1.1\r\n" + b"".join(parts)))
def test_only_what_the_parser_takes_for_one_whole_request_is_held(data: bytes) -> None:
    """What is refused unparsed ends exactly where the parser would have found its end: no smuggled request."""
    if is_whole_send(data):
        parsed = Parsed(data)
        assert parsed.events == ["begin", "complete"]
        assert parsed.method == b"PUT"


def test_an_ordinary_send_is_whole() -> None:
    """The case that counts."""
    request = b"PUT /_matrix/client/v3/rooms/r/send/t/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    assert is_whole_send(request)
    assert not is_whole_send(request[:-1])
    assert not is_whole_send(request + b"x")
    assert not is_whole_send(request.replace(b"PUT", b"GET"))
