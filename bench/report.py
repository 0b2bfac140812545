"""What the scenarios showed: their tables and the budget, or the same as JSON."""

from __future__ import annotations

import os
import platform
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Limit, Outcome


def as_json(outcomes: dict[str, Outcome], database: str) -> dict[str, Any]:
    """Everything measured, for a machine to read."""
    return {
        "machine": machine(),
        "database": database,
        "scenarios": {name: outcome.figures for name, outcome in outcomes.items()},
        "budget": [
            {"scenario": name, **asdict(limit), "kept": limit.kept}
            for name, outcome in outcomes.items()
            for limit in outcome.limits
        ],
        "lost": lost(outcomes),
    }


def show(outcomes: dict[str, Outcome], console: Console) -> None:
    """Print a table for each scenario, then the budget."""
    for name, outcome in outcomes.items():
        heading, *rows = outcome.rows
        console.print(f"[bold]{name}[/]: {outcome.title}", soft_wrap=True, highlight=False)
        table = Table(*heading)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        for note in outcome.notes:
            console.print(note)
    budget = Table("budget", "measured", "limit", "")
    for name, outcome in outcomes.items():
        for limit in outcome.limits:
            sign, word = (">=" if limit.at_least else "<="), ("kept" if limit.kept else "over")
            budget.add_row(f"{name}: {limit.name}", f"{limit.measured:,.2f}", f"{sign} {limit.limit:,g}", word)
    console.print(budget)
    for name, outcome in outcomes.items():
        for limit in outcome.limits:
            if not limit.kept:
                console.print(over(name, limit))
    found = lost(outcomes)
    console.print("nothing lost, nothing twice" if not found else f"LOST OR TWICE: {found}")


def over(scenario: str, limit: Limit) -> str:
    """A sentence about a figure that is over budget."""
    bound = "at least" if limit.at_least else "at most"
    return f"over budget: {scenario}: {limit.name} is {limit.measured:,.2f}, {bound} {limit.limit:,g}"


def lost(outcomes: dict[str, Outcome]) -> int:
    """Messages lost or delivered twice in any scenario."""
    return sum(outcome.wrong for outcome in outcomes.values())


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(": ")[2]
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
