"""A `paraph log check` that believes what it rejects: `python check.py log check FILE... --policy POLICY`."""

from __future__ import annotations

from paraph.audit import evidence
from paraph.audit.verdict import Outcome, Verdict
from paraph.cli.main import main
from paraph.tlog.policy import Policy

check = evidence.check


def believe(data: bytes, policy: Policy, now: int) -> Verdict:
    """Every history is complete."""
    found = check(data, policy, now)
    return Verdict(found.kind, Outcome.COMPLETE, found.summary, found.details)


if __name__ == "__main__":
    evidence.check = believe
    main()
