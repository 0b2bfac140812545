"""Sync, sliding sync and presence as clients meet them: with real devices, on a real server."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.interop.device import Device, refused, room_of, transactions
from tests.interop.test_client_server_keys import device_keys
from tests.support.databases import on_both_databases

pytestmark = [pytest.mark.slow, on_both_databases]

UNSTABLE = "/unstable/org.matrix.simplified_msc3575/sync"


def _slide(device: Device, pos: str | None, body: Any, wait: int = 0) -> httpx.Response:
    params: dict[str, Any] = {"timeout": wait} | ({"pos": pos} if pos else {})
    return device.http.post(UNSTABLE, json=body, params=params)


def _tell(sender: Device, receiver: Device, count: int) -> list[int]:
    """Send so many messages to a device, each with its number."""
    for number in range(count):
        content = {"messages": {receiver.user_id: {receiver.device_id: {"n": number}}}}
        sender("PUT", f"/sendToDevice/org.example.ping/{next(transactions)}", content)
    return list(range(count))


def test_sliding_sync_is_announced(ann: Device) -> None:
    """Clients look for it among the features of /versions."""
    assert ann.http.get("/versions").json()["unstable_features"]["org.matrix.simplified_msc3575"] is True


def test_many_messages_to_a_device_come_in_order_and_once(ann: Device, ben: Device) -> None:
    """More than fit into an answer follow with the next ones, which do not wait."""
    room_of(ann, ben)
    token = ben.sync()["next_batch"]
    sent = _tell(ann, ben, 130)
    got: list[int] = []
    for _ in range(2):
        answer = ben.sync(token, timeout=20_000)
        part = [event["content"]["n"] for event in answer["to_device"]["events"]]
        assert ben.sync(token)["to_device"]["events"] == answer["to_device"]["events"]
        got += part
        token = answer["next_batch"]
    assert got == sent
    assert not ben.sync(token).get("to_device", {}).get("events")


def test_a_connection_for_encryption(ann: Device, ben: Device) -> None:
    """Messages to the device, key counts and device lists, as clients that slide ask for them beside their rooms."""
    room = room_of(ann, ben)
    asked: dict[str, Any] = {"to_device": {"enabled": True}, "e2ee": {"enabled": True}}
    first = _slide(ben, None, {"conn_id": "encryption", "extensions": asked}).json()
    assert "signed_curve25519" in first["extensions"]["e2ee"]["device_one_time_keys_count"]
    ann("POST", "/keys/upload", {"device_keys": device_keys(ann)})
    sent = _tell(ann, ben, 3)
    asked["to_device"]["since"] = first["extensions"]["to_device"]["next_batch"]
    answer = _slide(ben, first["pos"], {"conn_id": "encryption", "extensions": asked}, 20_000).json()["extensions"]
    assert ann.user_id in answer["e2ee"]["device_lists"]["changed"]
    assert [event["content"]["n"] for event in answer["to_device"]["events"]] == sent
    asked["to_device"]["since"] = answer["to_device"]["next_batch"]
    ann("POST", f"/rooms/{room}/leave")
    after = _slide(ben, first["pos"], {"conn_id": "encryption", "extensions": asked}).json()["extensions"]
    assert after["to_device"]["events"] == []
    assert ann.user_id in after["e2ee"]["device_lists"]["left"]
    assert not ben.sync().get("to_device")


def test_a_room_list_slides(ann: Device, ben: Device) -> None:
    """A client opens its newest rooms, waits, and goes on; a position that is not known asks it to begin anew."""
    rooms = [room_of(ann, ben) for _ in range(3)]
    state = [["m.room.member", "$LAZY"], ["m.room.encryption", ""]]
    body = {"lists": {"all": {"ranges": [[0, 1]], "timeline_limit": 1, "required_state": state}}}
    first = _slide(ben, None, body).json()
    assert (first["lists"]["all"]["count"], set(first["rooms"])) == (3, set(rooms[1:]))
    sent = ann.send(rooms[0])
    second = _slide(ben, first["pos"], body, 20_000).json()
    assert [event["event_id"] for event in second["rooms"][rooms[0]]["timeline"]] == [sent]
    assert _slide(ben, second["pos"], body).json()["rooms"] == {}
    refused(_slide(ben, first["pos"], body), 400, "M_UNKNOWN_POS")
    refused(_slide(ben, None, {"lists": 1}), 400, "M_BAD_JSON")


def test_presence_is_seen_by_who_shares_a_room(ann: Device, ben: Device) -> None:
    """Syncing makes somebody online for others; what she says of herself reaches them in their sync."""
    room_of(ann, ben)
    only = json.dumps({"presence": {"senders": [ann.user_id]}, "room": {"rooms": []}})

    def told(since: str) -> tuple[dict[str, Any], str]:
        """What ben is told of ann, waiting for it."""
        for _ in range(20):
            answer = ben.sync(since, timeout=1_000, filter=only)
            since = answer["next_batch"]
            if found := answer.get("presence", {}).get("events"):
                return found[-1]["content"], since
        raise AssertionError("nothing was told")

    since = ben.sync(filter=only)["next_batch"]
    ann.sync(set_presence="unavailable")
    content, since = told(since)
    assert content["presence"] == "unavailable"
    ann("PUT", f"/presence/{ann.user_id}/status", {"presence": "online", "status_msg": "here"})
    content, since = told(since)
    assert (content["presence"], content["status_msg"], content["currently_active"]) == ("online", "here", True)
