"""Where the microseconds of a direct message go: Paraph with a stopwatch around each stage, under the direct load.

A stage's time is processor time, and its own: what a stage called inside it takes is that one's. A coroutine is timed
in its steps, so waiting is not counted. What the stopwatch itself costs is measured first and taken off.

    python -m bench.stages [--seconds 5] [--json]
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import json
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from bench.direct import WARM_SECONDS
from bench.load import Load
from bench.people import make_pairs
from bench.processes import Server

# stage: the functions whose own time it is, as module:qualified name; a coroutine function is marked with *.
STAGES: dict[str, tuple[str, ...]] = {
    "uvicorn: read and parse": ("uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.data_received",),
    "uvicorn: task and receive": (
        "*uvicorn.protocols.http.httptools_impl:RequestResponseCycle.run_asgi",
        "*uvicorn.protocols.http.httptools_impl:RequestResponseCycle.receive",
    ),
    "uvicorn: write the answer": ("*uvicorn.protocols.http.httptools_impl:RequestResponseCycle.send",),
    "application": ("*paraph.server.http.asgi:Application._http", "*paraph.server.http.asgi:Application._answer"),
    "route": ("paraph.server.http.routing:Router.match",),
    "token": ("*paraph.server.http.asgi:Application._authenticate",),
    "limits": ("paraph.server.http.limits:Limiter.check",),
    "send: handler": ("*paraph.server.messenger.http_events:_Events.send",),
    "send: parse JSON": ("paraph.server.http.endpoint:parse_json",),
    "send: canonical JSON": ("paraph.server.messenger.events:canonical_content",),
    "send: event id, transaction key": (
        "paraph.server.messenger.events:seal",
        "paraph.server.messenger.events:txn_key",
    ),
    "send: queue": ("*paraph.server.storage.batches:GroupCommit.write",),
    "write: rules and hooks": ("paraph.server.messenger.core:Core.room_joined_by", "write function"),
    "write: INSERT": ("paraph.server.messenger.store:Store.add_event",),
    "batch: BEGIN, savepoints, position": ("paraph.server.storage.sqlite:SqliteDatabase._apply",),
    "batch: COMMIT (in its thread)": ("commit",),
    "batch: callers resume": ("paraph.server.storage.batches:Write.settle",),
    "publish and wake": ("paraph.server.messenger.core:Core.publish",),
    "sync: handler and query": (
        "*paraph.server.messenger.sync.http:_Sync.sync",
        "*paraph.server.messenger.filters.service:Filters.plan",
    ),
    "sync: wait": ("*paraph.server.messenger.sync.service:Sync.answer",),
    "sync: build": ("*paraph.server.messenger.sync.service:Sync._build",),
    "sync: unread": ("*paraph.server.messenger.push.service:Push.unread",),
    "sync: presence": ("*paraph.server.messenger.sync.service:Sync._add_presence",),
    "sync: encode": ("paraph.server.messenger.sync.service:encode",),
}


class Stopwatch:
    """Own time and calls by stage, on the event loop's thread."""

    def __init__(self) -> None:
        self.own: defaultdict[str, int] = defaultdict(int)
        self.calls: defaultdict[str, int] = defaultdict(int)
        self._inner = [0]
        self._timings = self._coroutines = 0
        self._outside = 0
        self._inside = 0
        self._coroutine = 0
        self._calibrate()

    def _calibrate(self) -> None:
        """How much of a timed call's cost falls inside its own time, and how much into its caller's."""
        nothing = self.function("", lambda: None)
        rounds = []
        for _ in range(20):
            self.reset()
            begun = time.thread_time_ns()
            for _ in range(1000):
                nothing()
            rounds.append(((time.thread_time_ns() - begun) // 1000, self.own[""] // 1000))
        whole, self._inside = min(rounds)
        self._outside = whole - self._inside
        bare, timed = _nothing, self.coroutine("", _nothing)
        self._coroutine = max(0, _each(timed) - _each(bare) - whole)
        self.reset()

    def timed(self, stage: str, call: Callable[..., Any], *args: Any) -> Any:
        """Call, and note the time that belongs to this stage."""
        inner = self._inner
        inner.append(0)
        self._timings += 1
        begun = time.thread_time_ns()
        try:
            return call(*args)
        finally:
            elapsed = time.thread_time_ns() - begun
            own = elapsed - inner.pop() - self._inside
            inner[-1] += elapsed + self._outside
            self.own[stage] += own

    def function(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.calls[stage] += 1
            return self.timed(stage, functools.partial(function, **kwargs) if kwargs else function, *args)

        return timed

    def coroutine(self, stage: str, function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """The coroutine function, each step timed."""

        @functools.wraps(function)
        async def timed(*args: Any, **kwargs: Any) -> Any:
            self.calls[stage] += 1
            self._coroutines += 1
            self._inner[-1] += self._coroutine
            return await _Steps(self, stage, function(*args, **kwargs))

        return timed

    @property
    def cost(self) -> int:
        """What all the timing has cost (ns)."""
        return self._timings * (self._inside + self._outside) + self._coroutines * self._coroutine

    def reset(self) -> None:
        """Begin anew."""
        self._timings = self._coroutines = 0
        self.own.clear()
        self.calls.clear()


async def _nothing() -> None:
    """A coroutine that waits for nothing."""


def _each(function: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Nanoseconds that one such coroutine takes, at best."""
    rounds = []
    for _ in range(20):
        begun = time.thread_time_ns()
        for _ in range(1000):
            with contextlib.suppress(StopIteration):
                function().send(None)
        rounds.append((time.thread_time_ns() - begun) // 1000)
    return min(rounds)


class _Steps:
    """Awaits a coroutine, timing what happens between its waits."""

    def __init__(self, watch: Stopwatch, stage: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._watch, self._stage, self._coroutine = watch, stage, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        resume: Callable[..., Any] = self._coroutine.send
        argument: Any = None
        while True:
            try:
                waited_for = self._watch.timed(self._stage, resume, argument)
            except StopIteration as done:
                return done.value
            try:
                argument = yield waited_for
                resume = self._coroutine.send
            except BaseException as error:  # cancelled while waiting: the coroutine decides
                argument, resume = error, self._coroutine.throw


def instrument(watch: Stopwatch) -> None:
    """Put the stopwatch around every stage."""
    for stage, names in STAGES.items():
        for name in names:
            if ":" in name:
                _replace(watch, stage, name)
    _time_writes(watch)


def _replace(watch: Stopwatch, stage: str, name: str) -> None:
    module, _, path = name.lstrip("*").partition(":")
    owner: Any = importlib.import_module(module)
    *parents, last = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    wrap = watch.coroutine if name.startswith("*") else watch.function
    setattr(owner, last, wrap(stage, getattr(owner, last)))


def _time_writes(watch: Stopwatch) -> None:
    """Time the functions given to `write`, and the commits by the processor time of their thread."""
    from paraph.server.storage import batches, sqlite

    init = batches.Write.__init__

    def with_timed_function(self: batches.Write, fn: Callable[[Any], Any], future: asyncio.Future[Any]) -> None:
        init(self, watch.function("write: rules and hooks", fn), future)

    batches.Write.__init__ = with_timed_function  # type: ignore[method-assign]
    connect = sqlite._connect

    class Committing:
        """A connection whose COMMIT is timed."""

        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def execute(self, sql: str, *args: Any) -> Any:
            if sql != "COMMIT":
                return self._connection.execute(sql, *args)
            begun = time.thread_time_ns()
            result = self._connection.execute(sql)
            watch.own["batch: COMMIT (in its thread)"] += time.thread_time_ns() - begun
            watch.calls["batch: COMMIT (in its thread)"] += 1
            return result

    sqlite._connect = lambda path: Committing(connect(path))  # type: ignore[assignment,return-value]


def serve(data: Path, port: int) -> None:
    """Serve with the stopwatch; SIGUSR1 begins anew, SIGUSR2 writes `stages.json` into the data folder."""
    from paraph.cli.serve import run
    from paraph.server.config import load

    watch = Stopwatch()
    instrument(watch)

    def dump(*_: object) -> None:
        partial = data / "stages.new"
        partial.write_text(json.dumps({"own": watch.own, "calls": watch.calls, "cost": watch.cost}))
        partial.replace(data / "stages.json")

    signal.signal(signal.SIGUSR1, lambda *_: watch.reset())
    signal.signal(signal.SIGUSR2, dump)
    run(load(data=data, port=port))


class Staged(Server):
    """The server with the stopwatch."""

    def command(self) -> list[str]:
        """This module, serving."""
        return [sys.executable, "-m", "bench.stages", "--serve", str(self.data), "--port", str(self.port)]


async def measure(directory: Path, pairs: int, inflight: int, seconds: float) -> dict[str, Any]:
    """Microseconds and calls per message by stage, the whole processor time, and messages per commit."""
    with Staged("staged", directory) as server:
        load = Load(server.port, await make_pairs(server.port, pairs), inflight)
        await load.run(WARM_SECONDS, 1.0, server.cpu_ms)
        server.signal(signal.SIGUSR1)
        measured = await load.run(0.0, seconds, server.cpu_ms)
        server.signal(signal.SIGUSR2)
        result = server.data / "stages.json"
        while not result.exists():
            time.sleep(0.01)  # noqa: ASYNC251 - the load is over
        found = json.loads(result.read_text())
    sent = found["calls"]["send: handler"]
    stages = {stage: found["own"].get(stage, 0) / sent / 1000 for stage in STAGES}
    total = measured.cpu_ms * 1000 - found["cost"] / sent / 1000
    return {
        "us": stages,
        "calls": {stage: found["calls"].get(stage, 0) / sent for stage in STAGES},
        "total_us": total,
        "rest_us": total - sum(stages.values()),
        "messages_a_commit": sent / found["calls"]["batch: COMMIT (in its thread)"],
    }


def main(
    seconds: Annotated[float, typer.Option(min=1.0, help="Measured time.")] = 5.0,
    pairs: Annotated[int, typer.Option(min=1)] = 20,
    inflight: Annotated[int, typer.Option(min=1)] = 4,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    serving: Annotated[Path | None, typer.Option("--serve", hidden=True)] = None,
    port: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Show where the microseconds of a direct message go."""
    if serving is not None:
        serve(serving, port)
        return
    with tempfile.TemporaryDirectory(prefix="paraph-stages-") as temporary:
        found = uvloop.run(measure(Path(temporary), pairs, inflight, seconds))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table("stage", "µs/message", "share", "calls/message")
    for stage, microseconds in found["us"].items():
        share = microseconds / found["total_us"]
        table.add_row(stage, f"{microseconds:.1f}", f"{share:.0%}", f"{found['calls'][stage]:.2f}")
    table.add_row("event loop, system calls, the rest", f"{found['rest_us']:.1f}", "", "")
    table.add_row("all", f"{found['total_us']:.1f}", "", "")
    console = Console()
    console.print(table)
    console.print(f"{found['messages_a_commit']:.1f} messages a commit")


if __name__ == "__main__":
    typer.run(main)
