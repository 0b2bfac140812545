"""Whatever stands in a body or a query of the rooms' endpoints: never a failure, and a refusal leaves nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.messenger.acts import room_path
from tests.server.messenger.house import SERVER, Device, House, house

ROOM, ALIAS, FRIEND = f"!room:{SERVER}", f"#films:{SERVER}", f"@friend:{SERVER}"
WORDS = (
    "", "x", ROOM, ALIAS, FRIEND, "@app-marquee:paraph.test", "public", "private", "invite", "join", "leave", "ban",
    "knock", "11", "12", "1", "m.room_membership", "restricted", "world_readable", "m.room.power_levels",
    "m.room.encryption", "m.room.member", "m.megolm.v1.aes-sha2", "trusted_private_chat", "\u0000", "A" * 300,
)  # fmt: skip
_leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(WORDS),
)
NAMES = (
    "preset", "visibility", "name", "topic", "invite", "invite_3pid", "is_direct", "initial_state", "creation_content",
    "power_level_content_override", "room_version", "room_alias_name", "type", "state_key", "content", "predecessor",
    "room_id", "additional_creators", "users", "events", "kick", "notifications", "users_default", "user_id", "reason",
    "membership", "alias", "alt_aliases", "join_rule", "allow", "via", "filter", "generic_search_term", "room_types",
    "limit", "since", "new_version", "score", "third_party_invite", "third_party_signed", "medium", "displayname",
    "replacement_room", "history_visibility", "algorithm", "x",
)  # fmt: skip
_json = st.recursive(
    _leaf,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=12,
)
# Bodies that would do, if nothing in them were exchanged.
GOOD: tuple[dict[str, Any], ...] = (
    {
        "preset": "public_chat",
        "visibility": "public",
        "room_version": "12",
        "room_alias_name": "films",
        "name": "Films",
        "topic": "Tonight",
        "invite": [FRIEND],
        "is_direct": True,
        "initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}],
        "creation_content": {"type": "m.space", "additional_creators": [FRIEND], "predecessor": {"room_id": ROOM}},
        "power_level_content_override": {"events": {"m.room.name": 0}},
    },
    {"new_version": "12", "additional_creators": [FRIEND]},
    {"user_id": FRIEND, "reason": "why"},
    {"membership": "ban", "reason": "why", "displayname": "F."},
    {"filter": {"generic_search_term": "x", "room_types": [None]}, "limit": 2, "since": "WzEsIngiXQ"},
    {"users": {f"@author:{SERVER}": 100}, "events": {"m.room.name": 50}, "kick": 50, "notifications": {"room": 50}},
    {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": ROOM, "via": [SERVER]}]},
    {"alias": ALIAS, "alt_aliases": [ALIAS]},
    {"room_id": ROOM, "visibility": "public", "history_visibility": "joined", "algorithm": "m.megolm.v1.aes-sha2"},
)
_near = st.sampled_from(GOOD).flatmap(
    lambda good: st.dictionaries(st.sampled_from(sorted(good)), _json, max_size=2).map(lambda changed: good | changed)
)
_bodies = st.one_of(_near, _near, st.dictionaries(st.sampled_from(NAMES), _json, max_size=6), _json)

STATE = ("join_rules", "canonical_alias", "history_visibility", "tombstone", "name", "encryption", "power_levels")
ENDPOINTS = (
    ("POST", "/createRoom"),
    ("POST", "{room}/join"),
    ("POST", "{room}/invite"),
    ("POST", "{room}/kick"),
    ("POST", "{room}/ban"),
    ("POST", "{room}/unban"),
    ("POST", "{room}/report"),
    ("POST", "{room}/report/$none"),
    ("POST", f"/users/{FRIEND}/report"),
    ("POST", "/knock/{id}"),
    ("POST", "/join/{id}"),
    ("POST", "/publicRooms"),
    ("PUT", f"/directory/room/{quote(ALIAS)}"),
    ("PUT", "/directory/list/room/{id}"),
    ("PUT", f"{{room}}/state/m.room.member/{FRIEND}"),
    *(("PUT", f"{{room}}/state/m.room.{kind}/") for kind in STATE),
    ("POST", "{room}/upgrade"),
    ("POST", "{room}/leave"),
)
QUERIES = (
    "/publicRooms?since={}&limit={}",
    "/_matrix/client/v1/rooms/{id}/hierarchy?from={}&limit={}&max_depth={}&suggested_only={}",
    "/_matrix/client/v1/rooms/{id}/timestamp_to_event?ts={}&dir={}",
    "/_matrix/client/v1/room_summary/{}",
    "{room}/members?at={}&membership={}",
    "/directory/room/{}",
)
_COUNTED = ("events", "memberships", "room_aliases", "listed_rooms", "complaints")

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
_settings = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def _stored(home: House) -> list[Any]:
    read = home.messenger.core.database.read
    return [await read(lambda tx, table=table: tx.rows(f"SELECT * FROM {table}")) for table in _COUNTED]


async def _call(home: House, method: str, path: str, body: Any) -> None:
    before = await _stored(home)
    author: Device = home.device("author")
    answer = await author.call(method, path, body)
    status = getattr(answer, "status", 200)
    assert status < 500, (method, path, body, answer)
    if status >= 400:
        assert set(answer) >= {"errcode", "error"}
        assert await _stored(home) == before, (method, path, body, answer)


async def _bodies_of_all(folder: Path, bodies: list[Any]) -> None:
    async with house(folder / "paraph.db") as home:
        author, friend = home.device("author"), home.device("friend")
        for body in bodies:
            room = await author.create(friend, room_version="9")
            for method, path in ENDPOINTS:
                await _call(home, method, path.format(room=room_path(room), id=quote(room)), body)


async def _queries_of_all(folder: Path, values: list[str]) -> None:
    async with house(folder / "paraph.db") as home:
        room = await home.device("author").create(creation_content={"type": "m.space"})
        for template in QUERIES:
            path = template.format(*map(quote, values), room=room_path(room), id=quote(room))
            await _call(home, "GET", path, None)


@_settings
@given(bodies=st.lists(_bodies, min_size=1, max_size=3))
def test_no_body_is_a_failure(tmp_path_factory: pytest.TempPathFactory, bodies: list[Any]) -> None:
    """Every body of every endpoint is answered with success, or with an error that has left everything as it was."""
    asyncio.run(_bodies_of_all(tmp_path_factory.mktemp("bodies"), bodies))


_values = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.integers(-5, 10**20).map(str),
    st.sampled_from(["b", "f", "true", "WzEsIngiXQ", "s1", "s99999", "join", ALIAS]),
)


@_settings
@given(values=st.lists(_values, min_size=4, max_size=4))
def test_no_query_is_a_failure(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    """Every parameter of every query is answered with success or an error, and nothing is written."""
    asyncio.run(_queries_of_all(tmp_path_factory.mktemp("queries"), values))
