"""A partner takes data only with receipts, holds the platform to them, and shows what it did not keep."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from paraph.audit import evidence
from paraph.audit.verdict import Outcome
from paraph.protocol.limits import MERGE_DELAY_MS
from paraph.protocol.signing import SigningKey
from paraph.sdk.errors import ForkDetectedError, ReceiptError, TrustError
from paraph.sdk.keystore import Records
from paraph.sdk.log.partners import Trust
from paraph.sdk.log.promises import BATCH
from paraph.sdk.log.receipt_key import LOOK_MS
from paraph.sdk.partner.partner import Page
from paraph.tlog import note, policy
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.tiles import Tile
from tests.sdk.directory import START
from tests.sdk.lying_inbox import PURPOSE, LyingInbox
from tests.sdk.partner.test_inbox import ROOM, promised
from tests.support.published_log import KEY as LOG_KEY
from tests.support.published_log import POLICY, PublishedLog

TRUSTED = policy.parse(POLICY.encode()).for_log(note.Verifier.from_vkey(LOG_KEY.verifier.vkey))
TEN_MINUTES = 600_000


@pytest.fixture
async def inbox() -> LyingInbox:
    """A platform, with the grant known to the partner and its key there."""
    made = LyingInbox()
    made.says("the first word makes a session")
    made.gives_key()
    assert (await made.partner.poll()).grant_keys == ("gr_AAAAAAAAAAAAAAAAAAAAAA",)
    made.events.clear()
    return made


async def read(inbox: LyingInbox) -> Page:
    """One answer."""
    return await inbox.partner.messages(ROOM, PURPOSE)


async def texts(inbox: LyingInbox) -> list[str | None]:
    """What one answer opens."""
    return [message.body for message in (await read(inbox)).messages]


def stored(inbox: LyingInbox) -> dict[Any, bytes]:
    """All that the partner has kept, but for what it knows of the platform's log and keys."""
    values = inbox.partner._records._store._values  # type: ignore[attr-defined]
    return {name: value for name, value in values.items() if name[0] not in ("log", "receipt-key", "platform-trust")}


async def refused(inbox: LyingInbox, match: str | None = None) -> None:
    """An answer is refused, nothing of it is kept, and the same words are taken once the platform is honest."""
    events = inbox.events.copy()
    before = stored(inbox)
    with pytest.raises(ReceiptError, match=match):
        await read(inbox)
    assert stored(inbox) == before
    inbox.lie = lambda answer: answer
    inbox.events = events


# The answer


async def test_words_are_opened_with_a_receipt_and_the_receipt_is_kept_until_proven(inbox: LyingInbox) -> None:
    """The honest run: read, receipt kept, leaf proven, receipt dropped."""
    inbox.says("hello")
    assert await texts(inbox) == ["hello"]
    found = await inbox.partner.prove_receipts()
    assert (found.proven, found.missed, found.kept) == (0, 0, 1)
    inbox.integrate()
    found = await inbox.partner.prove_receipts()
    assert (found.proven, found.missed, found.kept) == (1, 0, 0)
    assert inbox.partner.evidence() == []


def access_of(answer: dict[str, Any]) -> dict[str, Any]:
    """The one access of an answer, to be changed."""
    return dict(answer["accesses"][0])


def with_access(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A lie that changes the access."""
    return lambda answer: {**answer, "accesses": [change(copy.deepcopy(access_of(answer)))]}


LIES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "no accesses": lambda answer: {**answer, "accesses": []},
    "no list of accesses": lambda answer: {name: value for name, value in answer.items() if name != "accesses"},
    "no receipt": with_access(lambda access: {name: value for name, value in access.items() if name != "receipt"}),
    "forged": with_access(lambda access: promised(access, key=SigningKey.generate())),
    "one message more": lambda answer: {
        **answer,
        "messages": [*answer["messages"], {**answer["messages"][0], "event_id": "$unrecorded"}],
    },
    "a message that is none": lambda answer: {**answer, "messages": [*answer["messages"], "x"]},
    "an access twice": lambda answer: {**answer, "accesses": answer["accesses"] * 2},
    "another label": with_access(lambda access: {**access, "label": "A" * 43}),
    "another time": with_access(lambda access: {**access, "entry": {**access["entry"], "ts": START + 1}}),
    "an access that is none": with_access(lambda access: {**access, "entry": None}),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_lie_about_an_answer_costs_the_whole_answer(
    inbox: LyingInbox, lie: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Nothing is given, nothing is kept; the same words with the right receipt are opened."""
    inbox.says("hello")
    inbox.lie = lie
    await refused(inbox)
    assert await texts(inbox) == ["hello"]


async def test_a_receipt_is_for_one_answer(inbox: LyingInbox) -> None:
    """Shown again with the same messages, it would stand for a read that nobody recorded."""
    inbox.says("hello")
    answers: list[dict[str, Any]] = []
    inbox.lie = lambda answer: answers.append(copy.deepcopy(answer)) or answer  # type: ignore[func-returns-value]
    events = inbox.events.copy()
    assert await texts(inbox) == ["hello"]
    inbox.events = events
    inbox.lie = lambda _: answers[0]
    await refused(inbox, "earlier answer")
    assert await texts(inbox) == ["hello"]


# The grant key


async def test_without_the_grant_key_nothing_is_opened(inbox: LyingInbox) -> None:
    """The session's key is there, the label cannot be checked: closed, until the key comes."""
    other = LyingInbox()
    sent = other.says("hello")
    await other.partner.poll()
    page = await read(other)
    assert (page.pending, [message.body for message in page.messages]) == ((sent,), [None])
    assert str(page.messages[0].undecryptable).startswith("grant-key-missing")
    other.gives_key()
    news = await other.partner.poll()
    assert ([message.body for message in news.late], news.refused) == (["hello"], ())
    assert (await other.partner.poll()).late == ()


async def test_words_under_a_wrong_label_stay_closed(inbox: LyingInbox) -> None:
    """The key comes and shows it: the author would never have found this access."""
    other = LyingInbox()
    sent = other.says("hello")
    await other.partner.poll()
    other.label_key = bytes(32)
    assert (await read(other)).pending == (sent,)
    other.gives_key()
    news = await other.partner.poll()
    assert (news.late, news.refused) == ((), (sent,))


# The log


async def test_words_wait_for_a_young_log(inbox: LyingInbox) -> None:
    """Ten minutes after the last cosignature nothing is asked for any more; with a new one it is."""
    inbox.says("hello")
    inbox.now += TEN_MINUTES + 1000
    asked = inbox.requests.count(f"/inbox/v1/rooms/{ROOM}/messages")
    await refused(inbox, "cannot be relied upon")
    assert inbox.requests.count(f"/inbox/v1/rooms/{ROOM}/messages") == asked
    inbox.integrate()
    assert await texts(inbox) == ["hello"]


async def test_a_log_that_cannot_be_asked_for_a_moment_is_no_reason_to_stop(inbox: LyingInbox) -> None:
    """What was cosigned in the last ten minutes is relied upon; it is asked for again later."""
    inbox.says("one")
    assert await texts(inbox) == ["one"]
    checkpoint = inbox.log.files.pop("checkpoint")
    inbox.now += LOOK_MS
    inbox.says("two")
    assert await texts(inbox) == ["two"]
    inbox.now += TEN_MINUTES
    inbox.says("three")
    await refused(inbox)
    inbox.log.files["checkpoint"] = checkpoint
    inbox.integrate()
    assert await texts(inbox) == ["three"]


async def test_a_platform_without_witnesses_is_not_read_from(inbox: LyingInbox) -> None:
    """No quorum, no proof, no data; once it has a policy, that is pinned and no other one is taken."""
    inbox.says("hello")
    inbox.policy = None
    inbox.partner = stranger = inbox.new_partner()
    await refused(inbox, "no witnesses")
    inbox.policy = POLICY
    await stranger.grants()
    assert len((await read(inbox)).pending) == 1
    inbox.policy = "nonsense"
    inbox.says("again")
    assert len((await read(inbox)).pending) == 1


async def test_what_is_pinned_beforehand_is_what_counts(inbox: LyingInbox) -> None:
    """A log key given by the operator on paper is not replaced by the one that the platform shows."""
    trust = Trust(LOG_KEY.verifier.vkey, inbox.receipt_key.public_key, POLICY)
    inbox.partner = inbox.new_partner(trust)
    assert (await read(inbox)).messages == ()
    other = note.Signer.generate(LOG_KEY.name).vkey
    inbox.partner = inbox.new_partner(Trust(other, inbox.receipt_key.public_key, POLICY))
    with pytest.raises((ReceiptError, TrustError)):
        await read(inbox)


async def test_a_forked_log_is_not_read_from_again(inbox: LyingInbox) -> None:
    """Two histories: no receipt means anything any more."""
    assert (await read(inbox)).messages == ()
    honest = inbox.log
    inbox.log = PublishedLog()
    inbox.name_receipt_key()
    inbox.integrate()
    inbox.integrate()
    inbox.integrate()
    inbox.now += LOOK_MS
    with pytest.raises(ForkDetectedError):
        await read(inbox)
    inbox.log = honest
    with pytest.raises(ForkDetectedError):
        await read(inbox)


# The receipt key


async def test_another_receipt_key_counts_once_the_log_names_it(inbox: LyingInbox) -> None:
    """Before it is in the log its receipts are forged ones; afterwards the old key's are."""
    inbox.says("hello")
    assert await texts(inbox) == ["hello"]
    old, inbox.receipt_key = inbox.receipt_key, SigningKey.generate()
    inbox.says("again")
    await refused(inbox, "not signed by the platform's receipt key")
    inbox.name_receipt_key()
    inbox.integrate()
    assert await texts(inbox) == ["again"]
    inbox.says("by the old key")
    inbox.receipt_key, new = old, inbox.receipt_key
    await refused(inbox, "not signed by the platform's receipt key")
    inbox.receipt_key = new
    assert await texts(inbox) == ["by the old key"]


async def test_the_newest_record_is_found_among_others(inbox: LyingInbox) -> None:
    """What came later under the platform's label is read, and is not the platform's record."""
    for n in range(70):
        inbox.record("notice", {"n": n})
    inbox.integrate()
    inbox.says("hello")
    inbox.now += LOOK_MS
    assert await texts(inbox) == ["hello"]
    asked = len([path for path in inbox.requests if "/log/leaf/" in path])
    inbox.now += LOOK_MS
    inbox.integrate()
    inbox.says("again")
    assert await texts(inbox) == ["again"]
    assert len([path for path in inbox.requests if "/log/leaf/" in path]) == asked


@pytest.mark.parametrize(
    "changes",
    [{"server_name": "example.com"}, {"receipt_key": "short"}, {"receipt_key": None}],
)
async def test_a_record_without_a_key_of_this_platform_names_none(changes: dict[str, Any]) -> None:
    """The newest record counts, even if it names nothing: an older one is not gone back to."""
    inbox = LyingInbox()
    inbox.name_receipt_key(**changes)
    inbox.integrate()
    inbox.says("hello")
    await refused(inbox, "names no receipt key")
    inbox.name_receipt_key()
    inbox.integrate()
    await inbox.partner.grants()
    assert len((await read(inbox)).pending) == 1


async def test_a_map_that_leaves_the_newest_record_out_is_refused(inbox: LyingInbox) -> None:
    """The proof leads to the map's root, which the auditors vouch for; a shorter list does not."""
    old, inbox.receipt_key = inbox.receipt_key, SigningKey.generate()
    inbox.name_receipt_key()
    inbox.integrate()
    inbox.receipt_key = old
    answer = inbox.log.statement

    def shortened(size: int, key: str) -> dict[str, object]:
        found = answer(size, key)
        leaves = found["leaves"]
        assert isinstance(leaves, list)
        return found | {"leaves": leaves[:-1], "count": len(leaves) - 1}

    inbox.log.statement = shortened  # type: ignore[method-assign]
    inbox.partner = inbox.new_partner()
    await refused(inbox, "map")


# Promises


async def test_a_broken_promise_becomes_a_file_that_anyone_can_check(inbox: LyingInbox) -> None:
    """The read is never recorded; one epoch after the deadline the partner holds the proof, and keeps it."""
    inbox.says("hello")
    assert await texts(inbox) == ["hello"]
    inbox.hidden.update(inbox.outbox)
    inbox.now += MERGE_DELAY_MS
    inbox.integrate()
    found = await inbox.partner.prove_receipts()
    assert (found.proven, found.missed, found.kept) == (0, 0, 1)  # at the deadline it is not late yet
    inbox.now += 1
    inbox.integrate()
    found = await inbox.partner.prove_receipts()
    assert (found.proven, found.missed, found.kept) == (0, 1, 0)
    (data,) = inbox.partner.evidence()
    verdict = evidence.check(data, TRUSTED, inbox.now // 1000)
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.details["deadline"] == START + MERGE_DELAY_MS
    flipped = data.replace(str(START + MERGE_DELAY_MS).encode(), str(START + MERGE_DELAY_MS - 1).encode())
    assert flipped != data
    assert evidence.check(flipped, TRUSTED, inbox.now // 1000).outcome is Outcome.REJECTED
    inbox.hidden.clear()
    inbox.integrate()
    assert (await inbox.partner.prove_receipts()).kept == 0
    restarted = Records(inbox.partner._records._store)
    assert type(inbox.partner)(inbox.partner._transport, restarted, now=lambda: inbox.now).evidence() == [data]


async def test_a_promise_that_was_kept_late_is_kept_where_nobody_looked_in_between(inbox: LyingInbox) -> None:
    """The partner can only show what a tree showed: here the leaf was in the first one that it saw."""
    inbox.says("hello")
    await read(inbox)
    inbox.now += 2 * MERGE_DELAY_MS
    inbox.integrate()
    found = await inbox.partner.prove_receipts()
    assert (found.proven, found.missed, found.kept) == (1, 0, 0)


async def test_a_leaf_whose_place_is_not_told_is_found_in_the_map(inbox: LyingInbox) -> None:
    """The platform does not say where; past the deadline the map shows that it is there, and there is no evidence."""
    inbox.says("hello")
    await read(inbox)
    inbox.integrate()
    place = inbox.log._leaf
    inbox.log._leaf = lambda wanted: place(bytes(32))  # type: ignore[method-assign]
    assert (await inbox.partner.prove_receipts()).kept == 1
    inbox.now += MERGE_DELAY_MS + 1
    inbox.integrate()
    found = await inbox.partner.prove_receipts()
    assert (found.proven, found.missed, found.kept) == (1, 0, 0)


async def test_wrong_places_and_broken_tiles_prove_nothing(inbox: LyingInbox) -> None:
    """The receipt stays until the platform shows the leaf."""
    inbox.says("hello")
    await read(inbox)
    inbox.integrate()
    log, place = inbox.log, inbox.log._leaf
    log._leaf = lambda _wanted: place(_hash_of(log, 0))  # type: ignore[method-assign]
    assert (await inbox.partner.prove_receipts()).kept == 1
    log._leaf = place  # type: ignore[method-assign]
    tile = Tile(0, 0, log.edge.size).path
    sound = log.files[tile]
    log.files[tile] = sound[:-1]
    assert (await inbox.partner.prove_receipts()).kept == 1
    log.files[tile] = sound
    assert (await inbox.partner.prove_receipts()).kept == 0


def _hash_of(log: PublishedLog, index: int) -> bytes:
    return leaf_hash(log.leaves[index])


async def test_receipts_are_proven_by_polling_and_survive_a_restart(inbox: LyingInbox) -> None:
    """They are in the store; `poll` looks after them, and a log that cannot be asked does not stop it."""
    inbox.says("hello")
    await read(inbox)
    assert len([name for name in stored(inbox) if name[0] == "receipt"]) == 1
    checkpoint = inbox.log.files.pop("checkpoint")
    await inbox.partner.poll()
    assert len([name for name in stored(inbox) if name[0] == "receipt"]) == 1
    inbox.log.files["checkpoint"] = checkpoint
    inbox.integrate()
    again = type(inbox.partner)(inbox.partner._transport, inbox.partner._records, now=lambda: inbox.now)
    await again.poll()
    assert [name for name in stored(inbox) if name[0] == "receipt"] == []


async def test_work_is_bounded_and_goes_on_where_it_ended(inbox: LyingInbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Receipts that cannot be settled now do not keep later ones from being."""
    monkeypatch.setattr("paraph.sdk.log.promises.BATCH", 2)
    assert BATCH > 2
    for n in range(5):
        inbox.says(str(n))
        await read(inbox)
        if n == 1:
            inbox.hidden.update(inbox.outbox)
        inbox.now += 1
    inbox.integrate()
    settled = [(await inbox.partner.prove_receipts()).proven for _ in range(3)]
    assert settled == [0, 2, 1]
    inbox.hidden.clear()
    inbox.integrate()
    assert (await inbox.partner.prove_receipts()).kept == 0


async def test_a_partner_that_holds_too_many_unproven_receipts_reads_no_more(
    inbox: LyingInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A platform that never shows what it promised is not asked for more."""
    monkeypatch.setattr("paraph.sdk.log.promises.MAX_KEPT", 1)
    inbox.says("one")
    await read(inbox)
    inbox.says("two")
    await refused(inbox, "too many receipts")
    inbox.integrate()
    await inbox.partner.prove_receipts()
    assert await texts(inbox) == ["two"]
