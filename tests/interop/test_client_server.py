"""What Matrix clients take for granted of a server, request by request (Client-Server API v1.19)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.interop.device import CIPHERTEXT, ENCRYPTION, Device, log_in, names, refused, room_of, transactions
from tests.interop.party import PASSWORD
from tests.support.databases import on_both_databases
from tests.support.server import RunningServer

pytestmark = [pytest.mark.slow, on_both_databases]


@pytest.fixture(scope="module")
def anyone(server: RunningServer) -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


# --- Before logging in


def test_versions_are_listed(anyone: httpx.Client) -> None:
    """Clients look for the versions that they speak."""
    answer = anyone.get("/_matrix/client/versions").json()
    assert {f"v1.{n}" for n in range(1, 14)} <= set(answer["versions"])
    assert isinstance(answer.get("unstable_features", {}), dict)


def test_well_known_names_the_server(anyone: httpx.Client) -> None:
    """Discovery answers with a base URL, and lets web clients of any origin read it."""
    answer = anyone.get("/.well-known/matrix/client")
    assert answer.json()["m.homeserver"]["base_url"].startswith("http")
    assert answer.headers["access-control-allow-origin"] == "*"


def test_browsers_may_ask(anyone: httpx.Client) -> None:
    """A preflight request is answered for every path, without a token."""
    answer = anyone.options("/_matrix/client/v3/sync")
    assert answer.status_code in {200, 204}
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "PUT" in answer.headers["access-control-allow-methods"]


def test_login_offers_passwords(anyone: httpx.Client) -> None:
    """The list of login flows holds the password flow."""
    flows = anyone.get("/_matrix/client/v3/login").json()["flows"]
    assert "m.login.password" in [flow["type"] for flow in flows]


def test_registration_tells_its_flows(anyone: httpx.Client) -> None:
    """Without `auth`, registration answers 401 with session, flows and params."""
    content = {"username": next(names), "password": PASSWORD}
    answer = anyone.post("/_matrix/client/v3/register", json=content)
    assert answer.status_code == 401
    assert isinstance(answer.json()["session"], str)
    assert isinstance(answer.json()["params"], dict)
    assert {"stages": ["m.login.dummy"]} in answer.json()["flows"]


def test_registration_in_two_steps(anyone: httpx.Client) -> None:
    """The session of the 401, given back with the dummy stage, makes the account."""
    content: dict[str, Any] = {"username": next(names), "password": PASSWORD}
    session = anyone.post("/_matrix/client/v3/register", json=content).json()["session"]
    content["auth"] = {"type": "m.login.dummy", "session": session}
    answer = anyone.post("/_matrix/client/v3/register", json=content)
    assert {"user_id", "access_token", "device_id"} <= set(answer.json()), answer.text


def test_a_name_is_taken_once(anyone: httpx.Client, ann: Device) -> None:
    """A second account of the same name is refused."""
    name = ann.user_id[1:].split(":")[0]
    content = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    refused(anyone.post("/_matrix/client/v3/register", json=content), 400, "M_USER_IN_USE")


def test_reserved_names_are_refused(anyone: httpx.Client) -> None:
    """Names that begin with `app-` belong to partners."""
    content = {"username": "app-films", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    answer = anyone.post("/_matrix/client/v3/register", json=content)
    assert answer.status_code in {400, 403}
    assert answer.json()["errcode"] in {"M_EXCLUSIVE", "M_INVALID_USERNAME", "M_FORBIDDEN"}


def test_login_by_name_and_by_id(server: RunningServer, ann: Device) -> None:
    """Both the local part and the full id log in, each on a device of its own; a wrong password does not."""
    by_id = log_in(server, ann.user_id).json()
    by_name = log_in(server, ann.user_id[1:].split(":")[0]).json()
    assert by_id["user_id"] == by_name["user_id"] == ann.user_id
    assert len({by_id["device_id"], by_name["device_id"], ann.device_id}) == 3
    refused(log_in(server, ann.user_id, "wrong"), 403, "M_FORBIDDEN")
    refused(log_in(server, "@nobody-at-all:localhost"), 403, "M_FORBIDDEN")


def test_tokens_are_asked_for(anyone: httpx.Client, ann: Device) -> None:
    """No token, a wrong one and one that has logged out are told apart as the specification says."""
    refused(anyone.get("/_matrix/client/v3/account/whoami"), 401, "M_MISSING_TOKEN")
    wrong = {"Authorization": "Bearer wrong"}
    refused(anyone.get("/_matrix/client/v3/account/whoami", headers=wrong), 401, "M_UNKNOWN_TOKEN")
    who = ann("GET", "/account/whoami")
    assert (who["user_id"], who["device_id"]) == (ann.user_id, ann.device_id)
    ann("POST", "/logout")
    refused(ann.ask("GET", "/account/whoami"), 401, "M_UNKNOWN_TOKEN")


def test_unknown_paths_and_methods(anyone: httpx.Client) -> None:
    """What is not served says so in Matrix words."""
    refused(anyone.get("/_matrix/client/v3/nothing_like_this"), 404, "M_UNRECOGNIZED")
    refused(anyone.delete("/_matrix/client/v3/sync"), 405, "M_UNRECOGNIZED")


# --- What blocks a first sync


@pytest.mark.parametrize("path", ["/capabilities", "/voip/turnServer", "/joined_rooms", "/devices"])
def test_clients_ask_at_start(ann: Device, path: str) -> None:
    """Questions that clients ask before they show anything are answered."""
    assert isinstance(ann("GET", path), dict)


def test_push_rules_are_answered(ann: Device) -> None:
    """A client does not sync before it has seen the push rules, all five kinds."""
    rules = ann("GET", "/pushrules/")["global"]
    assert {"override", "content", "room", "sender", "underride"} <= set(rules)


def test_filters_come_back(ann: Device) -> None:
    """An uploaded filter has an id under which it is found, and sync takes it by id and in line."""
    wanted = {"room": {"timeline": {"limit": 7}}}
    stored = ann("POST", f"/user/{ann.user_id}/filter", wanted)["filter_id"]
    assert not stored.startswith("{")
    assert ann("GET", f"/user/{ann.user_id}/filter/{stored}") == wanted
    ann.sync(filter=stored)
    ann.sync(filter='{"room":{"timeline":{"limit":7}}}')


def test_sync_always_counts_keys(ann: Device) -> None:
    """First, later and empty syncs all carry the key counts: absent would mean zero."""
    first = ann.sync()
    later = ann.sync(first["next_batch"])
    for answer in (first, later):
        assert isinstance(answer["next_batch"], str)
        assert answer["device_one_time_keys_count"].get("signed_curve25519", 0) == 0
        assert answer["device_unused_fallback_key_types"] == []


# --- Rooms


def test_an_invitation_arrives(ann: Device, ben: Device) -> None:
    """The invited person's sync shows the room under `invite`, with enough state to name it."""
    content = {"preset": "private_chat", "name": "Films", "invite": [ben.user_id]}
    room = ann("POST", "/createRoom", {**content, "initial_state": [ENCRYPTION]})["room_id"]
    events = ben.sync()["rooms"]["invite"][room]["invite_state"]["events"]
    kinds = {event["type"] for event in events}
    assert {"m.room.create", "m.room.name", "m.room.encryption", "m.room.member"} <= kinds
    mine = next(event for event in events if event.get("state_key") == ben.user_id)
    assert (mine["content"]["membership"], mine["sender"]) == ("invite", ann.user_id)


def test_a_joined_room_has_state_and_timeline(ann: Device, ben: Device) -> None:
    """A new room's state can be put together from `state` and `timeline`, encryption among it."""
    room = room_of(ann, ben)
    joined = ben.sync()["rooms"]["join"][room]
    events = joined.get("state", {"events": []})["events"] + joined["timeline"]["events"]
    state = {(event["type"], event["state_key"]): event for event in events if "state_key" in event}
    assert state["m.room.encryption", ""]["content"] == ENCRYPTION["content"]
    assert state["m.room.member", ann.user_id]["content"]["membership"] == "join"
    assert state["m.room.member", ben.user_id]["content"]["membership"] == "join"
    for event in events:
        assert {"event_id", "sender", "origin_server_ts", "type", "content"} <= set(event)


def test_a_new_room_comes_whole_in_a_later_sync(ann: Device, ben: Device) -> None:
    """A room joined after the first sync brings its whole state, not only what is new."""
    since = ben.sync()["next_batch"]
    room = room_of(ann, ben)
    joined = ben.sync(since)["rooms"]["join"][room]
    events = joined.get("state", {"events": []})["events"] + joined["timeline"]["events"]
    assert {"m.room.create", "m.room.encryption"} <= {event["type"] for event in events}


def test_rooms_are_encrypted_from_the_start(ann: Device) -> None:
    """A private room is encrypted though nobody asked, and takes no plaintext, except reactions."""
    room = ann("POST", "/createRoom", {"preset": "private_chat"})["room_id"]
    assert ann("GET", f"/rooms/{room}/state/m.room.encryption")["algorithm"] == "m.megolm.v1.aes-sha2"
    plain = {"msgtype": "m.text", "body": "in clear"}
    refused(ann.ask("PUT", f"/rooms/{room}/send/m.room.message/plain", plain), 403, "M_FORBIDDEN")
    relation = {"rel_type": "m.annotation", "event_id": ann.send(room), "key": "+1"}
    ann("PUT", f"/rooms/{room}/send/m.reaction/{next(transactions)}", {"m.relates_to": relation})


def test_members_and_state_are_served(ann: Device, ben: Device) -> None:
    """The endpoints that list members and state agree."""
    room = room_of(ann, ben)
    both = {ann.user_id, ben.user_id}
    assert set(ben("GET", f"/rooms/{room}/joined_members")["joined"]) == both
    assert {event["state_key"] for event in ben("GET", f"/rooms/{room}/members")["chunk"]} == both
    state = ben("GET", f"/rooms/{room}/state")
    assert both <= {event["state_key"] for event in state}
    assert room in ben("GET", "/joined_rooms")["joined_rooms"]
    refused(ben.ask("GET", f"/rooms/{room}/state/m.room.topic"), 404, "M_NOT_FOUND")


def test_strangers_see_nothing(ann: Device, ben: Device) -> None:
    """Who is not in a room can neither read nor write there."""
    room = room_of(ann)
    event = ann.send(room)
    for path in ("state", "messages?dir=b", "members", "joined_members", f"event/{event}"):
        answer = ben.ask("GET", f"/rooms/{room}/{path}")
        assert answer.status_code in {403, 404}, (path, answer.text)
    refused(ben.ask("PUT", f"/rooms/{room}/send/m.room.encrypted/x", CIPHERTEXT), 403, "M_FORBIDDEN")
    refused(ben.ask("POST", f"/join/{room}"), 403, "M_FORBIDDEN")


def test_leaving_shows_and_holds(ann: Device, ben: Device) -> None:
    """A room that was left appears once under `leave`, and its later messages do not come."""
    room = room_of(ann, ben)
    since = ben.sync()["next_batch"]
    ben("POST", f"/rooms/{room}/leave")
    answer = ben.sync(since)
    assert room in answer["rooms"]["leave"]
    ann.send(room)
    later = ben.sync(answer["next_batch"])
    assert room not in later.get("rooms", {}).get("join", {})
    assert room not in later.get("rooms", {}).get("leave", {})


# --- Messages


def test_a_transaction_is_one_event(server: RunningServer, ann: Device, ben: Device) -> None:
    """The same transaction id on the same device is the same event; on another device it is another."""
    room = room_of(ann, ben)
    other = Device(server.url, log_in(server, ann.user_id).json())
    first = ann.send(room, "once")
    assert ann.send(room, "once") == first
    assert other.send(room, "once") != first
    events = ben.sync()["rooms"]["join"][room]["timeline"]["events"]
    assert [event["event_id"] for event in events].count(first) == 1


def test_the_sender_sees_its_transaction_id(server: RunningServer, ann: Device, ben: Device) -> None:
    """`unsigned.transaction_id` comes back to the device that sent, and to nobody else."""
    room = room_of(ann, ben)
    other = Device(server.url, log_in(server, ann.user_id).json())
    event_id = ann.send(room, "echo")

    def echo(device: Device) -> Any:
        events = device.sync()["rooms"]["join"][room]["timeline"]["events"]
        event = next(event for event in events if event["event_id"] == event_id)
        return event.get("unsigned", {}).get("transaction_id")

    assert [echo(ann), echo(other), echo(ben)] == ["echo", None, None]


def test_history_pages_backwards(ann: Device, ben: Device) -> None:
    """From a limited timeline's `prev_batch`, `/messages` brings the rest, each event once."""
    room = room_of(ann, ben)
    since = ben.sync()["next_batch"]
    sent = [ann.send(room) for _ in range(12)]
    timeline = ben.sync(since, filter='{"room":{"timeline":{"limit":3}}}')["rooms"]["join"][room]["timeline"]
    assert timeline["limited"] is True
    assert [event["event_id"] for event in timeline["events"]] == sent[-3:]
    seen, start = [], timeline["prev_batch"]
    for _ in range(20):
        page = ben("GET", f"/rooms/{room}/messages", dir="b", limit=4, **{"from": start})
        assert page["start"] == start
        seen += [event["event_id"] for event in page["chunk"]]
        if "end" not in page:
            break
        start = page["end"]
    assert seen[:9] == sent[-4::-1]
    assert len(seen) == len(set(seen))
    last = ben("GET", f"/rooms/{room}/messages", dir="b", limit=2)
    assert [event["event_id"] for event in last["chunk"]] == sent[:-3:-1]


def test_a_waiting_sync_wakes(ann: Device, ben: Device) -> None:
    """A long poll answers when a message arrives, not when its time is up; and then it does end empty."""
    room = room_of(ann, ben)
    since = ben.sync()["next_batch"]
    sent: list[str] = []
    sender = threading.Timer(0.3, lambda: sent.append(ann.send(room)))
    sender.start()
    begun = time.monotonic()
    answer = ben.sync(since, timeout=20_000)
    waited = time.monotonic() - begun
    sender.join()
    assert 0.25 < waited < 5
    events = answer["rooms"]["join"][room]["timeline"]["events"]
    assert [event["event_id"] for event in events] == sent
    begun = time.monotonic()
    empty = ben.sync(answer["next_batch"], timeout=500)
    assert 0.4 < time.monotonic() - begun < 5
    assert not empty.get("rooms", {}).get("join")


def test_one_event_is_served(ann: Device, ben: Device) -> None:
    """An event can be fetched by its id, as it was sent."""
    room = room_of(ann, ben)
    event_id = ann.send(room)
    event = ben("GET", f"/rooms/{room}/event/{event_id}")
    assert (event["type"], event["sender"]) == ("m.room.encrypted", ann.user_id)
    assert event["content"] == CIPHERTEXT
    assert event["room_id"] == room


def test_redaction_empties(ann: Device, ben: Device) -> None:
    """A redacted event loses its content, and the other person cannot redact it."""
    room = room_of(ann, ben)
    event_id = ann.send(room)
    answer = ben.ask("PUT", f"/rooms/{room}/redact/{event_id}/{next(transactions)}", {})
    refused(answer, 403, "M_FORBIDDEN")
    ann("PUT", f"/rooms/{room}/redact/{event_id}/{next(transactions)}", {"reason": "typo"})
    assert "ciphertext" not in ben("GET", f"/rooms/{room}/event/{event_id}")["content"]


def test_bad_bodies_are_told_apart(ann: Device) -> None:
    """Not JSON, not an object and too large are three errors."""
    room = room_of(ann)
    path = f"/v3/rooms/{room}/send/m.room.encrypted"
    refused(ann.http.put(f"{path}/a", content=b"{not json"), 400, "M_NOT_JSON")
    refused(ann.http.put(f"{path}/b", content=b"[1]"), 400, "M_BAD_JSON")
    large = {**CIPHERTEXT, "ciphertext": "A" * 66_000}
    refused(ann.http.put(f"{path}/c", json=large), 413, "M_TOO_LARGE")


# --- Profile, account data, devices


def test_profiles_show_in_memberships(ann: Device, ben: Device) -> None:
    """A display name is served, and its change reaches the rooms."""
    room = room_of(ann, ben)
    since = ben.sync()["next_batch"]
    ann("PUT", f"/profile/{ann.user_id}/displayname", {"displayname": "The Author"})
    assert ben("GET", f"/profile/{ann.user_id}")["displayname"] == "The Author"
    events = ben.sync(since)["rooms"]["join"][room]["timeline"]["events"]
    assert [e["content"]["displayname"] for e in events if e["type"] == "m.room.member"] == ["The Author"]


def test_account_data_comes_back(ann: Device, ben: Device) -> None:
    """What a client stores, for itself or for a room, is in its next sync and in nobody else's."""
    room = room_of(ann, ben)
    since, others = ann.sync()["next_batch"], ben.sync()["next_batch"]
    ann("PUT", f"/user/{ann.user_id}/account_data/m.direct", {ben.user_id: [room]})
    ann("PUT", f"/user/{ann.user_id}/rooms/{room}/account_data/m.tag", {"tags": {}})
    answer = ann.sync(since)
    assert {"type": "m.direct", "content": {ben.user_id: [room]}} in answer["account_data"]["events"]
    tagged = answer["rooms"]["join"][room]["account_data"]["events"]
    assert {"type": "m.tag", "content": {"tags": {}}} in tagged
    assert ann("GET", f"/user/{ann.user_id}/account_data/m.direct") == {ben.user_id: [room]}
    assert not ben.sync(others).get("account_data", {}).get("events")


def test_devices_have_all_their_fields(ann: Device) -> None:
    """nio fails on a device without these, though they may be null."""
    (device,) = ann("GET", "/devices")["devices"]
    assert {"device_id", "display_name", "last_seen_ip", "last_seen_ts"} <= set(device)
    assert device["device_id"] == ann.device_id
