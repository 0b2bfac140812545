"""Each thing that the platform enforces, taken out in turn in a real server process: the demo must say so.

Acts that could not notice it are left out; `test_sabotaged_devices.py` plays all of them, with nothing broken.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo.performance import play

pytestmark = pytest.mark.slow


def test_a_read_that_serves_everybodys_words_is_found(tmp_path: Path) -> None:
    """The partner's SDK takes no answer whose entries do not fit, and the demo says whose words were in it."""
    played = play(tmp_path, "everybodys_words", acts=())
    assert not played.kept
    assert {"P1", "P3"} <= played.broken
    assert any("exactly the events" in refusal for refusal in played.evidence("P3")["unreceipted"])


def test_a_read_beyond_the_granted_room_is_found(tmp_path: Path) -> None:
    """The API serves rooms that were not granted."""
    played = play(tmp_path, "every_room", acts=())
    assert not played.kept
    assert "P1" in played.broken
    assert played.accepted("P1", "forgeries") >= {"Marquee asks the API for a room that was not granted"}


def test_a_read_for_a_purpose_that_was_not_granted_is_found(tmp_path: Path) -> None:
    """The API takes any purpose."""
    played = play(tmp_path, "every_purpose", acts=("purposes",))
    assert not played.kept
    assert played.broken == {"P8"}
    assert played.accepted("P8", "attempts") == {"the partner reads for advertising, which she did not grant"}


def test_a_read_after_the_revocation_is_found(tmp_path: Path) -> None:
    """The API goes on serving what was granted before, though no new message opens."""
    played = play(tmp_path, "revoked_is_live", acts=("revocation",))
    assert not played.kept
    assert played.broken == {"P4"}
    assert not played.evidence("P4")["api"]["refused"]
    assert played.evidence("P4")["opened"] == 0


def test_a_message_on_an_old_state_of_the_grants_is_found(tmp_path: Path) -> None:
    """The platform takes what the author's other device sends before it has heard of the revocation."""
    played = play(tmp_path, "no_gate", acts=("revocation",))
    assert not played.kept
    assert played.broken == {"P4"}
    assert played.evidence("P4")["opened"] == 1
    assert played.evidence("P4")["api"]["refused"]


def test_a_grant_whose_signature_nobody_checks_is_found(tmp_path: Path) -> None:
    """The platform takes a grant that the named device did not sign."""
    played = play(tmp_path, "unsigned_grant", acts=())
    assert not played.kept
    assert "P1" in played.broken
    assert "a grant with a forged signature" in played.accepted("P1", "forgeries")


def test_a_device_that_nobody_vouches_for_is_found(tmp_path: Path) -> None:
    """The platform lets a device enrol and grant that the author's master key does not know."""
    played = play(tmp_path, "unvouched_device", acts=())
    assert not played.kept
    assert "P1" in played.broken
    assert played.accepted("P1", "forgeries") >= {
        "the enrolment of a device that her master key did not sign",
        "a grant by a device that her master key does not vouch for",
    }


def test_a_grant_by_a_device_that_never_enrolled_is_found(tmp_path: Path) -> None:
    """The platform takes a grant by a device that has not committed to the account's log key."""
    played = play(tmp_path, "unenrolled_device", acts=())
    assert not played.kept
    assert "P1" in played.broken
    assert "a grant by a device of hers that never enrolled" in played.accepted("P1", "forgeries")
    assert "a grant with a forged signature" not in played.accepted("P1", "forgeries")


def test_an_agreement_with_one_signature_is_found(tmp_path: Path) -> None:
    """The platform publishes what one side signed; the partner gets in with it, and the auditor sees it too."""
    played = play(tmp_path, "half_signed_agreement", acts=())
    assert not played.kept
    assert "P6" in played.broken
    assert played.accepted("P6", "attempts") >= {
        "an agreement that only the operator signed",
        "reading all the same",
        "a partner with access and no agreement in the log",
    }


def test_a_token_without_an_agreement_is_found(tmp_path: Path) -> None:
    """The platform gives tokens to a partner that has no agreement."""
    played = play(tmp_path, "token_without_agreement", acts=())
    assert not played.kept
    assert played.broken == {"P6"}
    assert "a token for a partner without an agreement" in played.accepted("P6", "attempts")


def test_an_agreement_that_the_log_omits_is_found(tmp_path: Path) -> None:
    """The author's device grants nothing under it, and the auditor finds partners with access and no agreement."""
    played = play(tmp_path, "unlogged_agreement", acts=())
    assert not played.kept
    assert played.broken == {"P6"}
    assert played.document["stopped"].startswith("LogError")
    assert played.verdict("P1") is None
    assert "a partner with access and no agreement in the log" in played.accepted("P6", "attempts")


def test_a_read_that_nobody_recorded_is_found(tmp_path: Path) -> None:
    """The partner is shown an entry, the author's list lacks it."""
    played = play(tmp_path, "unrecorded_reads", acts=("record",))
    assert not played.kept
    assert played.broken == {"P3"}
    recorded = played.document["recorded"]
    assert played.evidence("P3")["unrecorded"] == recorded["unrecorded_reads"] == recorded["reads"] > 0


def test_a_read_that_is_on_nobodys_list_is_found(tmp_path: Path) -> None:
    """The log has it, so her own device and the stranger both count what is missing."""
    played = play(tmp_path, "withheld_read", acts=("reads", "record"))
    assert not played.kept
    assert played.broken == {"P3"}
    author = played.evidence("P3")["judgement"]["author"]
    assert author["outcome"] == "INCOMPLETE"
    assert "1 of 5 missing" in author["summary"]


def test_an_answer_without_entries_is_found(tmp_path: Path) -> None:
    """The partner's SDK takes nothing from it."""
    played = play(tmp_path, "no_receipts", acts=())
    assert not played.kept
    assert "P3" in played.broken
    assert len(played.evidence("P3")["unreceipted"]) == 2
    assert played.evidence("P1")["served"] == 0
