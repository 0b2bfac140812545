"""Sync: initial and incremental, from memory and from the tables, waiting and waking."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.messenger.rooms import Rooms
from paraph.server.messenger.sliding import extensions
from paraph.server.messenger.sync import service
from tests.server.messenger.house import SERVER, Device, House, house
from tests.server.messenger.sliding_client import Connection
from tests.support.databases import runs_writes_once


def _timeline(answer: Any, room: str, part: str = "join") -> list[str]:
    events = answer.get("rooms", {}).get(part, {}).get(room, {}).get("timeline", {}).get("events", [])
    return [event["event_id"] for event in events]


async def _data(device: Device, kind: str, content: Any) -> None:
    answer = await device.call("PUT", f"/user/{device.user_id}/account_data/{kind}", content)
    assert answer.status == 200


async def test_an_idle_sync_is_small_and_complete(home: House) -> None:
    """Even with nothing to tell, the key counts are there: absent would mean zero."""
    author = home.device("author")
    await author.next()
    assert await author.next() == {
        "next_batch": "s0",
        "device_one_time_keys_count": {"signed_curve25519": 50},
        "device_unused_fallback_key_types": ["signed_curve25519"],
    }


async def test_a_first_sync_has_state_before_the_timeline(home: House) -> None:
    """State and timeline together are the room; the timeline is the newest part and says that there is more."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    sent = [(await author.send(room))["event_id"] for _ in range(30)]
    found = (await friend.sync(filter='{"room":{"timeline":{"limit":5}}}'))["rooms"]["join"][room]
    assert [event["event_id"] for event in found["timeline"]["events"]] == sent[-5:]
    assert found["timeline"]["limited"] is True
    assert {event["type"] for event in found["state"]["events"]} >= {"m.room.create", "m.room.encryption"}
    assert found["summary"] == {
        "m.heroes": [author.user_id],
        "m.joined_member_count": 2,
        "m.invited_member_count": 0,
    }
    path = f"/rooms/{quote(room)}/messages"
    before = await friend.call("GET", path, **{"dir": "b", "from": found["timeline"]["prev_batch"], "limit": 3})
    assert [event["event_id"] for event in before["chunk"]] == sent[-6:-9:-1]
    assert before["start"] == found["timeline"]["prev_batch"]
    onward = await friend.call("GET", path, **{"dir": "b", "from": before["end"], "limit": 100})
    assert len(onward["chunk"]) == 22 + 9
    assert "end" not in onward


@pytest.mark.parametrize("cold", [False, True])
async def test_a_gap_comes_with_the_state_that_changed_in_it(home: House, cold: bool) -> None:
    """Limited: the newest events, and the state changes among the left-out ones, the same from memory and tables."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    await friend.next()
    for name in ("one", "two"):
        await author.call("PUT", f"/rooms/{quote(room)}/state/m.room.name/", {"name": name})
    sent = [(await author.send(room))["event_id"] for _ in range(4)]
    if cold:
        home.messenger.core.rooms = Rooms(home.messenger.core.store)
    found = (await friend.next(filter='{"room":{"timeline":{"limit":3}}}'))["rooms"]["join"][room]
    assert [event["event_id"] for event in found["timeline"]["events"]] == sent[-3:]
    assert found["timeline"]["limited"] is True
    assert [event["content"] for event in found["state"]["events"]] == [{"name": "two"}]


async def test_memory_and_tables_answer_alike(home: House) -> None:
    """Whether a room or a person is held in memory changes nothing in an answer."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    since = (await friend.next())["next_batch"]
    for index in range(6):
        event = (await author.send(room))["event_id"]
        if index == 3:
            await author.call("POST", f"/rooms/{quote(room)}/receipt/m.read/{quote(event)}", {})
            await author.call("PUT", f"/profile/{author.user_id}/displayname", {"displayname": "A."})
    warm = await friend.sync(since)
    home.messenger.core.rooms = Rooms(home.messenger.core.store)
    half = await friend.sync(since)
    home.messenger.core.views._held.clear()
    cold = await friend.sync(since)
    assert warm == half == cold
    assert len(_timeline(warm, room)) == 7


async def test_a_hot_sync_runs_no_sql(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message to a room in memory reaches a waiting device without a single read of the database."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    await friend.next()
    waiting = asyncio.create_task(friend.next(timeout=20_000))
    await asyncio.sleep(0)
    database, reads = home.messenger.core.database, 0
    original = database.read

    async def counted(fn: Any) -> Any:
        nonlocal reads
        reads += 1
        return await original(fn)

    monkeypatch.setattr(database, "read", counted)
    sent = await author.send(room)
    assert _timeline(await waiting, room) == [sent["event_id"]]
    assert reads == 0


async def test_only_the_sending_device_gets_its_transaction_id(home: House) -> None:
    """The echo of a message carries the transaction id, for the device that sent it alone; and what each was then."""
    author, tablet, friend = home.device("author"), home.device("author", "B"), home.device("friend")
    room = await author.create(friend)
    devices = (author, tablet, friend)
    for device in devices:
        await device.next()
    await author.send(room, txn="mine")
    echoes = [(await device.next())["rooms"]["join"][room]["timeline"]["events"][0] for device in devices]
    there = {"membership": "join"}
    assert [echo.get("unsigned") for echo in echoes] == [there | {"transaction_id": "mine"}, there, there]


async def test_invitations_joins_and_leaves(home: House) -> None:
    """Each step of a membership shows in the part of the answer where it belongs, once."""
    author, friend = home.device("author"), home.device("friend")
    await friend.next()
    room = await author.create(name="Films")
    await author.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": friend.user_id})
    invited = (await friend.next())["rooms"]["invite"][room]["invite_state"]["events"]
    kinds = {event["type"]: event for event in invited}
    assert kinds["m.room.name"]["content"] == {"name": "Films"}
    assert all(set(event) == {"content", "sender", "state_key", "type"} for event in invited)
    assert {event["state_key"] for event in invited if event["type"] == "m.room.member"} == {
        author.user_id,
        friend.user_id,
    }
    assert "rooms" not in await friend.next()
    await friend.call("POST", f"/join/{quote(room)}", {})
    joined = await friend.next()
    assert room in joined["rooms"]["join"]
    assert joined["device_lists"]["changed"] == [author.user_id]
    author.since = joined["next_batch"]
    last = (await author.send(room))["event_id"]
    await author.call("POST", f"/rooms/{quote(room)}/kick", {"user_id": friend.user_id})
    hidden = (await author.send(room))["event_id"]
    left = await friend.next()
    assert _timeline(left, room, "leave")[0] == last
    assert hidden not in _timeline(left, room, "leave")
    assert left["device_lists"]["left"] == [author.user_id]
    assert (await author.next())["device_lists"]["left"] == [friend.user_id]
    assert "rooms" not in await friend.next()
    assert list((await friend.sync())["rooms"]["leave"]) == [room]
    await friend.call("POST", f"/rooms/{quote(room)}/forget", {})
    assert "rooms" not in await friend.sync()


async def test_a_refused_invitation_shows_nothing_of_the_room(home: House) -> None:
    """Who turns an invitation down gets the leave event and no other."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create()
    await author.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": friend.user_id})
    await friend.next()
    await author.send(room)
    await friend.call("POST", f"/rooms/{quote(room)}/leave", {})
    section = (await friend.next())["rooms"]["leave"][room]
    assert [event["type"] for event in section["timeline"]["events"]] == ["m.room.member"]
    assert section["state"]["events"] == []


async def test_history_before_joining_depends_on_the_room(home: House) -> None:
    """shared shows all history to members, joined only what came after they joined; both in sync and in pages."""
    author, friend = home.device("author"), home.device("friend")
    for rule, visible in (("shared", True), ("joined", False)):
        state = [{"type": "m.room.history_visibility", "content": {"history_visibility": rule}}]
        room = await author.create(initial_state=state)
        early = (await author.send(room))["event_id"]
        await author.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": friend.user_id})
        await friend.call("POST", f"/join/{quote(room)}", {})
        late = (await author.send(room))["event_id"]
        found = await friend.next()
        assert late in _timeline(found, room)
        assert (early in _timeline(found, room)) is visible
        page = await friend.call("GET", f"/rooms/{quote(room)}/messages", dir="b", limit=100)
        assert (early in [event["event_id"] for event in page["chunk"]]) is visible
        one = await friend.call("GET", f"/rooms/{quote(room)}/event/{quote(early)}")
        assert (one.status == 200) is visible
        stranger = home.device("stranger")
        assert (await stranger.call("GET", f"/rooms/{quote(room)}/event/{quote(late)}"))["errcode"] == "M_NOT_FOUND"
        context = await friend.call("GET", f"/rooms/{quote(room)}/context/{quote(late)}", limit=4)
        assert context["event"]["event_id"] == late
        assert (early in [event["event_id"] for event in context["events_before"]]) is False


async def test_account_data_comes_back(home: House) -> None:
    """Data that a client sets reaches all her devices, global and for a room, and nobody else."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    for device in (author, friend):
        await device.next()
    await _data(author, "m.direct", {friend.user_id: [room]})
    path = f"/user/{author.user_id}/rooms/{quote(room)}"
    await author.call("PUT", f"{path}/account_data/org.example.colour", {"colour": "red"})
    await author.call("PUT", f"{path}/tags/m.favourite", {"order": 0.25})
    answer = await author.next()
    assert answer["account_data"]["events"] == [{"type": "m.direct", "content": {friend.user_id: [room]}}]
    assert answer["rooms"]["join"][room]["account_data"]["events"] == [
        {"type": "org.example.colour", "content": {"colour": "red"}},
        {"type": "m.tag", "content": {"tags": {"m.favourite": {"order": 0.25}}}},
    ]
    assert "rooms" not in await friend.next()
    assert "account_data" not in await author.next()
    assert await author.call("GET", f"/user/{author.user_id}/account_data/m.direct") == {friend.user_id: [room]}
    assert (await friend.call("GET", f"/user/{author.user_id}/account_data/m.direct")).status == 403
    await author.call("DELETE", f"{path}/tags/m.favourite")
    assert (await author.call("GET", f"{path}/tags")) == {"tags": {}}
    first = {event["type"] for event in (await author.sync())["account_data"]["events"]}
    assert first == {"m.direct", "m.push_rules"}


@runs_writes_once
async def test_receipts_and_markers(home: House) -> None:
    """m.read is shown to the room, m.read.private and m.fully_read to their owner; threads are kept apart."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    event = (await author.send(room))["event_id"]
    for device in (author, friend):
        await device.next()
    receipt = f"/rooms/{quote(room)}/receipt"
    assert (await friend.call("POST", f"{receipt}/m.read/{quote(event)}", {"thread_id": "main"})).status == 200
    markers = {"m.read.private": event, "m.fully_read": event}
    assert (await friend.call("POST", f"/rooms/{quote(room)}/read_markers", markers)).status == 200
    assert (await friend.call("POST", f"{receipt}/m.seen/{quote(event)}", {}))["errcode"] == "M_INVALID_PARAM"
    assert (await friend.call("POST", f"{receipt}/m.read/{quote('$none')}", {}))["errcode"] == "M_NOT_FOUND"
    seen = (await author.next())["rooms"]["join"][room]["ephemeral"]["events"]
    assert [event["type"] for event in seen] == ["m.receipt"]
    assert seen[0]["content"] == {event: {"m.read": {friend.user_id: {"ts": 1_700_000_000_010, "thread_id": "main"}}}}
    own = (await friend.next())["rooms"]["join"][room]
    assert set(own["ephemeral"]["events"][0]["content"][event]) == {"m.read", "m.read.private"}
    assert own["account_data"]["events"] == [{"type": "m.fully_read", "content": {"event_id": event}}]
    assert "rooms" not in await author.next()


async def test_typing_wakes_and_ends(home: House) -> None:
    """Others learn that somebody types, once or when they begin anew, and that it ended, by word or by time."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    for device in (author, friend):
        await device.next()
    path = f"/rooms/{quote(room)}/typing/{friend.user_id}"

    async def told() -> Any:
        return (await author.next(timeout=5000))["rooms"]["join"][room]["ephemeral"]["events"]

    waiting = asyncio.create_task(told())
    await asyncio.sleep(0)
    assert (await friend.call("PUT", path, {"typing": True, "timeout": 20_000})).status == 200
    assert await waiting == [{"type": "m.typing", "content": {"user_ids": [friend.user_id]}}]
    assert "rooms" not in await author.next()
    anew = (await author.sync())["rooms"]["join"][room]["ephemeral"]["events"]
    assert anew == [{"type": "m.typing", "content": {"user_ids": [friend.user_id]}}]
    await friend.call("PUT", path, {"typing": False})
    assert await told() == [{"type": "m.typing", "content": {"user_ids": []}}]
    await friend.call("PUT", path, {"typing": True, "timeout": 20})
    assert (await told())[0]["content"]["user_ids"] == [friend.user_id]
    assert (await told())[0]["content"]["user_ids"] == []
    assert (await author.call("PUT", path, {"typing": True})).status == 403


@runs_writes_once
async def test_a_first_sync_tells_who_types_already(home: House) -> None:
    """Somebody who never synced before learns of it too, and when it ends; who begins later hears nothing of it."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    path = f"/rooms/{quote(room)}/typing/{friend.user_id}"
    await friend.call("PUT", path, {"typing": True})
    for typing in ([friend.user_id], []):
        told = (await author.next())["rooms"]["join"][room]["ephemeral"]["events"]
        assert told == [{"type": "m.typing", "content": {"user_ids": typing}}]
        await friend.call("PUT", path, {"typing": False})
    tablet = home.device("author", "B")
    assert (await tablet.next())["rooms"]["join"][room]["ephemeral"]["events"] == []
    assert "rooms" not in await tablet.next()


@runs_writes_once
async def test_to_device_messages_wake_and_are_acknowledged(home: House) -> None:
    """The devices room wakes a sync; the next token acknowledges what was delivered, once."""
    author = home.device("author")
    await author.next()
    await author.next()
    home.devices.acknowledged.clear()
    waiting = asyncio.create_task(author.next(timeout=20_000))
    await asyncio.sleep(0)

    def queue(tx: Any) -> None:
        position = tx.next_position()
        home.devices.queued[author.user_id, "A"] = [(position, {"type": "m.room_key", "sender": "@x:y", "content": {}})]
        tx.after_commit(lambda: home.messenger.devices_changed([author.user_id], position))

    await home.messenger.core.database.write(queue)
    assert [event["type"] for event in (await waiting)["to_device"]["events"]] == ["m.room_key"]
    assert home.devices.acknowledged == []
    assert "to_device" not in await author.next()
    await author.next()
    assert home.devices.acknowledged == [(author.user_id, "A", 1)]


@runs_writes_once
async def test_many_messages_to_a_device_come_in_parts(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer holds a bounded number; the next one follows at once with the rest, and none comes twice or is lost."""
    monkeypatch.setattr(service, "MAX_TO_DEVICE", 3)
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    await author.next()
    messages = [{"type": "m.room_key", "sender": "@x:y", "content": {"number": number}} for number in range(7)]

    def queue(tx: Any) -> None:
        queued = [(tx.next_position(), message) for message in messages]
        home.devices.queued[author.user_id, "A"] = queued
        tx.after_commit(lambda: home.messenger.devices_changed([author.user_id], queued[-1][0]))

    await home.messenger.core.database.write(queue)
    sent = (await author.send(room))["event_id"]
    first = await author.next(timeout=20_000)
    assert (first["to_device"]["events"], _timeline(first, room)) == (messages[:3], [sent])
    assert "_" in first["next_batch"]
    page = await author.call("GET", f"/rooms/{quote(room)}/messages", **{"dir": "b", "from": first["next_batch"]})
    assert page["chunk"][0]["event_id"] == sent
    again = await author.sync(first["next_batch"], timeout=20_000)
    second = await author.next(timeout=20_000)
    assert again["to_device"]["events"] == second["to_device"]["events"] == messages[3:6]
    third = await author.next(timeout=20_000)
    assert third["to_device"]["events"] == messages[6:]
    assert "_" not in third["next_batch"]
    assert "to_device" not in await author.next()
    first_position = home.devices.queued[author.user_id, "A"][2][0]
    assert (author.user_id, "A", first_position) in home.devices.acknowledged


@runs_writes_once
async def test_long_device_lists_come_in_parts(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer names a bounded number of people, in turn; who is met in a room meanwhile is named in her turn, too."""
    monkeypatch.setattr(service, "MAX_DEVICE_LISTS", 3)
    monkeypatch.setattr(extensions, "MAX_DEVICE_LISTS", 3)
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(preset="public_chat")
    await author.next()
    sliding = Connection(author)
    await sliding.next(extensions={"e2ee": {"enabled": True}})
    names = [f"@person{number}:{SERVER}" for number in range(5)] + [friend.user_id]
    await friend.call("POST", f"/join/{quote(room)}", {})

    def change(tx: Any) -> None:
        home.devices.changes = [(tx.next_position(), name) for name in names]
        tx.after_commit(lambda: home.messenger.devices_changed([author.user_id], home.devices.changes[-1][0]))

    await home.messenger.core.database.write(change)
    first = await author.next(timeout=20_000)
    assert first["device_lists"] == {"changed": names[:3], "left": []}
    assert _timeline(first, room)
    second = await author.next(timeout=20_000)
    assert second["device_lists"]["changed"] == sorted(names[3:])
    assert (await author.next(timeout=1)).get("device_lists") is None
    told = [(await sliding.next(20_000))["extensions"]["e2ee"]["device_lists"]["changed"] for _ in range(2)]
    assert told == [names[:3], names[3:]]
    assert "device_lists" not in (await sliding.next())["extensions"]["e2ee"]


async def test_stopping_wakes_every_long_poll(home: House) -> None:
    """Nobody keeps a stopping server waiting, and nobody can begin to wait."""
    devices = [home.device(f"person{index}") for index in range(20)]
    for device in devices:
        await device.next()
    waiting = [asyncio.create_task(device.next(timeout=60_000)) for device in devices]
    await asyncio.sleep(0.01)
    home.messenger.stop()
    answers = await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert all("rooms" not in answer for answer in answers)
    await asyncio.wait_for(devices[0].next(timeout=60_000), 5)
    assert not home.messenger.core.notifier.is_waiting(devices[0].user_id)


async def test_no_wakeup_is_lost_under_concurrent_sends(home: House) -> None:
    """While several people send at once, a device that only long-polls gets every event exactly once, in order."""
    author, friend, other = home.device("author"), home.device("friend"), home.device("other")
    room = await author.create(friend, other)
    await friend.next()
    got: list[str] = []

    async def listen() -> None:
        while len(got) < 90:
            got.extend(_timeline(await friend.next(timeout=10_000), room))

    async def talk(device: Device) -> list[str]:
        return [(await device.send(room))["event_id"] for _ in range(15)]

    listener = asyncio.create_task(listen())
    sent = await asyncio.gather(*(talk(device) for device in (author, author, friend, friend, other, other)))
    await asyncio.wait_for(listener, 20)
    assert sorted(got) == sorted(event for part in sent for event in part)
    for part in sent:
        assert [event for event in got if event in set(part)] == part


async def test_tokens_survive_a_restart(tmp_path: Path) -> None:
    """A token of before the restart goes on where it stood, be the restarted server's memory empty or not."""
    async with house(tmp_path / "paraph.db") as before:
        author, friend = before.device("author"), before.device("friend")
        room = await author.create(friend)
        since = (await friend.next())["next_batch"]
        first = (await author.send(room))["event_id"]
    async with house(tmp_path / "paraph.db") as after:
        author, friend = after.device("author"), after.device("friend")
        second = (await author.send(room))["event_id"]
        answer = await friend.sync(since)
        assert _timeline(answer, room) == [first, second]
        assert "rooms" not in await friend.sync(answer["next_batch"])
        assert "rooms" not in await friend.sync("s999999")


@pytest.mark.parametrize(
    "params",
    [
        {"since": "x1"},
        {"since": "s-1"},
        {"since": "s" + "9" * 19},
        {"since": "s1_x"},
        {"since": "s1_"},
        {"full_state": "yes"},
        {"set_presence": "busy"},
        {"timeout": "soon"},
        {"filter": "{"},
        {"filter": '{"room":{"timeline":{"limit":"many"}}}'},
    ],
)
async def test_bad_parameters(home: House, params: dict[str, str]) -> None:
    """What is no token, no number or no filter is named as such."""
    answer = await home.device("author").call("GET", "/sync", **params)
    assert (answer.status, answer["errcode"]) == (400, "M_INVALID_PARAM")


async def test_filters_are_kept(home: House) -> None:
    """A filter has an id; its timeline limit is followed, and others cannot use it."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    path = f"/user/{author.user_id}/filter"
    definition = {"room": {"timeline": {"limit": 1}, "state": {"lazy_load_members": True}}}
    made = await author.call("POST", path, definition)
    assert await author.call("POST", path, definition) == made
    assert await author.call("GET", f"{path}/{made['filter_id']}") == definition
    assert len(_timeline(await author.sync(filter=made["filter_id"]), room)) == 1
    assert (await friend.sync(filter=made["filter_id"]))["errcode"] == "M_NOT_FOUND"


async def test_clients_find_their_way(home: House) -> None:
    """What clients ask before their first sync is answered."""
    author = home.device("author")
    versions = await author.call("GET", "/_matrix/client/versions")
    assert versions["versions"][0] == "v1.1"
    assert versions["versions"][-1] == "v1.19"
    assert "m.homeserver" in await author.call("GET", "/.well-known/matrix/client")
    capabilities = (await author.call("GET", "/capabilities"))["capabilities"]
    assert capabilities["m.room_versions"]["default"] == "11"
    rules = (await author.call("GET", "/pushrules/"))["global"]
    assert set(rules) == {"override", "content", "room", "sender", "underride"}
    assert await author.call("GET", "/pushrules/global/") == rules
    assert (await author.call("GET", "/voip/turnServer")) == {}
