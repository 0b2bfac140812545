"""What a scenario hands back: a table for people, figures for machines, and its lines of the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import Measured


@dataclass(frozen=True)
class Limit:
    """One line of the budget: a figure and what it must not pass."""

    name: str
    measured: float
    limit: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        """Whether the figure is within the budget."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


@dataclass(frozen=True)
class Outcome:
    """One scenario. `rows` begins with the headings; `wrong` counts messages lost or delivered twice."""

    title: str
    rows: list[tuple[str, ...]]
    limits: list[Limit]
    figures: dict[str, Any]
    wrong: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What to run: how often, how long (seconds), how much, where; `say` reports progress.

    `quick` asks for small numbers: enough to see that everything works, not to compare with the budget.
    """

    directory: Path
    database: str
    rounds: int
    pairs: int
    inflight: int
    seconds: float
    accounts: int
    rooms: int
    messages: int
    polls: int
    leaves: int
    quick: bool
    say: Callable[[str], None]


def medians(rounds: list[Measured]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    names = ("cpu_ms", "per_second", "p50_ms", "p99_ms")
    return {name: median(getattr(measured, name) for measured in rounds) for name in names}


def ratio(rounds: list[Measured], base: list[Measured]) -> float:
    """Median over the rounds of the CPU for a message over that of `base` in the same round."""
    return median(one.cpu_ms / other.cpu_ms for one, other in zip(rounds, base, strict=True))


def wrong(rounds: list[Measured]) -> int:
    """Messages that were accepted and never arrived, or arrived twice, over all rounds."""
    return sum(measured.lost + measured.duplicated for measured in rounds)
