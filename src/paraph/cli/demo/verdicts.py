"""Which promises the demo's findings keep or break, and the document that says so."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from paraph.cli.demo.evidence import (
    Control,
    Evidence,
    Extension,
    Findings,
    Judgement,
    LogEvidence,
    Opened,
    Recorded,
    Witnessed,
)


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


SHOWN = ("P1", "P2", "P3", "P4", "P5", "P6", "P8", "P9")
"""What this story has to show."""
COMPLETE = "COMPLETE"


def verdicts(evidence: Evidence) -> list[Verdict]:
    """All nine promises, in order; those that this story does not show have no verdict."""
    found = {
        "P1": _own_words(evidence),
        "P2": _recorded_keys(evidence),
        "P3": _recorded_reads(evidence),
        "P4": _revocation(evidence),
        "P5": _found(evidence.speaking),
        "P6": _agreements(evidence),
        "P8": _found(evidence.purposes),
        "P9": _found(evidence.one_api),
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


def _found(found: Findings) -> tuple[bool | None, dict[str, Any]]:
    """What must not work does not, and what was counted is as it has to be."""
    attempts, counts = found.attempts, found.counts
    if not attempts and not counts:
        return None, {}
    accepted = sum(not attempt.refused for attempt in attempts)
    broken = accepted > 0 or not all(count.right for count in counts)
    return _verdict(broken, all(count.shown for count in counts)), {
        "tried": len(attempts) + sum(count.tried for count in counts),
        "opened": accepted + sum(count.found for count in counts),
        "expected": sum(count.expected for count in counts),
        "attempts": [asdict(attempt) for attempt in attempts],
        "counts": [asdict(count) for count in counts],
    }


def _agreements(evidence: Evidence) -> tuple[bool | None, dict[str, Any]]:
    """Without an agreement, with half of one, with a secret one; and what an outsider finds in the log."""
    secret = evidence.secret
    kept, found = _found(Findings([*evidence.agreements, *secret.attempts], secret.counts))
    if not found:
        return None, {}
    if kept and not (evidence.agreements and secret.attempts and evidence.extension):
        kept = None
    return kept, {**found, "extension": _or_none(evidence.extension)}


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


def _or_none(found: Control | Extension | Recorded | LogEvidence | Witnessed | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
