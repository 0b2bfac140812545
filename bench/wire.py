"""A cheap HTTP/1.1 client: one request at a time on a keep-alive connection, parsed in C.

The load shares two cores with the server it measures; a full HTTP client would take more of them than the
server does.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple, cast
from urllib.parse import quote

import httptools


class Answer(NamedTuple):
    """Status and whole body of a response."""

    status: int
    body: bytes


class RefusedError(Exception):
    """The server answered something else than 200 to a request that it should have served."""


class Connection(asyncio.Protocol):
    """One keep-alive connection to 127.0.0.1; `request` may be called again once it has returned."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._body = bytearray()
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to the server at this port."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    async def request(self, message: bytes) -> Answer:
        """Send a request as `request` rendered it and wait for its answer; ConnectionError if it breaks."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        return await self._answer

    async def call(self, method: str, path: str, token: str | None = None, content: Any = None) -> Any:
        """A request with JSON in and out, for setting things up; RefusedError unless the answer is 200."""
        body = b"" if content is None else json.dumps(content).encode()
        answer = await self.request(request(method, path, token, body))
        if answer.status != 200:
            raise RefusedError(f"{method} {path}: {answer.status} {answer.body.decode(errors='replace')}")
        return json.loads(answer.body)

    def close(self) -> None:
        """Close at once; a request still waiting fails with ConnectionError."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the base class

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body += body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        body = bytes(self._body)
        self._body.clear()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(self._parser.get_status_code(), body))


def request(method: str, path: str, token: str | None = None, body: bytes = b"") -> bytes:
    """The bytes of a request; `path` is quoted already."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    kind = "Content-Type: application/json\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}{kind}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def quoted(part: str) -> str:
    """A path segment, such as a room id, with everything quoted that a path may not hold."""
    return quote(part, safe="")
