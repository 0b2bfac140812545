"""What matrix-nio can do beside talking: files, marks, people, rooms, devices, and keys between one's own devices."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import nio as library
import pytest
from nio.crypto.attachments import decrypt_attachment

from tests.interop.conftest import StartNio, StartPerson
from tests.interop.nio_party import NioParty, expect
from tests.interop.party import PASSWORD, meet, tell

pytestmark = pytest.mark.slow

KINDS = library.PushRuleKind


async def test_marks_and_changes(nio: StartNio, person: StartPerson) -> None:
    """Typing, receipts, reactions, edits and redactions reach nio, and what it sends reaches Paraph's client."""
    one, ours = await nio("nio-marks"), await person("person-marks")
    room = await meet(ours, one)
    said = await one.send(room, "Shall we?")
    await ours.read(room, said)
    client = one.client

    await ours.person._transport.json(
        "PUT", f"/_matrix/client/v3/rooms/{room}/typing/{ours.user_id}", {"typing": True, "timeout": 20_000}
    )
    await one.until(lambda: client.rooms[room].typing_users == [ours.user_id], "who types")
    expect(await client.room_typing(room, True), library.RoomTypingResponse)
    await ours.person._transport.json("POST", f"/_matrix/client/v3/rooms/{room}/receipt/m.read/{said}", {})
    await one.until(lambda: ours.user_id in client.rooms[room].read_receipts, "the receipt")
    assert client.rooms[room].read_receipts[ours.user_id].event_id == said
    expect(await client.update_receipt_marker(room, said), library.UpdateReceiptMarkerResponse)
    expect(await client.room_read_markers(room, said, said), library.RoomReadMarkersResponse)

    relation = {"rel_type": "m.annotation", "event_id": said, "key": "👍"}
    content: dict[str, Any] = {"m.relates_to": relation}
    reaction = expect(await client.room_send(room, "m.reaction", content), library.RoomSendResponse).event_id
    content = {
        "msgtype": "m.text",
        "body": "* Shall we not?",
        "m.new_content": {"msgtype": "m.text", "body": "Shall we not?"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": said},
    }
    sent = await client.room_send(room, "m.room.message", content, ignore_unverified_devices=True)
    edit = expect(sent, library.RoomSendResponse).event_id
    await ours.read(room, edit)
    related = [event.event_id async for event in client.room_get_event_relations(room, said)]
    assert {reaction, edit} <= set(related)

    expect(await client.room_redact(room, reaction, "a slip"), library.RoomRedactResponse)
    found = expect(await client.room_get_event(room, reaction), library.RoomGetEventResponse).event
    assert isinstance(found, library.RedactedEvent)
    around = expect(await client.room_context(room, said), library.RoomContextResponse)
    assert around.event.event_id == said


async def test_an_attachment(nio: StartNio, person: StartPerson) -> None:
    """nio encrypts and uploads a file; Paraph's client opens it, and the other way round."""
    one, ours = await nio("nio-file"), await person("person-file")
    room = await meet(ours, one)
    await tell(ours, one, room, "A file, please.")
    file = io.BytesIO(b"Two tickets.")
    uploaded, keys = await one.client.upload(file, "application/octet-stream", encrypt=True, filesize=12)
    uri = expect(uploaded, library.UploadResponse).content_uri
    assert keys is not None
    content = {"msgtype": "m.file", "body": "tickets.txt", "file": keys | {"url": uri}}
    sent = await one.client.room_send(room, "m.room.message", content, ignore_unverified_devices=True)
    event_id = expect(sent, library.RoomSendResponse).event_id
    await ours.read(room, event_id)
    (message,) = [one for one in await ours.person.messages(room) if one.event_id == event_id]
    assert await ours.person.download(message) == b"Two tickets."

    back = await ours.person.send_file(room, b"And thanks.", name="thanks.txt")
    seen: list[library.RoomEncryptedFile] = []
    one.client.add_event_callback(lambda _room, event: seen.append(event), library.RoomEncryptedFile)
    await one.until(lambda: any(event.event_id == back for event in seen), "the file")
    (event,) = [event for event in seen if event.event_id == back]
    got = expect(await one.client.download(event.url), library.MemoryDownloadResponse)
    assert decrypt_attachment(got.body, event.key["k"], event.hashes["sha256"], event.iv) == b"And thanks."


async def test_rooms_are_kept_in_order(nio: StartNio) -> None:
    """Names, aliases, invitations, removal, ban and its end, leaving and forgetting."""
    host, guest = await nio("nio-host"), await nio("nio-guest")
    room = await meet(host, guest)
    client = host.client
    expect(await client.room_put_state(room, "m.room.name", {"name": "Films"}), library.RoomPutStateResponse)
    await guest.until(lambda: guest.client.rooms[room].name == "Films", "the name")
    alias = "#nio-films:localhost"
    expect(await client.room_put_alias(alias, room), library.RoomPutAliasResponse)
    assert expect(await guest.client.room_resolve_alias(alias), library.RoomResolveAliasResponse).room_id == room

    expect(await client.room_kick(room, guest.user_id, "for a moment"), library.RoomKickResponse)
    await host.until(lambda: guest.user_id not in host.members[room], "the removal")
    expect(await client.room_ban(room, guest.user_id), library.RoomBanResponse)
    assert isinstance(await guest.client.join(room), library.JoinError)
    expect(await client.room_unban(room, guest.user_id), library.RoomUnbanResponse)
    expect(await client.room_invite(room, guest.user_id), library.RoomInviteResponse)
    guest.invited.clear()
    await guest.until(lambda: room in guest.invited, "another invitation")
    await guest.join(room)
    await host.until(lambda: guest.user_id in host.members[room], "the guest again")
    await guest.until(lambda: host.user_id in guest.members[room], "the host again")
    await tell(host, guest, room, "Welcome back.")
    expect(await guest.client.room_leave(room), library.RoomLeaveResponse)
    expect(await guest.client.room_forget(room), library.RoomForgetResponse)


async def test_profile_presence_rules_and_devices(nio: StartNio) -> None:
    """What one says of oneself, what notifies, and ending another device of one's own with the password."""
    one, second = await nio("nio-profile"), await nio("nio-profile", log_in=True)
    client = one.client
    expect(await client.set_displayname("The Host"), library.ProfileSetDisplayNameResponse)
    assert expect(await client.get_profile(one.user_id), library.ProfileGetResponse).displayname == "The Host"
    expect(await client.set_presence("unavailable", "at the films"), library.PresenceSetResponse)
    assert expect(await client.get_presence(one.user_id), library.PresenceGetResponse).presence == "unavailable"
    expect(
        await client.set_pushrule("global", KINDS.content, "films", pattern="films", actions=[library.PushNotify()]),
        library.SetPushRuleResponse,
    )
    expect(await client.content_repository_config(), library.ContentRepositoryConfigResponse)
    assert expect(await client.whoami(), library.WhoamiResponse).user_id == one.user_id

    expect(await client.update_device(second.device_id, {"display_name": "The other"}), library.UpdateDeviceResponse)
    listed = expect(await client.devices(), library.DevicesResponse).devices
    assert {device.id: device.display_name for device in listed}[second.device_id] == "The other"
    asked = await client.delete_devices([second.device_id])
    session = expect(asked, library.DeleteDevicesAuthResponse).session
    identifier = {"type": "m.id.user", "user": one.user_id}
    auth = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD, "session": session}
    expect(await client.delete_devices([second.device_id], auth), library.DeleteDevicesResponse)
    assert isinstance(await second.client.whoami(), library.WhoamiError)
    expect(await client.logout(), library.LogoutResponse)


async def test_keys_go_to_ones_next_device(nio: StartNio, person: StartPerson, tmp_path: Path) -> None:
    """A new device asks the first one for a key, which its person allows; or imports a file of keys."""
    first, ours = await nio("nio-shares"), await person("person-shares")
    room = await meet(ours, first)
    old, older = await ours.send(room, "Before your new device."), await first.send(room, "I see.")
    await first.read(room, old)
    await first.read(room, older)
    second = await nio("nio-shares", log_in=True)
    closed = await undecrypted(second, room, old)

    await first.until(lambda: second.device_id in first.client.device_store[first.user_id], "the new device")
    requests: list[library.RoomKeyRequest] = []
    first.client.add_to_device_callback(requests.append, library.RoomKeyRequest)
    expect(await second.client.request_room_key(closed), library.RoomKeyRequestResponse)
    await first.until(lambda: bool(requests), "the request of the new device")
    mine = first.client.device_store[first.user_id][second.device_id]
    first.client.verify_device(mine)
    second.client.verify_device(second.client.device_store[first.user_id][first.device_id])
    assert first.client.continue_key_share(requests[0])
    await first.step(0)
    assert (await second.read(room, old)).body == "Before your new device."

    file = str(tmp_path / "keys.txt")
    await first.client.export_keys(file, "a passphrase", count=1000)
    await second.client.import_keys(file, "a passphrase")
    assert (await second.read(room, older)).body == "I see."


async def undecrypted(party: NioParty, room: str, event_id: str) -> library.MegolmEvent:
    """An event of the room's past that this device has no key for."""
    page = expect(await party.client.room_messages(room, "", limit=50), library.RoomMessagesResponse)
    (event,) = [one for one in page.chunk if one.event_id == event_id]
    assert isinstance(event, library.MegolmEvent)
    await party.step(0)
    return event
