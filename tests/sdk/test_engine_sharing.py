"""Who has the key of a message: talking, joining, leaving, rotation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paraph.sdk.engine.model import Decrypted, SendToDevice
from paraph.sdk.engine.outbound import DAY_MS
from paraph.sdk.errors import SharingNeededError
from tests.sdk.directory import (
    AUTHOR,
    BOTH,
    CORRESPONDENT,
    STRANGER,
    Directory,
    Phone,
    event,
    reads,
    room,
    session_of,
)


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
    hidden = {name: value for name, value in content.items() if name != "m.relates_to"}
    opened_by_author = author.read(event(AUTHOR, hidden))
    assert isinstance(opened_by_author, Decrypted)
    assert "m.relates_to" not in opened_by_author.content
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
