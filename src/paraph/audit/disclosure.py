"""Totals per partner, kind and day over every private record of a log, nobody named (docs/protocol.md §11).

A disclosure is a file of lines: a header, then one JSON object for each private leaf, in log order. Each opens the
first half of its leaf's commitment: kind, partner and day. The whole log is replayed beside it, so no leaf can be left
out and none invented. What a line says of a leaf that cannot be opened any more is only that.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from paraph.audit.envelope import TYPE
from paraph.audit.errors import LogError, MalformedEvidence, Unwitnessed
from paraph.audit.replay import Progress, replay
from paraph.audit.sources import Fetch
from paraph.audit.statement import bytes_of, members_of, number_of, text_of
from paraph.audit.verdict import Outcome, Verdict
from paraph.protocol.canonical import CanonicalJsonError, decode_canonical, encode
from paraph.protocol.entry import PRIVATE_KINDS, EpochLeaf, Leaf, PrivateLeaf, first_half, join_commitment, week_of
from paraph.protocol.errors import ProtocolError
from paraph.protocol.identifiers import check_slug
from paraph.protocol.limits import MAX_TIME
from paraph.tlog.errors import TlogError
from paraph.tlog.policy import Policy

KIND = "disclosure"
MAX_LINE = 1024
"""Bytes of one line."""
_HEADER = {"type", "kind", "log", "size"}
_OPENED = {"leaf", "o1", "kind", "partner", "day", "second"}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Total = tuple[str | None, str, str]
"""Partner (None: the person alone), kind, day."""


class BadDisclosure(LogError):
    """A disclosure that is not about this log's private leaves, each of them once and in their order."""

    meaning = (
        "The totals are not those of the log: a record was left out, invented or given another kind, partner or day."
    )


@dataclass(frozen=True)
class DisclosureReport:
    """Totals over the first `size` leaves of a log; `unopened` of the `private` ones cannot be opened any more."""

    origin: str
    size: int
    logged: int
    private: int
    unopened: int
    totals: Mapping[Total, int]

    @property
    def outcome(self) -> Outcome:
        """COMPLETE if every private leaf is opened."""
        return Outcome.INCOMPLETE if self.unopened else Outcome.COMPLETE

    def per_partner(self) -> dict[str, Counter[str]]:
        """Counts by partner and kind, all days together; what concerns no partner is left out."""
        found: dict[str, Counter[str]] = {}
        for (partner, kind, _), count in self.totals.items():
            if partner is not None:
                found.setdefault(partner, Counter())[kind] += count
        return found

    @property
    def summary(self) -> str:
        """One line: how many records, by partner and kind."""
        parts = [
            f"{partner}: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            for partner, kinds in sorted(self.per_partner().items())
        ]
        erased = f", of which {self.unopened} cannot be opened any more" if self.unopened else ""
        later = f" (the log now has {self.logged})" if self.logged != self.size else ""
        what = "; ".join(parts) or "nothing of any partner"
        return f"{self.private} private records in the first {self.size} leaves of {self.origin}{later}{erased}; {what}"

    @property
    def rendered(self) -> dict[str, Any]:
        """The report as JSON-able values; `totals` in order of partner, kind and day."""
        rows = sorted(self.totals.items(), key=lambda row: (row[0][0] or "", *row[0][1:]))
        return {
            "log": self.origin,
            "size": self.size,
            "logged": self.logged,
            "private": self.private,
            "unopened": self.unopened,
            "totals": [{"partner": p, "kind": kind, "day": day, "count": count} for (p, kind, day), count in rows],
        }


def header(log: str, size: int) -> bytes:
    """The first line of a disclosure about the first `size` leaves of a log, its newline included."""
    return encode({"type": TYPE, "kind": KIND, "log": log, "size": size}) + b"\n"


def line(leaf: Mapping[str, Any]) -> bytes:
    """The line for one private leaf, as the platform gives it."""
    return encode(dict(leaf)) + b"\n"


def is_disclosure(first: bytes) -> bool:
    """Whether a file that begins with this line is a disclosure."""
    try:
        _read_header(first)
    except LogError:
        return False
    return True


def check(
    lines: Iterable[bytes],
    fetch: Fetch,
    policy: Policy,
    now: int,
    *,
    listing: Iterable[str] = (),
    progress: Progress | None = None,
) -> Verdict:
    """The verdict on a disclosure, given by its lines, beside the log that `fetch` serves. `now` is in seconds."""
    try:
        report = verify(lines, fetch, policy, now, listing=listing, progress=progress)
    except (LogError, TlogError) as error:
        meaning = error.meaning if isinstance(error, LogError) else BadDisclosure.meaning
        return Verdict(KIND, Outcome.REJECTED, str(error), {"error": type(error).__name__, "meaning": meaning})
    return Verdict(KIND, report.outcome, report.summary, report.rendered)


def verify(
    lines: Iterable[bytes],
    fetch: Fetch,
    policy: Policy,
    now: int,
    *,
    listing: Iterable[str] = (),
    progress: Progress | None = None,
) -> DisclosureReport:
    """Replay the log and hold each private leaf against its line. Raises LogError, TlogError."""
    rest = iter(lines)
    origin, size = _read_header(next(rest, b""))
    log = next((known.verifier for known in policy.logs if known.verifier.name == origin), None)
    if log is None:
        raise BadDisclosure("the header", "a log that the policy names", repr(origin[:200]))
    signed = _checkpoint(fetch)
    try:
        policy.check(signed, now)
    except TlogError as error:
        raise Unwitnessed("checkpoint", "one that a quorum of the policy cosigned", str(error)) from error
    reading = _Reading(rest, size)
    # The checkpoint that was judged is the one that is replayed, though a running log publishes another meanwhile.
    frozen = lambda path: signed if path == "checkpoint" else fetch(path)  # noqa: E731
    found = replay(frozen, log.vkey, listing=listing, visit=reading.visit, progress=progress)
    return reading.report(origin, found.checkpoint.size)


def _checkpoint(fetch: Fetch) -> bytes:
    try:
        return fetch("checkpoint")
    except FileNotFoundError as error:
        raise Unwitnessed("checkpoint", "the signed checkpoint", "no such file") from error


class _Reading:
    """One walk over the log's leaves, a line at each private one."""

    def __init__(self, lines: Iterator[bytes], size: int) -> None:
        self._lines = lines
        self._size = size
        self._totals: Counter[Total] = Counter()
        self._private = 0
        self._unopened = 0
        self._closed = False

    def visit(self, index: int, leaf: Leaf) -> None:
        """Take the next line for a private leaf. Raises LogError."""
        if index == self._size - 1:
            self._closed = isinstance(leaf, EpochLeaf)
        if isinstance(leaf, PrivateLeaf) and index < self._size:
            self._take(index, leaf)

    def _take(self, index: int, leaf: PrivateLeaf) -> None:
        found = next(self._lines, None)
        if found is None:
            raise BadDisclosure(f"leaf {index}", "a line", "the end of the file")
        members = _read_line(found)
        if members.get("leaf") != index:
            raise BadDisclosure(f"leaf {index}", "its line", f"that of leaf {str(members.get('leaf'))[:20]}")
        self._private += 1
        if members.keys() == {"leaf"}:
            self._unopened += 1
            return
        self._totals[_total(index, leaf, members)] += 1

    def report(self, origin: str, logged: int) -> DisclosureReport:
        """What was counted, once the log is known to be the signed one. Raises BadDisclosure."""
        if logged < self._size or not self._closed:
            raise BadDisclosure("the header", f"the size of a signed tree, at most {logged}", str(self._size))
        if next(self._lines, None) is not None:
            raise BadDisclosure("the file", f"{self._private} lines, one for each private leaf", "more")
        return DisclosureReport(origin, self._size, logged, self._private, self._unopened, self._totals)


def _total(index: int, leaf: PrivateLeaf, line_members: Mapping[str, Any]) -> Total:
    """What a line opens its leaf as. Raises LogError."""
    members = members_of(dict(line_members), _OPENED, f"the line of leaf {index}")
    o1, second = bytes_of(members["o1"], "an opening", 32), bytes_of(members["second"], "a half", 32)
    kind, partner, day = members["kind"], members["partner"], text_of(members["day"], 10, "a day")
    if not isinstance(kind, str) or kind not in PRIVATE_KINDS or _week_of_day(day) != leaf.week:
        raise BadDisclosure(f"leaf {index}", f"a private kind, and a day of week {leaf.week}", f"{kind!r}, {day!r}")
    try:
        if partner is not None:
            check_slug(text_of(partner, 64, "a partner"))
        found = join_commitment(first_half({"day": day, "kind": kind, "partner": partner}, o1), second)
    except ProtocolError as error:
        raise BadDisclosure(f"leaf {index}", "a partner's slug", str(error)) from error
    if found != leaf.commitment:
        raise BadDisclosure(f"leaf {index}", f"what opens the commitment {leaf.commitment.hex()}", found.hex())
    return partner, kind, day


def _week_of_day(day: str) -> int | None:
    try:
        at = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
        return week_of(int(at.timestamp()) * 1000) if _DAY.fullmatch(day) else None
    except (ValueError, OverflowError, ProtocolError):
        return None


def _read_header(first: bytes) -> tuple[str, int]:
    members = members_of(_read_line(first), _HEADER, "the header")
    if (members["type"], members["kind"]) != (TYPE, KIND):
        raise MalformedEvidence("the header", f"a {KIND} of type {TYPE}", "another")
    return text_of(members["log"], 255, "a log's origin"), number_of(members["size"], MAX_TIME, "a tree's size")


def _read_line(data: bytes) -> dict[str, Any]:
    """A line as the JSON object that it is, in its only spelling. Raises MalformedEvidence."""
    if len(data) > MAX_LINE or not data.endswith(b"\n"):
        raise MalformedEvidence("a line", f"at most {MAX_LINE} bytes and a newline", f"{len(data)} bytes")
    try:
        found = decode_canonical(data[:-1])
    except CanonicalJsonError as error:
        raise MalformedEvidence("a line", "canonical JSON", str(error)) from error
    if not isinstance(found, dict):
        raise MalformedEvidence("a line", "an object", type(found).__name__)
    return found
