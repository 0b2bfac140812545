"""Who may be what to a room: knocking, restricted rooms, reasons, whoever was never here."""

from __future__ import annotations

from typing import Any

import pytest

from paraph.server.messenger.versions import DEFAULT_VERSION
from tests.server.messenger.acts import act, membership, outcome, put_state, room_path, state
from tests.server.messenger.house import SERVER, House
from tests.support.databases import runs_writes_once


def _rule(rule: str, *rooms: str) -> list[dict[str, Any]]:
    content: dict[str, Any] = {"join_rule": rule}
    if rooms:
        content["allow"] = [{"type": "m.room_membership", "room_id": room} for room in rooms]
    return [{"type": "m.room.join_rules", "content": content}]


async def test_knocking(home: House) -> None:
    """Whoever knocks is seen by the members, is let in by an invitation or refused by a kick, and may take it back."""
    author, friend = home.device("author"), home.device("friend")
    await friend.call("PUT", f"/profile/{friend.user_id}/displayname", {"displayname": "Fern"})
    room = await author.create(initial_state=_rule("knock"), name="Films", room_alias_name="films")
    assert await act(friend, room, "join") == "M_FORBIDDEN"
    assert await act(friend, f"#films:{SERVER}", "knock", reason="please") == "ok"
    knocked = {"membership": "knock", "displayname": "Fern", "reason": "please"}
    assert await membership(author, room, friend) == knocked
    assert await act(friend, room, "forget") == "M_UNKNOWN"
    assert await act(friend, room, "leave") == "ok"
    assert await act(friend, room, "knock") == "ok"
    assert await act(author, room, "kick", friend, reason="full") == "ok"
    assert await membership(author, room, friend) == {"membership": "leave", "reason": "full"}
    assert outcome(await put_state(friend, room, "m.room.member", {"membership": "knock"}, friend.user_id)) == "ok"
    assert await act(author, room, "invite", friend) == "ok"
    assert await act(friend, room, "knock") == "M_FORBIDDEN"
    assert await act(friend, room, "join") == "ok"
    assert await act(friend, room, "knock") == "M_FORBIDDEN"
    assert await act(author, room, "ban", friend) == "ok"
    assert await act(friend, room, "knock") == "M_FORBIDDEN"


@runs_writes_once
@pytest.mark.parametrize(
    ("version", "rule", "knocks", "restricts"),
    [
        ("6", "knock", False, False),
        ("7", "knock", True, False),
        ("7", "restricted", False, False),
        ("8", "restricted", False, True),
        ("9", "knock_restricted", False, False),
        ("10", "knock_restricted", True, True),
        (DEFAULT_VERSION, "invite", False, False),
        (DEFAULT_VERSION, "private", False, False),
        (DEFAULT_VERSION, "public", False, False),
    ],
)
async def test_a_join_rule_means_what_the_room_version_says(
    home: House, version: str, rule: str, knocks: bool, restricts: bool
) -> None:
    """Knocking came with version 7, restricted rooms with 8, both at once with 10."""
    author, friend = home.device("author"), home.device("friend")
    lobby = await author.create(friend)
    room = await author.create(initial_state=_rule(rule, lobby), room_version=version)
    assert await act(friend, room, "knock") == ("ok" if knocks else "M_FORBIDDEN")
    assert await act(friend, room, "join") == ("ok" if restricts or rule == "public" else "M_FORBIDDEN")


async def test_a_restricted_room_lets_members_of_another_in(home: House) -> None:
    """A member of an allowed room joins by a member who could invite her; others need an invitation."""
    author, friend, stranger = home.device("author"), home.device("friend"), home.device("stranger")
    lobby = await author.create(friend)
    levels = {"users": {author.user_id: 100}, "invite": 50}
    room = await author.create(initial_state=_rule("restricted", lobby), power_level_content_override=levels)
    assert await act(stranger, room, "join") == "M_FORBIDDEN"
    assert await act(friend, room, "join") == "ok"
    joined = await membership(author, room, friend)
    assert joined == {"membership": "join", "join_authorised_via_users_server": author.user_id}
    await friend.call("PUT", f"/profile/{friend.user_id}/displayname", {"displayname": "Fern"})
    assert await membership(author, room, friend) == {"membership": "join", "displayname": "Fern"}
    assert await act(friend, room, "leave") == "ok"
    assert await act(friend, lobby, "leave") == "ok"
    assert await act(friend, room, "join") == "M_FORBIDDEN"
    assert await act(author, room, "invite", stranger) == "ok"
    assert await act(stranger, room, "join") == "ok"
    assert await membership(author, room, stranger) == {"membership": "join"}


async def test_nobody_lets_into_a_room_where_nobody_can_invite(home: House) -> None:
    """A restricted room whose members cannot invite lets nobody in, whatever she is joined to."""
    author, other, friend = home.device("author"), home.device("other"), home.device("friend")
    lobby = await author.create(friend)
    levels = {"users": {author.user_id: 100}, "invite": 50}
    room = await author.create(other, initial_state=_rule("invite"), power_level_content_override=levels)
    await put_state(author, room, "m.room.join_rules", _rule("restricted", lobby)[0]["content"])
    assert await act(author, room, "leave") == "ok"
    assert await act(friend, room, "join") == "M_FORBIDDEN"


@runs_writes_once
@pytest.mark.parametrize(
    "allow", [None, "x", [1, {}], [{"type": "m.x", "room_id": "x"}, {"type": "m.room_membership"}]]
)
async def test_conditions_that_say_nothing_let_nobody_in(home: House, allow: Any) -> None:
    """What `allow` holds besides room memberships is no reason to let anybody in, and breaks nothing."""
    author, friend = home.device("author"), home.device("friend")
    content = {"join_rule": "restricted", "allow": allow}
    room = await author.create(initial_state=[{"type": "m.room.join_rules", "content": content}])
    assert await act(friend, room, "join") == "M_FORBIDDEN"


async def test_a_ban_can_come_before_its_target(home: House) -> None:
    """Whoever was never here, or lives elsewhere, is banned and let off again; a partner's address is not named."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend, preset="public_chat")
    for target in ("@nobody:paraph.test", "@somebody:elsewhere.example"):
        assert await act(friend, room, "ban", target) == "M_FORBIDDEN"
        assert await act(author, room, "ban", target, reason="early") == "ok"
        assert await state(author, room, "m.room.member", target) == {"membership": "ban", "reason": "early"}
        assert await act(author, room, "ban", target, reason="early") == "ok"
        assert await act(author, room, "unban", target) == "ok"
        assert await act(author, room, "unban", target) == "M_FORBIDDEN"
    assert await act(author, room, "ban", "@app-marquee:paraph.test") == "M_FORBIDDEN"
    assert await act(author, room, "ban", "nobody") == "M_INVALID_PARAM"
    assert await act(author, room, "ban", author) == "M_FORBIDDEN"


async def test_memberships_carry_what_was_said(home: House) -> None:
    """Reasons, is_direct and a client's own members stand in the event; what belongs to the server is not."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create()
    assert await act(author, room, "invite", friend, reason="films") == "ok"
    assert await membership(author, room, friend) == {"membership": "invite", "reason": "films"}
    direct = {"membership": "invite", "is_direct": True, "org.example.note": 1}
    assert outcome(await put_state(author, room, "m.room.member", direct, friend.user_id)) == "ok"
    assert await membership(author, room, friend) == direct
    own = {"org.example.hello": "x", "membership": "ban", "join_authorised_via_users_server": "@x:y", "reason": "why"}
    assert outcome(await friend.call("POST", f"{room_path(room)}/join", own)) == "ok"
    joined = {"membership": "join", "is_direct": True, "org.example.hello": "x", "reason": "why"}
    assert await membership(author, room, friend) == joined
    before = await home.event_count()
    assert outcome(await friend.call("POST", f"{room_path(room)}/join", {})) == "ok"
    assert outcome(await put_state(friend, room, "m.room.member", {"membership": "join"}, friend.user_id)) == "ok"
    assert outcome(await put_state(friend, room, "m.room.member", {"membership": "join"}, friend.user_id)) == "ok"
    assert await home.event_count() == before + 1
    assert await act(friend, room, "leave", reason="bye") == "ok"
    assert await membership(author, room, friend) == {"membership": "leave", "reason": "bye"}
    assert await act(author, room, "kick", friend, reason=1) == "M_BAD_JSON"


@runs_writes_once
async def test_third_party_invitations_are_refused(home: House) -> None:
    """There is no identity server to ask: inviting by address says so, whatever the endpoint, and writes nothing."""
    author = home.device("author")
    room = await author.create()
    before = await home.event_count()
    by_mail = {"medium": "email", "address": "x@y.example", "id_server": "id.example", "id_access_token": "x"}
    assert outcome(await author.call("POST", f"{room_path(room)}/invite", by_mail)) == "M_SERVER_NOT_TRUSTED"
    assert outcome(await author.call("POST", f"{room_path(room)}/invite", {})) == "M_BAD_JSON"
    named = {"membership": "invite", "third_party_invite": {"signed": {}}}
    by_state = await put_state(author, room, "m.room.member", named, "@friend:paraph.test")
    assert outcome(by_state) == "M_SERVER_NOT_TRUSTED"
    signed = {"third_party_signed": {"sender": "@x:y", "mxid": author.user_id, "token": "x", "signatures": {}}}
    assert outcome(await author.call("POST", f"{room_path(room)}/join", signed)) == "M_SERVER_NOT_TRUSTED"
    assert await home.event_count() == before


async def test_someone_who_knocks_sees_what_the_room_is(home: House) -> None:
    """Sync has the room under `knock` with stripped state, until the knock is answered or taken back."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(initial_state=_rule("knock"), name="Films")
    await friend.next()
    assert await act(friend, room, "knock") == "ok"
    shown = (await friend.next())["rooms"]
    events = {event["type"]: event for event in shown["knock"][room]["knock_state"]["events"]}
    assert events["m.room.name"]["content"] == {"name": "Films"}
    assert events["m.room.member"]["content"] == {"membership": "knock"}
    assert set(events["m.room.member"]) == {"content", "sender", "state_key", "type"}
    assert (shown["join"], shown["invite"], shown["leave"]) == ({}, {}, {})
    assert list((await friend.sync())["rooms"]["knock"]) == [room]
    assert "rooms" not in await friend.next()
    assert await act(author, room, "kick", friend) == "ok"
    assert list((await friend.next())["rooms"]["leave"]) == [room]
    assert await act(friend, room, "knock") == "ok"
    assert await act(author, room, "invite", friend) == "ok"
    assert list((await friend.next())["rooms"]["invite"]) == [room]


async def test_a_leaver_of_everything_takes_knocks_back(home: House) -> None:
    """The end of an account ends its knocks as well."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(initial_state=_rule("knock"))
    assert await act(friend, room, "knock") == "ok"
    core, leave_all = home.messenger.core, home.messenger.memberships.leave_all
    await core.database.write(lambda tx: leave_all(tx, friend.user_id))
    assert await membership(author, room, friend) == {"membership": "leave"}
