"""What the demo found out, as values, and which promises these values keep or break."""

from collections.abc import Mapping
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
    unreceipted: str | None = None
    """Why the partner's SDK refused an answer that came without a fitting access entry, if it did."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that must not work, and what came of it."""

    what: str
    refused: bool
    answer: str


@dataclass(frozen=True, slots=True)
class Cheat:
    """The operator lied to the author's device, and she wrote: what `reader`, who should not, opens of it.

    `control` is what opens where the lie stands in nobody's way, as `beside` says: without it, that nothing opened
    would show nothing. `said` is what her device said of it.
    """

    what: str
    reader: str
    opened: Opened
    control: Opened
    beside: str
    said: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What `paraph log check`, alone with a person's evidence file and the policy, made of it.

    `accesses` counts what partners did through the API, by that file.
    """

    whose: str
    file: str
    outcome: str
    summary: str
    records: int
    accesses: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """Evidence files in a stranger's hands: as they are, and the author's with one random bit flipped, many times.

    `flipped` counts which of the damaged copies were not rejected; `refusal` is what was said of the first of them.
    """

    author: Judged
    correspondent: Judged
    policy: str
    flipped: Opened
    refusal: str


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


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The newest published checkpoint by the policy: who cosigned it, whether a map auditor had to, seconds ago."""

    size: int
    by: list[str]
    map_audited: bool
    age: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the author's device finds recorded, each entry proven to be in the log, beside what happened.

    `unrecorded_keys` are sessions of hers that a partner holds without a `key-share` entry, `unrecorded_reads`
    messages of hers that the API served without an `access` entry.
    """

    entries: Mapping[str, int]
    keys: int
    unrecorded_keys: int
    reads: int
    unrecorded_reads: int


@dataclass(slots=True)
class Evidence:
    """Everything the story measured; what it did not reach is missing."""

    control: Control | None = None
    rows: list[Row] = field(default_factory=list)
    stranger: Opened | None = None
    """What a device opens that someone listed under the author's name, with the whole database."""
    revocation: Revocation | None = None
    forgeries: list[Attempt] = field(default_factory=list)
    agreements: list[Attempt] = field(default_factory=list)
    cheats: list[Cheat] = field(default_factory=list)
    """Lies to get a key out of the author's device."""
    lies: list[Attempt] = field(default_factory=list)
    """Lies about what partners read, each told to whom it concerns: refused means noticed."""
    judgement: Judgement | None = None
    recorded: Recorded | None = None
    log: LogEvidence | None = None
    witnessed: Witnessed | None = None
    stopped: str | None = None
    """What kept the story from its end, if something did."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise: kept, broken, or (None) not shown: not wholly built yet, or not reached by the story."""

    promise: str
    title: str
    kept: bool | None = None
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


SHOWN = ("P1", "P2", "P3", "P4", "P6")
"""What this story has to show."""
COMPLETE = "COMPLETE"


def verdicts(evidence: Evidence) -> list[Verdict]:
    """All nine promises, in order; those that this story does not show have no verdict."""
    found = {
        "P1": _own_words(evidence),
        "P2": _recorded_keys(evidence),
        "P3": _recorded_reads(evidence),
        "P4": _revocation(evidence),
        "P6": _agreements(evidence),
    }
    return [Verdict(promise, title, *found.get(promise, ())) for promise, title in TITLES.items()]


def all_kept(evidence: Evidence) -> bool:
    """Whether all promises to be shown are kept, none is broken, and the log holds, with its tampering noticed and its
    newest tree replayed by the map auditor.
    """
    kept = {verdict.promise: verdict.kept for verdict in verdicts(evidence)}
    log = evidence.log
    return (
        evidence.stopped is None
        and all(kept[promise] for promise in SHOWN)
        and False not in kept.values()
        and log is not None
        and log.verified
        and log.tampering.refused
        and evidence.witnessed is not None
        and evidence.witnessed.map_audited
    )


def _own_words(evidence: Evidence) -> tuple[bool | None, dict[str, Any]]:
    rows, stranger = evidence.rows, evidence.stranger or Opened(0, 0)
    expected = sum(row.granted.tried for row in rows)
    closed = [stranger, *(cell for row in rows for cell in (row.other, row.correspondent))]
    broken = (
        any(cell.opened for cell in closed)
        or any(not row.granted.opened == row.granted.tried == row.served for row in rows)
        or not all(attempt.refused for attempt in evidence.forgeries)
    )
    shown = expected > 0 and stranger.tried > 0 and bool(evidence.forgeries)
    return _verdict(broken, shown), {
        "tried": expected + sum(cell.tried for cell in closed),
        "opened": sum(row.granted.opened for row in rows) + sum(cell.opened for cell in closed),
        "expected": expected,
        "served": sum(row.served for row in rows),
        "rows": [asdict(row) for row in rows],
        "stranger": asdict(stranger),
        "forgeries": [asdict(attempt) for attempt in evidence.forgeries],
    }


def _recorded_keys(evidence: Evidence) -> tuple[bool | None, dict[str, Any]]:
    found, cheats = evidence.recorded, evidence.cheats
    if found is None and not cheats:
        return None, {}
    keys, unrecorded = (0, 0) if found is None else (found.keys, found.unrecorded_keys)
    opened = sum(cheat.opened.opened for cheat in cheats)
    shown = keys > 0 and bool(cheats) and all(cheat.control.opened == cheat.control.tried > 0 for cheat in cheats)
    return _verdict(unrecorded > 0 or opened > 0, shown), {
        "tried": keys + sum(cheat.opened.tried for cheat in cheats),
        "opened": unrecorded + opened,
        "expected": 0,
        "unrecorded": unrecorded,
        "cheats": [asdict(cheat) for cheat in cheats],
    }


def _recorded_reads(evidence: Evidence) -> tuple[bool | None, dict[str, Any]]:
    found, judgement = evidence.recorded, evidence.judgement
    refusals = [row.unreceipted for row in evidence.rows if row.unreceipted]
    if found is None and not refusals and not evidence.lies:
        return None, {}
    reads, unrecorded = (0, 0) if found is None else (found.reads, found.unrecorded_reads)
    unnoticed = sum(not lie.refused for lie in evidence.lies)
    flipped = Opened(0, 0) if judgement is None else judgement.flipped
    opened = unrecorded + unnoticed + flipped.opened
    broken = opened > 0 or bool(refusals) or (judgement is not None and not _is_proven(judgement))
    shown = reads > 0 and bool(evidence.lies) and flipped.tried > 0
    return _verdict(broken, shown), {
        "tried": reads + len(evidence.lies) + flipped.tried,
        "opened": opened,
        "expected": 0,
        "unrecorded": unrecorded,
        "unreceipted": refusals,
        "lies": [asdict(lie) for lie in evidence.lies],
        "judgement": None if judgement is None else asdict(judgement),
    }


def _is_proven(judgement: Judgement) -> bool:
    """Both histories are proven complete: the author's with what partners read, the correspondent's without any."""
    author, correspondent = judgement.author, judgement.correspondent
    complete = author.outcome == correspondent.outcome == COMPLETE
    return complete and author.accesses > 0 and correspondent.accesses == 0


def _revocation(evidence: Evidence) -> tuple[bool | None, dict[str, Any]]:
    revocation = evidence.revocation
    if revocation is None:
        return None, {}
    broken = revocation.opened > 0 or not revocation.api.refused
    return _verdict(broken, revocation.sent > 0), {
        "tried": revocation.sent,
        "opened": revocation.opened,
        "expected": 0,
        "api": asdict(revocation.api),
    }


def _agreements(evidence: Evidence) -> tuple[bool | None, dict[str, Any]]:
    attempts = evidence.agreements
    opened = sum(not attempt.refused for attempt in attempts)
    return _verdict(opened > 0, bool(attempts)), {
        "tried": len(attempts),
        "opened": opened,
        "expected": 0,
        "attempts": [asdict(attempt) for attempt in attempts],
    }


def _verdict(broken: bool, shown: bool) -> bool | None:
    return False if broken else (True if shown else None)


def to_json(evidence: Evidence) -> dict[str, Any]:
    """The document that `paraph demo --json` prints."""
    return {
        "promises": {
            verdict.promise: {"title": verdict.title, "kept": verdict.kept, "evidence": dict(verdict.evidence)}
            for verdict in verdicts(evidence)
        },
        "control": _or_none(evidence.control),
        "recorded": _or_none(evidence.recorded),
        "log": _or_none(evidence.log),
        "witnessed": _or_none(evidence.witnessed),
        "kept": all_kept(evidence),
        "stopped": evidence.stopped,
        "seconds": round(evidence.seconds, 2),
    }


def _or_none(found: Control | Recorded | LogEvidence | Witnessed | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
