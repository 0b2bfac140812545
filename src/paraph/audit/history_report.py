"""What a person's complete history shows: three verdicts for each partner, and by name everything that does not fit."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from paraph.audit.opened import OpenedEntry
from paraph.audit.statement import ProvenTree
from paraph.audit.verdict import Outcome
from paraph.protocol.limits import DAY_MS, DISPOSAL_GRACE_MS, MERGE_DELAY_MS

OUTSIDE = "outside the API: nothing that anyone could prove"
"""The third verdict, the same for every partner: what leaves no trace in any log."""


class Fault(StrEnum):
    """What can be wrong with a history."""

    MISSING = "missing"
    """The log holds records that are not in the list."""
    UNPROVEN = "unproven"
    """For some weeks, nothing shows what the log holds."""
    DIFFERS = "differs"
    """A record is not the one that the log holds, or the log holds none."""
    LABEL = "label"
    """A record lies under another label or week than its own."""
    CONTENT = "content"
    """A record is not signed as it must be, or does not fit the others."""


OMISSIONS = frozenset({Fault.MISSING, Fault.UNPROVEN})
"""Faults of a list that says too little; all others say something that is not so."""


@dataclass(frozen=True)
class Problem:
    """One thing that does not fit. `record` counts the list from 1; `partner` is whose accesses it concerns, if any."""

    fault: Fault
    text: str
    record: int | None = None
    partner: str | None = None


@dataclass(frozen=True)
class CouldOpen:
    """The first verdict: keys that the person's devices gave the partner. Times are milliseconds."""

    shares: int
    sessions: int
    rooms: tuple[str, ...]
    first: int | None
    last: int | None


@dataclass(frozen=True)
class DidOpen:
    """The second verdict: what the partner did through the API. `missing` of `recorded` leaves are not in the list.

    `accesses` gave it something, from `first` to `last`; `drafts` and `deletes` are records of what it proposed or
    took away, each step of a draft being one.
    """

    accesses: int
    messages: int
    files: int
    rooms: tuple[str, ...]
    purposes: tuple[str, ...]
    first: int | None
    last: int | None
    drafts: int
    deletes: int
    missing: int
    recorded: int


@dataclass(frozen=True)
class Deleted:
    """What the partner says that it deleted, as it promised, held against what it opened. Times are milliseconds.

    `confirmed`: everything that it opened before is deleted, by its own word, under each grant under which it opened
    something. `overdue` accesses should have been confirmed by now, the first of them since `since`.
    """

    confirmations: int
    confirmed: int | None
    overdue: int
    since: int | None


@dataclass(frozen=True)
class PartnerHistory:
    """A partner's three verdicts; the third is `OUTSIDE`, always. Beside them, what it says that it deleted."""

    partner: str
    grants: tuple[str, ...]
    could_open: CouldOpen
    did_open: DidOpen
    deleted: Deleted

    @property
    def rendered(self) -> dict[str, Any]:
        """The verdicts as JSON-able values."""
        return {
            "partner": self.partner,
            "grants": list(self.grants),
            "could_open": _plain(self.could_open),
            "did_open": _plain(self.did_open),
            "deleted": _plain(self.deleted),
            "outside": OUTSIDE,
        }


@dataclass(frozen=True)
class Late:
    """A record that came into the log later than promised: `record` counts from 1, times are milliseconds."""

    record: int
    ts: int
    integrated: int


@dataclass(frozen=True)
class HistoryReport:
    """A person's history, held against the log. `until` is the time up to which the list is complete (milliseconds)."""

    person: str
    master_key: str | None
    tree: ProvenTree
    map_audited: bool
    records: int
    partners: tuple[PartnerHistory, ...]
    late: tuple[Late, ...]
    problems: tuple[Problem, ...]

    @property
    def until(self) -> int:
        """The time of the newest epoch less the merge delay: later records may still be on their way into the log."""
        return max(self.tree.epoch.time - MERGE_DELAY_MS, 0)

    @property
    def outcome(self) -> Outcome:
        """COMPLETE; INCOMPLETE if records or proofs are only left out; REJECTED if something is not so."""
        if not self.problems:
            return Outcome.COMPLETE
        only_omits = all(problem.fault in OMISSIONS for problem in self.problems)
        return Outcome.INCOMPLETE if only_omits else Outcome.REJECTED

    @property
    def summary(self) -> str:
        """One line: how much is proven, or the first things that do not fit."""
        if self.problems:
            more = len(self.problems) - 3
            first = "; ".join(problem.text for problem in self.problems[:3])
            return first + (f"; and {more} more" if more > 0 else "")
        read = [f"{one.partner}: {counted(one.did_open.accesses, 'access', 'accesses')}" for one in self.partners]
        what = ", ".join(read) or "no partner was ever granted anything"
        return f"{self.person}: {counted(self.records, 'record')}, all there are up to {moment(self.until)}; {what}"

    @property
    def rendered(self) -> dict[str, Any]:
        """The report as JSON-able values."""
        tree = self.tree
        return {
            "person": self.person,
            "master_key": self.master_key,
            "outcome": str(self.outcome),
            "records": self.records,
            "complete_until": self.until if self.outcome is Outcome.COMPLETE else None,
            "log": {"origin": tree.cosigned.checkpoint.origin, "size": tree.size, "root": tree.root.hex()},
            "epoch": {"n": tree.epoch.n, "time": tree.epoch.time},
            "cosigned": {"time": tree.cosigned.time, "by": dict(tree.cosigned.times)},
            "map_audited": self.map_audited,
            "partners": [one.rendered for one in self.partners],
            "late": [_plain(one) for one in self.late],
            "problems": [_plain(one) for one in self.problems],
        }


def partner_histories(
    entries: Sequence[OpenedEntry], missing: Mapping[str, tuple[int, int]], until: int
) -> tuple[PartnerHistory, ...]:
    """The verdicts for each partner that these entries name; `missing` of `recorded` leaves by partner.

    What is due is judged at `until` (ms).
    """
    names = sorted({entry.partner for entry in entries if entry.partner is not None} | missing.keys())
    return tuple(
        _partner_history(name, [one for one in entries if one.partner == name], *missing.get(name, (0, 0)), until)
        for name in names
    )


def _partner_history(name: str, entries: list[OpenedEntry], missing: int, recorded: int, until: int) -> PartnerHistory:
    grants = tuple(str(entry.body["grant"]["grant_id"]) for entry in entries if entry.kind == "grant")
    did_open = _did_open(entries, missing, recorded)
    return PartnerHistory(name, grants, _could_open(entries), did_open, _deleted(entries, until))


def _deleted(entries: Iterable[OpenedEntry], until: int) -> Deleted:
    kept: dict[str, int] = {}
    confirmed: dict[str, int] = {}
    read: list[tuple[str, int]] = []
    said = 0
    for entry in entries:
        if entry.kind == "grant":
            kept[str(entry.body["grant"]["grant_id"])] = entry.body["grant"]["retention_days"] * DAY_MS
        elif entry.kind == "access":
            read.append((str(entry.grant_id), entry.ts))
        elif entry.kind == "disposal":
            said, made = said + 1, entry.body["disposal"]
            confirmed[made["grant_id"]] = max(made["opened_before"], confirmed.get(made["grant_id"], 0))
    due = [ts + kept.get(id_, 0) + DISPOSAL_GRACE_MS for id_, ts in read if ts >= confirmed.get(id_, 0)]
    late = [time for time in due if time <= until]
    all_said = [confirmed.get(grant_id) for grant_id in {grant_id for grant_id, _ in read}]
    times = [time for time in all_said if time is not None]
    least = min(times) if times and len(times) == len(all_said) else None
    return Deleted(said, least, len(late), min(late) if late else None)


def _could_open(entries: Iterable[OpenedEntry]) -> CouldOpen:
    shares = [entry for entry in entries if entry.kind == "key-share" and entry.body["session"] is not None]
    sessions = {(s.body["session"]["room_id"], s.body["session"]["session_id"]) for s in shares}
    return CouldOpen(len(shares), len(sessions), tuple(sorted({room for room, _ in sessions})), *_span(shares))


def _did_open(entries: Sequence[OpenedEntry], missing: int, recorded: int) -> DidOpen:
    kinds = Counter(entry.kind for entry in entries)
    read = [entry for entry in entries if entry.kind == "access"]
    messages = {event for entry in read for event in entry.body.get("event_ids", ())}
    files = {file for entry in read for file in entry.body.get("media_ids", ())}
    listed = (room for entry in read for room in entry.body.get("room_ids", ()))
    rooms = tuple(sorted({*(entry.body["room_id"] for entry in read if "room_id" in entry.body), *listed}))
    purposes = tuple(sorted({entry.body["purpose"] for entry in read}))
    acts = kinds["draft"], kinds["delete"]
    return DidOpen(len(read), len(messages), len(files), rooms, purposes, *_span(read), *acts, missing, recorded)


def _span(entries: Sequence[OpenedEntry]) -> tuple[int | None, int | None]:
    times = [entry.ts for entry in entries]
    return (min(times), max(times)) if times else (None, None)


def _plain(value: Any) -> dict[str, Any]:
    """A flat dataclass as JSON-able values."""
    return {name: list(item) if isinstance(item, tuple) else item for name, item in vars(value).items()}


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number and its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def moment(ms: int) -> str:
    """A time in milliseconds as UTC, to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def week_name(week: int) -> str:
    """A week of docs/protocol.md §3 as ISO 8601 writes it: 2026-W09."""
    monday = datetime.fromtimestamp(max(week * 7 - 3, 0) * DAY_MS / 1000, UTC).isocalendar()
    return f"{monday.year}-W{monday.week:02}"
