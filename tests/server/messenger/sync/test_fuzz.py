"""Made-up filters and sliding requests against the whole messenger: answered or refused, no fault of the server."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paraph.server.messenger.sliding.http import STABLE, UNSTABLE
from tests.server.messenger.acts_sync import act, put_state, rename, say
from tests.server.messenger.house import Device, House, house

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_kinds = st.lists(st.sampled_from(["m.room.*", "m.room.member", "*", "m.room.encrypted", "none", "*e*"]), max_size=3)
_people = st.lists(st.sampled_from(["@author:paraph.test", "@friend:paraph.test"]), max_size=2)
_events = st.fixed_dictionaries(
    {},
    optional={
        "limit": st.integers(0, 30) | _json,
        "types": _kinds,
        "not_types": _kinds,
        "senders": _people,
        "not_senders": _people,
        "contains_url": st.booleans(),
        "lazy_load_members": st.booleans() | _json,
        "include_redundant_members": st.booleans(),
    },
)
_fields = st.sampled_from(["content.body", "type", "a\\.b", "content", "", ".", "\\"])
_filters = st.fixed_dictionaries(
    {},
    optional={
        "event_format": st.sampled_from(["client", "federation", "none"]),
        "event_fields": st.lists(
            st.sampled_from(["content.body", "type", "a\\.b", "content", "", ".", "\\"]), max_size=3
        ),
        "presence": _events | _json,
        "account_data": _events | _json,
        "room": st.fixed_dictionaries(
            {},
            optional={
                "include_leave": st.booleans(),
                "timeline": _events | _json,
                "state": _events | _json,
                "ephemeral": _events,
                "account_data": _events,
            },
        )
        | _json,
    },
)
_state = st.lists(
    st.tuples(st.sampled_from(["m.room.member", "*", "m.room.name"]), st.sampled_from(["$LAZY", "$ME", "*", ""])),
    max_size=3,
)
_element = st.fixed_dictionaries({}, optional={"type": st.just("m.room.member"), "state_key": st.just("")})
_required = _state | st.fixed_dictionaries(
    {}, optional={"include": st.lists(_element, max_size=2), "lazy_members": st.booleans()}
)
_range = st.lists(st.integers(0, 9), min_size=2, max_size=2)
_slide = {"timeline_limit": st.integers(0, 20), "required_state": _required}
_room_filters = st.fixed_dictionaries(
    {},
    optional={
        "is_dm": st.booleans(),
        "is_encrypted": st.booleans(),
        "is_invite": st.booleans(),
        "room_types": st.lists(st.sampled_from([None, "m.space"]), max_size=2),
        "room_name_like": st.text(max_size=3),
        "tags": st.lists(st.text(max_size=3), max_size=2),
        "spaces": st.lists(st.text(max_size=3), max_size=2),
    },
)
_list = st.fixed_dictionaries(_slide, optional={"ranges": st.lists(_range, max_size=2), "filters": _room_filters})
_enabled = st.fixed_dictionaries(
    {"enabled": st.booleans()}, optional={"lists": st.lists(st.text(max_size=2), max_size=2)}
)
_slides = st.fixed_dictionaries(
    {"lists": st.dictionaries(st.text(max_size=2), _list, max_size=2)},
    optional={
        "extensions": st.dictionaries(
            st.sampled_from(["to_device", "e2ee", "account_data", "receipts", "typing"]), _enabled
        ),
        "other": _json,
    },
)


async def _lived(home: House) -> tuple[Device, list[str]]:
    """Somebody with rooms of every kind."""
    author, friend = home.device("author"), home.device("friend")
    joined, left, banned = [await author.create(friend) for _ in range(3)]
    invited = await author.create()
    await act(author, invited, "invite", user_id=friend.user_id)
    await say(author, joined, 3)
    await rename(author, joined, "A")
    await put_state(author, joined, "m.room.topic", {"topic": "t", "url": "mxc://s/1"})
    await act(friend, left, "leave")
    await act(author, banned, "ban", user_id=friend.user_id)
    await act(friend, joined, "receipt/m.read/" + quote((await say(author, joined, 1))[0]))
    return friend, [joined, left]


async def _ask(filters: list[Any], slides: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with house(Path(folder) / "paraph.db") as home:
            friend, rooms = await _lived(home)
            since = (await friend.sync())["next_batch"]
            author = home.device("author")
            await say(author, rooms[0], 2)
            statuses = []
            for definition in filters:
                text = json.dumps(definition)
                statuses += [(await friend.sync(token, filter=text)).status for token in (None, since)]
                kept = await friend.call("POST", f"/user/{friend.user_id}/filter", definition)
                statuses.append(kept.status)
                for room in rooms:
                    path = f"/rooms/{quote(room)}/messages"
                    part = json.dumps(definition.get("room", {}))
                    statuses.append((await friend.call("GET", path, dir="b", filter=part)).status)
            for body in slides:
                for path in (UNSTABLE, STABLE):
                    first = await friend.call("POST", path, body)
                    await say(author, rooms[0], 1)
                    again = await friend.call("POST", path, body, pos=first.get("pos", ""))
                    statuses += [first.status, again.status]
            assert set(statuses) <= {200, 400}


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_filters, min_size=6, max_size=12), st.lists(_slides, min_size=3, max_size=6))
def test_no_request_is_the_servers_fault(filters: list[Any], slides: list[Any]) -> None:
    """Filters of syncs and pages and sliding requests, against rooms joined, left, banned from and invited to."""
    asyncio.run(_ask(filters, slides))
