"""matrix-js-sdk (the library under Element Web) as a full client of a real server, with Paraph's own and with nio."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.interop.conftest import StartJsSdk, StartNio, StartPerson
from tests.interop.js_sdk_party import JsSdkError, JsSdkProcess
from tests.interop.party import PASSWORD, PATIENCE, converse, meet

pytestmark = pytest.mark.slow


async def test_js_sdk_and_person_converse(js_sdk: StartJsSdk, person: StartPerson) -> None:
    """js-sdk opens a room and so does Paraph's client; both read both, as owner-signed."""
    theirs, ours = await js_sdk("js-one"), await person("person-one")
    await converse(theirs, ours)
    await converse(ours, theirs)
    by_them = {message.event_id for message in ours.received.values() if message.sender == theirs.user_id}
    assert by_them
    assert by_them <= ours.verified


async def test_js_sdk_and_nio_converse(js_sdk: StartJsSdk, nio: StartNio) -> None:
    """nio, which knows no cross-signing, and js-sdk read each other."""
    await converse(await js_sdk("js-two"), await nio("nio-two"))


async def test_js_sdk_by_sliding_sync(js_sdk: StartJsSdk, js_sdk_process: JsSdkProcess, person: StartPerson) -> None:
    """The same library over sliding sync: it is invited, joins, reads, writes, and sees who types and who has read."""
    theirs, ours = await js_sdk("js-sliding", sliding=True), await person("person-sliding")
    asked = (await js_sdk_process.requests())["asked"]
    assert "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync" in asked
    room = await converse(ours, theirs)
    await converse(theirs, ours)
    other = await js_sdk("js-beside")
    await ours.person.invite(room, other.user_id)
    await other.until(lambda: room in other.invited, "the invitation")
    await other.join(room)
    await theirs.sees(room, lambda v: v["members"].get(other.user_id) == "join", "who joined")
    await other.do("typing", room_id=room, typing=True)
    await theirs.sees(room, lambda v: v["typing"] == [other.user_id], "who types")
    said = await theirs.send(room, "Welcome.")
    await other.read(room, said)
    await other.do("read_up_to", room_id=room, event_id=said)
    await theirs.sees(room, lambda v: other.user_id in v["events"][said]["read_by"], "the receipt")


async def test_what_else_a_client_does_with_rooms(js_sdk: StartJsSdk) -> None:
    """Tags, topics, levels, aliases, the public list, spaces, times, removals, the devices' end: each by its method."""
    one, two = await js_sdk("js-does"), await js_sdk("js-is-done-to")
    room = await meet(one, two)
    said = await one.send(room, "Said at some time.")
    await two.read(room, said)

    async def call(method: str, *given: object) -> Any:
        return await one.do("call", method=method, given=list(given))

    await call("setRoomTag", room, "m.favourite", {"order": 0.5})
    assert (await call("getRoomTags", room))["tags"] == {"m.favourite": {"order": 0.5}}
    await call("setRoomTopic", room, "Films")
    await call("setRoomName", room, "The film club")
    await two.sees(room, lambda v: v["name"] == "The film club", "the name")
    await call("setPowerLevel", room, two.user_id, 50)
    await call("createAlias", "#js-films:localhost", room)
    assert (await call("getRoomIdForAlias", "#js-films:localhost"))["room_id"] == room
    assert (await call("publicRooms", {}))["total_room_count_estimate"] >= 0
    assert (await call("getJoinedRooms"))["joined_rooms"] == [room]
    assert (await call("getRoomHierarchy", room))["rooms"][0]["room_id"] == room
    assert (await call("getRoomSummary", room))["room_id"] == room
    assert (await call("timestampToEvent", room, 0, "f"))["event_id"].startswith("$")
    assert (await call("getMediaConfig"))["m.upload.size"] > 0
    for answers in ("getVersions", "getCapabilities", "turnServer", "getPushers", "getThreePids", "whoami"):
        await call(answers)
    await call("setIgnoredUsers", [two.user_id])
    await call("kick", room, two.user_id, "for a moment")
    await call("ban", room, two.user_id)
    await call("unban", room, two.user_id)
    await call("leave", room)
    await call("forget", room)

    second = await js_sdk("js-does", log_in=True)
    await call("setDeviceDetails", second.device_id, {"display_name": "The other"})
    assert (await call("getDevice", second.device_id))["display_name"] == "The other"
    identifier = {"type": "m.id.user", "user": one.user_id}
    auth = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    with pytest.raises(JsSdkError, match="401"):
        await call("deleteDevice", second.device_id)
    await call("deleteDevice", second.device_id, auth)
    assert await one.do("devices") == [one.device_id]
    await call("setPassword", auth, "another staple", False)


async def test_what_the_server_does_not_serve(js_sdk: StartJsSdk, js_sdk_process: JsSdkProcess) -> None:
    """Of all that the library asks for by itself, only what is known to be missing is refused."""
    one, two = await js_sdk("js-asks"), await js_sdk("js-answers")
    await converse(one, two)
    refused = (await js_sdk_process.requests())["refused"]
    unknown = {(one["method"], one["path"]) for one in refused if one.get("errcode") == "M_UNRECOGNIZED"}
    assert unknown <= {("GET", "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports")}  # calls of Element
    faults = [one for one in refused if one["status"] not in (401, 403, 404)]
    assert faults == []


async def test_conversation_with_everything(js_sdk: StartJsSdk, person: StartPerson) -> None:
    """Edits, reactions, replies, threads, receipts, typing and redactions arrive as what they are."""
    one, two, ours = await js_sdk("js-author"), await js_sdk("js-reader"), await person("person-reader")
    room = await meet(one, two)
    await ours.person.sync()
    await one.do("call", method="invite", given=[room, ours.user_id])
    await ours.until(lambda: room in ours.invited, "the invitation")
    await ours.join(room)
    await one.until(lambda: ours.user_id in one.members[room], "all three")

    said = await one.send(room, "Shall we see the film of 1942?")
    await two.read(room, said)
    await ours.read(room, said)
    reply = await two.do("reply", room_id=room, event_id=said, body="The one in Casablanca?")
    edit = await one.do("edit", room_id=room, event_id=said, body="Shall we see the film of 1943?")
    await two.do("react", room_id=room, event_id=said, key="👍")
    threaded = await two.do("thread_reply", room_id=room, event_id=said, body="In a thread.")
    view = await one.sees(room, lambda v: v["events"].get(threaded) and v["events"][said]["reactions"], "all of it")
    root = view["events"][said]
    assert root["edited"] == edit
    assert root["content"]["body"] == "Shall we see the film of 1943?"
    assert root["reactions"] == {"👍": [two.user_id]}
    assert view["events"][reply]["reply_to"] == said
    assert view["events"][threaded]["thread"] == said
    await one.sees(room, lambda v: v["events"][said]["replies"] == 1, "the thread's count")
    assert (await ours.read(room, threaded)).body == "In a thread."

    last = await two.send(room, "Well?")
    await one.sees(room, lambda v: v["unread"] > 0, "something unread")
    await two.do("typing", room_id=room, typing=True)
    await one.sees(room, lambda v: v["typing"] == [two.user_id], "who types")
    await two.do("typing", room_id=room, typing=False)
    await one.sees(room, lambda v: v["typing"] == [], "who stopped")
    await one.do("read_up_to", room_id=room, event_id=last)
    await one.sees(room, lambda v: v["unread"] == 0, "nothing unread")
    await two.sees(room, lambda v: one.user_id in v["events"][last]["read_by"], "the receipt")

    await two.do("redact", room_id=room, event_id=reply, reason="a slip")
    await one.sees(room, lambda v: v["events"][reply]["redacted"], "the redaction")


async def test_files_go_both_ways(js_sdk: StartJsSdk, person: StartPerson) -> None:
    """An attachment that one library encrypted and uploaded is downloaded and opened by the other."""
    theirs, ours = await js_sdk("js-files"), await person("person-files")
    room = await meet(theirs, ours)
    sent = await theirs.do("send_file", room_id=room, name="seen.txt", text="Zażółć gęślą jaźń 🎬")
    await ours.read(room, sent)
    (message,) = [one for one in await ours.person.messages(room) if one.event_id == sent]
    assert (await ours.person.download(message)).decode() == "Zażółć gęślą jaźń 🎬"
    back = await ours.person.send_file(room, b"Two tickets.", name="tickets.txt")
    await theirs.read(room, back)
    assert await theirs.do("open_file", room_id=room, event_id=back) == "Two tickets."


async def test_people_rooms_and_rules(js_sdk: StartJsSdk, person: StartPerson) -> None:
    """Names, the directory, an upgrade, rules of notification, account data, devices and the end of a session."""
    theirs, ours = await js_sdk("js-host"), await person("person-found")
    room = await meet(theirs, ours)
    await theirs.do("set_name", name="The Host")
    await theirs.sees(room, lambda v: v["names"][theirs.user_id] == "The Host", "her new name")
    assert (await theirs.do("profile", user_id=theirs.user_id))["displayname"] == "The Host"
    assert ours.user_id in await theirs.do("find_people", term="person-found")

    said = await ours.send(room, "Shall we?")
    await theirs.read(room, said)
    assert await theirs.do("push_rule", room_id=room, event_id=said) == {"notify": True, "highlight": False}
    content = {"shown": ["films"]}
    assert await theirs.do("account_data", type="org.example.shown", content=content) == content

    upgraded = await theirs.do("upgrade", room_id=room, version="11")
    await theirs.sees(room, lambda v: v["successor"] == upgraded, "where the room went on")
    await theirs.sees(upgraded, lambda v: v["encrypted"], "the new room")

    assert await theirs.do("devices") == [theirs.device_id]
    await theirs.do("logout")
    second = await js_sdk("js-host", log_in=True)
    assert await second.do("devices") == [second.device_id]


async def test_a_new_device_recovers_with_the_key(js_sdk: StartJsSdk, person: StartPerson) -> None:
    """Identity out of secret storage and old messages out of the backup, with nothing but the recovery key."""
    first, ours = await js_sdk("js-recovers"), await person("person-recalls")
    room = await meet(first, ours)
    key = await first.do("set_up_recovery")
    said = [await first.send(room, "An old message."), await ours.send(room, "And its answer.")]
    for event_id in said:
        await first.read(room, event_id)
    await first.do("backed_up", count=2)
    await first.do("logout")

    second = await js_sdk("js-recovers", log_in=True)
    await second.until(lambda: set(said) <= second.unopened, "the old messages, closed")
    restored = await second.do("recover", recovery_key=key)
    assert restored == {"total": 2, "imported": 2}
    assert (await second.read(room, said[0])).body == "An old message."
    assert (await second.read(room, said[1])).body == "And its answer."
    assert all((await second.do("owns")).values())
    await ours.read(room, said[0])
    async with asyncio.timeout(PATIENCE):
        await ours.person.sync()
    reply = await ours.send(room, "Welcome back.")
    assert (await second.read(room, reply)).body == "Welcome back."
