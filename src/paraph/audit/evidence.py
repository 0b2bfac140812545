"""Evidence files: one JSON document each, checked offline with nothing but the pinned policy, which names the log.

`{"type": "org.paraph.evidence", "kind": ..., ...}`, in canonical JSON: one spelling for each file. Each kind has its
module with `check(document, policy, now) -> Verdict`, and a row in `KINDS`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from paraph.audit import fork, history, missed_deadline
from paraph.audit.envelope import read
from paraph.audit.errors import LogError, MalformedEvidence
from paraph.audit.verdict import Outcome, Verdict
from paraph.tlog.policy import Policy

Check = Callable[[Mapping[str, Any], Policy, int], Verdict]
"""Checks the document of one kind at a time in seconds; raises LogError for what shows nothing."""

KINDS: dict[str, Check] = {
    fork.KIND: fork.check,
    history.KIND: history.check,
    missed_deadline.KIND: missed_deadline.check,
}
"""Every kind of evidence that fits into one document."""


def check(data: bytes, policy: Policy, now: int) -> Verdict:
    """What an evidence file shows at `now` (seconds since 1970); never raises for what stands in the file."""
    kind = "evidence"
    try:
        document = read(data)
        kind = str(document["kind"])[:40]
        if kind not in KINDS:
            raise MalformedEvidence("the file", f"evidence of a kind among {sorted(KINDS)}", repr(kind))
        return KINDS[kind](document, policy, now)
    except LogError as error:
        return Verdict(kind, Outcome.REJECTED, str(error), {"error": type(error).__name__, "meaning": error.meaning})
