"""Which findings keep a promise and which break it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paraph.cli.demo.evidence import (
    Attempt,
    Cheat,
    Evidence,
    Judged,
    Judgement,
    Opened,
    Recorded,
)
from paraph.cli.demo.verdicts import verdicts

CHEAT = Cheat("a lie", "Tempo", Opened(0, 1), Opened(1, 1), "the truth", "no partner gets keys")
LIE = Attempt("a read is left out", True, "1 of 3 missing")
RECORDED = Recorded({"access": 3}, keys=2, unrecorded_keys=0, reads=5, unrecorded_reads=0)
AUTHOR = Judged("author", "author.evidence", "COMPLETE", "all there are", records=9, accesses=3)
CORRESPONDENT = Judged("correspondent", "correspondent.evidence", "COMPLETE", "nothing", records=1, accesses=0)
JUDGEMENT = Judgement(AUTHOR, CORRESPONDENT, "policy", Opened(0, 32), "the record differs")


def kept(
    *,
    cheat: Cheat = CHEAT,
    lie: Attempt = LIE,
    recorded: Recorded | None = RECORDED,
    judgement: Judgement | None = JUDGEMENT,
) -> tuple[bool | None, bool | None]:
    """The verdicts on P2 and P3."""
    evidence = Evidence(cheats=[cheat], lies=[lie], recorded=recorded, judgement=judgement)
    found = {verdict.promise: verdict.kept for verdict in verdicts(evidence)}
    return found["P2"], found["P3"]


def test_what_was_shown_is_kept() -> None:
    """All lies came to nothing, and what they could have come to was shown beside each."""
    assert kept() == (True, True)


@pytest.mark.parametrize(
    "cheat",
    [replace(CHEAT, control=Opened(0, 1)), replace(CHEAT, control=Opened(0, 0))],
)
def test_a_lie_without_its_control_shows_nothing(cheat: Cheat) -> None:
    """Where nothing opens either way, that nothing opened under the lie is no finding."""
    assert kept(cheat=cheat) == (None, True)


def test_a_key_that_got_out_breaks_p2() -> None:
    """By a lie, or without a record; whatever the control shows."""
    assert kept(cheat=replace(CHEAT, opened=Opened(1, 1))) == (False, True)
    assert kept(cheat=replace(CHEAT, opened=Opened(1, 1), control=Opened(0, 1))) == (False, True)
    assert kept(recorded=replace(RECORDED, unrecorded_keys=1)) == (False, True)


@pytest.mark.parametrize(
    "judgement",
    [
        replace(JUDGEMENT, flipped=Opened(1, 32)),
        replace(JUDGEMENT, author=replace(AUTHOR, outcome="INCOMPLETE")),
        replace(JUDGEMENT, author=replace(AUTHOR, outcome="REJECTED")),
        replace(JUDGEMENT, author=replace(AUTHOR, accesses=0)),
        replace(JUDGEMENT, correspondent=replace(CORRESPONDENT, outcome="REJECTED")),
        replace(JUDGEMENT, correspondent=replace(CORRESPONDENT, accesses=1)),
    ],
)
def test_evidence_that_proves_something_else_breaks_p3(judgement: Judgement) -> None:
    """The author's history has all reads, the correspondent's none, and damaged copies are nobody's history."""
    assert kept(judgement=judgement) == (True, False)


def test_a_read_that_went_unnoticed_breaks_p3() -> None:
    """Whoever was lied to about it, and whether it was recorded or not."""
    assert kept(lie=replace(LIE, refused=False)) == (True, False)
    assert kept(recorded=replace(RECORDED, unrecorded_reads=1)) == (True, False)


def test_a_story_that_ended_early_shows_neither() -> None:
    """What was not reached has no verdict."""
    assert kept(recorded=None, judgement=None) == (None, None)
    assert kept(judgement=None) == (True, None)
