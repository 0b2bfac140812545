"""Errors that leave the server, and the one shape each API gives them.

Matrix and `/_paraph`: `{errcode, error}` (Client-Server API v1.19, "Standard error response").
OAuth: `{error, error_description}` (RFC 6749 section 5.2). Inbox API: problem details (RFC 9457).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from paraph.server.http.problems import ABOUT, PROBLEMS, TYPE, oauth_code, slug_of

MATRIX, OAUTH, INBOX = "matrix", "oauth", "inbox"


class ApiError(Exception):
    """An answer other than success: `status` (HTTP), `code` (the API's own), and a sentence for a person.

    `extra` members are added to the body; `headers` to the answer. Rooms subclass this beside their code.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        extra: Mapping[str, Any] | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.extra = dict(extra or {})
        self.headers = headers


class MatrixError(ApiError):
    """An error whose code is a Matrix `errcode` (`M_…` or `ORG_PARAPH_…`)."""


class OAuthError(ApiError):
    """An error whose code is an OAuth error code (RFC 6749 section 5.2 and its extensions)."""


class Problem(ApiError):
    """An Inbox API error: `code` and `status` are those of a problem type (`problems.PROBLEMS`; RFC 9457)."""


class TooManyRequests(ApiError):
    """A limit was reached; the answer says after how many milliseconds to try again, and may name the limits.

    `violated-policies` is the member that draft-ietf-httpapi-ratelimit-headers-10 gives to such problems.
    """

    def __init__(self, retry_after_ms: int, names: Sequence[str] = ()) -> None:
        seconds = max(1, (retry_after_ms + 999) // 1000)
        super().__init__(
            429,
            "M_LIMIT_EXCEEDED",
            f"too many requests: try again in {seconds} s",
            extra={"retry_after_ms": retry_after_ms} | ({"violated-policies": list(names)} if names else {}),
            headers=((b"retry-after", str(seconds).encode()),),
        )


class Overloaded(ApiError):
    """The platform is taking in more than it can make durable; nothing was written."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "M_LIMIT_EXCEEDED",
            "the platform is overloaded: nothing was written, try again in 1 s",
            extra={"retry_after_ms": 1000},
            headers=((b"retry-after", b"1"),),
        )


def render(error: ApiError, api: str) -> tuple[bytes, bytes]:
    """The body and content type of `error` in the shape of `api`; the status is the error's own."""
    if api == OAUTH:
        answer = {"error": oauth_code(error.code, error.status), "error_description": error.message}
        return msgspec.json.encode(answer), b"application/json"
    if api == INBOX:
        slug = slug_of(error.code, error.status)
        body = {
            "type": TYPE + slug,
            "title": PROBLEMS[slug].title if slug in PROBLEMS else slug.replace("-", " "),
            "status": error.status,
            "detail": error.message,
            "about": ABOUT + slug,
        } | error.extra
        return msgspec.json.encode(body), b"application/problem+json"
    return (
        msgspec.json.encode({"errcode": error.code, "error": error.message} | error.extra),
        b"application/json",
    )
