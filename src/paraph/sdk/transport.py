"""HTTP to the platform: one client, typed errors, and retries only where repeating does no harm."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from paraph.sdk.errors import MatrixError, ProblemError, TransportError

ATTEMPTS = 7
FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0
TIMEOUT = 30.0
CLIENT = "/_matrix/client/v3"
PARAPH = "/_paraph/v1"
BUSY = frozenset({429, 502, 503})

Json = dict[str, Any]


def path(template: str, *segments: str) -> str:
    """The path with each `{}` replaced by a segment, percent-encoded so that it cannot lead elsewhere."""
    return template.format(*(quote(segment, safe="") for segment in segments))


class Transport:
    """Requests to one server. `token` (a bearer token) never appears in representations or errors."""

    def __init__(
        self,
        base_url: str,
        *,
        client: httpx.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Talk to `base_url`. A `client` given is the caller's to close; `sleep` takes seconds."""
        self.base_url = base_url.rstrip("/")
        self.token: str | None = None
        self._client = client or httpx.AsyncClient(timeout=TIMEOUT)
        self._owns_client = client is None
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"Transport({self.base_url})"

    async def close(self) -> None:
        """Close the connections, if they are this transport's own."""
        if self._owns_client:
            await self._client.aclose()

    async def json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str | int] | None = None,
        idempotent: bool | None = None,
        wait_ms: int = 0,
        form: Mapping[str, str] | None = None,
    ) -> Json:
        """A JSON request and its answer, an object.

        GET and PUT are repeated when the server is busy or the connection fails, others only if `idempotent`. `wait_ms`
        is how long the server may take on purpose (long polls). Raises MatrixError, ProblemError, TransportError.
        """
        answer = _decoded(method, path, await self._send(method, path, body, params, idempotent, wait_ms, form))
        if not isinstance(answer, dict):
            raise TransportError(f"{method} {path}: the answer is no JSON object")
        return answer

    async def array(self, path: str) -> list[Json]:
        """The answer of a GET that is an array of objects. Raises as `json`."""
        answer = _decoded("GET", path, await self._send("GET", path, None, None, True, 0, None))
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise TransportError(f"GET {path}: the answer is no JSON array of objects")
        return answer

    async def bytes(self, path: str) -> bytes:
        """The body of a GET. Raises as `json`."""
        return (await self._send("GET", path, None, None, True, 0, None)).content

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        params: Mapping[str, str | int] | None,
        idempotent: bool | None,
        wait_ms: int,
        form: Mapping[str, str] | None,
    ) -> httpx.Response:
        repeatable = method in ("GET", "PUT") if idempotent is None else idempotent
        attempts = ATTEMPTS if repeatable else 1
        wait = FIRST_WAIT
        for attempt in range(1, attempts + 1):
            try:
                response = await self._once(method, path, body, params, wait_ms, form)
            except httpx.TransportError as error:
                if attempt == attempts:
                    raise TransportError(f"{method} {path}: {type(error).__name__}") from error
                await self._sleep(wait)
            else:
                if response.status_code < 400:
                    return response
                failure = _failure(method, path, response)
                if attempt == attempts or response.status_code not in BUSY:
                    raise failure
                asked = failure.retry_after_ms if isinstance(failure, MatrixError) else None
                await self._sleep(min(wait if asked is None else max(asked, 0) / 1000, LONGEST_WAIT))
            wait = min(2 * wait, LONGEST_WAIT)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        params: Mapping[str, str | int] | None,
        wait_ms: int,
        form: Mapping[str, str] | None,
    ) -> httpx.Response:
        headers = {} if self.token is None else {"authorization": f"Bearer {self.token}"}
        content = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = msgspec.json.encode(body)
        return await self._client.request(
            method,
            self.base_url + path,
            content=content,
            params=params,
            data=form,
            headers=headers,
            timeout=TIMEOUT + wait_ms / 1000,
        )


def _decoded(method: str, path: str, response: httpx.Response) -> Any:
    try:
        return msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransportError(f"{method} {path}: the answer is no JSON") from error


def _failure(method: str, path: str, response: httpx.Response) -> MatrixError | ProblemError | TransportError:
    try:
        body = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    status = response.status_code
    if not isinstance(body, dict):
        return TransportError(f"{method} {path}: status {status} without an error in JSON")
    # Interactive authentication answers 401 with flows and no error code (Matrix, "User-Interactive Authentication").
    if "errcode" in body or "flows" in body:
        retry = body.get("retry_after_ms")
        retry = retry if isinstance(retry, int) else None
        return MatrixError(status, str(body.get("errcode", "M_UNAUTHORIZED")), str(body.get("error", "")), retry, body)
    kind = body.get("code") or body.get("type") or body.get("error") or "about:blank"
    detail = body.get("detail") or body.get("error_description") or body.get("title") or ""
    return ProblemError(status, str(kind), str(detail))
