"""Two people compare emoji: what both see, what is trusted afterwards, and what ends a comparison at once."""

from __future__ import annotations

from typing import Any

import pytest

from paraph.protocol.base64 import b64
from paraph.sdk.engine.verification import CancelCode, Phase
from paraph.sdk.engine.verification.model import Side
from paraph.sdk.engine.verification.verifications import MAX_OPEN_EACH
from tests.sdk.comparing import act, asked, compared, queued, say, settle, shown, shown_without_news
from tests.sdk.directory import AUTHOR, CORRESPONDENT, ROOM, STRANGER, Directory, Phone

TEN_MINUTES = 600_000


def verified(phone: Phone, user: str) -> bool:
    known = phone.engine.users.get(user)
    return known is not None and known.verified


def test_both_devices_show_the_same_code(author: Phone, correspondent: Phone) -> None:
    """Seven emoji with names and three numbers, the same on both sides."""
    mine, theirs = shown(author, correspondent)
    assert mine.code == theirs.code
    assert mine.code is not None
    assert len(mine.code.emoji) == 7
    assert all(1000 <= number <= 9191 for number in mine.code.decimals)


def test_each_comparison_has_a_code_of_its_own(author: Phone, correspondent: Phone) -> None:
    """A code that was seen once says nothing about the next one."""
    first, _ = compared(author, correspondent)
    second, _ = shown(author, correspondent)
    assert first.code != second.code


def test_who_compared_is_verified_on_both_sides(author: Phone, correspondent: Phone) -> None:
    """Each signs the other's master key; the signature is in the directory."""
    assert not verified(author, CORRESPONDENT)
    mine, theirs = compared(author, correspondent)
    assert (mine.phase, theirs.phase) == (Phase.DONE, Phase.DONE)
    assert verified(author, CORRESPONDENT)
    assert verified(correspondent, AUTHOR)
    made = author.directory.cross_signing[CORRESPONDENT]["master_keys"]["signatures"]
    identity = author.engine.identity
    assert identity is not None
    assert list(made[AUTHOR]) == [identity.user_signing.key_id]


def test_another_device_learns_it_from_the_signature(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A device of hers that did not compare anything trusts the signature of her user-signing key."""
    compared(author, correspondent)
    identity = author.engine.identity
    assert identity is not None
    second = Phone(directory, AUTHOR, "AUTHOR2", identity=identity.seeds)
    second.know(AUTHOR, CORRESPONDENT)
    assert verified(second, CORRESPONDENT)
    assert not verified(correspondent, STRANGER)


def test_a_signature_by_somebody_else_verifies_nobody(
    directory: Directory, author: Phone, correspondent: Phone
) -> None:
    """That others verified a person is not this person's verification."""
    stranger = Phone(directory, STRANGER, "STRANGER1")
    compared(stranger, correspondent)
    author.know(AUTHOR, CORRESPONDENT)
    assert not verified(author, CORRESPONDENT)


def test_both_begin_at_once(author: Phone, correspondent: Phone) -> None:
    """The start of the smaller name counts, and the comparison goes on."""
    mine, theirs = asked(correspondent, author)
    author.know(CORRESPONDENT)
    act(author, theirs, theirs.accept)
    act(author, theirs, theirs.start)
    settle(correspondent, author)
    assert (mine.phase, theirs.phase) == (Phase.SHOWN, Phase.SHOWN)
    assert mine.code == theirs.code


def test_one_of_many_devices_answers(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """The devices that did not answer stop asking."""
    identity = correspondent.engine.identity
    assert identity is not None
    other = Phone(directory, CORRESPONDENT, "CORR2", identity=identity.seeds)
    author.know(CORRESPONDENT)
    with author.records.step():
        mine = author.engine.verifications.request(CORRESPONDENT, ["CORR1", "CORR2"], author.now)
    author.drain()
    other.sync()
    correspondent.sync()
    (theirs,) = correspondent.engine.verifications.open()
    assert len(other.engine.verifications.open()) == 1
    act(correspondent, theirs, theirs.accept)
    settle(author, correspondent, other)
    assert mine.phase == Phase.SHOWN
    assert mine.device_id == "CORR1"
    assert other.engine.verifications.open() == []


def test_without_identity_the_device_is_accepted(directory: Directory, author: Phone) -> None:
    """Of a person without identity, the device that was compared with gets keys."""
    first = Phone(directory, STRANGER, "OLD", identity=False)
    author.know(STRANGER)
    second = Phone(directory, STRANGER, "NEW", identity=False)
    author.know(STRANGER)
    known = author.engine.users.get(STRANGER)
    assert known is not None
    assert [device.device_id for device in known.recipients()] == ["OLD"]
    mine, _ = compared(author, second)
    assert mine.phase == Phase.DONE
    known = author.engine.users.get(STRANGER)
    assert known is not None
    assert {device.device_id for device in known.recipients()} == {"OLD", "NEW"}
    assert first.user == STRANGER


def test_comparing_accepts_a_changed_identity(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """Who shows another identity is blocked, until both have compared under the new one."""
    directory.cross_signing.pop(CORRESPONDENT)
    directory.device_keys.pop(CORRESPONDENT)
    renewed = Phone(directory, CORRESPONDENT, "CORR9")
    author.know(CORRESPONDENT)
    known = author.engine.users.get(CORRESPONDENT)
    assert known is not None
    assert known.blocked
    compared(author, renewed)
    known = author.engine.users.get(CORRESPONDENT)
    assert known is not None
    assert not known.blocked
    assert known.verified
    assert [device.device_id for device in known.recipients()] == ["CORR9"]
    assert correspondent.user == CORRESPONDENT


# What ends it


def test_a_key_that_was_not_committed_to_ends_it(author: Phone, correspondent: Phone) -> None:
    """Whoever swaps the key after committing, to fit a code, is found out before any code is shown."""
    mine, theirs = asked(author, correspondent)
    correspondent.know(AUTHOR)
    act(correspondent, theirs, theirs.accept)
    for phone in (author, correspondent, author, correspondent):
        phone.sync()
    queued(author, "key")["key"] = b64(bytes(range(32)))
    author.sync()
    correspondent.sync()
    assert mine.code is None
    for flow in (mine, theirs):
        assert flow.cancelled is not None
        assert flow.cancelled.code == "m.mismatched_commitment"
    assert not verified(author, CORRESPONDENT)


def _another_mac(content: dict[str, Any]) -> None:
    content["mac"] = dict.fromkeys(content["mac"], b64(bytes(32)))


def _another_list(content: dict[str, Any]) -> None:
    content["keys"] = b64(bytes(32))


def _fewer_keys(content: dict[str, Any]) -> None:
    content["mac"] = dict(list(content["mac"].items())[:1])


@pytest.mark.parametrize("change", [_another_mac, _another_list, _fewer_keys])
def test_a_wrong_mac_ends_it(author: Phone, correspondent: Phone, change: Any) -> None:
    """Codes that agree prove nothing about keys that do not."""
    mine, theirs = shown(author, correspondent)
    act(author, mine, mine.confirm)
    act(correspondent, theirs, theirs.confirm)
    change(queued(author, "mac"))
    author.sync()
    assert mine.cancelled is not None
    assert mine.cancelled.code == "m.key_mismatch"
    assert not verified(author, CORRESPONDENT)
    assert AUTHOR not in author.directory.cross_signing[CORRESPONDENT]["master_keys"]["signatures"]


def test_a_device_has_to_vouch_for_its_own_key(directory: Directory, author: Phone) -> None:
    """A mac over the master key alone says nothing about the device that sends it, not even among one's own."""
    second = Phone(directory, AUTHOR, "AUTHOR2", identity=False)
    second.know(AUTHOR)
    mine, theirs = shown(second, author)
    us = author.engine.trust.ours()
    master = {key_id: key for key_id, key in us.keys.items() if key_id != "ed25519:AUTHOR1"}
    macs = theirs._exchange.macs(Side(us.user_id, us.device_id, master), second.engine.trust.ours(), theirs.txn_id)
    say(second, AUTHOR, "mac", **macs, transaction_id=mine.txn_id)
    assert mine.cancelled is not None
    assert mine.cancelled.code == "m.key_mismatch"


def test_another_device_cannot_begin(author: Phone, correspondent: Phone) -> None:
    """The comparison is with the device that accepted, and no other of the same person."""
    mine, theirs = asked(author, correspondent)
    act(correspondent, theirs, theirs.accept)
    author.sync()
    queued(correspondent, "start")["from_device"] = "AUTHOR9"
    correspondent.sync()
    assert theirs.cancelled is not None
    assert theirs.cancelled.code == "m.unexpected_message"
    assert mine.code is None


def test_an_invented_identity_is_found_out(directory: Directory, author: Phone) -> None:
    """A server that shows an identity of its own making for a person ends as a mismatch, though the codes agree."""
    correspondent = Phone(directory, CORRESPONDENT, "CORR1")
    true = directory.cross_signing[CORRESPONDENT]
    directory.cross_signing[CORRESPONDENT] = Phone(Directory(), CORRESPONDENT, "X").directory.cross_signing[
        CORRESPONDENT
    ]
    author.know(CORRESPONDENT)
    directory.cross_signing[CORRESPONDENT] = true
    mine, theirs = shown_without_news(author, correspondent)
    assert mine.code == theirs.code is not None
    act(author, mine, mine.confirm)
    act(correspondent, theirs, theirs.confirm)
    author.sync()
    correspondent.sync()
    assert mine.cancelled is not None
    assert mine.cancelled.code == "m.key_mismatch"
    assert not verified(author, CORRESPONDENT)


def test_an_invented_identity_of_her_own_is_found_out(directory: Directory, author: Phone) -> None:
    """A new device that is shown another identity for its own person does not take it for hers."""
    true = directory.cross_signing[AUTHOR]
    directory.cross_signing[AUTHOR] = Phone(Directory(), AUTHOR, "X").directory.cross_signing[AUTHOR]
    second = Phone(directory, AUTHOR, "AUTHOR2", identity=False)
    directory.cross_signing[AUTHOR] = true
    author.know(AUTHOR)
    mine, theirs = shown_without_news(second, author)
    act(second, mine, mine.confirm)
    act(author, theirs, theirs.confirm)
    second.sync()
    assert mine.cancelled is not None
    assert mine.cancelled.code == "m.key_mismatch"
    assert second.records.items("secret-wanted", dict) == []


def test_different_emoji_end_it(author: Phone, correspondent: Phone) -> None:
    """A person who sees something else says so; neither side trusts the other."""
    mine, theirs = shown(author, correspondent)
    act(author, mine, mine.confirm)
    act(correspondent, theirs, lambda: theirs.cancel(CancelCode.MISMATCHED_SAS, "they differ"))
    settle(author, correspondent)
    assert mine.cancelled is not None
    assert mine.cancelled.code == "m.mismatched_sas"
    assert not verified(author, CORRESPONDENT)
    assert not verified(correspondent, AUTHOR)


def test_what_takes_too_long_ends(author: Phone, correspondent: Phone) -> None:
    """Ten minutes after it began, a comparison is over on both sides."""
    mine, theirs = shown(author, correspondent)
    author.now += TEN_MINUTES + 1
    settle(author, correspondent)
    assert mine.cancelled is not None
    assert theirs.cancelled is not None
    assert (mine.cancelled.code, theirs.cancelled.code) == ("m.timeout", "m.timeout")


def test_an_unknown_method_is_declined(author: Phone) -> None:
    """Who can only do what this device cannot is told so."""
    say(author, CORRESPONDENT, "request", from_device="X", methods=["m.qr"], timestamp=author.now, transaction_id="t1")
    (flow,) = author.engine.verifications.open()
    act(author, flow, flow.accept)
    assert flow.cancelled is not None
    assert flow.cancelled.code == "m.unknown_method"
    (sent,) = author.directory.queues[CORRESPONDENT, "X"]
    assert sent["content"]["code"] == "m.unknown_method"


def test_a_start_with_other_algorithms_is_refused(author: Phone, correspondent: Phone) -> None:
    """Neither an older key agreement nor the mac that was once encoded wrongly is taken."""
    for field, value in (
        ("key_agreement_protocols", ["curve25519"]),
        ("hashes", ["sha1"]),
        ("message_authentication_codes", ["hkdf-hmac-sha256"]),
        ("short_authentication_string", ["morse"]),
        ("method", "m.qr"),
    ):
        mine, theirs = asked(author, correspondent)
        act(correspondent, theirs, theirs.accept)
        author.sync()
        queued(correspondent, "start")[field] = value
        correspondent.sync()
        author.sync()
        assert mine.cancelled is not None
        assert mine.cancelled.code == "m.unknown_method", field


def test_a_request_counts_once(author: Phone, correspondent: Phone) -> None:
    """A request shown again, while it is under way or after its end, begins nothing."""
    mine, theirs = asked(author, correspondent)
    again = {"from_device": "AUTHOR1", "methods": ["m.sas.v1"], "timestamp": author.now, "transaction_id": mine.txn_id}
    say(correspondent, AUTHOR, "request", **again)
    assert correspondent.engine.verifications.open() == [theirs]
    act(correspondent, theirs, theirs.cancel)
    say(correspondent, AUTHOR, "request", **again)
    assert correspondent.engine.verifications.open() == []


@pytest.mark.parametrize("age", [TEN_MINUTES + 1, -300_001])
def test_a_request_from_another_time_is_ignored(author: Phone, age: int) -> None:
    """Older than ten minutes, or from a clock that is far ahead."""
    say(
        author,
        STRANGER,
        "request",
        from_device="X",
        methods=["m.sas.v1"],
        timestamp=author.now - age,
        transaction_id="t",
    )
    assert author.engine.verifications.open() == []


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("accept", {"commitment": "x"}),
        ("key", {"key": b64(bytes(range(32)))}),
        ("mac", {"mac": {}, "keys": ""}),
        ("done", {}),
        ("frobnicate", {}),
    ],
)
def test_what_is_out_of_turn_ends_it(author: Phone, correspondent: Phone, kind: str, content: dict[str, Any]) -> None:
    """A message that does not belong at this stage ends the comparison, and nothing was trusted."""
    mine, theirs = asked(author, correspondent)
    say(author, CORRESPONDENT, kind, **content, transaction_id=mine.txn_id)
    assert mine.cancelled is not None
    assert mine.cancelled.code == "m.unexpected_message"
    correspondent.sync()
    assert theirs.phase == Phase.CANCELLED


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("ready", {"methods": "m.sas.v1"}),
        ("ready", {"from_device": 1}),
        ("start", {"hashes": None}),
        ("key", {"key": "short"}),
        ("mac", {"mac": ["list"]}),
    ],
)
def test_what_is_malformed_ends_it(author: Phone, correspondent: Phone, kind: str, change: dict[str, Any]) -> None:
    """A field of another type than the specification's is `m.invalid_message`."""
    mine, theirs = asked(author, correspondent)
    correspondent.know(AUTHOR)
    act(correspondent, theirs, theirs.accept)
    reader, flow = {"ready": (author, mine), "mac": (author, mine)}.get(kind, (correspondent, theirs))
    if kind in ("start", "key"):
        author.sync()
    if kind == "key":
        correspondent.sync()
        author.sync()
    if kind == "mac":
        settle(author, correspondent)
        act(correspondent, theirs, theirs.confirm)
    queued(reader, kind).update(change)
    reader.sync()
    assert flow.cancelled is not None
    assert flow.cancelled.code == "m.invalid_message"


def test_nobody_else_can_speak_for_the_other_side(author: Phone, correspondent: Phone) -> None:
    """A message under this transaction by a third person changes nothing."""
    mine, theirs = asked(author, correspondent)
    say(author, STRANGER, "cancel", code="m.user", reason="", transaction_id=mine.txn_id)
    say(author, STRANGER, "ready", from_device="CORR1", methods=["m.sas.v1"], transaction_id=mine.txn_id)
    assert mine.phase == Phase.REQUESTED
    assert theirs.phase == Phase.REQUESTED


def test_a_device_that_was_not_asked_cannot_answer(author: Phone, correspondent: Phone) -> None:
    """Another device of the same name's owner has not been asked."""
    mine, _ = asked(author, correspondent)
    say(author, CORRESPONDENT, "ready", from_device="OTHER", methods=["m.sas.v1"], transaction_id=mine.txn_id)
    assert mine.cancelled is not None
    assert mine.cancelled.code == "m.unexpected_message"


def test_one_person_cannot_fill_the_list_of_requests(author: Phone) -> None:
    """Of one person's requests a few are kept; others still get through."""
    for n in range(MAX_OPEN_EACH + 3):
        content = {"from_device": "X", "methods": ["m.sas.v1"], "timestamp": author.now, "transaction_id": f"t{n}"}
        say(author, STRANGER, "request", **content)
    say(author, CORRESPONDENT, "request", **(content | {"transaction_id": "theirs"}))
    found = [flow.user_id for flow in author.engine.verifications.open()]
    assert found.count(STRANGER) == MAX_OPEN_EACH
    assert found.count(CORRESPONDENT) == 1


def test_a_start_out_of_nowhere_is_answered(author: Phone) -> None:
    """Who goes on with a verification that this device does not know (any more) learns that."""
    say(author, CORRESPONDENT, "start", from_device="X", method="m.sas.v1", transaction_id="lost")
    (sent,) = author.directory.queues[CORRESPONDENT, "X"]
    assert sent["content"] == {
        "code": "m.unknown_transaction",
        "reason": "there is no such verification here",
        "transaction_id": "lost",
    }


# In a room

ASKING = "$asking"


def in_room(phone: Phone, sender: str, kind: str, event_id: str = "$next", age: int = 0, **content: Any) -> None:
    """The room brings the phone a message of this family."""
    event_type = f"m.key.verification.{kind}"
    if kind == "request":
        event_type, content = "m.room.message", content | {"msgtype": event_type, "methods": ["m.sas.v1"]}
    else:
        content |= {"m.relates_to": {"rel_type": "m.reference", "event_id": ASKING}}
    with phone.records.step():
        phone.engine.verifications.receive_in_room(
            ROOM, event_id, sender, event_type, content, phone.now - age, phone.now
        )


def requests(phone: Phone) -> list[str]:
    return [flow.txn_id for flow in phone.engine.verifications.open()]


def test_a_request_in_a_room_is_for_whom_it_names(author: Phone) -> None:
    """Others in the room, old messages and one's own words are no requests to this device."""
    in_room(author, CORRESPONDENT, "request", "$a", to=STRANGER, from_device="C")
    in_room(author, AUTHOR, "request", "$b", to=AUTHOR, from_device="A")
    in_room(author, CORRESPONDENT, "request", "$c", age=TEN_MINUTES + 1, to=AUTHOR, from_device="C")
    assert requests(author) == []
    in_room(author, CORRESPONDENT, "request", ASKING, to=AUTHOR, from_device="C")
    assert requests(author) == [ASKING]


def test_nobody_else_in_the_room_can_answer(author: Phone) -> None:
    """A third member's messages about a verification of two change nothing."""
    with author.records.step():
        mine = author.engine.verifications.requested_in_room(ROOM, ASKING, CORRESPONDENT, author.now)
    in_room(author, STRANGER, "ready", from_device="S", methods=["m.sas.v1"])
    in_room(author, STRANGER, "cancel", code="m.user", reason="no")
    assert mine.phase == Phase.REQUESTED
    in_room(author, CORRESPONDENT, "ready", from_device="C", methods=["m.sas.v1"])
    assert mine.phase == Phase.STARTED
    (note,) = author.engine.verifications.room_notes()
    assert (note.room_id, note.event_type) == (ROOM, "m.key.verification.start")
    assert note.content["m.relates_to"] == {"rel_type": "m.reference", "event_id": ASKING}
    in_room(author, CORRESPONDENT, "ready", from_device="SLOWER", methods=["m.sas.v1"])
    assert mine.phase == Phase.STARTED


@pytest.mark.parametrize("kind", ["ready", "cancel"])
def test_another_device_of_hers_takes_the_request(author: Phone, kind: str) -> None:
    """What she accepts or declines elsewhere is not asked for here any more."""
    in_room(author, CORRESPONDENT, "request", ASKING, to=AUTHOR, from_device="C")
    in_room(author, AUTHOR, kind, from_device="AUTHOR2", methods=["m.sas.v1"])
    assert requests(author) == []
    assert author.engine.verifications.room_notes() == []
    in_room(author, CORRESPONDENT, "request", ASKING, to=AUTHOR, from_device="C")
    assert requests(author) == []
