"""The witness over HTTP, as plain ASGI: `POST /add-checkpoint` and `GET /<origin hash>/checkpoint`, nothing else."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from paraph.tlog.witness import MAX_REQUEST, TEXT_TYPE, MalformedRequest, Refused
from paraph.witness.auditor import MapAuditor
from paraph.witness.service import Witness

T = TypeVar("T")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MONITORING = re.compile(r"/([0-9a-f]{64})/checkpoint")


class Answer(NamedTuple):
    """Status, content type and body."""

    status: int
    content_type: str
    body: bytes


class WitnessApplication:
    """Serves one witness; requests are worked on one after the other, in a thread of their own."""

    def __init__(self, witness: Witness, auditors: Mapping[str, MapAuditor] = {}) -> None:
        """`auditors` are asked before anything is cosigned, by the origin of their logs: all logs, or none."""
        self._witness = witness
        self._auditors = auditors
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="witness")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's start and stop."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            answer = await self._answer(scope["method"], scope["path"], receive)
            await _send(send, answer, head=scope["method"] == "HEAD")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "lifespan.startup":
            for auditor in self._auditors.values():
                auditor.start()
            await send({"type": "lifespan.startup.complete"})
        for auditor in self._auditors.values():
            await asyncio.to_thread(auditor.close)
        await self._in_order(self._witness.close)
        self._thread.shutdown()
        await send({"type": f"{message['type']}.complete"})

    async def _answer(self, method: str, path: str, receive: Receive) -> Answer:
        monitoring = _MONITORING.fullmatch(path)
        if path != "/add-checkpoint" and monitoring is None:
            return _text(404, "expected /add-checkpoint or /<origin hash>/checkpoint")
        if method not in (("POST",) if monitoring is None else ("GET", "HEAD")):
            return _text(405, f"{method} is not answered here")
        if monitoring is None:
            return await self._add_checkpoint(receive)
        found = await self._in_order(lambda: self._witness.checkpoint(monitoring[1]))
        if found is None:
            return _text(404, "no checkpoint of this log was ever cosigned here")
        return Answer(200, TEXT_TYPE, found)

    async def _add_checkpoint(self, receive: Receive) -> Answer:
        try:
            body = await _read(receive)
            submission = await self._in_order(lambda: self._witness.read(body))
            if self._auditors:
                await self._auditors[submission.origin].require(submission)
            cosignature = await self._in_order(lambda: self._witness.cosign(submission))
        except Refused as error:
            return Answer(error.status, error.content_type, error.body)
        return Answer(200, TEXT_TYPE, cosignature)

    async def _in_order(self, fn: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, fn)


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise MalformedRequest("the connection ended before the request did")
        body += message.get("body", b"")
        if len(body) > MAX_REQUEST:
            raise MalformedRequest(f"expected at most {MAX_REQUEST} bytes")
        if not message.get("more_body", False):
            return bytes(body)


async def _send(send: Send, answer: Answer, *, head: bool) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


def _text(status: int, message: str) -> Answer:
    return Answer(status, TEXT_TYPE, f"{message}\n".encode())
