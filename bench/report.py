"""What the rounds showed: medians, the budget beside them, as a table or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

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
class Result:
    """All rounds, in the order in which they ran, and the memory figures in megabytes."""

    floor: list[Measured]
    paraph: list[Measured]
    floor_rss_mb: float
    paraph_rss_mb: float
    accounts: int
    idle_rss_mb: float | None

    @property
    def lost(self) -> int:
        """Messages that were accepted and never arrived, or arrived twice, over all rounds."""
        return sum(measured.lost + measured.duplicated for measured in self.floor + self.paraph)

    @property
    def ratio(self) -> float:
        """Median over the rounds of Paraph's CPU per message over the floor's in the same round."""
        return median(p.cpu_ms / f.cpu_ms for f, p in zip(self.floor, self.paraph, strict=True))

    @property
    def budget(self) -> list[Limit]:
        """The project's budget for 2 cores shared with the load, 20 pairs, 4 sends in flight each."""
        paraph = medians(self.paraph)
        limits = [
            Limit("CPU ms/message", paraph["cpu_ms"], 0.40),
            Limit("CPU / floor's CPU", self.ratio, 2.8),
            Limit("messages/s", paraph["per_second"], 2000, at_least=True),
            Limit("p99 delivery ms", paraph["p99_ms"], 110),
        ]
        if self.idle_rss_mb is not None:
            limits.append(Limit(f"idle MB, {self.accounts:,} accounts", self.idle_rss_mb, 150))
        return limits

    def as_json(self) -> dict[str, Any]:
        """Everything measured, for a machine to read."""
        return {
            "rounds": {
                "floor": [asdict(measured) for measured in self.floor],
                "paraph": [asdict(measured) for measured in self.paraph],
            },
            "median": {"floor": medians(self.floor), "paraph": medians(self.paraph), "ratio": self.ratio},
            "rss_mb": {"floor": self.floor_rss_mb, "paraph": self.paraph_rss_mb},
            "idle": {"accounts": self.accounts, "rss_mb": self.idle_rss_mb},
            "budget": [{**asdict(limit), "kept": limit.kept} for limit in self.budget],
            "lost": self.lost,
        }

    def show(self, console: Console) -> None:
        """Print both servers side by side, then the budget."""
        console.print(self._comparison())
        console.print(self._budget())
        for limit in self.budget:
            if not limit.kept:
                bound = "at least" if limit.at_least else "at most"
                console.print(f"over budget: {limit.name} is {limit.measured:,.2f}, {bound} {limit.limit:,g}")
        console.print("nothing lost, nothing twice" if not self.lost else f"LOST OR TWICE: {self.lost}")

    def _comparison(self) -> Table:
        table = Table("", "floor", "paraph", "paraph / floor", title=f"median of rounds: {len(self.paraph)}")
        floor, paraph = medians(self.floor), medians(self.paraph)
        floor["rss_mb"], paraph["rss_mb"] = self.floor_rss_mb, self.paraph_rss_mb
        rows = {
            "CPU ms/message": ("cpu_ms", ".3f"),
            "messages/s": ("per_second", ",.0f"),
            "p50 delivery ms": ("p50_ms", ".1f"),
            "p99 delivery ms": ("p99_ms", ".1f"),
            "RSS MB after the load": ("rss_mb", ".0f"),
        }
        for name, (key, form) in rows.items():
            ratio = self.ratio if key == "cpu_ms" else paraph[key] / floor[key]
            table.add_row(name, f"{floor[key]:{form}}", f"{paraph[key]:{form}}", f"{ratio:.2f}")
        return table

    def _budget(self) -> Table:
        table = Table("budget", "measured", "limit", "")
        for limit in self.budget:
            sign, word = (">=" if limit.at_least else "<="), ("kept" if limit.kept else "over")
            table.add_row(limit.name, f"{limit.measured:,.2f}", f"{sign} {limit.limit:,g}", word)
        return table


def medians(rounds: list[Measured]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    names = ("cpu_ms", "per_second", "p50_ms", "p99_ms")
    return {name: median(getattr(measured, name) for measured in rounds) for name in names}
