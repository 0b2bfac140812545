"""The command `python -m bench`."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from bench.load import Load, Measured, floor_pairs, make_accounts, make_pairs
from bench.processes import Server
from bench.report import Result
from bench.wire import RefusedError

WARM_SECONDS = 1.0
SETTLE_SECONDS = 2.0


def bench(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; each loads the floor, then Paraph.")] = 5,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of people, each with a room of its own.")] = 20,
    inflight: Annotated[int, typer.Option(min=1, help="Sends that each sender keeps in flight.")] = 4,
    seconds: Annotated[float, typer.Option(min=0.5, help="Measured time of one load.")] = 5.0,
    accounts: Annotated[int, typer.Option(min=0, help="Accounts for the idle memory figure; 0 skips.")] = 1000,
    directory: Annotated[
        Path | None, typer.Option(help="Where the databases go: a real disk, not memory. [default: temporary]")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One round of 2 s, no idle accounts.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure what an encrypted message costs the server, beside a bare server that only stores and forwards.

    The exit status is 1 if a message was lost or delivered twice, else 0: a figure over budget is shown,
    not punished.

    Example: python -m bench --rounds 3 --pairs 10 --seconds 3
    """
    if quick:
        rounds, seconds, accounts = 1, min(seconds, 2.0), 0
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="paraph-bench-", dir=directory) as temporary:
        try:
            result = uvloop.run(measure(Path(temporary), rounds, pairs, inflight, seconds, accounts, console))
        except* (RefusedError, ConnectionError) as failed:
            raise SystemExit(f"the load stopped: {failed.exceptions[0]}") from None
    if as_json:
        print(json.dumps(result.as_json(), indent=2))
    else:
        result.show(console)
    raise typer.Exit(1 if result.lost else 0)


async def measure(
    directory: Path, rounds: int, pairs: int, inflight: int, seconds: float, accounts: int, console: Console
) -> Result:
    """Run the rounds, floor and Paraph in turn on the same machine, then the idle memory figure."""
    measured: dict[str, list[Measured]] = {"floor": [], "paraph": []}
    with Server("floor", directory) as floor, Server("paraph", directory) as paraph:
        loads = {
            floor: Load(floor.port, floor_pairs(pairs), inflight),
            paraph: Load(paraph.port, await make_pairs(paraph.port, pairs), inflight),
        }
        for n in range(rounds):
            for server, load in loads.items():
                figures = await load.run(WARM_SECONDS, seconds, server.cpu_ms)
                measured[server.name].append(figures)
                console.print(
                    f"round {n + 1}/{rounds} {server.name:>6}: {figures.cpu_ms:.3f} CPU ms/message, "
                    f"{figures.per_second:,.0f} messages/s, p99 {figures.p99_ms:.1f} ms, "
                    f"RSS {server.rss_mb():.0f} MB",
                    soft_wrap=True,
                )
        memory = {server.name: server.rss_mb() for server in loads}
    idle = await idle_memory(directory, accounts) if accounts else None
    return Result(measured["floor"], measured["paraph"], memory["floor"], memory["paraph"], accounts, idle)


async def idle_memory(directory: Path, accounts: int) -> float:
    """Megabytes resident in a server that has just taken in so many accounts and now does nothing."""
    with Server("idle", directory) as server:
        await make_accounts(server.port, accounts)
        time.sleep(SETTLE_SECONDS)  # noqa: ASYNC251 - nothing else runs here, and nothing should
        return server.rss_mb()


if __name__ == "__main__":
    typer.run(bench)
