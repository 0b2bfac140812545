"""Which names and events a filter wants."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.server.messenger.events import seal
from paraph.server.messenger.filters.matching import Events, Names, compiled
from paraph.server.messenger.filters.model import Filter, RoomEventFilter
from paraph.server.messenger.model import Event

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    ("wanted", "unwanted", "name", "found"),
    [
        (None, None, "m.room.name", True),
        ([], None, "m.room.name", False),
        (["m.room.name"], None, "m.room.name", True),
        (["m.room.*"], None, "m.room.name", True),
        (["m.room.*"], None, "m.roomname", False),
        (["*.name"], None, "m.room.name", True),
        (["m.*.name"], None, "m.name", False),
        (["m*n*e"], None, "m.room.name", True),
        (["*"], None, "", True),
        (None, ["m.room.*"], "m.room.name", False),
        (["m.room.name"], ["m.*"], "m.room.name", False),
        (["m.room.na?e"], None, "m.room.name", False),
    ],
)
def test_names(wanted: list[str] | None, unwanted: list[str] | None, name: str, found: bool) -> None:
    """A star stands for any text, nothing else is special, and what is unwanted wins."""
    assert (name in Names(wanted, unwanted, patterns=True)) is found


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_patterns_match_as_the_library_has_it(pattern: str, name: str) -> None:
    """The own matcher, which is linear in the name, says what the standard library's says."""
    expected = re.match(fnmatch.translate(pattern), name) is not None
    assert (name in Names([pattern], None, patterns=True)) is expected


def _event(kind: str = "m.room.message", sender: str = "@author:s", content: bytes = b'{"body":"b"}') -> Event:
    return seal("!room:s", sender, "A", kind, content, 0)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [True, True, True]),
        ({"types": ["m.room.message"]}, [True, True, False]),
        ({"senders": ["@author:s"]}, [True, False, True]),
        ({"not_senders": ["@author:s"]}, [False, True, False]),
        ({"rooms": ["!other:s"]}, [False, False, False]),
        ({"not_rooms": ["!other:s"]}, [True, True, True]),
        ({"contains_url": True}, [False, True, False]),
        ({"contains_url": False}, [True, False, True]),
    ],
)
def test_events(wanted: dict[str, Any], found: list[bool]) -> None:
    """Type, sender, room and whether the content has a url of text are asked for each event."""
    events = [
        _event(),
        _event(sender="@partner:s", content=b'{"url":"mxc://s/1"}'),
        _event("m.x", content=b'{"url":1}'),
    ]
    asked = Events(RoomEventFilter(**wanted))
    assert [asked.wants(event) for event in events] == found


def test_field_paths() -> None:
    """Dots lead inwards, unless a backslash says that they are part of the name."""
    plan = compiled(Filter(event_fields=["content.body", r"content.m\.relates_to", r"a\\.b", "type"]))
    assert plan.fields == (("content", "body"), ("content", "m.relates_to"), ("a\\", "b"), ("type",))
