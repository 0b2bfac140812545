"""What a receiving device refuses, keeps and explains."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paraph.sdk.engine.model import Decrypted
from paraph.sdk.errors import DecryptionError
from tests.sdk.directory import (
    AUTHOR,
    BOTH,
    CORRESPONDENT,
    ROOM,
    STRANGER,
    Directory,
    Phone,
    event,
    session_of,
)


def test_session_owner_must_be_the_sender(author: Phone, correspondent: Phone) -> None:
    """A member who hands on another's session, or sends with it, is not believed."""
    sent = author.send("mine", BOTH)
    correspondent.sync()
    assert correspondent.body({**sent, "sender": CORRESPONDENT}) == "wrong-owner"
    # The correspondent claims the author's session as his own: the author's message stays hers alone.
    inbound = author.engine.inbound.claims(session_of(sent))[0]
    key = author.engine.outbound.room_key(ROOM)
    with correspondent.records.step():
        correspondent.engine.inbound.add_key(key, STRANGER, "other key", "other", "D")
    assert correspondent.body(sent) == "mine"
    assert correspondent.body({**sent, "sender": STRANGER}) == "wrong-device"
    assert inbound.owner == AUTHOR


def test_replay_is_refused(author: Phone, correspondent: Phone) -> None:
    """The same ciphertext counts once; the same event may be read again."""
    sent = author.send("pay me", BOTH)
    correspondent.sync()
    assert correspondent.body(sent) == "pay me"
    assert correspondent.body(sent) == "pay me"
    assert correspondent.body({**sent, "event_id": "$another"}) == "replay"
    assert correspondent.body({**sent, "origin_server_ts": 5}) == "replay"


def test_message_moved_to_another_room_is_refused(author: Phone, correspondent: Phone) -> None:
    """A session belongs to one room."""
    sent = author.send("x", BOTH)
    correspondent.sync()
    refused = correspondent.read(sent, "!other:example.org")
    assert isinstance(refused, DecryptionError)
    assert refused.code == "wrong-owner"


@pytest.mark.parametrize(("member", "value"), [("sender_key", "x" * 43), ("device_id", "OTHER")])
def test_mismatching_hints_are_refused(author: Phone, correspondent: Phone, member: str, value: str) -> None:
    """`sender_key` and `device_id` may be left out, but not lie."""
    sent = author.send("x", BOTH)
    correspondent.sync()
    lying = {**sent, "content": {**sent["content"], member: value}}
    assert correspondent.body(lying) == "wrong-device"
    bare = {k: v for k, v in sent["content"].items() if k != member}
    assert correspondent.body({**sent, "content": bare}) == "x"


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "algorithm": st.sampled_from(["m.megolm.v1.aes-sha2", "m.olm.v1.curve25519-aes-sha2", 1]),
            "session_id": st.one_of(st.none(), st.text(max_size=5), st.just("known")),
            "sender_key": st.one_of(st.none(), st.text(max_size=5)),
            "ciphertext": st.one_of(
                st.none(), st.text(max_size=40), st.integers(), st.dictionaries(st.text(), st.none())
            ),
        },
    )
)
def test_malformed_room_events_never_raise(content: dict[str, Any]) -> None:
    """Whatever a sender writes, reading answers with a reason."""
    assert isinstance(_LONE.read(event(AUTHOR, content)), DecryptionError)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=6),
        lambda inner: st.dictionaries(
            st.sampled_from(["type", "sender", "content", "algorithm", "ciphertext", "sender_key", "body", "me"]), inner
        ),
        max_leaves=12,
    )
)
def test_malformed_to_device_events_never_raise(junk: Any) -> None:
    """Whatever lies in the queue, a sync goes through."""
    me = _LONE.engine.account.curve25519
    content = {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": me, "ciphertext": {me: junk}}
    for queued in ({"sender": AUTHOR, "type": "m.room.encrypted", "content": content}, {"content": junk}):
        _LONE.directory.push(AUTHOR, "LONE", queued)
    _LONE.sync()


_LONE = Phone(Directory(), AUTHOR, "LONE")


def test_olm_message_for_another_or_from_another_is_refused(
    directory: Directory, author: Phone, correspondent: Phone
) -> None:
    """The server cannot relabel the sender of a key, nor pass a key on to another user."""
    author.share(BOTH)
    queue = directory.queues[CORRESPONDENT, "CORR1"]
    queue[0] = {**queue[0], "sender": STRANGER}
    sent = author.send("x", BOTH)
    correspondent.sync()
    assert correspondent.body(sent) == "unknown-session"


def test_key_that_reaches_further_back_is_adopted_only_if_it_connects(author: Phone, correspondent: Phone) -> None:
    """A second key for a session counts when it agrees with the first one where both reach."""
    first = author.send("first", BOTH)
    whole = author.engine.outbound.room_key(ROOM)
    second = author.send("second", BOTH)
    with author.records.step():
        author.engine.outbound.encrypt(ROOM, "m.room.message", {}, 0)
    later_key = author.engine.outbound.room_key(ROOM)
    inbound = author.engine.inbound.claims(session_of(first))[0]
    correspondent.directory.queues.clear()
    engine = correspondent.engine
    claim = (AUTHOR, inbound.sender_key, inbound.ed25519, "AUTHOR1")
    with correspondent.records.step():
        assert engine.inbound.add_key(later_key, *claim) is not None
        assert engine.inbound.add_key(later_key, *claim) is None
    assert correspondent.body(second) == "unknown-index"
    with correspondent.records.step():
        assert engine.inbound.add_key(whole, *claim) is not None
    assert correspondent.body(second) == "second"
    assert correspondent.body(first) == "unknown-index"


def test_late_key_opens_what_waited(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """An event whose key comes later is kept, and opened when it does, also after a restart."""
    sent = author.send("early bird", BOTH)
    assert correspondent.body(sent) == "unknown-session"
    correspondent.restart()
    late = correspondent.sync().late
    assert [opened.content["body"] for opened in late] == ["early bird"]
    assert correspondent.sync().late == ()


def test_withheld_key_is_explained(author: Phone, correspondent: Phone, directory: Directory) -> None:
    """When the sender said that it withholds a key, the reason is shown; another's word does not count."""
    sent = author.send("x", BOTH)
    directory.queues.clear()
    notice = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "session_id": session_of(sent),
        "room_id": ROOM,
        "code": "m.unverified",
    }
    for sender in (STRANGER, AUTHOR):
        assert correspondent.body(sent) == "unknown-session"
        directory.push(CORRESPONDENT, "CORR1", {"sender": sender, "type": "m.room_key.withheld", "content": notice})
        correspondent.sync()
    assert correspondent.body(sent) == "withheld"


def test_forwarded_keys_are_not_taken(author: Phone, correspondent: Phone) -> None:
    """A key that someone else passes on proves nothing about whose it is."""
    sent = author.send("x", BOTH)
    author.directory.queues.clear()
    exported = author.engine.inbound.export()[0]
    with author.records.step():
        peer = correspondent.peer
        content = author.engine.olm.encrypt(peer, "m.forwarded_room_key", exported)
        author.engine.outbox.to_people("m.room.encrypted", {peer.user_id: {peer.device_id: content}})
    author.drain()
    assert correspondent.sync().events == ()
    assert correspondent.body(sent) == "unknown-session"


def test_own_export_can_be_imported(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """What one device exports its owner's next device can read, marked as not received directly."""
    sent = author.send("old", BOTH)
    second = Phone(directory, AUTHOR, "AUTHOR2", identity=False)
    assert second.body(sent) == "unknown-session"
    with second.records.step():
        assert second.engine.inbound.import_(author.engine.inbound.export()) == 1
    opened = second.read(sent)
    assert isinstance(opened, Decrypted)
    assert (opened.content["body"], opened.direct, opened.sender_verified) == ("old", False, False)


def test_imported_keys_speak_for_nobody_on_the_device_itself(author: Phone, correspondent: Phone) -> None:
    """A key that came by import is not shown as verified, even if it claims to be this device's own session."""
    forger, reader = author, correspondent
    sent = forger.send("I never said this", BOTH)
    (exported,) = forger.engine.inbound.export()
    forged = {**exported, "sender_key": reader.engine.account.curve25519, "org.paraph.owner": STRANGER}
    forged["sender_claimed_keys"] = {"ed25519": reader.engine.account.ed25519}
    with reader.records.step():
        reader.engine.inbound.import_([forged])
    content = {**sent["content"], "sender_key": reader.engine.account.curve25519, "device_id": "CORR1"}
    opened = reader.read({**sent, "sender": STRANGER, "content": content})
    assert isinstance(opened, Decrypted)
    assert not opened.sender_verified


def test_others_cannot_use_up_the_place_of_a_sessions_owner(author: Phone, correspondent: Phone) -> None:
    """Whoever knows a session may claim it under as many keys as she likes: its owner's own key is still taken."""
    sent = author.send("mine", BOTH)
    key = author.engine.outbound.room_key(ROOM)
    with correspondent.records.step():
        for number in range(100):
            correspondent.engine.inbound.add_key(key, STRANGER, f"key {number}", "other", "D")
    assert len(correspondent.engine.inbound.claims(session_of(sent))) < 100
    author.share(BOTH)
    with author.records.step():
        author.engine.outbound.discard(ROOM)
    correspondent.sync()
    late = author.send("next", BOTH)
    key, session = author.engine.outbound.room_key(ROOM), session_of(late)
    assert correspondent.body(late) == "unknown-session"
    with correspondent.records.step():
        for number in range(100):
            correspondent.engine.inbound.add_key(key, STRANGER, f"key {number}", "other", "D")
    assert correspondent.engine.inbound.claims(session)
    correspondent.sync()
    assert correspondent.body(late) == "next"


def test_late_message_keeps_the_room_it_waited_in(author: Phone, correspondent: Phone) -> None:
    """Who claims the session for another room first does not move the message there."""
    sent = author.send("early bird", BOTH)
    key = author.engine.outbound.room_key(ROOM)
    assert correspondent.body(sent) == "unknown-session"
    with correspondent.records.step():
        correspondent.engine.inbound.add_key({**key, "room_id": "!other:example.org"}, STRANGER, "k", "e", "D")
    (late,) = correspondent.sync().late
    assert (late.content["body"], late.room_id) == ("early bird", ROOM)
