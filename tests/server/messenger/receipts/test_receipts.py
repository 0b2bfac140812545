"""Receipts and markers move forward, each in its own thread."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.server.messenger.house import CIPHERTEXT, Answer, Device, House
from tests.server.messenger.relations.test_relations import relates, say


async def post(device: Device, room: str, event_id: str, kind: str = "m.read", body: Any = None) -> Answer:
    answer: Answer = await device.call("POST", f"/rooms/{quote(room)}/receipt/{kind}/{quote(event_id)}", body or {})
    return answer


async def shown(device: Device, room: str, kind: str = "m.read", **params: Any) -> list[tuple[str, str | None]]:
    """(event, thread) of the correspondent's receipts in one sync, without what memory holds and with it."""
    section = (await device.sync(**params))["rooms"]["join"][room]
    found = []
    for event in section["ephemeral"]["events"]:
        if event["type"] == "m.receipt":
            assert "room_id" not in event
            for event_id, kinds in event["content"].items():
                for user_id, receipt in kinds.get(kind, {}).items():
                    assert (user_id, receipt["ts"] > 0) == ("@correspondent:paraph.test", True)
                    found.append((event_id, receipt.get("thread_id")))
    return found


async def test_receipts_move_forward_in_their_own_thread(home: House) -> None:
    """One that would go back is answered and changes nothing; others see `m.read`, nobody `m.read.private`."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    root = await say(author, room, CIPHERTEXT, "m.room.encrypted")
    first = await say(author, room, CIPHERTEXT | relates(root, "m.thread"), "m.room.encrypted")
    second = await say(author, room, CIPHERTEXT | relates(root, "m.thread"), "m.room.encrypted")
    last = await say(author, room, CIPHERTEXT, "m.room.encrypted")
    await post(other, room, second, body={"thread_id": root})
    before = (await author.sync())["next_batch"]
    assert await post(other, room, first, body={"thread_id": root}) == {}
    assert room not in (await author.sync(before)).get("rooms", {}).get("join", {})
    assert await shown(author, room) == [(second, root)]
    await post(other, room, root)
    await post(other, room, last, body={"thread_id": "main"})
    assert sorted(await shown(author, room)) == sorted([(second, root), (root, None), (last, "main")])
    await post(other, room, last, kind="m.read.private")
    assert await shown(author, room, "m.read.private") == []
    assert await shown(other, room, "m.read.private") == [(last, None)]


async def test_the_unthreaded_receipt_wins_over_a_threaded_one_at_the_same_event(home: House) -> None:
    """Whichever came first: clients are shown the wider one, and never the narrower one after it (MSC4102)."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    root = await say(author, room, CIPHERTEXT, "m.room.encrypted")
    reply = await say(author, room, CIPHERTEXT | relates(root, "m.thread"), "m.room.encrypted")
    await post(other, room, reply)
    since = (await author.sync())["next_batch"]
    await post(other, room, reply, body={"thread_id": root})
    assert room not in (await author.sync(since)).get("rooms", {}).get("join", {})
    later = await say(author, room, CIPHERTEXT | relates(root, "m.thread"), "m.room.encrypted")
    since = (await author.sync())["next_batch"]
    await post(other, room, later, body={"thread_id": root})
    await post(other, room, later)
    assert await shown(author, room) == await shown(author, room, since=since) == [(later, None)]


async def test_a_threaded_receipt_is_for_an_event_of_that_thread(home: House) -> None:
    """400 for main at a thread's event, for a thread at an event of main or of another; nothing moves."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    root = await say(author, room, CIPHERTEXT, "m.room.encrypted")
    reply = await say(author, room, CIPHERTEXT | relates(root, "m.thread"), "m.room.encrypted")
    plain = await say(author, room, CIPHERTEXT, "m.room.encrypted")
    for event_id, thread in ((reply, "main"), (plain, root), (reply, plain), (reply, "$unknown")):
        refused = await post(other, room, event_id, body={"thread_id": thread})
        assert (refused.status, refused["errcode"]) == (400, "M_INVALID_PARAM"), (event_id, thread)
    for event_id, thread in ((root, root), (root, "main"), (reply, root), (plain, "main")):
        assert (await post(other, room, event_id, body={"thread_id": thread})).status == 200


NO_RECEIPTS: list[tuple[str, Any]] = [
    ("not.m.read", {}),
    ("m.read", {"thread_id": ""}),
    ("m.read", {"thread_id": 7}),
    ("m.read", {"thread_id": "x" * 300}),
    ("m.fully_read", {"thread_id": "main"}),
    ("m.read", []),
]


async def test_what_is_no_receipt_is_refused(home: House) -> None:
    """400, and nothing is kept."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    sent = await say(author, room, CIPHERTEXT, "m.room.encrypted")
    for kind, body in NO_RECEIPTS:
        answer = await other.call("POST", f"/rooms/{quote(room)}/receipt/{kind}/{quote(sent)}", body)
        assert answer.status == 400
        assert await shown(author, room) == []


async def test_markers_set_all_three_or_none(home: House) -> None:
    """`read_markers` moves each kind it names, and none if one of the events is unknown; `m.fully_read` stays ahead."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    first, second = [await say(author, room, CIPHERTEXT, "m.room.encrypted") for _ in range(2)]
    markers = f"/rooms/{quote(room)}/read_markers"
    unknown = await other.call("POST", markers, {"m.read": first, "m.fully_read": "$unknown"})
    assert (unknown.status, await shown(author, room)) == (404, [])
    assert (await other.call("POST", markers, {"m.fully_read": 7})).status == 400
    assert await other.call("POST", markers, {}) == {}
    marks = {"m.fully_read": second, "m.read": first, "m.read.private": second}
    assert await other.call("POST", markers, marks) == {}
    assert (await shown(author, room), await shown(other, room, "m.read.private")) == (
        [(first, None)],
        [(second, None)],
    )
    fully = f"/user/{other.user_id}/rooms/{quote(room)}/account_data/m.fully_read"
    assert await other.call("GET", fully) == {"event_id": second}
    await post(other, room, first, "m.fully_read")
    assert await other.call("GET", fully) == {"event_id": second}
    assert (await other.call("PUT", fully, {"event_id": first})).status == 405
