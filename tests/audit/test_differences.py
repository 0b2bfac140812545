"""Differences between two documents: complete, readable, and bounded."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.audit.differences import MAX_WORDS, Change, differences

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab ", max_size=6)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.sampled_from("xyz"), below, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def applied(before: dict[str, Any], changes: list[Change]) -> dict[str, Any]:
    """The older document with every change made."""
    made = _copy(before)
    for change in changes:
        *way, name = change.path
        place = made
        for step in way:
            place = place[step]
        if change.kind == "removed":
            del place[name]
        else:
            place[name] = change.after
    return made


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(held) for name, held in value.items()}
    return list(map(_copy, value)) if isinstance(value, list) else value


@given(DOCUMENTS, DOCUMENTS)
def test_the_changes_lead_from_one_document_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Nothing that differs is left out: made in the older document, they give the newer one, types included."""
    changes = differences(before, after)
    assert repr(_sorted(applied(before, changes))) == repr(_sorted(after))
    assert all(change.before is not change.after or change.kind != "changed" for change in changes)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return list(map(_sorted, value)) if isinstance(value, list) else value


@given(st.lists(SCALARS, max_size=8), st.lists(SCALARS, max_size=8))
def test_items_of_a_list_are_named_one_by_one(before: list[Any], after: list[Any]) -> None:
    """What stayed and what came is the newer list; what stayed and what went is the older one, as often as there."""
    for change in differences({"list": before}, {"list": after}):
        assert change.removed is not None
        assert change.added is not None
        stayed = [repr(item) for item in before]
        for item in change.removed:
            stayed.remove(repr(item))
        assert sorted([*stayed, *map(repr, change.added)]) == sorted(map(repr, after))


@given(st.text("ab \n,", max_size=60), st.text("ab \n,", max_size=60))
def test_words_are_those_of_both_texts(before: str, after: str) -> None:
    """The runs without what came are the older text, the runs without what went the newer one."""
    for change in differences({"text": before}, {"text": after}):
        if change.words is not None:
            assert "".join(text for kind, text in change.words if kind != "added") == before
            assert "".join(text for kind, text in change.words if kind != "removed") == after


def test_long_texts_are_not_compared_word_by_word() -> None:
    """Whatever stands in a document, a page is made in a moment."""
    began = time.perf_counter()
    [change] = differences({"text": "a b " * 1000}, {"text": "b a " * 1000})
    assert change.words is None
    worst = ["a ", "b "] * (MAX_WORDS // 2)
    differences({"text": "".join(worst)}, {"text": "".join(reversed(worst))})
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("before", "after", "rendered"),
    [
        ({}, {"a": 1}, {"field": "a", "change": "added", "after": 1}),
        ({"a": None}, {}, {"field": "a", "change": "removed", "before": None}),
        ({"a": {"b": 1}}, {"a": {"b": True}}, {"field": "a.b", "change": "changed", "before": 1, "after": True}),
        (
            {"a": [1, 2]},
            {"a": [2, 1]},
            {
                "field": "a",
                "change": "changed",
                "before": [1, 2],
                "after": [2, 1],
                "items_removed": [],
                "items_added": [],
            },
        ),
    ],
)
def test_rendered(before: dict[str, Any], after: dict[str, Any], rendered: dict[str, Any]) -> None:
    """The JSON of a change names what was and what is; null is a value, and nothing is nothing."""
    assert [change.rendered for change in differences(before, after)] == [rendered]


def test_fields_can_be_left_out() -> None:
    """What always differs is not repeated; the same name further below is."""
    before, after = {"version": 1, "in": {"version": 1}}, {"version": 2, "in": {"version": 2}}
    assert [change.path for change in differences(before, after, without=["version"])] == [("in", "version")]
