"""matrix-js-sdk (the library under Element Web) as a full client of a real server, with Paraph's own and with nio."""

from __future__ import annotations

import pytest

from tests.interop.conftest import StartJsSdk, StartNio, StartPerson
from tests.interop.party import converse, meet

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

    assert (await one.look(room))["unread"] > 0
    await two.do("typing", room_id=room, typing=True)
    await one.sees(room, lambda v: v["typing"] == [two.user_id], "who types")
    await two.do("typing", room_id=room, typing=False)
    await one.sees(room, lambda v: v["typing"] == [], "who stopped")
    await one.do("read_up_to", room_id=room, event_id=threaded)
    await one.sees(room, lambda v: v["unread"] == 0, "nothing unread")
    await two.sees(room, lambda v: one.user_id in v["events"][threaded]["read_by"], "the receipt")

    await two.do("redact", room_id=room, event_id=reply, reason="a slip")
    await one.sees(room, lambda v: v["events"][reply]["redacted"], "the redaction")
