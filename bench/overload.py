"""Overload: far more devices than the server can serve, each sending once a second whatever it is answered.

A device has one request under way at most. Refused (429 or 503), it comes back with a new message after a second, or
after what `Retry-After` says if it is patient. Afterwards the rooms are read back: what was acknowledged must be there
once, what was refused must not be there at all.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median, quantiles
from typing import Any, cast

import msgspec

from bench.databases import Databases
from bench.direct import WARM_SECONDS
from bench.figures import Limit, Outcome, Plan
from bench.load import Event, Inbox, Load, megolm_like, receive
from bench.people import CLIENT, Chat, make_pairs, newest
from bench.processes import Server, raise_file_limit
from bench.wire import Connection, RefusedError, quoted, request

TIMES = 3
PERIOD = 1.0
"""Seconds between two sends of a device."""
OPENED_AT_ONCE = 200
FILES_KEPT = 300
ANSWER_WITHIN = 30.0
_UNDERSTOOD = ("200", "429 with Retry-After", "503 with Retry-After")


@dataclass(frozen=True)
class Flooded:
    """One flood: `goodput` are acknowledged sends a second; `wrong` messages broke their promise."""

    offered: float
    goodput: float
    refused: float
    answers: dict[str, int]
    p50_ms: float
    p99_ms: float
    refusal_p99_ms: float
    delivery_p99_ms: float
    wrong: int


@dataclass
class Flood:
    """Devices on connections of their own, spread over the senders of all chats."""

    port: int
    chats: list[Chat]
    patient: bool
    numbers: itertools.count[int]
    devices: list[_Device] = field(default_factory=list)
    stopping: bool = False
    accepted: dict[int, str] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    deliveries: list[float] = field(default_factory=list)
    started: dict[int, float] = field(default_factory=dict)

    async def connect(self, count: int) -> None:
        """Open the devices' connections, a few at a time."""
        loop = asyncio.get_running_loop()
        for start in range(0, count, OPENED_AT_ONCE):
            chats = [self.chats[n % len(self.chats)] for n in range(start, min(start + OPENED_AT_ONCE, count))]
            devices = [_Device(self, chat) for chat in chats]
            await asyncio.gather(
                *(loop.create_connection(partial(_same, device), "127.0.0.1", self.port) for device in devices)
            )
            self.devices += devices

    async def run(self, warm: float, seconds: float) -> Flooded:
        """Flood for `warm` seconds unmeasured, then for `seconds`; then wait for every answer, and read back."""
        loop = asyncio.get_running_loop()
        for n, device in enumerate(self.devices):
            loop.call_later(n / len(self.devices) * PERIOD, device.send)
        inboxes = [_Watcher(chat, one, self._arrived, asyncio.Event()) for chat in self.chats for one in chat.listeners]
        receivers = [asyncio.create_task(receive(self.port, inbox)) for inbox in inboxes]
        await asyncio.sleep(warm)
        begin = len(self.latencies), len(self.refusals), len(self.deliveries), time.perf_counter()
        await asyncio.sleep(seconds)
        self.stopping = True
        latencies, refusals = self.latencies[begin[0] :], self.refusals[begin[1] :]
        deliveries, elapsed = self.deliveries[begin[2] :], time.perf_counter() - begin[3]
        await self._answered()
        for receiver in receivers:
            receiver.cancel()
        for device in self.devices:
            device.close()
        await self._catch_up()
        return Flooded(
            offered=(len(latencies) + len(refusals)) / elapsed,
            goodput=len(latencies) / elapsed,
            refused=len(refusals) / elapsed,
            answers=dict(self.answers),
            p50_ms=median(latencies or [0]) * 1000,
            p99_ms=_p99(latencies),
            refusal_p99_ms=_p99(refusals),
            delivery_p99_ms=_p99(deliveries),
            wrong=await self._wrong() + sum(inbox.duplicated for inbox in inboxes),
        )

    def _arrived(self, number: int, when: float) -> bool:
        start = self.started.get(number)
        if start is not None:
            self.deliveries.append(when - start)
        return start is not None

    async def _answered(self) -> None:
        deadline = time.monotonic() + ANSWER_WITHIN
        while any(device.waiting for device in self.devices):
            if time.monotonic() > deadline:
                raise RefusedError(f"sends were not answered within {ANSWER_WITHIN:.0f} s")
            await asyncio.sleep(0.05)

    async def _catch_up(self) -> None:
        """Let the listeners skip what they have not read, so that another load can begin."""
        connection = await Connection.open(self.port)
        for listener in (one for chat in self.chats for one in chat.listeners):
            listener.since = await newest(connection, listener.token)
        connection.close()

    async def _wrong(self) -> int:
        """Acknowledged and not stored once, or refused and stored all the same."""
        stored: Counter[int] = Counter()
        connection = await Connection.open(self.port)
        for chat in self.chats:
            stored.update(await _read_back(connection, chat))
        connection.close()
        lost = sum(stored[number] != 1 for number in self.accepted)
        return lost + sum(stored[number] != 0 for number in self.refused)


class _Watcher(Inbox):
    """A listener who does not mind gaps: what is missing from its syncs is looked for afterwards."""

    def take(self, sync: Any) -> None:
        for room in sync.rooms.join.values():
            room.timeline.limited = False
        super().take(sync)


class _Device(asyncio.Protocol):
    """A connection that sends by the clock, parsing no more of an answer than it must."""

    def __init__(self, flood: Flood, chat: Chat) -> None:
        self._flood = flood
        self._path = f"{CLIENT}/rooms/{quoted(chat.room)}/send/m.room.encrypted/flood-"
        self._token = chat.sender_tokens[0]
        self._room = chat.room
        self._received = b""
        self._number = 0
        self._transport: asyncio.Transport
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        """Send a new message, unless the flood is over."""
        if self._flood.stopping:
            return
        self._number = next(self._flood.numbers)
        self._flood.started[self._number] = time.perf_counter()
        self.waiting = True
        message = request("PUT", f"{self._path}{self._number}", self._token, megolm_like(self._number))
        self._transport.write(message)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= int(_header(head, b"content-length") or 0):
            self._received = b""
            self.waiting = False
            self._answered(head[9:12], head)

    def _answered(self, status: bytes, head: bytes) -> None:
        flood, elapsed = self._flood, time.perf_counter() - self._flood.started[self._number]
        pause = max(0.0, PERIOD - elapsed)
        if status == b"200":
            flood.accepted[self._number] = self._room
            flood.latencies.append(elapsed)
            flood.answers["200"] += 1
        else:
            after = _header(head, b"retry-after")
            flood.refused.add(self._number)
            flood.refusals.append(elapsed)
            flood.answers[f"{status.decode()} {'with' if after else 'WITHOUT'} Retry-After"] += 1
            if flood.patient and after:
                pause = float(after)
        asyncio.get_running_loop().call_later(pause, self.send)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        if self.waiting:
            self.waiting = False
            self._flood.answers["connection lost"] += 1

    def close(self) -> None:
        """Close at once."""
        self._transport.abort()


def _same(device: _Device) -> _Device:
    return device


class _Page(msgspec.Struct):
    chunk: list[Event]
    end: str | None = None


async def _read_back(connection: Connection, chat: Chat) -> list[int]:
    """The number of every message that a room holds."""
    numbers: list[int] = []
    page = _Page([], "")
    while page.end is not None:
        start = f"&from={quoted(page.end)}" if page.end else ""
        path = f"{CLIENT}/rooms/{quoted(chat.room)}/messages?dir=b&limit=100{start}"
        answer = await connection.request(request("GET", path, chat.listeners[0].token))
        if answer.status != 200:
            raise RefusedError(f"GET {path}: {answer.status}")
        page = msgspec.json.decode(answer.body, type=_Page)
        numbers += [event.number for event in page.chunk if event.number is not None]
    return numbers


def _header(head: bytes, name: bytes) -> bytes | None:
    _, found, rest = head.partition(b"\r\n" + name + b": ")
    return rest.partition(b"\r\n")[0] if found else None


def _p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100, method="inclusive")[98] * 1000 if len(seconds) > 1 else 0.0


async def overload(plan: Plan, databases: Databases) -> Outcome:
    """What the server sustains, then floods of three times that: by devices that do as they are told, and by others."""
    runs: list[tuple[float, dict[str, Flooded]]] = []
    with databases.fresh() as database, Server("server", plan.directory / "overload", database) as server:
        chats = await make_pairs(server.port, plan.pairs)
        load = Load(server.port, chats, plan.inflight)
        numbers = itertools.count(10**9)
        for n in range(plan.rounds):
            sustained = (await load.run(WARM_SECONDS, plan.seconds, server.cpu_ms)).per_second
            floods = {}
            for name in ("patient", "impatient"):
                floods[name] = await _flood(server, chats, sustained, name == "patient", plan, numbers)
                plan.say(_told(n, plan, sustained, name, floods[name], server.rss_mb()))
            runs.append((sustained, floods))
        memory = server.rss_mb()
    return _outcome(plan, runs, memory)


async def _flood(
    server: Server, chats: list[Chat], sustained: float, patient: bool, plan: Plan, numbers: itertools.count[int]
) -> Flooded:
    count = min(int(TIMES * sustained * PERIOD), raise_file_limit() - FILES_KEPT)
    flood = Flood(server.port, chats, patient, numbers)
    await flood.connect(count)
    return await flood.run(2 * WARM_SECONDS, plan.seconds)


def _told(n: int, plan: Plan, sustained: float, name: str, flood: Flooded, memory: float) -> str:
    answers = ", ".join(f"{count:,} x {what}" for what, count in flood.answers.items())
    return (
        f"round {n + 1}/{plan.rounds} sustained {sustained:,.0f}/s; {name}: offered {flood.offered:,.0f}/s, "
        f"accepted {flood.goodput:,.0f}/s ({answers}), p99 {flood.p99_ms:.0f} ms, RSS {memory:.0f} MB"
    )


def _outcome(plan: Plan, runs: list[tuple[float, dict[str, Flooded]]], memory: float) -> Outcome:
    names = ("patient", "impatient")

    def middle(value: Callable[[Flooded], float]) -> list[float]:
        return [median(value(floods[name]) for _, floods in runs) for name in names]

    kept = [median(floods[name].goodput / sustained for sustained, floods in runs) for name in names]
    floods = [flood for _, pair in runs for flood in pair.values()]
    mute = sum(count for flood in floods for what, count in flood.answers.items() if what not in _UNDERSTOOD)
    rows: list[tuple[str, ...]] = [
        ("", *names),
        ("offered/s", *(f"{value:,.0f}" for value in middle(lambda flood: flood.offered))),
        ("accepted/s", *(f"{value:,.0f}" for value in middle(lambda flood: flood.goodput))),
        ("refused/s", *(f"{value:,.0f}" for value in middle(lambda flood: flood.refused))),
        ("accepted / sustained", *(f"{value:.2f}" for value in kept)),
        ("p50 ms until accepted", *(f"{value:,.0f}" for value in middle(lambda flood: flood.p50_ms))),
        ("p99 ms until accepted", *(f"{value:,.0f}" for value in middle(lambda flood: flood.p99_ms))),
        ("p99 ms until refused", *(f"{value:,.0f}" for value in middle(lambda flood: flood.refusal_p99_ms))),
        ("p99 ms until delivered", *(f"{value:,.0f}" for value in middle(lambda flood: flood.delivery_p99_ms))),
    ]
    sustained = median(rate for rate, _ in runs)
    limits = [
        Limit(f"accepted / sustained, {name}", value, 0.8, at_least=True)
        for name, value in zip(names, kept, strict=True)
    ]
    limits.append(Limit("answers that say nothing", mute, 0))
    figures = {
        "sustained_per_second": [rate for rate, _ in runs],
        "floods": [{name: msgspec.to_builtins(flood) for name, flood in pair.items()} for _, pair in runs],
        "rss_mb": memory,
    }
    title = (
        f"{TIMES} times the sustained {sustained:,.0f} messages/s offered, rounds: {plan.rounds}, RSS {memory:.0f} MB"
    )
    return Outcome(title, rows, limits, figures, sum(flood.wrong for flood in floods))
