"""Direct messages: what one costs, beside a bare server that only stores and forwards, in the same rounds.

`stored` is the same load on a database that already holds many rooms and messages, beside an empty one.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict

from bench.databases import Databases
from bench.figures import Limit, Outcome, Plan, medians, ratio, wrong
from bench.fill import FilledRoom, filling
from bench.load import Load, Measured
from bench.people import Chat, Listener, floor_chats, make_accounts, make_pairs, newest
from bench.processes import Server
from bench.wire import Connection

WARM_SECONDS = 1.0
SETTLE_SECONDS = 2.0
FILLING_PEOPLE = 100
CPU_LIMITS = {"sqlite": 0.40, "postgresql": 0.90}

_FIGURES = {
    "CPU ms/message": ("cpu_ms", ".3f"),
    "messages/s": ("per_second", ",.0f"),
    "p50 delivery ms": ("p50_ms", ".1f"),
    "p99 delivery ms": ("p99_ms", ".1f"),
    "RSS MB after the load": ("rss_mb", ".0f"),
}


async def direct(plan: Plan, databases: Databases) -> Outcome:
    """Floor and Paraph in turn, then the memory of an idle server with many accounts."""
    with databases.fresh() as database, ExitStack() as stack:
        floor = stack.enter_context(Server("floor", plan.directory / "direct"))
        paraph = stack.enter_context(Server("paraph", plan.directory / "direct", database))
        loads = {
            floor: Load(floor.port, floor_chats(plan.pairs), plan.inflight),
            paraph: Load(paraph.port, await make_pairs(paraph.port, plan.pairs), plan.inflight),
        }
        measured = await interleaved(plan, loads)
        figures = {server.name: medians(measured[server]) | {"rss_mb": server.rss_mb()} for server in loads}
    compared = ratio(measured[paraph], measured[floor])
    mine = figures["paraph"]
    limits = [Limit("CPU ms/message", mine["cpu_ms"], CPU_LIMITS[plan.database])]
    if plan.database == "sqlite":
        limits.append(Limit("CPU / floor's CPU", compared, 2.8))
    limits += [
        Limit("messages/s", mine["per_second"], 2000, at_least=True),
        Limit("p99 delivery ms", mine["p99_ms"], 110),
    ]
    idle = None
    if plan.accounts:
        idle = await idle_memory(plan, databases)
        limits.append(Limit(f"idle MB, {plan.accounts:,} accounts", idle, 150))
    return Outcome(
        f"{plan.pairs} pairs x {plan.inflight} in flight, median of rounds: {plan.rounds}",
        side_by_side(figures, compared),
        limits,
        {
            "rounds": {server.name: [asdict(one) for one in measured[server]] for server in loads},
            "median": figures,
            "ratio": compared,
            "idle": {"accounts": plan.accounts, "rss_mb": idle},
        },
        sum(wrong(rounds) for rounds in measured.values()),
    )


async def stored(plan: Plan, databases: Databases) -> Outcome:
    """An empty database and a filled one in turn; the pairs of the load have their share of the stored messages."""
    directory = plan.directory / "stored"
    with databases.fresh() as small, databases.fresh() as large, ExitStack() as stack:
        started = time.monotonic()
        async with filling(directory / "filled", large) as filler:
            crowd = await filler.people("crowd", FILLING_PEOPLE)
            senders, receivers = await filler.people("snd", plan.pairs), await filler.people("rcv", plan.pairs)
            pairs = list(zip(senders, receivers, strict=True))
            others = [(crowd[n % FILLING_PEOPLE], crowd[(n * 7 + 1) % FILLING_PEOPLE]) for n in range(plan.rooms)]
            pairs += [pair for pair in others if pair[0] is not pair[1]][: max(0, plan.rooms - plan.pairs)]
            rooms = await filler.rooms(pairs)
            await filler.messages(rooms, plan.messages)
        plan.say(f"{len(rooms):,} rooms and {plan.messages:,} messages in {time.monotonic() - started:.0f} s")
        empty = stack.enter_context(Server("empty", directory, small))
        filled = stack.enter_context(Server("filled", directory, large))
        loads = {
            empty: Load(empty.port, await make_pairs(empty.port, plan.pairs), plan.inflight),
            filled: Load(filled.port, await chats_in(filled.port, rooms[: plan.pairs]), plan.inflight),
        }
        measured = await interleaved(plan, loads)
        figures = {server.name: medians(measured[server]) | {"rss_mb": server.rss_mb()} for server in loads}
    compared = ratio(measured[filled], measured[empty])
    return Outcome(
        f"{len(rooms):,} rooms, {plan.messages:,} messages beside none, median of rounds: {plan.rounds}",
        side_by_side(figures, compared),
        [Limit("CPU / the empty one's CPU", compared, 1.25)],
        {
            "rounds": {server.name: [asdict(one) for one in measured[server]] for server in loads},
            "median": figures,
            "ratio": compared,
        },
        sum(wrong(rounds) for rounds in measured.values()),
    )


async def interleaved(plan: Plan, loads: dict[Server, Load]) -> dict[Server, list[Measured]]:
    """Every load once per round, one after the other."""
    measured: dict[Server, list[Measured]] = {server: [] for server in loads}
    for n in range(plan.rounds):
        for server, load in loads.items():
            figures = await load.run(WARM_SECONDS, plan.seconds, server.cpu_ms)
            measured[server].append(figures)
            plan.say(
                f"round {n + 1}/{plan.rounds} {server.name:>6}: {figures.cpu_ms:.3f} CPU ms/message, "
                f"{figures.per_second:,.0f} messages/s, p99 {figures.p99_ms:.1f} ms, RSS {server.rss_mb():.0f} MB"
            )
    return measured


async def chats_in(port: int, rooms: list[FilledRoom]) -> list[Chat]:
    """Rooms that were filled before the server started, as chats."""
    connection = await Connection.open(port)
    chats = []
    for room in rooms:
        listener = Listener(room.other.token, await newest(connection, room.other.token))
        chats.append(Chat(room.room_id, [room.creator.token], [listener]))
    connection.close()
    return chats


async def idle_memory(plan: Plan, databases: Databases) -> float:
    """Megabytes resident in a server that has just taken in so many accounts and now does nothing."""
    with databases.fresh() as database, Server("idle", plan.directory / "direct", database) as server:
        await make_accounts(server.port, plan.accounts)
        time.sleep(SETTLE_SECONDS)  # noqa: ASYNC251 - nothing else runs here, and nothing should
        return server.rss_mb()


def side_by_side(figures: dict[str, dict[str, float]], cpu_ratio: float) -> list[tuple[str, ...]]:
    """Two servers' figures, and the second over the first."""
    (first, base), (second, other) = figures.items()
    rows: list[tuple[str, ...]] = [("", first, second, f"{second} / {first}")]
    for name, (key, form) in _FIGURES.items():
        compared = cpu_ratio if key == "cpu_ms" else other[key] / base[key]
        rows.append((name, f"{base[key]:{form}}", f"{other[key]:{form}}", f"{compared:.2f}"))
    return rows
