"""Sending: ids, transactions, bounds, and what a private room refuses."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from paraph.protocol import canonical
from paraph.protocol.base64 import b64url
from paraph.server.http import MatrixError
from tests.server.messenger.house import CIPHERTEXT, House, house

VERIFY = "m.key.verification.request"


async def test_an_event_id_is_the_hash_of_what_is_stored(home: House) -> None:
    """From the stored columns and the content anyone can compute the event id again, for messages and for state."""
    author = home.device("author")
    room = await author.create(name='α \u2028 "quoted"')
    await author.send(room)
    rows = await home.messenger.core.database.read(
        lambda tx: tx.rows("SELECT event_id, room_id, sender, device_id, type, state_key, ts, nonce, json FROM events")
    )
    assert len(rows) > 7
    for event_id, room_id, sender, device, kind, state_key, ts, nonce, json in rows:
        content = msgspec.json.decode(json)["content"]
        named = {
            "room": room_id,
            "sender": sender,
            "device": device,
            "type": kind,
            "content": content,
            "ts": ts,
            "nonce": nonce,
        }
        if state_key is not None:
            named["state_key"] = state_key
        assert event_id == "$" + b64url(hashlib.sha256(canonical.encode(named)).digest())


async def test_the_same_content_twice_gives_two_ids(home: House) -> None:
    """A random nonce keeps equal messages of one millisecond apart."""
    author = home.device("author")
    room = await author.create()
    first, second = await author.send(room), await author.send(room)
    assert first["event_id"] != second["event_id"]


async def test_a_repeated_transaction_writes_nothing(home: House) -> None:
    """Same device, endpoint and transaction id: the same event id and one event, concurrently too."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    before = await home.event_count()
    answers = await asyncio.gather(*(author.send(room, txn="one") for _ in range(5)))
    assert len({answer["event_id"] for answer in answers}) == 1
    assert await home.event_count() == before + 1
    second_device = home.device("author", "B")
    others = [await second_device.send(room, txn="one"), await friend.send(room, txn="one")]
    others.append(await author.send(room, {"m.relates_to": _annotation("$x")}, txn="one", kind="m.reaction"))
    assert len({answer["event_id"] for answer in [*answers, *others]}) == 4


async def test_a_transaction_is_remembered_over_a_restart(tmp_path: Path) -> None:
    """A client that lost the answer gets the first event id from the restarted server."""
    async with house(tmp_path / "paraph.db") as before:
        author = before.device("author")
        room = await author.create()
        first = await author.send(room, txn="lost")
        count = await before.event_count()
    async with house(tmp_path / "paraph.db") as after:
        again = await after.device("author").send(room, txn="lost")
        assert again["event_id"] == first["event_id"]
        assert await after.event_count() == count


async def test_a_transaction_is_answered_even_after_leaving(home: House) -> None:
    """What was accepted stays accepted: the repeated request does not turn into an error."""
    author = home.device("author")
    room = await author.create()
    first = await author.send(room, txn="t")
    await author.call("POST", f"/rooms/{quote(room)}/leave", {})
    assert (await author.send(room, txn="t"))["event_id"] == first["event_id"]
    assert (await author.send(room, txn="u"))["errcode"] == "M_FORBIDDEN"


def _annotation(event_id: str) -> dict[str, Any]:
    return {"rel_type": "m.annotation", "event_id": event_id, "key": "👍"}


@pytest.mark.parametrize(
    ("kind", "content", "status", "errcode"),
    [
        ("m.room.message", {"msgtype": "m.text", "body": "plain"}, 403, "M_FORBIDDEN"),
        ("org.example.note", {"body": "plain"}, 403, "M_FORBIDDEN"),
        ("m.key.verification.ready", {"from_device": "D", "methods": [], "body": "plain"}, 403, "M_FORBIDDEN"),
        ("m.key.verification.cancel", {"code": "m.user", "reason": "w" * 1001}, 403, "M_FORBIDDEN"),
        ("m.key.verification.gossip", {}, 403, "M_FORBIDDEN"),
        ("m.room.message", {"msgtype": VERIFY, "body": "plain"}, 403, "M_FORBIDDEN"),
        ("m.room.message", {"msgtype": VERIFY, "body": "w" * 1001, "to": "@a:b"}, 403, "M_FORBIDDEN"),
        ("m.room.message", {"msgtype": VERIFY, "body": "plain", "to": "@a:b", "url": "mxc://a/b"}, 403, "M_FORBIDDEN"),
        ("m.room.encrypted", {}, 400, "M_BAD_JSON"),
        ("m.room.encrypted", CIPHERTEXT | {"algorithm": "m.olm.v1.curve25519-aes-sha2"}, 400, "M_BAD_JSON"),
        ("m.room.encrypted", CIPHERTEXT | {"ciphertext": {"a": 1}}, 400, "M_BAD_JSON"),
        ("m.room.encrypted", CIPHERTEXT | {"ciphertext": ""}, 400, "M_BAD_JSON"),
        ("m.room.encrypted", CIPHERTEXT | {"session_id": None}, 400, "M_BAD_JSON"),
        ("m.room.encrypted", CIPHERTEXT | {"session_id": "s" * 256}, 400, "M_BAD_JSON"),
        ("m.room.encrypted", CIPHERTEXT | {"sender_key": 5}, 400, "M_BAD_JSON"),
        ("m.room.encrypted", CIPHERTEXT | {"weight": 1.5}, 400, "M_BAD_JSON"),
        ("m.room.encrypted", CIPHERTEXT | {"n": 2**53}, 400, "M_BAD_JSON"),
        ("m.room.encrypted", CIPHERTEXT | {"ciphertext": "A" * 65_000, "pad": "A" * 600}, 413, "M_TOO_LARGE"),
        ("m.room.encrypted", [1], 400, "M_BAD_JSON"),
        ("m.reaction", {"body": "words"}, 400, "M_BAD_JSON"),
        ("m.reaction", {"m.relates_to": {"rel_type": "m.thread"}}, 400, "M_BAD_JSON"),
        ("m.room.redaction", {}, 400, "M_BAD_JSON"),
        ("x" * 256, {}, 400, "M_INVALID_PARAM"),
        ("zero%00", {}, 400, "M_INVALID_PARAM"),
    ],
)
async def test_bad_messages_are_refused_and_nothing_is_written(
    home: House, kind: str, content: Any, status: int, errcode: str
) -> None:
    """Each refusal has its status and code, and leaves no event behind."""
    author = home.device("author")
    room = await author.create()
    before = await home.event_count()
    answer = await author.send(room, content, kind=kind)
    assert (answer.status, answer["errcode"]) == (status, errcode)
    assert await home.event_count() == before


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("m.room.message", {"msgtype": VERIFY, "body": "Verify me.", "to": "@a:b", "from_device": "D", "methods": []}),
        ("m.key.verification.key", {"key": "c2Vzc2lvbg"}),
        ("m.key.verification.cancel", {"code": "m.user", "reason": "not now"}),
        ("m.key.verification.done", {}),
    ],
)
async def test_devices_verify_each_other_in_clear(home: House, kind: str, content: dict[str, Any]) -> None:
    """What stock clients send unencrypted to compare emoji in a room is taken, in the specification's fields."""
    author = home.device("author")
    room = await author.create()
    asked = await author.send(room, {"msgtype": VERIFY, "body": "Verify me.", "to": "@a:b"}, kind="m.room.message")
    relation = {"m.relates_to": {"rel_type": "m.reference", "event_id": asked["event_id"]}}
    whole = content if kind == "m.room.message" else content | relation
    assert (await author.send(room, whole, kind=kind)).status == 200


async def test_what_is_no_json_is_refused(home: House) -> None:
    """A body that is not JSON, not UTF-8, nested too deeply or far too large has its own error each."""
    author = home.device("author")
    room = await author.create()
    path = f"/_matrix/client/v3/rooms/{quote(room)}/send/m.room.encrypted/t"
    headers = {"authorization": f"Bearer {author.user_id}|A"}
    for body, code in [
        (b"{", "M_NOT_JSON"),
        (b'{"a":"\xff"}', "M_NOT_JSON"),
        (b"[" * 5000 + b"]" * 5000, "M_BAD_JSON"),
        (
            b'{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"A","session_id":"s","x":'
            + b'{"a":' * 70
            + b"1"
            + b"}" * 71,
            "M_BAD_JSON",
        ),
        (b" " * 200_000, "M_TOO_LARGE"),
    ]:
        answer = (await home.client.put(path, content=body, headers=headers)).json()
        assert answer["errcode"] == code


async def test_reactions_and_redactions_travel_in_clear(home: House) -> None:
    """The two kinds that the platform needs to understand are accepted beside ciphertext."""
    author = home.device("author")
    room = await author.create()
    target = (await author.send(room))["event_id"]
    assert (await author.send(room, {"m.relates_to": _annotation(target)}, kind="m.reaction")).status == 200
    assert (await author.send(room, {"redacts": target}, kind="m.room.redaction")).status == 200


async def test_the_test_profile_allows_plaintext(open_home: House) -> None:
    """Only with require_encryption off does a plaintext message pass."""
    author = open_home.device("author")
    room = await author.create()
    assert (await author.send(room, {"body": "plain"}, kind="m.room.message")).status == 200


async def test_strangers_and_former_members_cannot_send(home: House) -> None:
    """Sending needs a membership at the moment of the write."""
    author, stranger, gone = home.device("author"), home.device("stranger"), home.device("gone")
    room = await author.create(gone)
    await gone.call("POST", f"/rooms/{quote(room)}/leave", {})
    for device in (stranger, gone):
        assert (await device.send(room))["errcode"] == "M_FORBIDDEN"
    assert (await author.send("!nowhere:paraph.test"))["errcode"] == "M_FORBIDDEN"


async def test_a_kick_stops_the_message_behind_it_in_the_same_batch(home: House) -> None:
    """Writes that share a commit see each other: who was put out a moment ago cannot send any more."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    await friend.send(room)
    kick = author.call("POST", f"/rooms/{quote(room)}/kick", {"user_id": friend.user_id})
    kicked, sent, later = await asyncio.gather(kick, friend.send(room), friend.send(room))
    assert kicked.status == 200
    assert [sent.status, later.status] == [403, 403]


async def test_the_hook_refuses_and_the_answer_to_a_repetition_stays(home: House) -> None:
    """A device with an older view of its grants is told so; what it sent before keeps its id."""
    author = home.device("author")
    room = await author.create()
    first = await author.send(room, txn="early")
    seen: list[Any] = []

    def stale(_tx: Any, user_id: str, device_id: str, room_id: str, content: dict[str, Any]) -> None:
        seen.append((user_id, device_id, room_id, content["ciphertext"]))
        raise MatrixError(409, "ORG_PARAPH_STALE_GRANTS", "look again")

    home.hooks.before_send = stale
    refused = await author.send(room, txn="late")
    assert (refused.status, refused["errcode"]) == (409, "ORG_PARAPH_STALE_GRANTS")
    assert seen[0] == (author.user_id, "A", room, CIPHERTEXT["ciphertext"])
    assert (await author.send(room, txn="early"))["event_id"] == first["event_id"]
    home.hooks.before_send = None
    assert (await author.send(room, txn="late")).status == 200


async def test_redaction_empties_an_event_everywhere(home: House) -> None:
    """The ciphertext is gone from history, from the event endpoint and from later syncs; partners get no more of it."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    since = (await friend.next())["next_batch"]
    target = (await author.send(room))["event_id"]
    foreign = await friend.call("PUT", f"/rooms/{quote(room)}/redact/{quote(target)}/r", {})
    assert foreign["errcode"] == "M_FORBIDDEN"
    done = await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(target)}/r", {"reason": "mistake"})
    again = await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(target)}/r", {"reason": "mistake"})
    assert done["event_id"] == again["event_id"]
    synced = (await friend.sync(since))["rooms"]["join"][room]["timeline"]["events"]
    assert [event["content"] for event in synced] == [{}, {"reason": "mistake", "redacts": target}]
    shown = await friend.call("GET", f"/rooms/{quote(room)}/event/{quote(target)}")
    assert shown["content"] == {}
    assert shown["unsigned"]["redacted_because"]["event_id"] == done["event_id"]
    left = await home.messenger.core.database.read(
        lambda tx: home.messenger.encrypted_events(tx, room, [author.user_id], 0, 10)
    )
    assert left == []


async def test_a_redacted_name_does_not_live_on_in_its_successor(home: House) -> None:
    """The state event that came next repeats the content it replaced; redacting takes it out there too."""
    author, friend = home.device("author"), home.device("friend")
    room = await author.create(friend)
    since = (await friend.next())["next_batch"]
    path = f"/rooms/{quote(room)}/state/m.room.topic/"
    slip = (await author.call("PUT", path, {"topic": "a slip of the tongue"}))["event_id"]
    await author.call("PUT", path, {"topic": "films"})
    assert "slip of" in str(await friend.sync(since))
    await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(slip)}/r", {})
    assert "slip of" not in str(await friend.sync(since))
    assert "slip of" not in str(await friend.call("GET", f"/rooms/{quote(room)}/messages", dir="b", limit=100))
    assert (await author.call("GET", path)) == {"topic": "films"}


@pytest.mark.parametrize("kind", ["m.room.create", "m.room.encryption"])
async def test_what_makes_a_room_private_cannot_be_redacted(home: House, kind: str) -> None:
    """Redacting the encryption event would be switching encryption off."""
    author = home.device("author")
    room = await author.create()
    event = await author.call("GET", f"/rooms/{quote(room)}/state/{kind}", format="event")
    answer = await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(event['event_id'])}/r", {})
    assert answer["errcode"] == "M_FORBIDDEN"


async def test_older_clients_send_and_redact(home: House) -> None:
    """Paths of before version 1.1 (r0) mean the same endpoints, and POST sends or redacts without a transaction id."""
    author = home.device("author")
    room = await author.create()
    path = f"/_matrix/client/r0/rooms/{quote(room)}"
    sent = [await author.call("POST", f"{path}/send/m.room.encrypted", CIPHERTEXT) for _ in range(2)]
    assert sent[0]["event_id"] != sent[1]["event_id"]
    event_id = quote(sent[0]["event_id"])
    assert (await author.call("GET", f"{path}/event/{event_id}"))["content"] == CIPHERTEXT
    assert (await author.call("POST", f"{path}/redact/{event_id}", {})).status == 200
    assert (await author.call("GET", f"{path}/event/{event_id}"))["content"] == {}
    assert (await author.call("GET", "/_matrix/client/r0/nothing"))["errcode"] == "M_UNRECOGNIZED"
    assert (await author.call("PATCH", "/_matrix/client/r0/sync")).status == 405
