"""Room versions: what they change for one server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from paraph.server.messenger import events
from paraph.server.messenger.versions import ROOM_VERSIONS, version_of
from tests.server.messenger.acts import act, outcome, put_state, room_path, state
from tests.server.messenger.house import SERVER, Answer, Device, House

# The rules are asked in memory: which database holds the rooms makes no difference to them.
pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)

FRIEND, OTHER = f"@friend:{SERVER}", f"@other:{SERVER}"


async def _create(device: Device, version: str, **body: Any) -> Answer:
    answer: Answer = await device.call("POST", "/createRoom", {"room_version": version, **body})
    return answer


@pytest.mark.parametrize("version", ROOM_VERSIONS)
async def test_a_room_of_every_version(home: House, version: str) -> None:
    """Each is created, joined and spoken in; the first event says its version, whatever creation_content says."""
    author, friend = home.device("author"), home.device("friend")
    content = {"room_version": "none", "creator": "@nobody:paraph.test", "org.example.x": 1}
    room = await author.create(friend, room_version=version, creation_content=content)
    expected = {"room_version": version, "org.example.x": 1}
    if int(version) < 11:
        expected["creator"] = author.user_id
    assert await state(author, room, "m.room.create") == expected
    shown = (await friend.next())["rooms"]["join"][room]["timeline"]["events"]
    assert shown[0]["type"] == "m.room.create"
    assert outcome(await friend.send(room)) == "ok"


async def test_capabilities_name_every_version(home: House) -> None:
    """GET /capabilities lists the versions that createRoom and upgrade take, and the default."""
    author = home.device("author")
    found = (await author.call("GET", "/capabilities"))["capabilities"]["m.room_versions"]
    assert found == {"default": "11", "available": dict.fromkeys(map(str, range(1, 13)), "stable")}
    room = await author.create()
    assert (await state(author, room, "m.room.create"))["room_version"] == found["default"]


_KEPT: list[tuple[str, str, dict[str, str]]] = [
    (
        "m.room.member",
        "membership displayname join_authorised_via_users_server third_party_invite",
        {
            "8": "membership",
            "9": "membership join_authorised_via_users_server",
            "11": "membership join_authorised_via_users_server third_party_invite",
        },
    ),
    ("m.room.join_rules", "join_rule allow x", {"7": "join_rule", "8": "join_rule allow"}),
    ("m.room.power_levels", "ban users invite notifications", {"10": "ban users", "11": "ban users invite"}),
    ("m.room.history_visibility", "history_visibility x", {"1": "history_visibility", "12": "history_visibility"}),
    ("m.room.aliases", "aliases x", {"5": "aliases", "6": ""}),
    ("m.room.create", "creator m.federate", {"10": "creator", "11": "creator m.federate"}),
    ("m.room.redaction", "redacts reason", {"10": "", "11": "redacts"}),
    ("m.room.name", "name", {"1": "", "12": ""}),
]


@pytest.mark.parametrize(("kind", "names", "kept"), _KEPT)
def test_what_a_redaction_keeps(kind: str, names: str, kept: dict[str, str]) -> None:
    """Each version keeps what its redaction algorithm names, and nothing else."""
    for version, expected in kept.items():
        allowed = ROOM_VERSIONS[version].kept(kind)
        assert {name for name in names.split() if allowed is None or name in allowed} == set(expected.split())


def test_a_redacted_third_party_invitation() -> None:
    """Of a third-party invitation only what was signed is left, and nothing where nothing was."""
    for invitation, left in (({"signed": {"token": "x"}, "x": 1}, {"signed": {"token": "x"}}), ({"x": 1}, None)):
        content = events.canonical_content({"membership": "invite", "third_party_invite": invitation})
        event = events.seal("!r:x", "@a:x", "A", "m.room.member", content, 1, state_key=FRIEND)
        redaction = events.seal("!r:x", "@a:x", "A", "m.room.redaction", b"{}", 2)
        kept = msgspec.json.decode(events.redacted(event, redaction, ROOM_VERSIONS["11"]))["content"]
        assert kept == {"membership": "invite"} | ({} if left is None else {"third_party_invite": left})


async def test_a_redaction_is_told_in_both_ways(home: House) -> None:
    """`redacts` stands in the content and beside it, in rooms of any version; the target names its redaction."""
    author = home.device("author")
    for version in ("10", "11"):
        room = await author.create(room_version=version)
        named = (await put_state(author, room, "m.room.name", {"name": "x"}))["event_id"]
        redaction = await author.call("PUT", f"{room_path(room)}/redact/{named}/t1", {"reason": "why"})
        told = await author.call("GET", f"{room_path(room)}/event/{redaction['event_id']}")
        assert (told["redacts"], told["content"]) == (named, {"redacts": named, "reason": "why"})
        target = await author.call("GET", f"{room_path(room)}/event/{named}")
        assert target["content"] == {}
        because = target["unsigned"]["redacted_because"]
        assert (because["event_id"], target["unsigned"]["redacted_by"]) == (redaction["event_id"],) * 2
        assert await state(author, room, "m.room.name") == {}


async def test_a_redaction_stays_within_its_room_and_is_redacted_itself(home: House) -> None:
    """An event of another room is M_INVALID_PARAM, an unknown one M_NOT_FOUND; a reason can go as well."""
    author = home.device("author")
    room, other = await author.create(), await author.create()
    elsewhere = (await author.send(other))["event_id"]
    for target, errcode in ((elsewhere, "M_INVALID_PARAM"), ("$none", "M_NOT_FOUND")):
        assert outcome(await author.call("PUT", f"{room_path(room)}/redact/{target}/t1", {})) == errcode
    said = (await author.send(room))["event_id"]
    first = await author.call("PUT", f"{room_path(room)}/redact/{said}/t2", {"reason": "rude"})
    assert outcome(await author.call("PUT", f"{room_path(room)}/redact/{first['event_id']}/t3", {})) == "ok"
    told = await author.call("GET", f"{room_path(room)}/event/{first['event_id']}")
    assert told["content"] == {"redacts": said}


async def test_levels_were_text_in_older_rooms(home: House) -> None:
    """Up to version 9 text that holds an integer is a level, and counts as one; from 10 on it is refused."""
    author, friend = home.device("author"), home.device("friend")
    levels = {"users": {author.user_id: " 100 ", friend.user_id: "50"}, "kick": "+50", "events": {"m.room.name": "51"}}
    refused = await _create(author, "10", power_level_content_override=levels)
    assert (refused.status, refused["errcode"]) == (400, "M_BAD_JSON")
    for bad in ("", "x", "1_0", "5.0", "\u0665", "9" * 17):
        refused = await _create(author, "9", power_level_content_override={"kick": bad})
        assert outcome(refused) == "M_BAD_JSON"
    room = await author.create(friend, room_version="9", power_level_content_override=levels)
    assert (await state(author, room, "m.room.power_levels"))["kick"] == "+50"
    assert outcome(await put_state(friend, room, "m.room.name", {"name": "x"})) == "M_FORBIDDEN"
    assert outcome(await put_state(friend, room, "m.room.topic", {"topic": "x"})) == "ok"
    changed = await state(author, room, "m.room.power_levels")
    changed["events"] = {"m.room.name": 50, "m.room.power_levels": "50"}
    assert outcome(await put_state(author, room, "m.room.power_levels", dict(changed))) == "ok"
    assert (
        outcome(await put_state(friend, room, "m.room.power_levels", dict(changed) | {"kick": "60"})) == "M_FORBIDDEN"
    )
    assert outcome(await put_state(friend, room, "m.room.power_levels", dict(changed) | {"kick": 50})) == "ok"


async def test_levels_that_say_nothing_leave_nobody_in_charge(home: House) -> None:
    """Empty power levels put everybody at 0; only a room without any has a creator at 100."""
    author = home.device("author")
    room = await author.create()
    assert outcome(await put_state(author, room, "m.room.power_levels", {"users": {author.user_id: 100}})) == "ok"
    assert outcome(await put_state(author, room, "m.room.power_levels", {})) == "ok"
    assert outcome(await put_state(author, room, "m.room.power_levels", {"users": {}})) == "M_FORBIDDEN"
    assert await state(author, room, "m.room.power_levels") == {}
    assert outcome(await put_state(author, room, "m.room.name", {"name": "x"})) == "M_FORBIDDEN"
    assert outcome(await author.send(room)) == "ok"


async def test_everybody_at_the_top_can_be_put_down_together(home: House) -> None:
    """A member at users_default may lower users_default to what is below it."""
    author, friend = home.device("author"), home.device("friend")
    users = {author.user_id: 100, friend.user_id: 100}
    override = {"users_default": 100, "users": users, "events": {}, "notifications": {}}
    room = await author.create(friend, power_level_content_override=override)
    lower = override | {"users_default": 40}
    assert outcome(await put_state(friend, room, "m.room.power_levels", lower)) == "ok"


@pytest.mark.parametrize(("version", "outcome_"), [("5", "ok"), ("6", "M_FORBIDDEN")])
async def test_notification_levels_are_guarded_since_version_6(home: House, version: str, outcome_: str) -> None:
    """Nobody sets a notification level above her own, except in rooms from before that rule."""
    author, friend = home.device("author"), home.device("friend")
    override = {"users": {author.user_id: 100, friend.user_id: 50}, "events": {"m.room.power_levels": 50}}
    room = await author.create(friend, room_version=version, power_level_content_override=override)
    levels = await state(author, room, "m.room.power_levels")
    levels["notifications"] = {"room": 60}
    assert outcome(await put_state(friend, room, "m.room.power_levels", dict(levels))) == outcome_


# Version 12


async def test_creators_stand_above_all(home: House) -> None:
    """The creators are in no levels, cannot be put into them, and put out whoever has the highest there is."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend, room_version="12")
    levels = await state(author, room, "m.room.power_levels")
    assert (levels["users"], levels["events"]["m.room.tombstone"]) == ({}, 150)
    highest = {"users": {friend.user_id: 2**53 - 1}}
    assert outcome(await put_state(author, room, "m.room.power_levels", highest)) == "ok"
    assert await act(friend, room, "kick", author) == "M_FORBIDDEN"
    for users in ({author.user_id: 100}, {friend.user_id: 2**53}):
        refused = await put_state(author, room, "m.room.power_levels", {"users": users})
        assert (refused.status, refused["errcode"]) == (400, "M_BAD_JSON")
    assert await act(author, room, "kick", friend) == "ok"


async def test_a_room_is_named_by_its_create_event(home: House) -> None:
    """The id of a room of version 12 is that of its create event, made at once or by an upgrade."""
    author = home.device("author")
    old = await author.create(room_version="11")
    upgraded = await author.call("POST", f"{room_path(old)}/upgrade", {"new_version": "12"})
    for room in (await author.create(room_version="12"), upgraded["replacement_room"]):
        everything = await author.call("GET", f"{room_path(room)}/state")
        create = next(event for event in everything if event["type"] == "m.room.create")
        assert (room, create["room_id"]) == (f"!{create['event_id'][1:]}", room)
        assert outcome(await author.call("GET", f"{room_path(room)}/event/${room[1:]}")) == "ok"
        assert outcome(await author.send(room)) == "ok"
    assert (await state(author, old, "m.room.tombstone"))["replacement_room"] == upgraded["replacement_room"]
    predecessor = (await state(author, upgraded["replacement_room"], "m.room.create"))["predecessor"]
    assert predecessor == {"room_id": old}


async def test_further_creators(home: House) -> None:
    """additional_creators and those invited to a trusted private chat are creators like the first."""
    author, friend, other = home.device("author"), home.device("friend"), home.device("other")
    trusted = {"preset": "trusted_private_chat", "creation_content": {"additional_creators": [OTHER, OTHER]}}
    room = await author.create(friend, room_version="12", **trusted)
    created = await state(author, room, "m.room.create")
    assert created["additional_creators"] == [OTHER, FRIEND]
    assert await act(author, room, "kick", friend) == "M_FORBIDDEN"
    assert outcome(await put_state(friend, room, "m.room.name", {"name": "x"})) == "ok"
    refused = await put_state(author, room, "m.room.power_levels", {"users": {other.user_id: 1}})
    assert outcome(refused) == "M_BAD_JSON"


@pytest.mark.parametrize(
    ("further", "errcode"),
    [
        ("x", "M_BAD_JSON"),
        ([FRIEND, 42], "M_BAD_JSON"),
        ([FRIEND, "nobody"], "M_INVALID_PARAM"),
        (["@invalid:dom$ain$.com"], "M_INVALID_PARAM"),
        ([f"@app-marquee:{SERVER}"], "M_FORBIDDEN"),
        (["@foo:example.com", "@bar:baz.code"], "ok"),
    ],
)
async def test_who_can_be_a_creator(home: House, further: Any, errcode: str) -> None:
    """Creators are named by user ids, known here or not, never by a partner's; before version 12 nobody looks."""
    author = home.device("author")
    content = {"additional_creators": further}
    for preset in ("public_chat", "trusted_private_chat"):
        answer = await _create(author, "12", creation_content=content, preset=preset)
        assert outcome(answer) == errcode
    assert outcome(await _create(author, "11", creation_content=content)) == "ok"
    override = {"users": {author.user_id: 100}}
    assert outcome(await _create(author, "12", power_level_content_override=override)) == "M_BAD_JSON"
    assert outcome(await _create(author, "12", power_level_content_override={"users": {FRIEND: 100}})) == "ok"


_UPGRADES: list[tuple[str, dict[str, int], str, list[str], dict[str, int]]] = [
    ("11", {"friend": 100}, "friend", [], {}),
    ("11", {"friend": 100, "other": 100}, "friend", [], {"other": 100}),
    ("12", {"friend": 150, "other": 50}, "friend", ["other"], {}),
    ("11", {"author": 100, "friend": 100, "other": 50}, "author", ["friend"], {"other": 50}),
]


@pytest.mark.parametrize(("version", "levels", "who", "creators", "left"), _UPGRADES)
async def test_upgrading_to_version_12(
    home: House, version: str, levels: dict[str, int], who: str, creators: list[str], left: dict[str, int]
) -> None:
    """Whoever upgrades is the new room's creator, with those she names; they leave the levels, everybody else stays."""
    people = {name: home.device(name) for name in ("author", "friend", "other")}
    room = await people["author"].create(people["friend"], people["other"], room_version=version)
    users = {people[name].user_id: level for name, level in levels.items()}
    assert outcome(await put_state(people["author"], room, "m.room.power_levels", {"users": users})) == "ok"
    body = {"new_version": "12", "additional_creators": [people[name].user_id for name in creators]}
    new = (await people[who].call("POST", f"{room_path(room)}/upgrade", body))["replacement_room"]
    created = await state(people[who], new, "m.room.create")
    assert created.get("additional_creators", []) == [people[name].user_id for name in creators]
    kept = (await state(people[who], new, "m.room.power_levels")).get("users", {})
    assert kept == {people[name].user_id: level for name, level in left.items()}


async def test_going_back_gives_creators_their_level(home: House) -> None:
    """A room of version 12 that becomes one of version 11 names its creators among its levels."""
    author = home.device("author")
    room = await author.create(room_version="12")
    new = (await author.call("POST", f"{room_path(room)}/upgrade", {"new_version": "11"}))["replacement_room"]
    assert (await state(author, new, "m.room.power_levels"))["users"] == {author.user_id: 100}
    assert outcome(await put_state(author, new, "m.room.name", {"name": "x"})) == "ok"


async def test_a_tombstone_leads_elsewhere(home: House) -> None:
    """No room is its own replacement, neither as state nor as a message."""
    author = home.device("author")
    room = await author.create(power_level_content_override={"events": {}})
    own = {"body": "gone", "replacement_room": room}
    assert outcome(await put_state(author, room, "m.room.tombstone", own)) == "M_INVALID_PARAM"
    other = {"body": "gone", "replacement_room": f"!other:{SERVER}"}
    assert outcome(await put_state(author, room, "m.room.tombstone", other)) == "ok"


async def test_a_tombstone_sent_as_a_message_leads_elsewhere_too(open_home: House) -> None:
    """The same holds for a message of that type, which is no tombstone at all."""
    author = open_home.device("author")
    room = await author.create()
    sent = await author.send(room, {"replacement_room": room}, kind="m.room.tombstone")
    assert (sent.status, sent["errcode"]) == (400, "M_INVALID_PARAM")


def test_a_create_event_that_names_no_version_is_of_the_first() -> None:
    """What a room's version is where nothing, or nothing known, says so."""
    for name in (None, 11, "none"):
        assert version_of(name).id == "1"
