"""HTTP to the platform: one client, typed errors, and retries only where repeating does no harm."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
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
REFUSED_FOR_NOW = frozenset({429})
"""Nothing was done: any request may be sent again once the wait is over."""
BUSY = frozenset({429, 502, 503})
"""Something may have been done: only what does no harm when repeated is sent again."""

Json = dict[str, Any]
Bytes = bytes  # a method of Transport has that name


def path(template: str, *segments: str) -> str:
    """The path with each `{}` replaced by a segment, percent-encoded so that it cannot lead elsewhere."""
    return template.format(*(quote(segment, safe="") for segment in segments))


@dataclass(frozen=True, slots=True)
class _Call:
    """One request as it was asked for. `public`: it carries no token. `content` is a body that is no JSON."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    params: Mapping[str, str | int] | None = None
    form: Mapping[str, str] | None = None
    wait_ms: int = 0
    public: bool = False
    content: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Transport:
    """Requests to one server. `token` (a bearer token) never appears in representations or errors.

    `renew`, if there is one, is asked for another `token` when the server says that this one has expired (Matrix,
    "Soft logout"); the refused request, of which nothing happened, is then sent again. `prove`, if there is one, gives
    the headers that say who sends a request, instead of the bearer token; `heard` sees the headers of every answer.
    """

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
        self.renew: Callable[[], Awaitable[None]] | None = None
        self.prove: Callable[[str, str], Mapping[str, str]] | None = None
        self.heard: Callable[[httpx.Headers], None] | None = None
        self._renewing = asyncio.Lock()
        self._client = client or httpx.AsyncClient(timeout=TIMEOUT)
        self._owns_client = client is None
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"Transport({self.base_url})"

    def sibling(self) -> "Transport":
        """Another transport over the same connections, for somebody else's requests; closing it closes nothing."""
        return Transport(self.base_url, client=self._client, sleep=self._sleep)

    async def pause(self, seconds: float) -> None:
        """Wait before something is asked again."""
        await self._sleep(seconds)

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
        public: bool = False,
    ) -> Json:
        """A JSON request and its answer, an object.

        GET and PUT are repeated when the server is busy or the connection fails, others only if `idempotent`, or when
        the server has refused to begin (429). `wait_ms` is how long the server may take on purpose (long polls); a
        `public` request carries no token. Raises MatrixError, ProblemError, TransportError.
        """
        call = _Call(method, path, body, params, form, wait_ms, public)
        answer = _decoded(call, await self._send(call, method in ("GET", "PUT") if idempotent is None else idempotent))
        if not isinstance(answer, dict):
            raise TransportError(f"{call}: the answer is no JSON object")
        return answer

    async def array(self, path: str) -> list[Json]:
        """The answer of a GET that is an array of objects. Raises as `json`."""
        call = _Call("GET", path)
        answer = _decoded(call, await self._send(call, True))
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise TransportError(f"{call}: the answer is no JSON array of objects")
        return answer

    async def bytes(self, path: str) -> bytes:
        """The body of a GET. Raises as `json`."""
        return (await self.file(path)).content

    async def file(self, path: str, *, params: Mapping[str, str | int] | None = None) -> httpx.Response:
        """The whole answer of a GET: a body of any kind, and its headers. Raises as `json`."""
        return await self._send(_Call("GET", path, params=params), True)

    async def delete(self, path: str) -> None:
        """A DELETE whose answer says nothing. Raises as `json`."""
        await self._send(_Call("DELETE", path), False)

    async def tell(self, path: str, form: Mapping[str, str]) -> None:
        """POST a form whose answer says nothing. Raises as `json`."""
        await self._send(_Call("POST", path, form=form), False)

    async def upload(self, path: str, content: Bytes, *, params: Mapping[str, str | int] | None = None) -> Json:
        """POST bytes; the answer, an object. Repeated as a GET is: at worst they are kept twice. Raises as `json`."""
        call = _Call("POST", path, params=params, content=content)
        answer = _decoded(call, await self._send(call, True))
        if not isinstance(answer, dict):
            raise TransportError(f"{call}: the answer is no JSON object")
        return answer

    async def _send(self, call: _Call, repeatable: bool) -> httpx.Response:
        used = self.token
        try:
            return await self._insist(call, repeatable)
        except MatrixError as error:
            if call.public or self.renew is None or not (_expired(error) or self._outdated(error, used)):
                raise
            async with self._renewing:
                if self.token == used:  # nobody else has renewed it meanwhile
                    await self.renew()
        return await self._insist(call, repeatable)

    def _outdated(self, error: MatrixError, used: str | None) -> bool:
        """Whether the request was refused because it still carried the token before this one."""
        return error.status == 401 and error.errcode == "M_UNKNOWN_TOKEN" and self.token != used

    async def _insist(self, call: _Call, repeatable: bool) -> httpx.Response:
        again = BUSY if repeatable else REFUSED_FOR_NOW
        wait = FIRST_WAIT
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = await self._once(call)
            except httpx.TransportError as error:
                if attempt == ATTEMPTS or not repeatable:
                    raise TransportError(f"{call}: {type(error).__name__}") from error
                await self._sleep(wait)
            else:
                if response.status_code < 400:
                    return response
                failure = _failure(call, response)
                if attempt == ATTEMPTS or response.status_code not in again:
                    raise failure
                asked = _asked_to_wait(failure, response)
                await self._sleep(min(wait if asked is None else asked, LONGEST_WAIT))
            wait = min(2 * wait, LONGEST_WAIT)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(self, call: _Call) -> httpx.Response:
        headers = {} if call.public else self._identity(call)
        content = call.content
        if content is not None:
            headers["content-type"] = "application/octet-stream"
        elif call.body is not None:
            headers["content-type"] = "application/json"
            content = msgspec.json.encode(call.body)
        response = await self._client.request(
            call.method,
            self.base_url + call.path,
            content=content,
            params=call.params,
            data=call.form,
            headers=headers,
            timeout=TIMEOUT + call.wait_ms / 1000,
        )
        if self.heard is not None:
            self.heard(response.headers)
        return response

    def _identity(self, call: _Call) -> dict[str, str]:
        """The headers that say who sends a request, made anew for each attempt."""
        if self.prove is not None:
            return dict(self.prove(call.method, call.path))
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}


def _asked_to_wait(failure: Exception, response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait (Matrix `retry_after_ms`, else `Retry-After`); None if it does not say."""
    if isinstance(failure, MatrixError) and failure.retry_after_ms is not None:
        return max(failure.retry_after_ms, 0) / 1000
    seconds = response.headers.get("retry-after", "")
    return float(seconds) if seconds.isascii() and seconds.isdigit() else None


def _expired(error: MatrixError) -> bool:
    return error.status == 401 and error.errcode == "M_UNKNOWN_TOKEN" and error.body.get("soft_logout") is True


def _decoded(call: _Call, response: httpx.Response) -> Any:
    try:
        return msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransportError(f"{call}: the answer is no JSON") from error


def _failure(call: _Call, response: httpx.Response) -> MatrixError | ProblemError | TransportError:
    try:
        body = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    status = response.status_code
    if not isinstance(body, dict):
        return TransportError(f"{call}: status {status} without an error in JSON")
    # Interactive authentication answers 401 with flows and no error code (Matrix, "User-Interactive Authentication").
    if "errcode" in body or "flows" in body:
        retry = body.get("retry_after_ms")
        retry = retry if isinstance(retry, int) else None
        return MatrixError(status, str(body.get("errcode", "M_UNAUTHORIZED")), str(body.get("error", "")), retry, body)
    kind = body.get("code") or body.get("type") or body.get("error") or "about:blank"
    detail = body.get("detail") or body.get("error_description") or body.get("title") or ""
    return ProblemError(status, str(kind), str(detail))
