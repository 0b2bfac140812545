"""What an endpoint is: a method, a path, a rule for who may call it, and the function that answers."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import unquote_plus

import msgspec

from paraph.server.http.doc import Doc
from paraph.server.http.errors import INBOX, MATRIX, OAUTH, ApiError, MatrixError

T = TypeVar("T")

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape itself: an even number of backslashes before it are backslashes of the text."""

DEFAULT_MAX_BODY = 1 << 20


class Access(Enum):
    """Who may call an endpoint. There is no default: each endpoint says."""

    PUBLIC = "anyone"
    PERSON = "a person's access token"
    PERSON_OR_OPERATOR = "a person's access token or the operator's admin token"
    PARTNER = "a partner's access token"
    OPERATOR = "the operator's admin token"


class Standing(Enum):
    """What an account may do (Client-Server API, "Account suspension" and "Account locking")."""

    GOOD = "good"
    SUSPENDED = "suspended"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class PersonPrincipal:
    """A person calling with one of her devices. How her account stands is no part of who she is."""

    user_id: str
    device_id: str
    standing: Standing = field(default=Standing.GOOD, compare=False)


@dataclass(frozen=True, slots=True)
class PartnerPrincipal:
    """A partner, authenticated by a token that is bound to a key of its own.

    `grant_id`: a token that came of one person's consent sees that grant alone; None: the partner as a whole. `jkt` is
    the thumbprint of the key (RFC 7638).
    """

    slug: str
    grant_id: str | None
    jkt: str


@dataclass(frozen=True, slots=True)
class OperatorPrincipal:
    """Whoever holds the admin token of this deployment."""


Principal = PersonPrincipal | PartnerPrincipal | OperatorPrincipal | None


@dataclass(frozen=True, slots=True)
class Presented:
    """How a request says who makes it: `Authorization` by scheme (lower case) and token, and the `DPoP` headers.

    Proofs name the request, so `method` and raw `path` (without a query) are part of it.
    """

    scheme: str
    token: str
    proofs: tuple[str, ...]
    method: str
    path: str


class Request:
    """One HTTP request, authenticated and bounded, before its body is parsed.

    `params` are the path's variables, percent-decoded one segment at a time (a room id may hold a slash). Where the
    endpoint is `streamed`, `body` is empty and `chunks` gives it, once, as it comes; it raises ApiError where the body
    is too large or breaks off.
    """

    __slots__ = ("address", "body", "chunks", "headers", "method", "params", "principal", "query_string")

    def __init__(
        self,
        method: str,
        params: dict[str, str],
        query_string: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        address: str,
        principal: Principal,
        chunks: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.method = method
        self.params = params
        self.query_string = query_string
        self.headers = headers
        self.body = body
        self.address = address
        self.principal = principal
        self.chunks = chunks

    @property
    def person(self) -> PersonPrincipal:
        """The calling person; only for endpoints with `Access.PERSON`."""
        if not isinstance(self.principal, PersonPrincipal):
            raise TypeError("this endpoint's rule does not name a person")
        return self.principal

    @property
    def by_operator(self) -> bool:
        """Whether it is the operator who calls."""
        return isinstance(self.principal, OperatorPrincipal)

    @property
    def partner(self) -> PartnerPrincipal:
        """The calling partner; only for endpoints with `Access.PARTNER`."""
        if not isinstance(self.principal, PartnerPrincipal):
            raise TypeError("this endpoint's rule does not name a partner")
        return self.principal

    def query(self) -> dict[str, str]:
        """The query parameters; of a repeated name the last counts."""
        return dict(self.query_pairs())

    def query_pairs(self) -> list[tuple[str, str]]:
        """The query parameters in order, repeated names kept."""
        return query_pairs(self.query_string)

    def query_int(self, name: str, default: int, lowest: int, highest: int) -> int:
        """An integer parameter, clamped into [lowest, highest]; raises M_INVALID_PARAM when not a number."""
        text = self.query().get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 16):
            raise MatrixError(400, "M_INVALID_PARAM", f"{name} must be a whole number, not {text[:40]!r}")
        return min(max(int(text), lowest), highest)

    def header(self, name: bytes) -> str | None:
        """The first header called `name` (lower case), or None."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def all_headers(self, name: bytes) -> tuple[str, ...]:
        """Every header called `name` (lower case), in order."""
        return tuple(value.decode("latin-1") for key, value in self.headers if key == name)

    def json(self, kind: type[T]) -> T:
        """The body as `kind`; raises M_NOT_JSON (not JSON) or M_BAD_JSON (JSON of another shape)."""
        return parse_json(self.body or b"{}", kind)


def query_pairs(query_string: bytes) -> list[tuple[str, str]]:
    """The parameters of a query in order, repeated names kept."""
    if not query_string:
        return []
    pairs = (part.partition("=") for part in query_string.decode("latin-1").split("&") if part)
    return [(_unquote(name), _unquote(value)) for name, _, value in pairs]


def parse_json(data: bytes, kind: type[T]) -> T:
    """`data` as `kind`; raises M_NOT_JSON (not JSON at all) or M_BAD_JSON (JSON of another shape)."""
    try:
        if not data.isascii():
            data.decode()  # msgspec passes over the bytes of members that `kind` does not know
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise MatrixError(400, "M_BAD_JSON", f"the body does not fit: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MatrixError(400, "M_NOT_JSON", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise MatrixError(400, "M_BAD_JSON", "the body is nested too deeply") from None


def refuse_nul(raw_path: str, query_string: bytes, body: bytes) -> None:
    """Raise M_INVALID_PARAM where a text has the character U+0000: PostgreSQL cannot keep one, so no database is asked.

    Nothing that clients say to each other needs it: ciphertext is base64.
    """
    if "%00" in raw_path or b"%00" in query_string or (b"\\u0000" in body and _NUL.search(body)):
        raise ApiError(400, "M_INVALID_PARAM", "text with a NUL character (U+0000) is not accepted")


def _unquote(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    return _remembered(text) if len(text) <= _REMEMBERED_LENGTH else unquote_plus(text)


# A client that gives its filter in each sync, instead of uploading it once, has it decoded once.
_remembered = lru_cache(maxsize=1024)(unquote_plus)
_REMEMBERED_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Stream:
    """A body that is not held in memory: exactly `length` bytes, in pieces."""

    length: int
    chunks: AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status, body (or, in its place, `stream`) and content type; `headers` come on top."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: Stream | None = None

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Reply":
        """`value` as JSON."""
        return cls(status, msgspec.json.encode(value))


EMPTY = Reply(200, b"{}")

Handler = Callable[[Request], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table that is the whole API.

    `path` has `{name}` segments; `limit` names a row of `limits.LIMITS` (per address for public endpoints, per
    account otherwise); `max_body` is in bytes; `summary` is the sentence that the reference shows. The handler of a
    `streamed` endpoint reads the body itself, as it comes (`Request.chunks`). `grant` finds the grant that a partner's
    query or body names, so that the request counts under that grant's limit; one named in the path (`{grant_id}`) does
    anyway. `doc` is what the OpenAPI document says of the endpoint.
    """

    method: str
    path: str
    access: Access
    handler: Handler
    summary: str
    limit: str = "default"
    max_body: int = DEFAULT_MAX_BODY
    streamed: bool = False
    grant: Callable[[Request], str | None] | None = None
    doc: Doc | None = None

    @property
    def api(self) -> str:
        """Which error shape this endpoint's answers have."""
        return api_of(self.path)


def api_of(path: str) -> str:
    """The API that a path belongs to, which decides the shape of its errors."""
    if path.startswith(("/inbox/", "/explore", "/.well-known/paraph/")):  # problem details, RFC 9457
        return INBOX
    if path.startswith(("/oauth/", "/.well-known/oauth")):
        return OAUTH
    return MATRIX
