"""Filters as clients write them: what has its form is taken, what has not is refused, and nothing breaks the parser."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.server.http import MatrixError
from paraph.server.messenger.filters import model
from paraph.server.messenger.filters.matching import compiled

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)

_WRONG: list[Any] = [
    [],
    {"presence": "no object"},
    {"account_data": "no object"},
    {"room": "no object"},
    {"event_format": "another"},
    {"event_fields": "no list"},
    {"room": {"rooms": ["no room id"]}},
    {"room": {"include_leave": "true"}},
    *({"room": {part: "no object"}} for part in ("timeline", "state", "ephemeral", "account_data")),
    *(
        {"room": {"timeline": {name: "no list"}}}
        for name in ("rooms", "not_rooms", "senders", "not_senders", "types", "not_types")
    ),
    {"room": {"timeline": {"types": [1]}}},
    {"room": {"timeline": {"rooms": ["no_room_id"]}}},
    {"room": {"timeline": {"senders": ["no_user_id"]}}},
    {"room": {"timeline": {"limit": -1}}},
    {"room": {"timeline": {"limit": "ten"}}},
    {"room": {"timeline": {"contains_url": 1}}},
    {"room": {"state": {"lazy_load_members": "true"}}},
    {"room": {"state": {"lazy_load_members": 1}}},
    {"room": {"state": {"include_redundant_members": "true"}}},
    {"room": {"timeline": {"types": ["t"] * (model.MAX_NAMES + 1)}}},
]


@pytest.mark.parametrize("definition", _WRONG, ids=lambda found: json.dumps(found)[:60])
def test_what_has_no_form_is_refused(definition: Any) -> None:
    """Each member has one form; switches are true or false and nothing like it."""
    with pytest.raises(MatrixError) as refused:
        model.parse(json.dumps(definition).encode())
    assert (refused.value.status, refused.value.code) == (400, "M_INVALID_PARAM")


def test_unknown_members_are_ignored() -> None:
    """What the specification does not name does no harm."""
    assert model.parse(b'{"org.example": 1, "room": {"timeline": {"limit": 3, "org.example": []}}}').room == (
        model.RoomFilter(timeline=model.RoomEventFilter(limit=3))
    )


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_names = ("types", "not_types", "senders", "not_senders", "rooms", "not_rooms", "limit", "contains_url")
_events = st.dictionaries(
    st.sampled_from([*_names, "lazy_load_members"]), _json | st.lists(st.just("@a:b")), max_size=4
)
_rooms = st.dictionaries(
    st.sampled_from(["timeline", "state", "ephemeral", "account_data", "rooms", "include_leave"]), _events | _json
)
_filters = st.dictionaries(
    st.sampled_from(["room", "presence", "account_data", "event_fields", "event_format"]), _rooms | _events | _json
)


@given(_filters | _json)
def test_any_json_is_taken_or_refused(definition: Any) -> None:
    """Whatever arrives as a filter becomes one, or a refusal of this server."""
    with contextlib.suppress(MatrixError):
        compiled(model.parse(json.dumps(definition).encode()))


@given(st.binary(max_size=64))
def test_any_bytes_are_taken_or_refused(definition: bytes) -> None:
    """So it is with what is no JSON at all."""
    with contextlib.suppress(MatrixError):
        model.parse_room_events(definition)


def test_depth_and_size_are_bounded() -> None:
    """Neither a deep nor a large definition is looked into."""
    for definition in (b'{"room":' + b"[" * 5_000, b" " * (model.MAX_FILTER_BYTES + 1)):
        with pytest.raises(MatrixError):
            model.parse(definition)
