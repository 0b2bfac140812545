"""What the check of a piece of evidence comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What evidence shows, in one word."""

    PROVEN = "PROVEN"
    """What the file claims is so."""
    COMPLETE = "COMPLETE"
    """The list is right, and it is all that the log holds."""
    INCOMPLETE = "INCOMPLETE"
    """What is listed is right, and the log is proven to hold more."""
    REJECTED = "REJECTED"
    """The file shows nothing, or says something that is not so."""


@dataclass(frozen=True)
class Verdict:
    """Kind of evidence, outcome, one line that says why, and the findings as JSON-able values."""

    kind: str
    outcome: Outcome
    summary: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether what the file was made to show is shown."""
        return self.outcome in (Outcome.PROVEN, Outcome.COMPLETE)
