"""One-time keys, lost ratchets, device lists: what a device looks after by itself."""

from __future__ import annotations

from paraph.sdk.engine.machine import UNWEDGE_EVERY_MS
from paraph.sdk.engine.model import KeysClaim, KeysUpload
from paraph.sdk.engine.olm import OlmSessionRecord
from tests.sdk.directory import (
    AUTHOR,
    BOTH,
    CORRESPONDENT,
    ROOM,
    Directory,
    Phone,
    reads,
)


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
