"""Each check of what the log proves, taken out in turn: a lie of the operator succeeds, and the demo says which."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paraph.audit.history_match import Match
from paraph.protocol.documents import parse
from paraph.protocol.grant import Grant
from paraph.sdk import ReceiptError
from paraph.sdk.log.partners import ProvenPartner
from paraph.sdk.partner.inbox import Asked, Checked, GrantBook
from paraph.sdk.person import standing
from paraph.tlog import checkpoint as checkpoints
from paraph.tlog.policy import Cosigned, Policy, QuorumMissing
from tests.demo.performance import play
from tests.sdk import careless

pytestmark = pytest.mark.slow

CHECK = Path(__file__).parent / "sabotage" / "check.py"
Hole = Callable[[pytest.MonkeyPatch], None]

WITHOUT_WITNESSES = "the log is shown without its witnesses' cosignatures"
FORGED_GRANT = "a grant is slipped in, signed by an impostor's device"
STOLEN_KEY = "the same, signed with her phone's stolen key, kept out of the log"
GHOST = "a second device of Marquee's, signed and kept out of the log"
OLD_LOG = "her phone revokes; her laptop sees the old log for 11 minutes (its clock is put ahead)"
LEFT_OUT = "the log is new, and the revocation is left out of every list"


def needs_no_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believes a checkpoint that nobody cosigned."""
    check = Policy.check

    def lenient(self: Policy, signed: bytes, now: int, max_age: int | None = None) -> Cosigned:
        try:
            return check(self, signed, now, max_age)
        except QuorumMissing:
            return Cosigned(checkpoints.open(signed, self.logs[0].verifier), now, now, {})

    monkeypatch.setattr(Policy, "check", lenient)


def believes_any_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at neither a grant's chain nor its record."""
    monkeypatch.setattr(standing, "verify_grant", lambda document, *_, **__: parse(Grant, document))
    careless.asks_for_no_record(monkeypatch)


def believes_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives keys to every device of a partner that is listed."""
    monkeypatch.setattr(ProvenPartner, "live_devices", lambda self, _at: tuple(d.peer for d in self.info.devices))


@pytest.mark.parametrize(
    ("hole", "lies"),
    [
        (needs_no_quorum, {WITHOUT_WITNESSES}),
        (believes_any_grant, {FORGED_GRANT, STOLEN_KEY}),
        (careless.asks_for_no_record, {STOLEN_KEY}),
        (believes_any_device, {GHOST}),
        (careless.knows_no_age, {OLD_LOG}),
        (careless.believes_lists, {LEFT_OUT}),
    ],
)
def test_a_device_that_falls_for_a_lie_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hole: Hole, lies: set[str]
) -> None:
    """Without the check the key gets out, and the demo says by which lie."""
    hole(monkeypatch)
    played = play(tmp_path, acts=("keys",))
    assert not played.kept
    assert played.broken == {"P2"}
    assert {cheat["what"] for cheat in played.evidence("P2")["cheats"] if cheat["opened"]["opened"]} == lies


def test_a_history_that_counts_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The author's device does not see that a read is left out of her list."""
    monkeypatch.setattr(Match, "_missing_at", lambda _self, _key: 0)
    played = play(tmp_path, acts=("reads",))
    assert not played.kept
    assert played.broken == {"P3"}
    assert played.accepted("P3", "lies") == {"one of 3 reads is left out of her list"}


def test_a_history_that_compares_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The author's device does not see that a record was edited."""
    monkeypatch.setattr(Match, "wrong_records", lambda _self, _content: iter(()))
    played = play(tmp_path, acts=("reads",))
    assert not played.kept
    assert played.broken == {"P3"}
    assert played.accepted("P3", "lies") == {"one read is made to look smaller than it was"}


def test_a_partner_that_asks_for_no_receipt_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The partner's SDK takes an answer that promises nothing."""
    check = GrantBook.check_answer

    def lenient(self: GrantBook, asked: Asked, events: Any, rendered: Any, key: Any) -> tuple[Checked, ...]:
        try:
            return check(self, asked, events, rendered, key)
        except ReceiptError:
            return ()

    monkeypatch.setattr(GrantBook, "check_answer", lenient)
    played = play(tmp_path, acts=("reads",))
    assert not played.kept
    assert played.broken == {"P3"}
    assert played.accepted("P3", "lies") == {"a partner is answered without the platform's receipts"}


def test_a_stranger_who_believes_anything_is_found(tmp_path: Path) -> None:
    """Evidence with a flipped bit passes for complete."""
    played = play(tmp_path, acts=("record",), check_command=(sys.executable, str(CHECK)))
    assert not played.kept
    assert played.broken == {"P3"}
    flipped = played.evidence("P3")["judgement"]["flipped"]
    assert flipped["opened"] == flipped["tried"] > 0
    assert not played.accepted("P3", "lies")


def test_lies_that_nothing_could_come_of_show_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that shares with nobody at all falls for no lie, and has not shown that it would share otherwise."""
    monkeypatch.setattr(ProvenPartner, "live_devices", lambda _self, _at: ())
    played = play(tmp_path, acts=("keys",))
    assert not played.kept
    assert played.verdict("P2") is None
    assert not any(cheat["opened"]["opened"] for cheat in played.evidence("P2")["cheats"])
