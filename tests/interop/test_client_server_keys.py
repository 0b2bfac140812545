"""What encrypting clients take for granted: keys, device lists, to-device messages."""

from __future__ import annotations

from typing import Any

import pytest

from paraph.protocol.base64 import b64
from paraph.protocol.signing import SigningKey, sign
from tests.interop.device import Device, log_in, room_of, transactions
from tests.support.databases import on_both_databases
from tests.support.server import RunningServer

pytestmark = [pytest.mark.slow, on_both_databases]


SEED = bytes(range(32))
"""Of the Ed25519 key with which every device here signs; the server checks what a device says of itself."""


def signed(device: Device, document: dict[str, Any]) -> dict[str, Any]:
    """The document with the device's signature."""
    key = SigningKey.from_seed(SEED)
    return sign(document, device.user_id, f"ed25519:{device.device_id}", key.sign)


def public_key(n: int) -> str:
    """Some Curve25519 public key."""
    return b64(bytes([n] * 32))


def device_keys(device: Device) -> dict[str, Any]:
    """The device's signed identity keys."""
    keys = {
        f"curve25519:{device.device_id}": public_key(9),
        f"ed25519:{device.device_id}": SigningKey.from_seed(SEED).public_key,
    }
    algorithms = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]
    names = {"user_id": device.user_id, "device_id": device.device_id}
    return signed(device, {**names, "algorithms": algorithms, "keys": keys})


def one_time_keys(device: Device, *ids: str, **extra: Any) -> dict[str, Any]:
    """Signed one-time keys of these ids or, with `fallback=True`, fallback keys."""
    keys = {n: {"key": public_key(ord(n[0])), **extra} for n in ids}
    return {f"signed_curve25519:{n}": signed(device, key) for n, key in keys.items()}


def test_uploaded_keys_are_served(ann: Device, ben: Device) -> None:
    """Device keys come back as they went up; unknown people are left out; `failures` is always there."""
    keys = device_keys(ann)
    counts = ann("POST", "/keys/upload", {"device_keys": keys, "one_time_keys": one_time_keys(ann, "a", "b")})
    assert counts["one_time_key_counts"]["signed_curve25519"] == 2
    wanted: dict[str, Any] = {"device_keys": {ann.user_id: [], "@nobody-at-all:localhost": []}}
    answer = ben("POST", "/keys/query", wanted)
    assert answer["failures"] == {}
    served = answer["device_keys"][ann.user_id][ann.device_id]
    assert {name: served[name] for name in keys} == keys
    assert not answer["device_keys"].get("@nobody-at-all:localhost")


def test_one_time_keys_are_handed_out_once(ann: Device, ben: Device) -> None:
    """Two claims, two keys; then the fallback key again and again; then sync reports it used."""
    content = {"device_keys": device_keys(ann), "one_time_keys": one_time_keys(ann, "a", "b")}
    fallback = one_time_keys(ann, "f", fallback=True)
    ann("POST", "/keys/upload", {**content, "fallback_keys": fallback})
    first = ann.sync()
    assert first["device_one_time_keys_count"]["signed_curve25519"] == 2
    assert first["device_unused_fallback_key_types"] == ["signed_curve25519"]
    claim = {"one_time_keys": {ann.user_id: {ann.device_id: "signed_curve25519"}}}
    claimed = [ben("POST", "/keys/claim", claim) for _ in range(4)]
    assert all(answer["failures"] == {} for answer in claimed)
    keys = [answer["one_time_keys"][ann.user_id][ann.device_id] for answer in claimed]
    assert {next(iter(key)) for key in keys[:2]} == {"signed_curve25519:a", "signed_curve25519:b"}
    assert keys[2:] == [fallback, fallback]
    answer = ann.sync()
    assert answer["device_one_time_keys_count"].get("signed_curve25519", 0) == 0
    assert answer["device_unused_fallback_key_types"] == []


def test_key_changes_are_announced(ann: Device, ben: Device) -> None:
    """New keys of a person in a common room show in `device_lists.changed` and in `/keys/changes`."""
    room = room_of(ann, ben)
    since = ben.sync()["next_batch"]
    ann("POST", "/keys/upload", {"device_keys": device_keys(ann)})
    answer = ben.sync(since)
    assert ann.user_id in answer["device_lists"]["changed"]
    changes = ben("GET", "/keys/changes", **{"from": since, "to": answer["next_batch"]})
    assert ann.user_id in changes["changed"]
    ann("POST", f"/rooms/{room}/leave")
    assert ann.user_id in ben.sync(answer["next_batch"])["device_lists"]["left"]


def test_cross_signing_keys_need_no_password_at_first(ann: Device, ben: Device) -> None:
    """The first identity is taken as it is; another one asks for authentication."""
    room_of(ann, ben)

    def identity(seed: int) -> dict[str, Any]:
        public = SigningKey.from_seed(bytes([seed] * 32)).public_key
        keys = {f"ed25519:{public}": public}
        return {"master_key": {"user_id": ann.user_id, "usage": ["master"], "keys": keys}}

    since = ben.sync()["next_batch"]
    ann("POST", "/keys/device_signing/upload", identity(1))
    assert ann.user_id in ben.sync(since)["device_lists"]["changed"]
    answer = ben("POST", "/keys/query", {"device_keys": {ann.user_id: []}})
    assert answer["master_keys"][ann.user_id]["keys"] == identity(1)["master_key"]["keys"]
    again = ann.ask("POST", "/keys/device_signing/upload", identity(2))
    assert again.status_code == 401
    assert again.json()["flows"]


def test_to_device_messages_come_once(server: RunningServer, ann: Device, ben: Device) -> None:
    """They come again until the next sync token acknowledges them, and never after that."""
    room_of(ann, ben)
    since = ben.sync()["next_batch"]
    content = {"messages": {ben.user_id: {ben.device_id: {"n": 1}}}}
    for _ in range(2):
        assert ann("PUT", "/sendToDevice/org.example.ping/same", content) == {}
    first = ben.sync(since)
    expected = [{"type": "org.example.ping", "sender": ann.user_id, "content": {"n": 1}}]
    assert first["to_device"]["events"] == expected
    assert ben.sync(since)["to_device"]["events"] == expected
    assert not ben.sync(first["next_batch"]).get("to_device", {}).get("events")
    assert not ben.sync(since).get("to_device", {}).get("events")


def test_a_star_reaches_all_devices(server: RunningServer, ann: Device, ben: Device) -> None:
    """The device id `*` stands for every device of a person."""
    room_of(ann, ben)
    second = Device(server.url, log_in(server, ben.user_id).json())
    content = {"messages": {ben.user_id: {"*": {"n": 2}}}}
    ann("PUT", f"/sendToDevice/org.example.ping/{next(transactions)}", content)
    for device in (ben, second):
        assert [event["content"] for event in device.sync()["to_device"]["events"]] == [{"n": 2}]


def test_there_is_no_backup_at_first(ann: Device) -> None:
    """A client that looks for a key backup before it has begun one is told that there is none."""
    answer = ann.ask("GET", "/room_keys/version")
    assert answer.status_code == 404
    assert answer.json()["errcode"] == "M_NOT_FOUND"
