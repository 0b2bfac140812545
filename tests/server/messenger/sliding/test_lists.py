"""Sliding sync's filters, requests that do not fit, and connections that are not known any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.sliding.connections import Connections
from paraph.server.messenger.sliding.http import UNSTABLE
from paraph.server.messenger.sliding.model import MAX_LISTS, MAX_SUBSCRIPTIONS, Request
from paraph.server.messenger.sliding.wanted import RoomWanted
from tests.server.messenger.acts_sync import act, put_state, rename, say
from tests.server.messenger.house import House, house
from tests.server.messenger.sliding_client import Connection, rooms_list
from tests.support.databases import runs_on_sqlite


async def test_filters(open_home: House) -> None:
    """By what a room is, whether it is encrypted or an invitation, and by the person's own data about it."""
    author, friend = open_home.device("author"), open_home.device("friend")
    secret = await author.create(friend, name="Secret films")
    plain = await author.create(friend, name="Plain talk", encrypted=False, initial_state=[])
    space = await author.create(friend, creation_content={"type": "m.space"})
    invited = await author.create()
    await act(author, invited, "invite", user_id=friend.user_id)
    await put_state(author, space, "m.space.child", {"via": ["paraph.test"]}, plain)
    await put_state(author, space, "m.space.child", {}, secret)
    await put_state(author, secret, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    data = f"/user/{friend.user_id}"
    await friend.call("PUT", f"{data}/account_data/m.direct", {author.user_id: [plain]})
    await friend.call("PUT", f"{data}/rooms/{quote(secret)}/tags/m.favourite", {})
    client = Connection(friend)
    names = {secret: "secret", plain: "plain", space: "space", invited: "invited"}

    async def listed(**filters: Any) -> set[str]:
        client.pos = None
        answer = await client.next(lists={"all": rooms_list(0, 99, limit=1, **filters)})
        assert answer["lists"]["all"]["count"] == len(answer["rooms"])
        return {names[room] for room in answer["rooms"]}

    assert await listed() == set(names.values())
    for _ in range(2):
        assert "secret" in await listed(is_encrypted=True)
        assert "secret" not in await listed(is_encrypted=False)
        assert await listed(room_types=["m.space"]) == {"space"}
        assert await listed(room_types=[None], not_room_types=["m.space"]) == {"secret", "plain", "invited"}
        assert await listed(room_name_like="FILMS") == {"secret"}
        open_home.messenger.core.rooms.clear()
    assert await listed(is_invite=True) == await listed(is_invited=True) == {"invited"}
    assert await listed(is_invite=False) == {"secret", "plain", "space"}
    assert await listed(is_dm=True) == {"plain"}
    assert await listed(is_dm=False) == {"secret", "space", "invited"}
    assert await listed(tags=["m.favourite"]) == {"secret"}
    assert await listed(not_tags=["m.favourite"]) == {"plain", "space", "invited"}
    assert await listed(spaces=[space, "!none:paraph.test"]) == {"plain"}
    assert await listed(is_dm=True, is_invite=True) == set()


async def test_a_list_notices_what_makes_a_room_fit(open_home: House) -> None:
    """A room that is renamed, or becomes a direct one, moves between lists of one connection."""
    author, friend = open_home.device("author"), open_home.device("friend")
    room = await author.create(friend, name="A")
    client = Connection(friend)
    lists = {"films": rooms_list(0, 9, room_name_like="films"), "direct": rooms_list(0, 9, is_dm=True)}
    assert (await client.next(lists=lists))["lists"] == {"films": {"count": 0}, "direct": {"count": 0}}
    await rename(author, room, "Films")
    found = await client.next()
    assert (found["lists"]["films"]["count"], list(found["rooms"])) == (1, [room])
    await friend.call("PUT", f"/user/{friend.user_id}/account_data/m.direct", {author.user_id: [room]})
    found = await client.next()
    assert found["lists"]["direct"]["count"] == 1
    assert found["rooms"][room]["is_dm"] is True


_LIST = {"timeline_limit": 1, "required_state": []}


_UNFIT: list[dict[str, Any]] = [
    {"lists": []},
    {"lists": {"a": {}}},
    {"lists": {"a": _LIST | {"timeline_limit": -1}}},
    {"lists": {"a": _LIST | {"ranges": [[0]]}}},
    {"lists": {"a": _LIST | {"ranges": [[0, -1]]}}},
    {"lists": {"a": _LIST | {"ranges": [[0, 1]] * 21}}},
    {"lists": {"a": _LIST | {"required_state": [["m.room.name"]]}}},
    {"lists": {"a": _LIST | {"required_state": [["t", "k"]] * 201}}},
    {"lists": {"a": _LIST | {"required_state": {"include": [1]}}}},
    {"lists": {"a": _LIST | {"filters": {"is_dm": "yes"}}}},
    {"lists": {"a" * 65: _LIST}},
    {"lists": {f"l{number}": _LIST for number in range(MAX_LISTS + 1)}},
    {"room_subscriptions": {"!a:b": {}}},
    {"room_subscriptions": {f"!{number}:b": _LIST for number in range(MAX_SUBSCRIPTIONS + 1)}},
    {"extensions": {"to_device": {"enabled": "yes"}}},
    {"extensions": {"to_device": {"enabled": True, "limit": 0}}},
    {"conn_id": "c" * 65},
    {"set_presence": "busy"},
    {"timeout": -1},
]


@runs_on_sqlite
async def test_what_does_not_fit_is_refused(home: House) -> None:
    """Each bound and each form is kept, and a refusal begins no connection."""
    author = home.device("author")
    for body in _UNFIT:
        answer = await author.call("POST", UNSTABLE, body)
        assert (answer.status, answer["errcode"]) == (400, "M_BAD_JSON"), str(body)[:100]
    assert len(home.messenger.sliding.connections) == 0


@runs_on_sqlite
async def test_unknown_positions(home: House) -> None:
    """What this process did not give out for this connection is unknown, or no token at all."""
    author = home.device("author")
    await Connection(author).next()
    for pos in ("s1_x", "x", "s1", "s1_00000000.1.1", "s1_..", "s" + "9" * 30):
        answer = await Connection(author).ask(pos)
        assert (answer.status, answer["errcode"]) in ((400, "M_UNKNOWN_POS"), (400, "M_INVALID_PARAM")), pos


async def test_a_restart_begins_anew(tmp_path: Path) -> None:
    """A connection of before the restart is unknown, and a new one tells everything."""
    async with house(tmp_path / "paraph.db") as before:
        author = before.device("author")
        room = await author.create()
        client = Connection(author)
        await client.next(lists={"all": rooms_list(0, 9)})
    async with house(tmp_path / "paraph.db") as after:
        client.device = after.device("author")
        assert (await client.ask(client.pos))["errcode"] == "M_UNKNOWN_POS"
        client.pos = None
        assert list((await client.next())["rooms"]) == [room]


@runs_on_sqlite
def test_connections_are_bounded() -> None:
    """Of one device and of all together; the one that was not used for the longest time is forgotten."""
    connections = Connections(max_connections=4, max_per_device=2)
    one, other = PersonPrincipal("@a:b", "A"), PersonPrincipal("@c:d", "A")
    first = connections.begin(one, "1")
    first.told({}, _progress())
    pos = connections.pos(first, 1)
    second = connections.begin(one, "2")
    second.told({}, _progress())
    assert connections.resume(one, "1", pos) is first
    connections.begin(one, "3")
    assert connections.resume(one, "1", pos) is first
    with pytest.raises(Exception, match="not known"):
        connections.resume(one, "2", connections.pos(second, 1))
    for device in range(5):
        connections.begin(PersonPrincipal("@c:d", f"{device}"), "")
    assert len(connections) == 4
    with pytest.raises(Exception, match="not known"):
        connections.resume(one, "1", pos)
    with pytest.raises(Exception, match="not known"):
        connections.resume(other, "1", pos)


def _progress() -> Any:
    from paraph.server.messenger.sliding.connections import Progress

    return Progress()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_pairs = st.lists(st.tuples(st.sampled_from(["m.room.member", "*", "t"]), st.sampled_from(["$LAZY", "$ME", "*", ""])))
_config = st.fixed_dictionaries(
    {"timeline_limit": st.integers(-1, 200) | _json, "required_state": _pairs | _json},
    optional={"ranges": st.lists(st.lists(st.integers(-1, 9), max_size=3), max_size=2) | _json, "filters": _json},
)
_bodies = st.fixed_dictionaries(
    {},
    optional={
        "lists": st.dictionaries(st.text(max_size=3), _config, max_size=2) | _json,
        "room_subscriptions": st.dictionaries(st.just("!a:b"), _config, max_size=1) | _json,
        "extensions": st.dictionaries(st.sampled_from(["to_device", "e2ee", "receipts"]), _json) | _json,
        "conn_id": _json,
        "timeout": _json,
    },
)


@runs_on_sqlite
@given(_bodies)
def test_any_body_is_taken_or_refused(body: dict[str, Any]) -> None:
    """Whatever arrives becomes a request, or is refused as one that does not fit."""
    try:
        request = msgspec.convert(body, Request)
    except msgspec.ValidationError:
        return
    for config in (*request.lists.values(), *request.room_subscriptions.values()):
        wanted = RoomWanted.of(config, "@me:b")
        assert 0 <= wanted.timeline <= 100
        assert isinstance(wanted.wants("m.room.member", "@me:b"), bool)


async def test_waiting_messages_do_not_wake_others(home: House) -> None:
    """A connection that looks at nothing has nothing to be told of a message."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    client = Connection(friend, "encryption")
    await client.next(extensions={"e2ee": {"enabled": True}})
    await say(author, room, 1)
    assert (await client.next(wait=10))["rooms"] == {}
