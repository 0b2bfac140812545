"""One performance of the demo in the test's own process, on a platform that may be sabotaged; made cheap."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paraph.cli.demo.films import Film
from paraph.cli.demo.process import SERVE
from paraph.cli.demo.screen import Screen
from paraph.cli.demo.story import ACTS, Story
from paraph.cli.demo.stranger import CHECK

LAUNCHER = Path(__file__).parent / "sabotage" / "serve.py"
# Reading the real ratings takes longer than the story; the texts need to be different, no more.
FILMS = [Film(f"Film {number}", 1950 + number, "drama", 1 + number % 5, 5 - number % 4) for number in range(40)]


@dataclass(frozen=True)
class Played:
    """How a performance ended: the exit status it stands for, and the document it printed."""

    kept: bool
    document: dict[str, Any]

    def verdict(self, promise: str) -> bool | None:
        """Whether a promise was kept, or None where it was not shown."""
        kept: bool | None = self.document["promises"][promise]["kept"]
        return kept

    @property
    def broken(self) -> set[str]:
        """The promises that the demo says are broken."""
        return {promise for promise in self.document["promises"] if self.verdict(promise) is False}

    def evidence(self, promise: str) -> dict[str, Any]:
        """The evidence of a promise."""
        evidence: dict[str, Any] = self.document["promises"][promise]["evidence"]
        return evidence

    def accepted(self, promise: str, name: str) -> set[str]:
        """What was tried and should have been refused, and was not."""
        return {attempt["what"] for attempt in self.evidence(promise)[name] if not attempt["refused"]}


def play(
    folder: Path,
    sabotage: str | None = None,
    *,
    acts: Collection[str] = ACTS,
    check_command: tuple[str, ...] = CHECK,
) -> Played:
    """Play the story once, without its control; `sabotage` names what the platform fails to enforce.

    `acts` are those of them that are played, where only they could notice; `check_command` is what the stranger runs.
    """
    command = SERVE if sabotage is None else (sys.executable, str(LAUNCHER), sabotage, "serve")
    screen = Screen(quiet=True)
    story = Story(
        folder,
        screen,
        server_command=command,
        films=lambda: FILMS,
        control=False,
        acts=acts,
        check_command=check_command,
    )
    kept = asyncio.run(story.play())
    return Played(kept, screen.document)
