"""The device engine against itself: who may read what, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paraph.protocol.signing import SigningKey, sign
from paraph.sdk.engine.machine import CLAIM_AGAIN_MS, UNWEDGE_EVERY_MS, VIEW_MAX_AGE_MS
from paraph.sdk.engine.model import Decrypted, GrantView, KeysClaim, KeysUpload, SendToDevice
from paraph.sdk.engine.olm import OlmSessionRecord
from paraph.sdk.engine.outbound import DAY_MS
from paraph.sdk.errors import DecryptionError, SharingNeededError
from tests.sdk.directory import (
    AUTHOR,
    CORRESPONDENT,
    PARTNER,
    ROOM,
    STRANGER,
    Directory,
    Phone,
    event,
    room,
    view_of,
)

BOTH = room(AUTHOR, CORRESPONDENT)


@pytest.fixture
def directory() -> Directory:
    """A server's key directory."""
    return Directory()


@pytest.fixture
def author(directory: Directory) -> Phone:
    """The author's device, with her identity."""
    return Phone(directory, AUTHOR, "AUTHOR1")


@pytest.fixture
def correspondent(directory: Directory, author: Phone) -> Phone:
    """The correspondent's device; both know of each other."""
    phone = Phone(directory, CORRESPONDENT, "CORR1")
    phone.know(AUTHOR)
    author.know(CORRESPONDENT)
    return phone


@pytest.fixture
def partner(directory: Directory) -> Phone:
    """A partner's device."""
    return Phone(directory, PARTNER, "PARTNER1", identity=False)


def session_of(sent: dict[str, Any]) -> str:
    """The Megolm session a message was sent in."""
    return str(sent["content"]["session_id"])


def reads(phone: Phone, sent: dict[str, Any]) -> bool:
    """Whether the device opens the message."""
    return isinstance(phone.read(sent), Decrypted)


# Talking


def test_two_people_talk(author: Phone, correspondent: Phone) -> None:
    """Messages go both ways, from verified devices, and the author reads her own."""
    first = author.send("hello", BOTH)
    correspondent.sync()
    opened = correspondent.read(first)
    assert isinstance(opened, Decrypted)
    assert (opened.content["body"], opened.sender_verified, opened.sender_device) == ("hello", True, "AUTHOR1")
    answer = correspondent.send("hello yourself", BOTH)
    author.sync()
    assert author.body(answer) == "hello yourself"
    assert author.body(first) == "hello"
    assert {"algorithm", "sender_key", "device_id", "session_id", "ciphertext"} == set(first["content"])


def test_everything_survives_a_restart(author: Phone, correspondent: Phone) -> None:
    """A device that is loaded from its store goes on in the same sessions."""
    first = author.send("one", BOTH)
    author.restart()
    second = author.send("two", BOTH)
    correspondent.sync()
    correspondent.restart()
    assert [correspondent.body(first), correspondent.body(second)] == ["one", "two"]
    assert session_of(first) == session_of(second)


def test_relations_and_grants_stay_in_clear(author: Phone, correspondent: Phone) -> None:
    """What a message relates to, and the grant state acted on, are readable by the server."""
    author.share(BOTH)
    relation = {"rel_type": "m.thread", "event_id": "$root"}
    with author.records.step():
        content = author.engine.encrypt(
            BOTH, None, "m.room.message", {"body": "x", "m.relates_to": relation}, now=author.now, grants_version=7
        )
    assert content["m.relates_to"] == relation
    assert content["org.paraph.grants"] == 7
    correspondent.sync()
    opened = correspondent.read(event(AUTHOR, content))
    assert isinstance(opened, Decrypted)
    assert opened.content["m.relates_to"] == relation


def test_own_other_device_reads_along(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A second device of the author, signed by her identity, gets the key as well."""
    assert author.engine.identity is not None
    second = Phone(directory, AUTHOR, "AUTHOR2", identity=author.engine.identity.seeds)
    author.know(AUTHOR)
    sent = author.send("to myself", BOTH)
    second.sync()
    assert second.body(sent) == "to myself"


def test_requests_wait_for_the_commit(author: Phone) -> None:
    """No request is handed out while the state it depends on is not written."""
    author.records.put("x", "y", 1)
    with pytest.raises(RuntimeError):
        author.engine.outgoing()


def test_sealed_messages_survive_a_crash_before_they_left(author: Phone, correspondent: Phone) -> None:
    """A key that was sealed but not sent goes out after a restart, under the same transaction id."""
    claim = author.engine.missing_sessions(BOTH, None, author.now)
    assert claim is not None
    author.post(claim)
    with author.records.step():
        author.engine.share(BOTH, None, author.now)
    before = author.engine.outgoing()
    author.restart()
    after = author.engine.outgoing()
    assert before == after
    assert isinstance(after[0], SendToDevice)
    sent = author.send("late but whole", BOTH)
    correspondent.sync()
    assert correspondent.body(sent) == "late but whole"


# Rotation


def test_rotation_by_count(author: Phone, correspondent: Phone) -> None:
    """A session carries 100 messages, or fewer where the room says so."""
    sessions = [session_of(author.send("x", BOTH)) for _ in range(101)]
    assert len(set(sessions[:100])) == 1
    assert sessions[100] != sessions[0]
    strict = replace(BOTH, rotation_messages=2)
    sessions = [session_of(author.send("x", strict)) for _ in range(4)]
    assert len(set(sessions)) == 3


@pytest.mark.parametrize(("period", "age"), [(None, 7 * DAY_MS), (1000, 1000), (30 * DAY_MS, 7 * DAY_MS)])
def test_rotation_by_age(author: Phone, correspondent: Phone, period: int | None, age: int) -> None:
    """A session lives seven days, less where the room says so, never longer."""
    aged = replace(BOTH, rotation_ms=period)
    first = session_of(author.send("x", aged))
    author.now += age - 1
    assert session_of(author.send("x", aged)) == first
    author.now += 1
    assert session_of(author.send("x", aged)) != first


def test_a_clock_set_back_does_not_prolong(author: Phone, correspondent: Phone) -> None:
    """A session from the far future is replaced."""
    first = session_of(author.send("x", BOTH))
    author.now -= 2 * DAY_MS
    assert session_of(author.send("x", BOTH)) != first


def test_removed_member_cannot_open_the_next_message(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """Removal rotates: the one who left keeps what was said, and gets nothing that follows."""
    stranger = Phone(directory, STRANGER, "STR1")
    author.know(STRANGER)
    three = room(AUTHOR, CORRESPONDENT, STRANGER)
    before = author.send("all three", three)
    after = author.send("two only", BOTH)
    for phone in (stranger, correspondent):
        phone.sync()
    assert reads(stranger, before)
    assert not reads(stranger, after)
    assert reads(correspondent, before)
    assert reads(correspondent, after)


def test_added_member_reads_from_then_on(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """Whoever is added gets the same session from the current index, and nothing earlier."""
    stranger = Phone(directory, STRANGER, "STR1")
    author.know(STRANGER)
    before = author.send("before", BOTH)
    after = author.send("after", room(AUTHOR, CORRESPONDENT, STRANGER))
    stranger.sync()
    assert session_of(before) == session_of(after)
    assert stranger.body(before) == "unknown-index"
    assert stranger.body(after) == "after"


def test_deleted_device_rotates(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A device that its owner removed gets no further key."""
    assert correspondent.engine.identity is not None
    second = Phone(directory, CORRESPONDENT, "CORR2", identity=correspondent.engine.identity.seeds)
    author.know(CORRESPONDENT)
    assert reads(second, _delivered(author.send("both", BOTH), second))
    del directory.device_keys[CORRESPONDENT]["CORR2"]
    author.know(CORRESPONDENT)
    assert not reads(second, _delivered(author.send("one", BOTH), second))


def _delivered(sent: dict[str, Any], phone: Phone) -> dict[str, Any]:
    phone.sync()
    return sent


def test_encrypting_without_sharing_is_refused(author: Phone, correspondent: Phone) -> None:
    """Between sharing and encrypting nothing may have changed."""
    author.share(BOTH)
    with pytest.raises(SharingNeededError), author.records.step():
        author.engine.encrypt(room(AUTHOR), None, "m.room.message", {}, now=author.now, grants_version=None)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.integers(0, 3)), min_size=1, max_size=6))
def test_exactly_the_recipients_of_a_message_can_open_it(memberships: list[set[int]]) -> None:
    """Whatever joins and leaves happen, each message opens for its recipients and for nobody else."""
    directory = Directory()
    author = Phone(directory, AUTHOR, "A")
    others = [Phone(directory, f"@person{n}:example.org", "P", identity=False) for n in range(4)]
    author.know(*(phone.user for phone in others))
    sent = [author.send("x", room(AUTHOR, *(others[n].user for n in members))) for members in memberships]
    for number, phone in enumerate(others):
        phone.sync()
        assert [reads(phone, e) for e in sent] == [number in members for members in memberships]


# Trust


def test_unsigned_device_gets_no_key(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A device the server adds to a person with an identity is not given keys."""
    planted = Phone(directory, CORRESPONDENT, "PLANTED", identity=False)
    author.know(CORRESPONDENT)
    sent = author.send("secret", BOTH)
    planted.sync()
    correspondent.sync()
    assert not reads(planted, sent)
    assert reads(correspondent, sent)


def test_changed_master_key_blocks_until_accepted(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """Another identity under the same name gets nothing until the author accepts it."""
    planted = Phone(directory, CORRESPONDENT, "PLANTED")
    author.know(CORRESPONDENT)
    user = author.engine.users.get(CORRESPONDENT)
    assert user is not None
    assert user.blocked
    sent = author.send("secret", BOTH)
    planted.sync()
    correspondent.sync()
    assert not reads(planted, sent)
    assert not reads(correspondent, sent)
    with author.records.step():
        author.engine.users.accept_identity(CORRESPONDENT)
    author.drain()
    sent = author.send("accepted", BOTH)
    planted.sync()
    assert reads(planted, sent)


def test_vanished_identity_blocks(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A server that stops showing an identity does not bring back the looser rule."""
    del directory.cross_signing[CORRESPONDENT]
    planted = Phone(directory, CORRESPONDENT, "PLANTED", identity=False)
    author.know(CORRESPONDENT)
    sent = author.send("secret", BOTH)
    planted.sync()
    assert not reads(planted, sent)


def test_own_identity_cannot_be_replaced(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """The server cannot wave a device of its own through as another device of the author."""
    planted = Phone(directory, AUTHOR, "PLANTED")
    author.know(AUTHOR)
    sent = author.send("secret", BOTH)
    planted.sync()
    assert not reads(planted, sent)


def test_first_devices_are_pinned_and_later_ones_wait(directory: Directory, author: Phone) -> None:
    """For a user without identity the first devices get keys; a later one does once it is accepted."""
    first = Phone(directory, STRANGER, "FIRST", identity=False)
    author.know(STRANGER)
    later = Phone(directory, STRANGER, "LATER", identity=False)
    author.know(STRANGER)
    members = room(AUTHOR, STRANGER)
    sent = author.send("x", members)
    for phone in (first, later):
        phone.sync()
    assert reads(first, sent)
    assert not reads(later, sent)
    with author.records.step():
        author.engine.users.accept_device(STRANGER, "LATER")
    sent = author.send("y", members)
    later.sync()
    assert reads(later, sent)


def test_invented_identity_does_not_open_the_door(directory: Directory, author: Phone) -> None:
    """An identity that appears for a known user without one counts only if a pinned device signed it."""
    Phone(directory, STRANGER, "FIRST", identity=False)
    author.know(STRANGER)
    planted = Phone(directory, STRANGER, "PLANTED")
    author.know(STRANGER)
    sent = author.send("x", room(AUTHOR, STRANGER))
    planted.sync()
    assert not reads(planted, sent)


def test_identity_made_later_by_a_pinned_device_is_followed(directory: Directory, author: Phone) -> None:
    """A user who makes an identity after we met is followed, since her pinned device signs it."""
    phone = Phone(directory, STRANGER, "FIRST")
    shown = directory.cross_signing.pop(STRANGER)
    author.know(STRANGER)
    directory.cross_signing[STRANGER] = shown
    author.know(STRANGER)
    user = author.engine.users.get(STRANGER)
    assert user is not None
    assert phone.engine.identity is not None
    assert user.master == phone.engine.identity.master.public_key
    assert [d.device_id for d in user.recipients()] == ["FIRST"]


def test_device_with_changed_keys_is_refused(directory: Directory, author: Phone) -> None:
    """The same device id with other keys gets nothing, and getting rid of it in between does not help."""
    first = Phone(directory, STRANGER, "SAME", identity=False)
    author.know(STRANGER)
    kept = directory.device_keys[STRANGER].pop("SAME")
    author.know(STRANGER)
    second = Phone(directory, STRANGER, "SAME", identity=False)
    author.know(STRANGER)
    members = room(AUTHOR, STRANGER)
    sent = author.send("x", members)
    second.sync()
    assert not reads(second, sent)
    directory.device_keys[STRANGER]["SAME"] = kept
    author.know(STRANGER)
    author.now += CLAIM_AGAIN_MS
    directory.one_time[STRANGER, "SAME"] = {}
    directory.fallback[STRANGER, "SAME"] = {}
    with first.records.step():
        first.engine.account.olm.generate_one_time_keys(1)
        first.engine.account.save()
    first.drain()
    sent = author.send("y", members)
    first.sync()
    assert reads(first, sent)


def test_keys_not_signed_by_their_device_are_not_listed(directory: Directory, author: Phone) -> None:
    """A device list entry with a broken self-signature, or under another name, is as good as absent."""
    Phone(directory, STRANGER, "D", identity=False)
    entry = directory.device_keys[STRANGER]["D"]
    forged = SigningKey.generate()
    directory.device_keys[STRANGER] = {
        "D": {**entry, "algorithms": [*entry["algorithms"], "m.more"]},
        "E": entry,
        "F": sign({**entry, "device_id": "F"}, STRANGER, "ed25519:F", forged.sign),
    }
    author.know(STRANGER)
    user = author.engine.users.get(STRANGER)
    assert user is not None
    assert user.devices == ()


def test_one_time_key_needs_the_devices_signature(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A one-time key that the server made itself begins no session."""
    for keys in (directory.one_time, directory.fallback):
        for signed in keys[CORRESPONDENT, "CORR1"].values():
            signed["key"] = author.engine.account.curve25519
    sent = author.send("x", BOTH)
    correspondent.sync()
    assert not reads(correspondent, sent)
    assert author.engine.missing_sessions(BOTH, None, author.now) is None
    assert author.engine.missing_sessions(BOTH, None, author.now + CLAIM_AGAIN_MS) is not None


# Partners: own words only, and nothing without a fresh view


def test_partner_opens_the_authors_words_only(author: Phone, correspondent: Phone, partner: Phone) -> None:
    """A granted partner reads what the author writes from then on, and nothing of the correspondent."""
    early = author.send("before", BOTH)
    view = view_of(partner, author.now)
    mine = author.send("mine", BOTH, view)
    theirs = correspondent.send("theirs", BOTH)
    _take_keys(partner, author)
    assert reads(partner, mine)
    assert not reads(partner, early)
    assert not reads(partner, theirs)


def _take_keys(partner: Phone, *authors: Phone) -> None:
    """Let the partner's engine take what lies in its queue."""
    partner.know(*(a.user for a in authors))
    partner.sync()


def test_share_with_partner_states_what_could_be_opened(
    directory: Directory, author: Phone, correspondent: Phone, partner: Phone
) -> None:
    """Each share goes out under its grant and names session and first index."""
    author.send("before", BOTH)
    sent = author.send("mine", BOTH, view_of(partner, author.now))
    ((user, share),) = directory.key_shares
    assert user == AUTHOR
    assert share.grant_id == "gr_AAAAAAAAAAAAAAAAAAAAAA"
    assert [s["device_id"] for s in share.shares] == ["PARTNER1"]
    assert share.shares[0]["session"] == {"room_id": ROOM, "session_id": session_of(sent), "first_index": 1}


@pytest.mark.parametrize("why", ["none", "stale", "future", "expired", "other room", "excluded", "closed", "no grant"])
def test_fail_closed(author: Phone, correspondent: Phone, partner: Phone, why: str) -> None:
    """Without a fresh view, a live grant and an open room, the partner is dropped and the session rotates."""
    fresh = view_of(partner, author.now)
    before = author.send("granted", BOTH, fresh)
    access = fresh.partners[0]
    views: dict[str, GrantView | None] = {
        "none": None,
        "stale": replace(fresh, at=author.now - VIEW_MAX_AGE_MS - 1),
        "future": replace(fresh, at=author.now + VIEW_MAX_AGE_MS + 1),
        "expired": replace(fresh, partners=(replace(access, until=author.now),)),
        "other room": replace(fresh, partners=(replace(access, rooms=frozenset({"!other:example.org"})),)),
        "excluded": replace(fresh, partners=(replace(access, excluded=frozenset({ROOM})),)),
        "closed": fresh,
        "no grant": replace(fresh, partners=()),
    }
    after = author.send("not granted", replace(BOTH, closed=why == "closed"), views[why])
    _take_keys(partner, author)
    correspondent.sync()
    assert reads(partner, before)
    assert not reads(partner, after)
    assert reads(correspondent, after)


def test_partner_as_member_is_dropped(author: Phone, correspondent: Phone, partner: Phone) -> None:
    """A membership that names a partner's address gives it no key."""
    author.know(PARTNER)
    sent = author.send("x", room(AUTHOR, CORRESPONDENT, PARTNER))
    _take_keys(partner, author)
    assert not reads(partner, sent)


def test_partner_may_not_send_room_keys(author: Phone, correspondent: Phone, partner: Phone) -> None:
    """A session key from a partner's address is not taken in."""
    author.know(PARTNER)
    partner.know(AUTHOR)
    sent = partner.send("x", room(PARTNER, AUTHOR))
    author.sync()
    assert author.body(sent) == "unknown-session"


# What a receiver refuses


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
        author.engine.outbound.encrypt(ROOM, "m.room.message", {})
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


# Upkeep


def test_one_time_keys_are_kept_up(directory: Directory, author: Phone) -> None:
    """Half the maximum lies on the server, and is restored when the count falls."""
    mine = directory.one_time[AUTHOR, "AUTHOR1"]
    assert len(mine) == 25
    for _ in range(10):
        mine.popitem()
    author.sync(one_time_keys=15)
    assert len(mine) == 25
    author.sync(one_time_keys=25)
    assert len(mine) == 25


def test_upload_is_repeated_with_the_same_keys_until_answered(author: Phone) -> None:
    """A lost answer costs no key: the same ones are uploaded again, also after a restart."""
    with author.records.step():
        author.engine.account.top_up(0, ())
    first = author.engine.outgoing()
    with author.records.step():
        author.engine.account.top_up(0, ())
    author.restart()
    assert author.engine.outgoing() == first
    assert isinstance(first[0], KeysUpload)
    assert (len(first[0].one_time_keys), len(first[0].fallback_keys)) == (25, 1)


def test_fallback_key_is_renewed_when_used(directory: Directory, author: Phone) -> None:
    """A fallback key is made at the start and after use, not while the server still has an unused one."""
    before = dict(directory.fallback[AUTHOR, "AUTHOR1"])
    author.sync(fallback_unused=("signed_curve25519",))
    assert directory.fallback[AUTHOR, "AUTHOR1"] == before
    author.sync(fallback_unused=())
    assert len(directory.fallback[AUTHOR, "AUTHOR1"]) == 2


def test_sessions_begin_with_the_fallback_key_when_all_others_are_gone(
    directory: Directory, author: Phone, correspondent: Phone
) -> None:
    """A device that was offline for long can still be reached."""
    directory.one_time[CORRESPONDENT, "CORR1"].clear()
    sent = author.send("still there?", BOTH)
    correspondent.sync()
    assert correspondent.body(sent) == "still there?"


def test_replayed_first_message_does_not_reset_a_session(
    directory: Directory, author: Phone, correspondent: Phone
) -> None:
    """A first message made with a fallback key, shown again by the server, neither opens nor resets anything."""
    directory.one_time[CORRESPONDENT, "CORR1"].clear()
    author.share(BOTH)
    (first,) = directory.queues[CORRESPONDENT, "CORR1"]
    correspondent.sync()
    before = correspondent.records.get("olm", author.engine.account.curve25519, list[OlmSessionRecord])
    correspondent.now += 1000
    directory.push(CORRESPONDENT, "CORR1", first)
    correspondent.sync()
    after = correspondent.records.get("olm", author.engine.account.curve25519, list[OlmSessionRecord])
    assert before is not None
    assert after is not None
    assert before[0] in after


def test_accepting_that_there_is_no_identity_accepts_no_device(
    directory: Directory, author: Phone, correspondent: Phone
) -> None:
    """When a vanished identity is let go, each device still has to be accepted by itself."""
    del directory.cross_signing[CORRESPONDENT]
    author.know(CORRESPONDENT)
    with author.records.step():
        author.engine.users.accept_identity(CORRESPONDENT)
    author.drain()
    user = author.engine.users.get(CORRESPONDENT)
    assert user is not None
    assert not user.blocked
    assert user.recipients() == ()
    with author.records.step():
        author.engine.users.accept_device(CORRESPONDENT, "CORR1")
    sent = author.send("x", BOTH)
    correspondent.sync()
    assert reads(correspondent, sent)


def test_lost_ratchet_is_replaced_once_an_hour(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """An Olm message that does not open makes a new session, at most one an hour, and talk goes on."""
    author.send("x", BOTH)
    correspondent.sync()
    correspondent.send("y", BOTH)
    author.sync()
    # The author's device falls back to a state in which it does not know the session.
    with author.records.step():
        author.records.delete("olm", correspondent.engine.account.curve25519)
    author.records.live.clear()
    with correspondent.records.step():
        correspondent.engine.outbound.discard(ROOM)
    lost = correspondent.send("lost", BOTH)
    before = directory.claims
    author.sync()
    assert not reads(author, lost)
    assert directory.claims == before + 1
    assert correspondent.sync().events == ()
    with correspondent.records.step():
        correspondent.engine.outbound.discard(ROOM)
    found = correspondent.send("found", BOTH)
    author.sync()
    assert reads(author, found)


def test_unwedging_is_rate_limited(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A stream of broken messages does not make a stream of claims."""
    author.send("x", BOTH)
    correspondent.sync()
    correspondent.send("y", BOTH)
    author.sync()
    key = correspondent.engine.account.curve25519
    before = directory.claims

    def lose(later: int) -> None:
        author.now += later
        with author.records.step():
            author.records.delete("olm", key)
        with correspondent.records.step():
            content = correspondent.engine.olm.encrypt(author.peer, "m.dummy", {})
        directory.push(AUTHOR, "AUTHOR1", {"sender": CORRESPONDENT, "type": "m.room.encrypted", "content": content})
        author.sync()

    for _ in range(4):
        lose(UNWEDGE_EVERY_MS // 4 - 1)
    assert directory.claims == before + 1
    lose(UNWEDGE_EVERY_MS)
    assert directory.claims == before + 2


def test_change_during_a_query_is_not_lost(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A device list that changes while it is being fetched is fetched again."""
    with author.records.step():
        author.engine.users.outdate([CORRESPONDENT])
    (query,) = author.engine.outgoing()
    answer = directory.handle(AUTHOR, "AUTHOR1", query)
    with author.records.step():
        author.engine.users.outdate([CORRESPONDENT])
    with author.records.step():
        author.engine.answer(query, answer, author.now)
    assert author.engine.outgoing()


def test_claims_name_each_missing_device_once(author: Phone, correspondent: Phone) -> None:
    """A session that exists is not claimed again."""
    claim = author.engine.missing_sessions(BOTH, None, author.now)
    assert claim == KeysClaim((correspondent.peer,))
    author.post(claim)
    assert author.engine.missing_sessions(BOTH, None, author.now) is None


def test_secrets_stay_out_of_representations(author: Phone) -> None:
    """Nothing that is printed or logged shows a private key."""
    assert author.engine.identity is not None
    seeds = author.engine.identity.seeds
    shown = repr(seeds) + repr(author.engine.identity.master) + repr(author.records)
    assert repr(seeds.master)[2:-1] not in shown
    assert seeds.master.hex() not in shown
