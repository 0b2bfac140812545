"""The load: chats, in each of which some people send and others long-poll.

A sender keeps a few sends in flight; a message counts as delivered to a listener when that listener's sync has brought
it. Every message carries a number of its own, so that a lost one and one delivered twice are both seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles

import msgspec

from bench.people import CLIENT, FILTER, Chat, Listener
from bench.wire import Connection, RefusedError, quoted, request

NUMBER_DIGITS = 12
CIPHERTEXT_CHARACTERS = 600


class _Content(msgspec.Struct):
    ciphertext: str = ""


class Event(msgspec.Struct):
    """The part of an event that says which message it is."""

    content: _Content

    @property
    def number(self) -> int | None:
        """The message's number; None for an event that is no message of this load."""
        text = self.content.ciphertext[:NUMBER_DIGITS]
        return int(text) if text.isdigit() else None


class _Timeline(msgspec.Struct):
    events: list[Event] = []
    limited: bool = False


class _Room(msgspec.Struct):
    timeline: _Timeline


class _Rooms(msgspec.Struct):
    join: dict[str, _Room] = {}


class Sync(msgspec.Struct):
    """The parts of a sync answer that a receiver of messages reads; the rest is skipped unread."""

    next_batch: str
    rooms: _Rooms = msgspec.field(default_factory=_Rooms)


@dataclass(frozen=True)
class Measured:
    """One round: times in milliseconds, `cpu_ms` for each message that reached all of its listeners.

    `delivered` counts each listener of a message; `per_second` counts messages.
    """

    delivered: int
    per_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    lost: int
    duplicated: int


@dataclass
class Load:
    """A load that can be run again and again on the same chats; messages are numbered through."""

    port: int
    chats: list[Chat]
    inflight: int
    drain_seconds: float = 10.0
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self, warm: float, seconds: float, cpu_ms: Callable[[], float]) -> Measured:
        """Load the server for `warm` seconds unmeasured, then for `seconds`; then stop and wait for the rest."""
        traffic = _Traffic(self, self._numbers)
        async with asyncio.TaskGroup() as group:
            receivers = [group.create_task(receive(self.port, inbox)) for inbox in traffic.inboxes]
            senders = [
                group.create_task(traffic.send(chat, token))
                for chat in self.chats
                for token in chat.sender_tokens
                for _ in range(self.inflight)
            ]
            await asyncio.sleep(warm)
            since, cpu, clock = len(traffic.latencies), cpu_ms(), time.perf_counter()
            await asyncio.sleep(seconds)
            latencies = traffic.latencies[since:]
            cpu, elapsed = cpu_ms() - cpu, time.perf_counter() - clock
            traffic.stopping = True
            await asyncio.gather(*senders)
            await traffic.drained(self.drain_seconds)
            for receiver in receivers:
                receiver.cancel()
        return traffic.measured(latencies, cpu, elapsed)


@dataclass
class Inbox:
    """What one listener has got of a chat's messages.

    `arrived` is told of each number and when it came; it answers False for one that was never sent in this run.
    """

    chat: Chat
    listener: Listener
    arrived: Callable[[int, float], bool]
    news: asyncio.Event
    numbers: set[int] = field(default_factory=set)
    duplicated: int = 0

    def take(self, sync: Sync) -> None:
        """Note the messages of one sync answer; raises RefusedError if it left some out."""
        now = time.perf_counter()
        self.listener.since = sync.next_batch
        self.news.set()
        if (room := sync.rooms.join.get(self.chat.room)) is None:
            return
        if room.timeline.limited:
            raise RefusedError("a sync left messages out (limited): the receiver is more than 100 behind")
        for event in room.timeline.events:
            if (number := event.number) is None:
                continue
            if number in self.numbers or not self.arrived(number, now):
                self.duplicated += 1
            else:
                self.numbers.add(number)


async def receive(port: int, inbox: Inbox) -> None:
    """A listener's long poll, from the token where it stopped last, until cancelled."""
    connection = await Connection.open(port)
    decoder = msgspec.json.Decoder(Sync)
    try:
        while True:
            path = f"{CLIENT}/sync?since={quoted(inbox.listener.since)}&timeout=30000&filter={FILTER}"
            answer = await connection.request(request("GET", path, inbox.listener.token))
            if answer.status != 200:
                raise RefusedError(f"GET {path}: {answer.status} {answer.body.decode(errors='replace')}")
            inbox.take(decoder.decode(answer.body))
    finally:
        connection.close()


class _Traffic:
    """One run: what was started, accepted and delivered."""

    def __init__(self, load: Load, numbers: itertools.count[int]) -> None:
        self.port = load.port
        self.stopping = False
        self.latencies: list[float] = []
        self._numbers = numbers
        self._started: dict[int, float] = {}
        self._accepted: dict[str, set[int]] = {chat.room: set() for chat in load.chats}
        self._news = asyncio.Event()
        self.inboxes = [Inbox(chat, one, self._arrived, self._news) for chat in load.chats for one in chat.listeners]

    async def send(self, chat: Chat, token: str) -> None:
        """One of the sends that a sender keeps in flight."""
        connection = await Connection.open(self.port)
        room, accepted = quoted(chat.room), self._accepted[chat.room]
        while not self.stopping:
            number = next(self._numbers)
            path = f"{CLIENT}/rooms/{room}/send/m.room.encrypted/bench-{number}"
            message = request("PUT", path, token, megolm_like(number))
            self._started[number] = time.perf_counter()
            answer = await connection.request(message)
            if answer.status != 200:
                raise RefusedError(f"PUT {path}: {answer.status} {answer.body.decode(errors='replace')}")
            accepted.add(number)
        connection.close()

    def _arrived(self, number: int, when: float) -> bool:
        start = self._started.get(number)
        if start is not None:
            self.latencies.append(when - start)
        return start is not None

    def _missing(self) -> int:
        return sum(len(self._accepted[inbox.chat.room] - inbox.numbers) for inbox in self.inboxes)

    async def drained(self, seconds: float) -> None:
        """Wait until everything accepted has arrived, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._missing():
                    self._news.clear()
                    await self._news.wait()

    def measured(self, latencies: list[float], cpu: float, elapsed: float) -> Measured:
        """The figures of the deliveries within the measured time."""
        if len(latencies) < 2:
            raise RefusedError(f"only {len(latencies)} messages arrived in {elapsed:.1f} s")
        messages = len(latencies) * len(self._accepted) / len(self.inboxes)
        percentiles = quantiles(latencies, n=100, method="inclusive")
        return Measured(
            delivered=len(latencies),
            per_second=messages / elapsed,
            cpu_ms=cpu / messages,
            p50_ms=percentiles[49] * 1000,
            p99_ms=percentiles[98] * 1000,
            lost=self._missing(),
            duplicated=sum(inbox.duplicated for inbox in self.inboxes),
        )


def megolm_like(number: int) -> bytes:
    """Content as a Megolm message has it, of the usual size; the ciphertext begins with the number."""
    ciphertext = f"{number:0{NUMBER_DIGITS}d}".ljust(CIPHERTEXT_CHARACTERS, "A")
    return (
        b'{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"%s","device_id":"BENCHDEVIC",'
        b'"sender_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",'
        b'"session_id":"BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"}' % ciphertext.encode()
    )
