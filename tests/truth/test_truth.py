"""Crypto truth, not policy: what a partner opens with all that is stored and every key it ever got."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.truth.model import CHANGES, HISTORY, THEIRS, VERBS, Kind
from tests.truth.play import Row, play
from tests.truth.table import cells, expected, markdown

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "verification.md"

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Row]:
    """The table, played once on a real platform."""
    found = asyncio.run(play(tmp_path_factory.mktemp("truth") / "data"))
    return {(row.change, row.verb): row for row in found}


@slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_partners_keys_open_exactly_what_the_design_says(rows: dict[tuple[str, str], Row], change: str) -> None:
    """For each verb: every ciphertext, file and thumbnail in the rooms, under every session of the partner's store."""
    for verb in VERBS:
        row = rows[change, verb]
        assert row.found - row.expected == set(), f"{verb} opens more than the design says"
        assert row.expected - row.found == set(), f"{verb} opens less than the design says"


@slow
def test_the_page_shows_what_was_played(rows: dict[tuple[str, str], Row]) -> None:
    """What is printed in the documentation is what the keys opened: all that was said is in it, and nothing else."""
    for (change, verb), row in rows.items():
        said, opens = expected(change, verb)
        assert (row.said, row.found) == (said, opens & said), (change, verb)


def test_the_page_is_up_to_date() -> None:
    """`python -m tests.truth --design` prints the table of the page."""
    assert markdown() in PAGE.read_text(encoding="utf-8"), "put the output of `python -m tests.truth --design` there"


def test_the_table_is_about_something() -> None:
    """In every change something opens under `read` and something stays closed; without it, and of others', nothing."""
    for change in CHANGES:
        said, opens = expected(change, "read")
        assert change == THEIRS or (opens and said - opens)
        assert opens <= expected(change, HISTORY)[1] or change == THEIRS
        for verb, granted in VERBS.items():
            if "read" not in granted or change == THEIRS:
                assert expected(change, verb)[1] == set()
        assert {word.kind for word in said} >= set(Kind) - {Kind.DRAFT}
        assert all(any(sign in row for sign in "●·–") for row in cells(change, said, opens)) or change == THEIRS
