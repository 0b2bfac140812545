"""Totals over every private leaf of a log: nothing is left out, nothing invented, nothing given another name."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.audit import disclosure
from paraph.audit.disclosure import header, is_disclosure, line
from paraph.audit.verdict import Outcome, Verdict
from paraph.protocol.base64 import b64url
from paraph.protocol.entry import parse_leaf, second_half
from tests.audit.author import START, Author, leaf_of, usual
from tests.audit.witnessed import LOG, POLICY, WITNESSES
from tests.protocol.examples import SLUG

NOW = 2**40


def opened(author: Author) -> list[dict[str, Any]]:
    """What an honest platform discloses, in log order."""
    by_leaf = {leaf_of(one): one for one in author.records}
    found = []
    for index, leaf in enumerate(author.log.leaves):
        if leaf in by_leaf:
            one = by_leaf[leaf]
            totals = {member: one.entry[member] for member in ("kind", "partner", "day")}
            second = b64url(second_half(one.entry, one.o2))
            found.append({"leaf": index, "o1": b64url(one.o1), **totals, "second": second})
    return found


def written(author: Author, leaves: list[dict[str, Any]], size: int | None = None) -> list[bytes]:
    """The file's lines."""
    return [header(LOG.name, len(author.log.leaves) if size is None else size), *map(line, leaves)]


def check(author: Author, lines: list[bytes]) -> Verdict:
    """The verdict of somebody who has the log."""
    return disclosure.check(lines, author.log.fetch, POLICY, NOW)


def test_all_of_it_is_counted() -> None:
    """Per partner, kind and day; nobody is named, and no room."""
    author = usual()
    lines = written(author, opened(author))
    verdict = check(author, lines)
    assert (verdict.kind, verdict.outcome) == ("disclosure", Outcome.COMPLETE)
    assert verdict.details["private"] == 11
    assert f"{SLUG}: 3 access, 1 grant, 2 key-share, 1 revoke" in verdict.summary
    accesses = [row for row in verdict.details["totals"] if row["kind"] == "access"]
    assert [(row["partner"], row["day"], row["count"]) for row in accesses] == [
        (SLUG, "2025-06-15", 1),
        (SLUG, "2025-06-18", 1),
        (SLUG, "2025-06-24", 1),
    ]
    assert b"author" not in b"".join(lines).replace(b"auditor", b"")
    assert b"!first" not in b"".join(lines)


def test_a_log_that_has_grown() -> None:
    """A disclosure stays what it was: about the first leaves of a log that begins with them."""
    author = usual()
    lines = written(author, opened(author))
    author.access(1, START)
    author.close(2 * START)
    verdict = check(author, lines)
    assert verdict.outcome is Outcome.COMPLETE
    assert "(the log now has 19)" in verdict.summary


def test_what_was_erased_is_counted_as_such() -> None:
    """A leaf that cannot be opened any more is one of which nothing is known: the totals say so."""
    author = usual()
    leaves = opened(author)
    leaves[3] = {"leaf": leaves[3]["leaf"]}
    verdict = check(author, written(author, leaves))
    assert (verdict.outcome, verdict.details["unopened"]) == (Outcome.INCOMPLETE, 1)
    assert "of which 1 cannot be opened any more" in verdict.summary


def changed(at: int, **members: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """One line with other members."""
    return lambda leaves: [*leaves[:at], leaves[at] | members, *leaves[at + 1 :]]


@pytest.mark.parametrize(
    "cheat",
    [
        lambda leaves: leaves[:-1],
        lambda leaves: leaves[1:],
        lambda leaves: [*leaves[:4], *leaves[5:]],
        lambda leaves: [*leaves, leaves[-1]],
        lambda leaves: [leaves[0], *leaves],
        lambda leaves: leaves[::-1],
        lambda leaves: [],
        changed(2, partner="another-club"),
        changed(2, partner=None),
        changed(2, partner="platform"),
        changed(2, partner=1),
        changed(2, kind="access"),
        changed(2, kind="other"),
        changed(2, kind=["grant"]),
        changed(2, day="2025-06-14"),
        changed(2, day="2025-06-24"),
        changed(2, day="2025-6-15"),
        changed(2, day="2025-06-15 "),
        changed(2, o1=b64url(bytes(32))),
        changed(2, second=b64url(bytes(32))),
        changed(2, o1="short"),
        changed(2, leaf=0),
        changed(2, leaf=None),
        changed(2, more=1),
        changed(2, o1="x" * 2000),
    ],
)
def test_a_cheating_operator_is_refused(cheat: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Lines left out, added, exchanged; another partner, kind or day; members that nobody knows."""
    author = usual()
    assert check(author, written(author, cheat(opened(author)))).outcome is Outcome.REJECTED


def test_only_signed_trees_are_disclosed() -> None:
    """A size in the middle of an epoch would hide what came with it; one beyond the log has no leaves."""
    author = usual()
    leaves = opened(author)
    for size in (0, 2, len(author.log.leaves) + 1):
        shown = [leaf for leaf in leaves if leaf["leaf"] < size]
        assert check(author, written(author, shown, size)).outcome is Outcome.REJECTED
    size = author.log.epochs[0][0]
    shown = [leaf for leaf in leaves if leaf["leaf"] < size]
    assert check(author, written(author, shown, size)).outcome is Outcome.COMPLETE


def test_the_log_beside_it_must_be_the_policys() -> None:
    """Another log's name, a checkpoint without the quorum or without any file, a leaf exchanged."""
    author = usual()
    leaves = opened(author)
    other = [header("other.example/log", len(author.log.leaves)), *map(line, leaves)]
    assert check(author, other).outcome is Outcome.REJECTED
    unwitnessed = author.log.files(cosigners=WITNESSES[:1])
    lines = written(author, leaves)
    assert disclosure.check(lines, unwitnessed.__getitem__, POLICY, NOW).details["error"] == "Unwitnessed"

    def nothing(path: str) -> bytes:
        raise FileNotFoundError(path)

    assert disclosure.check(lines, nothing, POLICY, NOW).details["error"] == "Unwitnessed"
    exchanged = author.log.files()
    (bundle,) = [path for path in exchanged if path.startswith("tile/entries/")]
    exchanged[bundle] = exchanged[bundle].replace(author.log.leaves[0], leaf_of(usual().enrol(START + 5)))

    def read(path: str) -> bytes:
        if path not in exchanged:
            raise FileNotFoundError(path)
        return exchanged[path]

    assert disclosure.check(lines, read, POLICY, NOW).outcome is Outcome.REJECTED
    assert parse_leaf(author.log.leaves[0])


def test_how_a_disclosure_begins() -> None:
    """Its first line tells it from other evidence."""
    assert is_disclosure(header("a", 1))
    for other in (b"", b"{}\n", header("a", 1)[:-1], header("a", 1).replace(b"disclosure", b"history"), b"[]\n"):
        assert not is_disclosure(other)


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_no_lines_raise(lines: list[bytes]) -> None:
    """Whatever stands in a file, there is a verdict."""
    author = usual()
    for shown in (lines, [header(LOG.name, len(author.log.leaves)), *lines]):
        assert check(author, shown).outcome is Outcome.REJECTED
