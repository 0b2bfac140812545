"""A request of a program on this machine, as far as it is let in, and what may stand in it."""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from paraph.cli.sidecar.problems import Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

MAX_BODY = 256 * 1024
MAX_QUERY = 8_192


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: query and path parameters, headers by lower-case name, the whole body."""

    method: str
    query: dict[str, str]
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes = field(repr=False)

    def text(self, name: str, default: str | None = None) -> str:
        """A query parameter; raises Refused where it is missing and has no default."""
        found = self.query.get(name) or default
        if found is None:
            raise Refused("bad-request", f"the query parameter {name} is missing")
        return found

    def optional(self, name: str) -> str | None:
        """A query parameter, or None."""
        return self.query.get(name) or None

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 0 to `most`."""
        text = self.query.get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= most):
            raise Refused("bad-request", f"{name} is a whole number from 0 to {most}")
        return int(text)

    def json(self, kind: type[T]) -> T:
        """The body as JSON of this form; raises Refused."""
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused("bad-request", "the body is to be sent as application/json")
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused("bad-request", f"the body is not of its form: {error}") from None


def check_sender(headers: dict[str, str], hosts: frozenset[str], token: bytes | None) -> None:
    """Let in whoever names this host, comes from no web page, and has the token (None: needs none). Raises Refused.

    A page of elsewhere that a name server points here (DNS rebinding) sends its own name as Host, and browsers say
    where a request comes from.
    """
    if headers.get("host", "").lower() not in hosts or "origin" in headers:
        raise Refused("forbidden-origin", f"this serves programs on this machine, as {' or '.join(sorted(hosts))}")
    if token is None:
        return
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token):
        raise Refused("unauthorized", "send `Authorization: Bearer` with the token that this run wrote at its start")


def query_of(scope: Scope) -> dict[str, str]:
    """The query, each name once. Raises Refused."""
    text = bytes(scope.get("query_string", b""))
    if len(text) > MAX_QUERY:
        raise Refused("bad-request", "the query is too long")
    pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("bad-request", "a query parameter stands in the address twice")
    return found


async def body_of(receive: Receive) -> bytes:
    """The whole body, bounded. Raises Refused."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise Refused("too-large", f"a body has at most {MAX_BODY} bytes")
        if not message.get("more_body"):
            return bytes(body)
