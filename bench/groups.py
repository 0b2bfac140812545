"""Groups: every message of a few goes to all, who wait for it in long polls."""

from __future__ import annotations

from dataclasses import asdict

from bench.databases import Databases
from bench.direct import interleaved
from bench.figures import Outcome, Plan, medians, wrong
from bench.load import Load
from bench.people import make_groups
from bench.processes import Server

ROOMS = 4
MEMBERS = 50
SENDERS = 4
INFLIGHT = 1


async def groups(plan: Plan, databases: Databases) -> Outcome:
    """Rooms of fifty, four of whom send; all fifty long-poll, the senders too."""
    members = MEMBERS // 10 if plan.quick else MEMBERS
    with databases.fresh() as database, Server("groups", plan.directory / "groups", database) as server:
        chats = await make_groups(server.port, ROOMS, members, SENDERS)
        measured = (await interleaved(plan, {server: Load(server.port, chats, INFLIGHT)}))[server]
        memory = server.rss_mb()
    middle = medians(measured)
    rows: list[tuple[str, ...]] = [
        ("", "groups"),
        ("CPU ms/message", f"{middle['cpu_ms']:.2f}"),
        ("CPU ms/delivery", f"{middle['cpu_ms'] / members:.3f}"),
        ("messages/s", f"{middle['per_second']:,.0f}"),
        ("deliveries/s", f"{middle['per_second'] * members:,.0f}"),
        ("p50 delivery ms", f"{middle['p50_ms']:.1f}"),
        ("p99 delivery ms", f"{middle['p99_ms']:.1f}"),
        ("RSS MB after the load", f"{memory:.0f}"),
    ]
    figures = {"rounds": [asdict(one) for one in measured], "median": middle, "members": members, "rss_mb": memory}
    title = f"{ROOMS} rooms of {members}, {SENDERS} senders x {INFLIGHT} in flight in each, rounds: {plan.rounds}"
    return Outcome(title, rows, [], figures, wrong(measured))
