"""The command `python -m bench`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from bench import report
from bench.databases import Databases, databases
from bench.direct import direct, stored
from bench.figures import Outcome, Plan
from bench.groups import groups
from bench.idle import idle
from bench.inbox import inbox
from bench.initial import initial
from bench.ledger import ledger
from bench.outside import media, webhooks
from bench.overload import overload
from bench.processes import raise_file_limit
from bench.receipts import receipts
from bench.wire import RefusedError

SCENARIOS: dict[str, Callable[[Plan, Databases], Awaitable[Outcome]]] = {
    "direct": direct,
    "stored": stored,
    "groups": groups,
    "initial": initial,
    "idle": idle,
    "overload": overload,
    "ledger": ledger,
    "receipts": receipts,
    "inbox": inbox,
    "media": media,
    "webhooks": webhooks,
}


class Scenario(Enum):
    """What can be asked for; `all` is everything, one after the other."""

    DIRECT = "direct"
    STORED = "stored"
    GROUPS = "groups"
    INITIAL = "initial"
    IDLE = "idle"
    OVERLOAD = "overload"
    LEDGER = "ledger"
    RECEIPTS = "receipts"
    INBOX = "inbox"
    MEDIA = "media"
    WEBHOOKS = "webhooks"
    ALL = "all"


class Kind(Enum):
    """What can stand behind Paraph."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


def bench(
    scenario: Annotated[list[Scenario], typer.Option(help="What to measure; may be given again.")] = [  # noqa: B006
        Scenario.DIRECT
    ],
    database: Annotated[Kind, typer.Option(help="What stands behind Paraph.")] = Kind.SQLITE,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; each loads every server in turn.")] = 5,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of people, each with a room of its own.")] = 20,
    inflight: Annotated[int, typer.Option(min=1, help="Sends that each sender keeps in flight.")] = 4,
    seconds: Annotated[float, typer.Option(min=0.5, help="Measured time of one load.")] = 5.0,
    accounts: Annotated[int, typer.Option(min=0, help="direct: accounts for the idle memory; 0 skips.")] = 1000,
    rooms: Annotated[int, typer.Option(min=1, help="stored: rooms in the database.")] = 1000,
    messages: Annotated[int, typer.Option(min=0, help="stored: messages in the database.")] = 200_000,
    polls: Annotated[int, typer.Option(min=100, help="idle: long polls.")] = 10_000,
    leaves: Annotated[int, typer.Option(min=1000, help="ledger: leaves of the log, labels of the map.")] = 100_000,
    directory: Annotated[
        Path | None, typer.Option(help="Where the databases go: a real disk, not memory. [default: temporary]")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One round of 2 s, small numbers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure what messages cost the server, beside a bare server that only stores and forwards.

    The exit status is 1 if a message was lost or delivered twice, else 0: a figure over budget is shown,
    not punished.

    Example: python -m bench --scenario direct --scenario overload --rounds 3
    """
    raise_file_limit()
    if quick:
        rounds, seconds, accounts, polls = 1, min(seconds, 2.0), 0, min(polls, 1000)
        rooms, messages, leaves = min(rooms, 100), min(messages, 10_000), min(leaves, 5000)
    console = Console(stderr=as_json)
    names = list(SCENARIOS) if Scenario.ALL in scenario else [one.value for one in scenario]
    with tempfile.TemporaryDirectory(prefix="paraph-bench-", dir=directory) as temporary:
        plan = Plan(
            directory=Path(temporary),
            database=database.value,
            rounds=rounds,
            pairs=pairs,
            inflight=inflight,
            seconds=seconds,
            accounts=accounts,
            rooms=rooms,
            messages=messages,
            polls=polls,
            leaves=leaves,
            quick=quick,
            say=lambda text: console.print(text, soft_wrap=True),
        )
        try:
            outcomes = uvloop.run(measure(names, plan))
        except* (RefusedError, ConnectionError) as failed:
            raise SystemExit(f"the load stopped: {failed.exceptions[0]}") from None
    if as_json:
        print(json.dumps(report.as_json(outcomes, plan.database), indent=2))
    else:
        report.show(outcomes, console)
    raise typer.Exit(1 if report.lost(outcomes) else 0)


async def measure(names: list[str], plan: Plan) -> dict[str, Outcome]:
    """Run the scenarios one after the other."""
    outcomes = {}
    with databases(plan.database) as found:
        for name in names:
            plan.say(f"[bold]{name}[/]")
            outcomes[name] = await SCENARIOS[name](plan, found)
    return outcomes


if __name__ == "__main__":
    typer.run(bench)
