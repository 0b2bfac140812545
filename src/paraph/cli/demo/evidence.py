"""What the demo found out, as values, and which promises these values keep or break."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Opened:
    """How many of how many messages were opened."""

    opened: int
    tried: int

    def __str__(self) -> str:
        """As the table shows it."""
        return f"{self.opened} of {self.tried}"


@dataclass(frozen=True, slots=True)
class Control:
    """The same conversation in a server-readable inbox of the old kind."""

    readable: Opened
    records: int


@dataclass(frozen=True, slots=True)
class Row:
    """What one partner opened with the whole database and every key it ever received."""

    partner: str
    granted: Opened
    other: Opened
    correspondent: Opened
    served: int
    """Messages that the Inbox API served and the partner's SDK opened."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that must not work, and what came of it."""

    what: str
    refused: bool
    answer: str


@dataclass(frozen=True, slots=True)
class Revocation:
    """After the author revoked: what the API said, and what the partner opens of the messages sent since."""

    api: Attempt
    sent: int
    opened: int


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """The public log that the story left, verified from its files alone."""

    directory: str
    vkey: str
    size: int
    kinds: Mapping[str, int]
    verified: bool
    tampering: Attempt


@dataclass(slots=True)
class Evidence:
    """Everything the story measured."""

    control: Control
    rows: list[Row]
    revocation: Revocation
    forgeries: list[Attempt]
    agreements: list[Attempt]
    recorded: Mapping[str, int]
    """Entries of the author by kind, as her device reads them."""
    log: LogEvidence
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise: kept, broken, or (None) not shown yet."""

    promise: str
    title: str
    kept: bool | None
    evidence: Mapping[str, Any] = field(default_factory=dict)


TITLES = {
    "P1": "Own words only",
    "P2": "No record, no key",
    "P3": "No access receipt, no read",
    "P4": "Revocation bites",
    "P5": "Only your devices speak for you",
    "P6": "No secret agreements",
    "P7": "Counted, not listed",
    "P8": "Bound to a purpose",
    "P9": "One API for all",
}


def verdicts(evidence: Evidence) -> list[Verdict]:
    """All nine promises, in order; those that this story does not show have no verdict."""
    shown = {"P1": _own_words(evidence), "P4": _revocation(evidence), "P6": _agreements(evidence)}
    return [
        Verdict(promise, title, *shown[promise]) if promise in shown else Verdict(promise, title, None)
        for promise, title in TITLES.items()
    ]


def all_kept(evidence: Evidence) -> bool:
    """Whether every promise that is shown is kept and the log holds, with its tampering noticed."""
    kept = [verdict.kept for verdict in verdicts(evidence) if verdict.kept is not None]
    return all(kept) and evidence.log.verified and evidence.log.tampering.refused


def _own_words(evidence: Evidence) -> tuple[bool, dict[str, Any]]:
    expected = sum(row.granted.tried for row in evidence.rows)
    closed = [cell for row in evidence.rows for cell in (row.other, row.correspondent)]
    opened = sum(row.granted.opened for row in evidence.rows) + sum(cell.opened for cell in closed)
    served = sum(row.served for row in evidence.rows)
    kept = (
        expected > 0
        and all(row.granted.opened == row.granted.tried == row.served for row in evidence.rows)
        and not any(cell.opened for cell in closed)
        and _all_refused(evidence.forgeries)
    )
    return kept, {
        "tried": expected + sum(cell.tried for cell in closed),
        "opened": opened,
        "expected": expected,
        "served": served,
        "rows": [asdict(row) for row in evidence.rows],
        "forgeries": [asdict(attempt) for attempt in evidence.forgeries],
    }


def _revocation(evidence: Evidence) -> tuple[bool, dict[str, Any]]:
    revocation = evidence.revocation
    kept = revocation.sent > 0 and revocation.opened == 0 and revocation.api.refused
    return kept, {
        "tried": revocation.sent,
        "opened": revocation.opened,
        "expected": 0,
        "api": asdict(revocation.api),
    }


def _agreements(evidence: Evidence) -> tuple[bool, dict[str, Any]]:
    attempts = evidence.agreements
    return _all_refused(attempts), {
        "tried": len(attempts),
        "opened": sum(not attempt.refused for attempt in attempts),
        "expected": 0,
        "attempts": [asdict(attempt) for attempt in attempts],
    }


def _all_refused(attempts: Sequence[Attempt]) -> bool:
    return bool(attempts) and all(attempt.refused for attempt in attempts)


def to_json(evidence: Evidence) -> dict[str, Any]:
    """The document that `paraph demo --json` prints."""
    return {
        "promises": {
            verdict.promise: {"title": verdict.title, "kept": verdict.kept, "evidence": dict(verdict.evidence)}
            for verdict in verdicts(evidence)
        },
        "control": asdict(evidence.control),
        "recorded": dict(evidence.recorded),
        "log": asdict(evidence.log),
        "kept": all_kept(evidence),
        "seconds": round(evidence.seconds, 2),
    }
