"""Conditions of push rules hold exactly where the specification says, in time that grows with the text alone."""

from __future__ import annotations

import re
import time
from fnmatch import translate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.server.messenger.push.conditions import Facts, compiled, path_of
from paraph.server.messenger.push.globs import MAX_TEXT, matcher

ME = "@me:paraph.test"


@pytest.fixture
def dialect() -> str:
    """No database here."""
    return "none"


def holds(condition: dict[str, Any], content: Any = None) -> bool:
    event = {"type": "m.room.message", "sender": "@other:paraph.test", "content": content or {}}
    facts = Facts(event, ME, 2, lambda: "Me", lambda key: key == "room")
    return compiled(condition)(facts)


@pytest.mark.parametrize(
    ("pattern", "text", "whole", "part"),
    [
        ("lunc?*", "Lunch plans", True, True),
        ("lunc?*", "LUNCH", True, True),
        ("lunc?*", " lunch", False, True),
        ("lunc?*", "lunc", False, False),
        ("ex*ple", "An example event.", False, True),
        ("ex*ple", "exple", True, True),
        ("ex*ple", "An exciting triple-whammy", False, True),
        ("cake", "pancake", False, False),
        ("cake", "a cake!", False, True),
        ("cake", "cakes cake", False, True),
        ("cake*lie", "cake is a lie", True, True),
        ("*", "", True, True),
        ("*", "anything", True, True),
        ("a*", "b", False, False),
        ("", "", True, True),
        ("a.c", "abc", False, False),
        ("*b*b", "ab b", True, True),
        ("ab*ba", "aba", False, False),
        ("\u00e9t\u00e9", "\u00c9T\u00c9", True, True),
    ],
)
def test_globs_match_all_of_a_value_and_words_within_a_body(pattern: str, text: str, whole: bool, part: bool) -> None:
    """`*` and `?` as in the examples of the specification; case does not matter."""
    assert matcher(pattern)(text) is whole
    assert matcher(pattern, words=True)(text) is part


@given(st.text("ab*?", max_size=8), st.text("ab ", max_size=10))
def test_globs_are_what_a_regular_expression_would_say(pattern: str, text: str) -> None:
    """Against an implementation that may take its time."""
    assert matcher(pattern)(text) is (re.match(translate(pattern), text) is not None)
    starred = "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    begins, ends = r"(?<![A-Za-z0-9_])", r"(?![A-Za-z0-9_])"
    assert matcher(pattern, words=True)(text) is (re.search(f"{begins}(?:{starred}){ends}", text) is not None)


@pytest.mark.parametrize("pattern", ["*a" * 100 + "*b", "?" * 250 + "b", "a?" * 120 + "b", "a" * 254 + "b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    """Patterns that would keep a backtracking matcher busy for years are answered at once."""
    began = time.process_time()
    assert not matcher(pattern)("a" * 60_000)
    assert not matcher(pattern, words=True)("a" * 60_000)
    assert time.process_time() - began < 1
    assert MAX_TEXT < 60_000


def test_property_paths_escape_dots() -> None:
    """A backslash makes the dot after it a part of the name."""
    assert path_of("content.m\\.relates_to.rel_type") == ("content", "m.relates_to", "rel_type")
    assert path_of("a\\\\.b\\x\\") == ("a\\", "b\\x\\")


@pytest.mark.parametrize(
    ("condition", "content", "expected"),
    [
        ({"kind": "event_match", "key": "content.topic", "pattern": "x*"}, {"topic": "xy"}, True),
        ({"kind": "event_match", "key": "content.topic", "pattern": "*"}, {"topic": None}, False),
        ({"kind": "event_match", "key": "content.topic", "pattern": "*"}, {}, False),
        ({"kind": "event_match", "key": "type", "pattern": "M.ROOM.message"}, {}, True),
        ({"kind": "event_match", "key": "content.body", "pattern": "beer"}, {"body": "a beer?"}, True),
        ({"kind": "event_match", "key": 7, "pattern": "*"}, {}, False),
        ({"kind": "event_property_is", "key": "content.m\\.federate", "value": True}, {"m.federate": True}, True),
        ({"kind": "event_property_is", "key": "content.m\\.federate", "value": True}, {"m.federate": "true"}, False),
        ({"kind": "event_property_is", "key": "content.m\\.federate", "value": True}, {"m.federate": 1}, False),
        ({"kind": "event_property_is", "key": "content.x", "value": None}, {"x": None}, True),
        ({"kind": "event_property_is", "key": "content.x", "value": None}, {}, False),
        ({"kind": "event_property_is", "key": "content.x"}, {}, False),
        ({"kind": "event_property_is", "key": "content.x", "value": {}}, {"x": {}}, False),
        ({"kind": "event_property_contains", "key": "content.x", "value": 1}, {"x": ["1", [1], 1]}, True),
        ({"kind": "event_property_contains", "key": "content.x", "value": 1}, {"x": [True]}, False),
        ({"kind": "event_property_contains", "key": "content.x", "value": "a"}, {"x": "a"}, False),
        ({"kind": "contains_display_name"}, {"body": "hello, me!"}, True),
        ({"kind": "contains_display_name"}, {"body": "home"}, False),
        ({"kind": "room_member_count", "is": "2"}, {}, True),
        ({"kind": "room_member_count", "is": "==2"}, {}, True),
        ({"kind": "room_member_count", "is": "<2"}, {}, False),
        ({"kind": "room_member_count", "is": ">1"}, {}, True),
        ({"kind": "room_member_count", "is": "<=2"}, {}, True),
        ({"kind": "room_member_count", "is": ">=3"}, {}, False),
        ({"kind": "room_member_count", "is": "two"}, {}, False),
        ({"kind": "sender_notification_permission", "key": "room"}, {}, True),
        ({"kind": "sender_notification_permission", "key": "other"}, {}, False),
        ({"kind": "org.example.unknown"}, {}, False),
        ({}, {}, False),
    ],
)
def test_each_kind_of_condition(condition: dict[str, Any], content: dict[str, Any], expected: bool) -> None:
    """The examples of the specification; what is unknown or incomplete never holds."""
    assert holds(condition, content) is expected


NAMES = st.sampled_from(["kind", "key", "a", "m.b"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
CONDITIONS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(
            ["event_match", "event_property_is", "event_property_contains", "room_member_count", "x"]
        )
    },
    optional={
        "key": st.text(".\\a", max_size=5) | JSON,
        "pattern": st.text(max_size=4) | JSON,
        "value": JSON,
        "is": JSON,
    },
)


@given(CONDITIONS, JSON)
def test_no_condition_and_no_event_is_a_failure(condition: dict[str, Any], content: Any) -> None:
    """Whatever was stored as a rule and sent as an event, the answer is yes or no."""
    assert holds(condition, content) in (True, False)
