"""Errors that leave the server, and the one shape each API gives them.

Matrix and `/_paraph`: `{errcode, error}` (Client-Server API v1.19, "Standard error response").
OAuth: `{error, error_description}` (RFC 6749 section 5.2). Inbox API: problem details (RFC 9457).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

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
    """An Inbox API error: `code` ends the problem type `urn:paraph:problem:<code>` (RFC 9457)."""


class TooManyRequests(ApiError):
    """A limit was reached; the answer says after how many milliseconds to try again."""

    def __init__(self, retry_after_ms: int) -> None:
        seconds = max(1, (retry_after_ms + 999) // 1000)
        super().__init__(
            429,
            "M_LIMIT_EXCEEDED",
            f"too many requests: try again in {seconds} s",
            extra={"retry_after_ms": retry_after_ms},
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


_OAUTH_CODES = {
    "M_MISSING_TOKEN": "invalid_token",
    "M_UNKNOWN_TOKEN": "invalid_token",
    "M_LIMIT_EXCEEDED": "temporarily_unavailable",
    "M_UNKNOWN": "server_error",
    "M_INVALID_PARAM": "invalid_request",
    "M_TOO_LARGE": "invalid_request",
    "M_UNRECOGNIZED": "invalid_request",
}
_PROBLEM_CODES = {
    "M_LIMIT_EXCEEDED": "limit-exceeded",
    "M_MISSING_TOKEN": "token-missing",
    "M_UNKNOWN_TOKEN": "token-invalid",
    "M_UNRECOGNIZED": "no-such-endpoint",
    "M_TOO_LARGE": "too-large",
    "M_NOT_JSON": "not-json",
    "M_BAD_JSON": "bad-json",
    "M_INVALID_PARAM": "invalid-parameter",
    "M_UNKNOWN": "internal",
}


def render(error: ApiError, api: str) -> tuple[bytes, bytes]:
    """The body and content type of `error` in the shape of `api`; the status is the error's own."""
    if api == OAUTH:
        code = _OAUTH_CODES.get(error.code, error.code).replace("-", "_")
        return msgspec.json.encode({"error": code, "error_description": error.message}), b"application/json"
    if api == INBOX:
        code = _PROBLEM_CODES.get(error.code, error.code)
        body = {
            "type": f"urn:paraph:problem:{code}",
            "title": code.replace("-", " "),
            "status": error.status,
            "detail": error.message,
        } | error.extra
        return msgspec.json.encode(body), b"application/problem+json"
    return (
        msgspec.json.encode({"errcode": error.code, "error": error.message} | error.extra),
        b"application/json",
    )
