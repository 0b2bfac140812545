"""Evidence files have one spelling, and a file that is none is refused without an exception."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.audit import envelope, evidence
from paraph.audit.errors import BadStatement
from paraph.audit.verdict import Outcome, Verdict
from paraph.tlog.policy import Policy
from tests.audit.witnessed import POLICY


def echo(document: Mapping[str, Any], _policy: Policy, now: int) -> Verdict:
    """A kind that shows what it is told, or refuses."""
    if document["word"] == "refuse":
        raise BadStatement("here", "this", "that")
    return Verdict("echo", Outcome.PROVEN, f"{document['word']} at {now}")


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One kind more."""
    monkeypatch.setitem(evidence.KINDS, "echo", echo)


def test_a_kind_is_found_by_its_name() -> None:
    """What a kind's own check says is the verdict; what it raises is a rejection that says what it means."""
    assert evidence.check(envelope.write("echo", {"word": "so"}), POLICY, 7) == Verdict(
        "echo", Outcome.PROVEN, "so at 7"
    )
    refused = evidence.check(envelope.write("echo", {"word": "refuse"}), POLICY, 7)
    assert (refused.kind, refused.outcome, refused.holds) == ("echo", Outcome.REJECTED, False)
    assert refused.summary == "here: expected this, found that"
    assert refused.details["error"] == "BadStatement"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"kind":"echo","type":"org.paraph.other","word":"so"}',
        b'{"type":"org.paraph.evidence","kind":"echo","word":"so"}',
        b'{"kind":"echo","type":"org.paraph.evidence","word":"so"}\n',
        b'{"kind": "echo","type":"org.paraph.evidence","word":"so"}',
        b'{"kind":"echo","kind":"echo","type":"org.paraph.evidence","word":"so"}',
        b'{"kind":"unheard-of","type":"org.paraph.evidence"}',
        b'{"kind":["echo"],"type":"org.paraph.evidence"}',
        b"\xff",
    ],
)
def test_what_is_no_evidence_is_rejected(data: bytes) -> None:
    """Other JSON, another spelling, an unknown kind, no JSON."""
    verdict = evidence.check(data, POLICY, 7)
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.details["error"] == "MalformedEvidence"


def test_a_file_beyond_its_bound_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on bytes, before anything is parsed."""
    data = envelope.write("echo", {"word": "so"})
    monkeypatch.setattr(envelope, "MAX_EVIDENCE", len(data) - 1)
    assert "at most" in evidence.check(data, POLICY, 7).summary


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    """Whatever stands in a file, there is a verdict."""
    assert evidence.check(data, POLICY, 7).outcome is Outcome.REJECTED
