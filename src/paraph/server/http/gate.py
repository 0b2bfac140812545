"""The door: no more sends are let in at once than can be answered soon; others wait outside, and not for long.

Refusing inside the application is too late: a refusal there costs a third of a served message, and whoever is refused
at once is back at once. So sends beyond `MAX_UNDER_WAY` wait here as the bytes they came in, unparsed. The newest is
let in first: under an overload that lasts, first come first served would only serve those who have waited longest and
are about to give up. Who has waited for `PATIENCE` is told 503 and when to come back. docs/performance.md has the
measurements.

Only what is plainly a whole `PUT /_matrix/` request is held up, which is what sending is. All else passes, and the
database's own bound on waiting writes answers for it.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from paraph.server.http.asgi import answer_to
from paraph.server.http.errors import Overloaded

MAX_UNDER_WAY = 400
"""Sends let in and not yet answered: about a tenth of a second of work."""
MAX_WAITING = 10_000
"""Sends outside; whoever comes then is refused at once."""
MAX_WAITING_BYTES = 16_384
"""A larger send does not wait."""
PATIENCE = 3.0
"""Seconds outside."""
SWEEP = 0.1
"""Seconds between two looks at who has waited too long."""

_SEND = b"PUT /_matrix/"
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+:[^\r\n\0]*")
"""A header line in lower case (RFC 9110 section 5.6.2)."""
_FRAMING = (b"content-length", b"transfer-encoding", b" ", b"\t")


class Gate:
    """The sends under way and those that wait, over all connections of a server."""

    def __init__(
        self, max_under_way: int = MAX_UNDER_WAY, max_waiting: int = MAX_WAITING, patience: float = PATIENCE
    ) -> None:
        self.under_way = 0
        self._max_under_way = max_under_way
        self._max_waiting = max_waiting
        self._patience = patience
        self._waiting: deque[tuple[float, GatedProtocol]] = deque()
        self._sweeping = False

    def protocol(self) -> type[asyncio.Protocol]:
        """What uvicorn is to make for each connection (its setting `http`)."""
        return cast("type[asyncio.Protocol]", partial(GatedProtocol, self))

    @property
    def full(self) -> bool:
        """Whether a send has to wait."""
        return self.under_way >= self._max_under_way

    def hold(self, connection: GatedProtocol) -> bool:
        """Let a connection's send wait; False if too many do."""
        if len(self._waiting) >= self._max_waiting:
            return False
        self._waiting.append((connection.loop.time() + self._patience, connection))
        if not self._sweeping:
            self._sweeping = True
            connection.loop.call_later(SWEEP, self._sweep, connection.loop)
        return True

    def enter(self) -> None:
        """A send is under way."""
        self.under_way += 1

    def leave(self) -> None:
        """A send was answered: another may come in, the newest first."""
        self.under_way -= 1
        while self._waiting and not self.full:
            self._waiting.pop()[1].let_in()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            self._waiting.popleft()[1].refuse()
        self._sweeping = bool(self._waiting)
        if self._sweeping:
            loop.call_later(SWEEP, self._sweep, loop)


class GatedProtocol(HttpToolsProtocol):
    """uvicorn's connection, with the gate in front of its parser."""

    def __init__(self, gate: Gate, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate = gate
        self._within = False  # the parser has begun a message that is not complete
        self._counted = False
        self._held: bytes | None = None

    def data_received(self, data: bytes) -> None:
        """Called by asyncio: hold a send back if the gate is full, or pass the bytes on."""
        if self._gate.full and self._between_requests() and is_whole_send(data):
            self._hold(data)
        else:
            super().data_received(data)

    def _between_requests(self) -> bool:
        return not self._within and (self.cycle is None or self.cycle.response_complete)

    def _hold(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._held = data
        if len(data) <= MAX_WAITING_BYTES and self._gate.hold(self):
            self.transport.pause_reading()  # a request behind this one must not overtake it
        else:
            self.refuse()

    def let_in(self) -> None:
        """The wait is over: parse and answer. Nothing if the connection is gone."""
        held, self._held = self._held, None
        if held is not None:
            self.transport.resume_reading()
            super().data_received(held)

    def refuse(self) -> None:
        """The wait was for nothing: say so. Nothing if the connection is gone."""
        if self._held is not None:
            self._held = None
            self.transport.write(REFUSAL)
            self.transport.resume_reading()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._within = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Called by the parser: from here on the answer depends on the server alone, so from here on it counts."""
        self._within = False
        super().on_message_complete()
        if not self._counted and self.scope["method"] == "PUT" and not self.cycle.response_complete:
            self._counted = True
            self._gate.enter()

    def on_response_complete(self) -> None:
        """Called when the answer has been written."""
        super().on_response_complete()
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._held = None
        super().connection_lost(exc)
        self._leave()

    def _leave(self) -> None:
        if self._counted:
            self._counted = False
            self._gate.leave()


def is_whole_send(data: bytes) -> bool:
    """Whether these bytes, at the beginning of a request, are one send from its first byte to its last.

    Anything not plainly so (chunked, a second Content-Length, more to come, another request behind) is not: what is
    refused unparsed must end where the parser would have found its end (RFC 9112 section 6.3).
    """
    if not data.startswith(_SEND):
        return False
    head, found, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    framing = [line for line in lines if line.startswith(_FRAMING)]
    if not found or len(framing) != 1 or not all(_FIELD.fullmatch(line) for line in lines[1:]):
        return False
    name, _, value = framing[0].partition(b":")
    return name == b"content-length" and value.strip(b" ") == b"%d" % len(body)


def _refusal() -> bytes:
    reply, headers = answer_to(Overloaded(), "/_matrix/")
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return STATUS_LINE[reply.status] + lines + b"\r\n" + reply.body


REFUSAL = _refusal()
