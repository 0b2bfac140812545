"""The transport: typed errors, retries where they do no harm, secrets nowhere."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from paraph.sdk.errors import MatrixError, ProblemError, TransportError
from paraph.sdk.transport import ATTEMPTS, Transport, _Call, path

Answer = Callable[[httpx.Request], httpx.Response]


class Script:
    """Answers in order, the last one for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.transport = Transport("http://platform/", client=client, sleep=self._wait)
        self.transport.token = "secret-token"

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)


def busy(status: int = 429, **more: object) -> httpx.Response:
    """The server asks to come again."""
    return httpx.Response(status, json={"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", **more})


OK = httpx.Response(200, json={"ok": True})


async def test_matrix_errors_are_typed() -> None:
    """Status, code, text and wait of the Matrix error shape come through."""
    script = Script(httpx.Response(403, json={"errcode": "M_FORBIDDEN", "error": "no", "retry_after_ms": 5}))
    with pytest.raises(MatrixError) as caught:
        await script.transport.json("GET", "/x")
    error = caught.value
    assert (error.status, error.errcode, error.error, error.retry_after_ms) == (403, "M_FORBIDDEN", "no", 5)


async def test_problem_details_and_oauth_errors_are_typed() -> None:
    """RFC 9457 and OAuth errors come through as problems."""
    script = Script(httpx.Response(403, json={"type": "about:blank", "title": "Forbidden", "detail": "no grant"}))
    with pytest.raises(ProblemError) as caught:
        await script.transport.json("GET", "/x")
    assert (caught.value.status, caught.value.detail) == (403, "no grant")
    script = Script(httpx.Response(401, json={"error": "invalid_client", "error_description": "unknown"}))
    with pytest.raises(ProblemError) as caught:
        await script.transport.json("POST", "/x", form={"a": "b"})
    assert (caught.value.kind, caught.value.detail) == ("invalid_client", "unknown")


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_repeatable_requests_are_repeated(method: str) -> None:
    """A busy server and a broken connection are tried again, waiting as asked and longer each time."""
    script = Script(busy(retry_after_ms=1500), httpx.ConnectError("x"), busy(503), OK)
    assert await script.transport.json(method, "/x", {"same": "body"}) == {"ok": True}
    assert script.waits == [1.5, 0.4, 0.8]
    assert len({request.content for request in script.requests}) == 1


async def test_repetition_ends() -> None:
    """After the last attempt the error is raised, and no wait is longer than ten seconds."""
    script = Script(busy(retry_after_ms=3_600_000))
    with pytest.raises(MatrixError):
        await script.transport.json("GET", "/x")
    assert len(script.requests) == ATTEMPTS
    assert max(script.waits) == 10.0
    script = Script(httpx.ReadTimeout("x"))
    with pytest.raises(TransportError):
        await script.transport.json("GET", "/x")
    assert len(script.requests) == ATTEMPTS


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_what_the_server_refused_to_begin_is_sent_again(method: str) -> None:
    """429 says that nothing was done, so any request waits as asked, by body or by header, and goes out once more."""
    header = httpx.Response(429, json={"type": "about:blank", "detail": "slow down"}, headers={"retry-after": "3"})
    script = Script(header, busy(retry_after_ms=250), busy(), OK)
    await script.transport._send(_Call(method, "/x"), False)
    assert script.waits == [3.0, 0.25, 0.8]


@pytest.mark.parametrize("answer", [busy(503), busy(502), httpx.ReadError("x")])
async def test_other_requests_are_sent_once(answer: httpx.Response | Exception) -> None:
    """A POST that may already have had its effect is not sent again, unless the caller says that it may be."""
    script = Script(answer)
    with pytest.raises((MatrixError, TransportError)):
        await script.transport.json("POST", "/x", {})
    assert len(script.requests) == 1
    script = Script(answer, OK)
    assert await script.transport.json("POST", "/x", {}, idempotent=True) == {"ok": True}


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500])
async def test_other_errors_are_final(status: int) -> None:
    """Only passing troubles are tried again."""
    script = Script(busy(status))
    with pytest.raises(MatrixError):
        await script.transport.json("GET", "/x")
    assert len(script.requests) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff", b"[" * 10_000])
async def test_answers_that_are_no_object_are_named(body: bytes) -> None:
    """A proxy's page, a list or garbage is a transport error, not a crash."""
    for status in (200, 500):
        script = Script(httpx.Response(status, content=body))
        with pytest.raises(TransportError):
            await script.transport.json("GET", "/x")


async def test_token_is_sent_but_never_shown() -> None:
    """The bearer token travels in the header and stands in no representation or error."""
    script = Script(httpx.Response(401, json={"errcode": "M_UNKNOWN_TOKEN", "error": "gone"}))
    with pytest.raises(MatrixError) as caught:
        await script.transport.json("GET", "/x")
    assert script.requests[0].headers["authorization"] == "Bearer secret-token"
    assert "secret-token" not in repr(script.transport) + str(caught.value) + repr(caught.value)


def test_segments_cannot_leave_their_place() -> None:
    """Whatever an identifier holds, it stays one segment."""
    assert path("/rooms/{}/send/{}", "!a/../b?c#d:e", "m.x") == "/rooms/%21a%2F..%2Fb%3Fc%23d%3Ae/send/m.x"
