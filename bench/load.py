"""The load: pairs of people, each in a private encrypted room, one sending, one long-polling.

The sender keeps a few sends in flight; a message counts as delivered when the receiver's sync has brought it.
Every message carries a number of its own, so that a lost one and one delivered twice are both seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import quantiles
from typing import TypeVar

import msgspec

from bench.wire import Connection, RefusedError, quoted, request

CLIENT = "/_matrix/client/v3"
FILTER = quoted('{"room":{"timeline":{"limit":100},"state":{"lazy_load_members":true}}}')
SETUP_CONNECTIONS = 4
NUMBER_DIGITS = 12
CIPHERTEXT_CHARACTERS = 600
PASSWORD = "correct horse battery staple"

T = TypeVar("T")


class _Content(msgspec.Struct):
    ciphertext: str = ""


class _Event(msgspec.Struct):
    content: _Content


class _Timeline(msgspec.Struct):
    events: list[_Event] = []
    limited: bool = False


class _Room(msgspec.Struct):
    timeline: _Timeline


class _Rooms(msgspec.Struct):
    join: dict[str, _Room] = {}


class Sync(msgspec.Struct):
    """The parts of a sync answer that a receiver of messages reads; the rest is skipped unread."""

    next_batch: str
    rooms: _Rooms = msgspec.field(default_factory=_Rooms)


@dataclass
class Pair:
    """Two people and their room; `since` is how far the receiver has read."""

    room: str
    sender_token: str
    receiver_token: str
    since: str


@dataclass(frozen=True)
class Measured:
    """One round: times in milliseconds, `cpu_ms` for each message delivered while the clock ran."""

    delivered: int
    per_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    lost: int
    duplicated: int


@dataclass
class Load:
    """A load that can be run again and again on the same pairs; messages are numbered through."""

    port: int
    pairs: list[Pair]
    inflight: int
    drain_seconds: float = 10.0
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self, warm: float, seconds: float, cpu_ms: Callable[[], float]) -> Measured:
        """Load the server for `warm` seconds unmeasured, then for `seconds`; then stop and wait for the rest."""
        traffic = _Traffic(self, self._numbers)
        async with asyncio.TaskGroup() as group:
            receivers = [group.create_task(traffic.receive(pair)) for pair in self.pairs]
            senders = [group.create_task(traffic.send(pair)) for pair in self.pairs for _ in range(self.inflight)]
            await asyncio.sleep(warm)
            since, cpu, clock = len(traffic.latencies), cpu_ms(), time.perf_counter()
            await asyncio.sleep(seconds)
            latencies = traffic.latencies[since:]
            cpu, elapsed = cpu_ms() - cpu, time.perf_counter() - clock
            traffic.stopping = True
            await asyncio.gather(*senders)
            await traffic.drained()
            for receiver in receivers:
                receiver.cancel()
        if len(latencies) < 2:
            raise RefusedError(f"only {len(latencies)} messages arrived in {seconds} s")
        percentiles = quantiles(latencies, n=100, method="inclusive")
        return Measured(
            delivered=len(latencies),
            per_second=len(latencies) / elapsed,
            cpu_ms=cpu / len(latencies),
            p50_ms=percentiles[49] * 1000,
            p99_ms=percentiles[98] * 1000,
            lost=len(traffic.accepted - traffic.delivered),
            duplicated=traffic.duplicated,
        )


@dataclass
class _Traffic:
    load: Load
    numbers: itertools.count[int]
    stopping: bool = False
    started: dict[int, float] = field(default_factory=dict)
    accepted: set[int] = field(default_factory=set)
    delivered: set[int] = field(default_factory=set)
    latencies: list[float] = field(default_factory=list)
    duplicated: int = 0
    arrival: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, pair: Pair) -> None:
        """One of the sends that a pair keeps in flight."""
        connection = await Connection.open(self.load.port)
        room = quoted(pair.room)
        while not self.stopping:
            number = next(self.numbers)
            path = f"{CLIENT}/rooms/{room}/send/m.room.encrypted/bench-{number}"
            message = request("PUT", path, pair.sender_token, megolm_like(number))
            self.started[number] = time.perf_counter()
            answer = await connection.request(message)
            if answer.status != 200:
                raise RefusedError(f"PUT {path}: {answer.status} {answer.body.decode(errors='replace')}")
            self.accepted.add(number)
        connection.close()

    async def receive(self, pair: Pair) -> None:
        """The receiver's long poll, from the token where it stopped last."""
        connection = await Connection.open(self.load.port)
        decoder = msgspec.json.Decoder(Sync)
        try:
            while True:
                path = f"{CLIENT}/sync?since={quoted(pair.since)}&timeout=30000&filter={FILTER}"
                answer = await connection.request(request("GET", path, pair.receiver_token))
                if answer.status != 200:
                    raise RefusedError(f"GET {path}: {answer.status} {answer.body.decode(errors='replace')}")
                self._arrived(pair, decoder.decode(answer.body))
        finally:
            connection.close()

    def _arrived(self, pair: Pair, sync: Sync) -> None:
        now = time.perf_counter()
        pair.since = sync.next_batch
        self.arrival.set()
        if (room := sync.rooms.join.get(pair.room)) is None:
            return
        if room.timeline.limited:
            raise RefusedError("a sync left messages out (limited): the receiver is more than 100 behind")
        for event in room.timeline.events:
            if not event.content.ciphertext:
                continue
            number = int(event.content.ciphertext[:NUMBER_DIGITS])
            if (start := self.started.get(number)) is None or number in self.delivered:
                self.duplicated += 1
            else:
                self.delivered.add(number)
                self.latencies.append(now - start)

    async def drained(self) -> None:
        """Wait until everything accepted has arrived, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.load.drain_seconds):
                while self.accepted - self.delivered:
                    self.arrival.clear()
                    await self.arrival.wait()


def megolm_like(number: int) -> bytes:
    """Content as a Megolm message has it, of the usual size; the ciphertext begins with the number."""
    ciphertext = f"{number:0{NUMBER_DIGITS}d}".ljust(CIPHERTEXT_CHARACTERS, "A")
    return (
        b'{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"%s","device_id":"BENCHDEVIC",'
        b'"sender_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",'
        b'"session_id":"BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"}' % ciphertext.encode()
    )


def floor_pairs(count: int) -> list[Pair]:
    """Pairs on the floor, which knows no accounts: a receiver's token names its room."""
    return [Pair(f"!{n}:floor", "sender", f"!{n}:floor", "0") for n in range(count)]


async def make_pairs(port: int, count: int) -> list[Pair]:
    """Two accounts and a private encrypted room for each pair, the receiver joined and synced once."""
    return await _spread(port, [f"pair{n}" for n in range(count)], _make_pair)


async def make_accounts(port: int, count: int) -> None:
    """Accounts that do nothing but exist."""
    await _spread(port, [f"idle{n}" for n in range(count)], register)


async def register(connection: Connection, name: str) -> dict[str, str]:
    """Sign up and return `{user_id, access_token, device_id}`."""
    content = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    account: dict[str, str] = await connection.call("POST", f"{CLIENT}/register", content=content)
    return account


async def _make_pair(connection: Connection, name: str) -> Pair:
    sender, receiver = await register(connection, f"{name}-sender"), await register(connection, f"{name}-rcv")
    encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    room = await connection.call(
        "POST",
        f"{CLIENT}/createRoom",
        sender["access_token"],
        {
            "preset": "private_chat",
            "is_direct": True,
            "invite": [receiver["user_id"]],
            "initial_state": [{"state_key": "", **encryption}],
        },
    )
    token = receiver["access_token"]
    await connection.call("POST", f"{CLIENT}/join/{quoted(room['room_id'])}", token, {})
    first = await connection.call("GET", f"{CLIENT}/sync?timeout=0&filter={FILTER}", token)
    return Pair(room["room_id"], sender["access_token"], token, first["next_batch"])


async def _spread(port: int, names: list[str], make: Callable[[Connection, str], Awaitable[T]]) -> list[T]:
    """Call `make` for each name over a few connections at once; results in the order of the names."""
    waiting = iter(enumerate(names))
    made: dict[int, T] = {}

    async def work() -> None:
        connection = await Connection.open(port)
        for index, name in waiting:
            made[index] = await make(connection, name)
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(SETUP_CONNECTIONS):
            group.create_task(work())
    return [made[index] for index in range(len(names))]
