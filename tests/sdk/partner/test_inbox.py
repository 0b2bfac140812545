"""A partner believes an answer only with its entries and receipts, and keys only from an author's own devices."""

from __future__ import annotations

import os
from typing import Any

import pytest

from paraph.protocol.base64 import b64url
from paraph.protocol.enrolment import key_hash
from paraph.protocol.entry import access_label, entry, week_of
from paraph.protocol.receipt import KEY_ID, make_receipt
from paraph.protocol.signing import SigningKey, document_hash, sign
from paraph.sdk.engine.cross_signing import IdentitySeeds
from paraph.sdk.engine.model import OlmEvent
from paraph.sdk.errors import ReceiptError
from paraph.sdk.log.receipts import LedgerEntry, OtherKeyError, ReceiptKey, read_entry
from paraph.sdk.partner.inbox import MAX_HELD, MAX_SKEW_MS, Asked, GrantBook
from paraph.tlog.merkle import leaf_hash
from tests.sdk.directory import AUTHOR, CORRESPONDENT, PARTNER, ROOM, START, Directory, Phone, room, view_of

DAY = 86_400_000
GRANT_ID = "gr_AAAAAAAAAAAAAAAAAAAAAA"
KEY = bytes(range(32))
LOG = "example.org/log"
RECEIPT = SigningKey.from_seed(bytes(range(1, 33)))
KNOWN = ReceiptKey(LOG, RECEIPT.public_key, {})
EVENTS = [{"event_id": f"$e{n}", "sender": AUTHOR} for n in range(3)]


def grant_of(author: Phone, **changes: Any) -> dict[str, Any]:
    """A grant as the inbox lists it."""
    identity, account = author.engine.identity, author.engine.account
    assert identity is not None
    document = {
        "type": "org.paraph.grant",
        "grant_id": GRANT_ID,
        "person": author.user,
        "device_id": account.device_id,
        "master_key": identity.master.public_key,
        "partner": "marquee",
        "agreement": {"version": 1, "hash": b64url(bytes(32))},
        "verbs": ["read"],
        "rooms": "all",
        "purposes": ["recommendations"],
        "from": START,
        "until": START + DAY,
        "history": None,
        "retention_days": 0,
        "grant_key_hash": key_hash(KEY),
        "consent": {"template": "t", "locale": "en", "text_hash": b64url(bytes(32))},
        **changes,
    }
    chain = identity.chain()
    return {
        "grant": account.signed(document),
        "chain": chain,
        "amendments": [],
        "live": True,
        "devices": [device_of(author)],
    }


def amendment_of(author: Phone, listed: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """An amendment of a grant as the inbox lists it."""
    identity, account = author.engine.identity, author.engine.account
    assert identity is not None
    document = {
        "type": "org.paraph.amendment",
        "grant_id": GRANT_ID,
        "person": author.user,
        "device_id": account.device_id,
        "previous": document_hash(listed["grant"]),
        "change": change,
        "created": START,
    }
    return {"amendment": account.signed(document), "chain": identity.chain()}


def device_of(author: Phone, **changes: Any) -> dict[str, Any]:
    """An enrolled device as the inbox lists it."""
    identity, account = author.engine.identity, author.engine.account
    assert identity is not None
    enrolment = {
        "type": "org.paraph.enrolment",
        "user_id": author.user,
        "device_id": account.device_id,
        "master_key": identity.master.public_key,
        "curve25519": account.curve25519,
        "ed25519": account.ed25519,
        "log_key_hash": key_hash(bytes(32)),
        "created": START,
        **changes,
    }
    signed = sign(account.signed(enrolment), author.user, identity.master.key_id, identity.master.sign)
    return {"device_id": account.device_id, "enrolment": signed, "chain": identity.chain()}


def access(
    *,
    label: bytes | None = None,
    person: str = AUTHOR,
    ids: list[str] | None = None,
    partner: str = "marquee",
    ts: int = START,
    **body: Any,
) -> Any:
    """An access entry with its receipt as the inbox answers it, by default for all of `EVENTS`."""
    week = week_of(ts)
    made = {"grant_id": GRANT_ID, "purpose": "recommendations", "room_id": ROOM, **body}
    made["event_ids"] = [e["event_id"] for e in EVENTS] if ids is None else ids
    rendered = {
        "seq": 1,
        "entry": entry("access", person, partner, ts, made),
        "o1": b64url(os.urandom(32)),
        "o2": b64url(os.urandom(32)),
        "label": b64url(label or access_label(KEY, week)),
        "week": week,
    }
    return promised(rendered)


def promised(rendered: dict[str, Any], *, leaf: bytes | None = None, late: int = 0, key: SigningKey = RECEIPT) -> Any:
    """The entry with a receipt, by default the right one."""
    read = read_entry(rendered)
    receipt = make_receipt(LOG, leaf_hash(leaf or read.leaf), read.ts + late, key.sign)
    return rendered | {"receipt": receipt}


class Desk:
    """A partner with one grant, from one author."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.author = Phone(self.directory, AUTHOR, "A")
        self.partner = Phone(self.directory, PARTNER, "P", identity=False)
        self.book = GrantBook(self.partner.records, self.partner.engine, "marquee")
        self.take_in(grant_of(self.author))

    def take_in(self, *listed: dict[str, Any]) -> list[str]:
        with self.partner.records.step():
            return [grant.grant_id for grant in self.book.take_in(listed)]

    def check(
        self, room: str, events: list[Any], entries: list[Any], *, purpose: str = "recommendations", at: int = START
    ) -> tuple[LedgerEntry, ...]:
        with self.partner.records.step():
            checked = self.book.check_answer(Asked(room, purpose, at, at + 50), events, entries, KNOWN)
            self.book.take(checked)
        return tuple(found.entry for found in checked)

    def take_key(self, key: bytes = KEY, **changes: str) -> str | None:
        account = self.author.engine.account
        event = OlmEvent(
            changes.get("sender", AUTHOR),
            changes.get("sender_key", account.curve25519),
            "A",
            "org.paraph.grant_key",
            {"grant_id": GRANT_ID, "grant_key": b64url(key)},
        )
        with self.partner.records.step():
            return self.book.take_key(event)


@pytest.fixture
def desk() -> Desk:
    """A partner's desk."""
    return Desk()


def test_fitting_entry_is_accepted(desk: Desk) -> None:
    """An answer whose access entry says exactly what was served is used, before and after the grant key came."""
    desk.check(ROOM, EVENTS, [access(label=bytes(32))])
    assert desk.take_key() == GRANT_ID
    (checked,) = desk.check(ROOM, EVENTS, [access()])
    assert checked.body["event_ids"] == ["$e0", "$e1", "$e2"]
    assert desk.check(ROOM, [], []) == ()
    with pytest.raises(ReceiptError, match="label"):
        desk.check(ROOM, EVENTS, [access(label=bytes(32))])


def test_entry_of_an_earlier_answer_records_no_second_read(desk: Desk) -> None:
    """An entry counts once: shown again with the same messages it would stand for a read that nobody recorded."""
    first, second = access(), access()
    desk.check(ROOM, EVENTS, [first])
    with pytest.raises(ReceiptError, match="earlier answer"):
        desk.check(ROOM, EVENTS, [first])
    desk.check(ROOM, EVENTS, [second])


@pytest.mark.parametrize(
    "lie",
    [
        lambda sound: {name: value for name, value in sound.items() if name != "receipt"},
        lambda sound: {**sound, "receipt": None},
        lambda sound: {**sound, "receipt": {}},
        lambda sound: {**sound, "receipt": access()["receipt"]},
        lambda sound: {**sound, "receipt": {**sound["receipt"], "deadline": sound["receipt"]["deadline"] + 1}},
        lambda sound: {**sound, "receipt": {**sound["receipt"], "log": "example.com/log"}},
        lambda sound: {**sound, "receipt": {**sound["receipt"], "note": "x"}},
        lambda sound: {**sound, "receipt": {**sound["receipt"], "signatures": {}}},
        lambda sound: promised(sound, late=1),
        lambda sound: promised(sound, late=-1),
        lambda sound: promised(sound, leaf=bytes(67)),
        lambda sound: promised(sound, key=SigningKey.generate()),
    ],
)
def test_receipts_must_promise_exactly_this_entry(desk: Desk, lie: Any) -> None:
    """Missing, malformed, another entry's, of another deadline or log, forged: nothing is used; as made, it is."""
    desk.take_key()
    sound = access()
    with pytest.raises(ReceiptError):
        desk.check(ROOM, EVENTS, [lie(sound)])
    assert desk.check(ROOM, EVENTS, [sound])


def test_a_receipt_by_another_key_is_told_from_a_wrong_one(desk: Desk) -> None:
    """The log may name another key by now; a receipt that is wrong in itself is wrong under every key."""
    with pytest.raises(OtherKeyError):
        desk.check(ROOM, EVENTS, [promised(access(), key=SigningKey.generate())])
    sound = access()
    by_operator = sign({**sound["receipt"], "signatures": {}}, "example.org", "ed25519:operator", RECEIPT.sign)
    assert KEY_ID not in by_operator["signatures"]["example.org"]
    with pytest.raises(OtherKeyError):
        desk.check(ROOM, EVENTS, [{**sound, "receipt": by_operator}])


def test_an_answer_that_is_refused_leaves_nothing_behind(desk: Desk) -> None:
    """Of two authors' entries one is forged: the other one was not taken either, and counts when it comes again."""
    desk.take_key()
    sound, forged = access(), promised(access(person=CORRESPONDENT), key=SigningKey.generate())
    before = desk.partner.records.items("access-shown", bool)
    with pytest.raises(ReceiptError):
        desk.check(ROOM, EVENTS, [sound, forged])
    assert desk.partner.records.items("access-shown", bool) == before
    assert desk.check(ROOM, EVENTS, [sound])


def test_the_scope_is_the_grants(desk: Desk) -> None:
    """Rooms and purposes that the grant does not name are refused, though the entry says what was asked for."""
    desk.take_in(grant_of(desk.author, rooms=[ROOM]))
    other = "!other:example.org"
    assert desk.check(ROOM, EVENTS, [access()])
    with pytest.raises(ReceiptError, match="does not cover"):
        desk.check(other, EVENTS, [access(room_id=other)])
    with pytest.raises(ReceiptError, match="does not cover"):
        desk.check(ROOM, EVENTS, [access(purpose="advertising")], purpose="advertising")
    desk.take_in(grant_of(desk.author, rooms="all", purposes=["recommendations", "advertising"]))
    assert desk.check(other, EVENTS, [access(room_id=other)])
    assert desk.check(ROOM, EVENTS, [access(purpose="advertising")], purpose="advertising")


def test_the_scope_is_what_amendments_leave(desk: Desk) -> None:
    """A room that was dropped and a time that was cut off are outside; an amendment by anybody else is no amendment."""
    sound = grant_of(desk.author)
    dropped = amendment_of(desk.author, sound, {"op": "drop_rooms", "rooms": [ROOM]})
    shortened = amendment_of(desk.author, sound, {"op": "shorten", "until": START + 1000})
    other = "!other:example.org"
    desk.take_in({**sound, "amendments": [dropped, shortened]})
    with pytest.raises(ReceiptError, match="does not cover"):
        desk.check(ROOM, EVENTS, [access()])
    assert desk.check(other, EVENTS, [access(room_id=other, ts=START + 999)])
    with pytest.raises(ReceiptError, match="outside the grant"):
        desk.check(other, EVENTS, [access(room_id=other, ts=START + 1000)])
    stranger = amendment_of(Phone(Directory(), AUTHOR, "A"), sound, {"op": "shorten", "until": START + 1000})
    assert desk.take_in({**sound, "amendments": [stranger]}) == []


@pytest.mark.parametrize(("skew", "taken"), [(0, True), (MAX_SKEW_MS, True), (MAX_SKEW_MS + 1, False)])
def test_an_entry_is_of_the_time_of_its_answer(desk: Desk, skew: int, taken: bool) -> None:
    """By this partner's clock, give or take a minute: a promise for another year would be kept too late to matter."""
    desk.take_key()
    for ts in (START + DAY // 2 - skew, START + DAY // 2 + 50 + skew):
        if taken:
            assert desk.check(ROOM, EVENTS, [access(ts=ts)], at=START + DAY // 2)
        else:
            with pytest.raises(ReceiptError, match="time of this answer"):
                desk.check(ROOM, EVENTS, [access(ts=ts)], at=START + DAY // 2)


def test_what_was_shown_is_forgotten_when_its_time_gives_it_away(desk: Desk) -> None:
    """An old entry is refused by its time, so the list of those shown does not grow for ever."""
    first = access()
    desk.check(ROOM, EVENTS, [first])
    with desk.partner.records.step():
        desk.book.forget(START)
    assert len(desk.partner.records.items("access-shown", bool)) == 1
    with desk.partner.records.step():
        desk.book.forget(START + 1)
    assert desk.partner.records.items("access-shown", bool) == []
    with pytest.raises(ReceiptError, match="time of this answer"):
        desk.check(ROOM, EVENTS, [first], at=START + 2 * MAX_SKEW_MS)


def test_messages_are_held_until_the_grant_key_shows_the_label(desk: Desk) -> None:
    """Those under the right label are released with the key, the others are told apart; each once."""
    right, wrong = access(), access(label=bytes(32), ids=["$e9"])
    later = {"event_id": "$e9", "sender": AUTHOR}
    with desk.partner.records.step():
        for entry_, events in ((right, EVENTS), (wrong, [later])):
            (found,) = desk.book.check_answer(Asked(ROOM, "recommendations", START, START), events, [entry_], KNOWN)
            assert not found.labelled
            desk.book.hold(found, events)
    assert desk.take_key() == GRANT_ID
    with desk.partner.records.step():
        released = desk.book.release(GRANT_ID)
        again = desk.book.release(GRANT_ID)
    assert sorted((tuple(held.events), fits) for held, fits in released if fits) == [(tuple(EVENTS), True)]
    assert [held.events for held, fits in released if not fits] == [(later,)]
    assert again == []


def test_only_so_much_is_held(desk: Desk) -> None:
    """Beyond the bound the oldest go: they can be asked for again."""
    with desk.partner.records.step():
        for n in range(MAX_HELD + 2):
            entry_ = access(ts=START + n)
            (found,) = desk.book.check_answer(Asked(ROOM, "recommendations", START, START), EVENTS, [entry_], KNOWN)
            desk.book.hold(found, [{"n": n}])
    desk.take_key()
    with desk.partner.records.step():
        released = desk.book.release(GRANT_ID)
    assert [held.events[0]["n"] for held, _ in released] == list(range(2, MAX_HELD + 2))


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [access(ids=["$e0", "$e1"])],
        [access(ids=["$e0", "$e1", "$e2", "$e3"])],
        [access(ids=["$e1", "$e0", "$e2"])],
        [access(), access()],
        [access(person=CORRESPONDENT)],
        [access(room_id="!other:example.org")],
        [access(purpose="advertising")],
        [access(grant_id="gr_AQAAAAAAAAAAAAAAAAAAAA")],
        [{**access(), "week": 1}],
        [{**access(), "o1": "short"}],
        [{k: v for k, v in access().items() if k != "entry"}],
        [None],
        [access(partner="tempo")],
        [access(ts=START - 1)],
        [access(ts=START + DAY)],
        [access(ts=START + MAX_SKEW_MS + 51)],
        [access(label=bytes(32))],
        [{**access(), "entry": {**access()["entry"], "body": {}}}],
        [{**access(), "entry": {**access()["entry"], "kind": "draft"}}],
    ],
)
def test_unfitting_entries_are_refused(desk: Desk, entries: list[Any]) -> None:
    """Missing, incomplete, doubled, foreign or malformed entries make the answer unusable."""
    desk.take_key()
    with pytest.raises(ReceiptError):
        desk.check(ROOM, EVENTS, entries)


def test_grant_key_must_come_from_the_author_and_fit_the_grant(desk: Desk) -> None:
    """A key from another user or device, or another key, is not kept."""
    assert desk.take_key(sender=CORRESPONDENT) is None
    assert desk.take_key(sender_key="x" * 43) is None
    assert desk.take_key(bytes(32)) is None
    assert desk.take_key() == GRANT_ID


def test_forged_grants_are_left_out(desk: Desk) -> None:
    """A grant that the author's device did not sign, or that names another partner or identity, is not taken.

    What stands beside it is: nobody can keep a partner from everybody else's grants.
    """
    sound = grant_of(desk.author)
    correspondent = grant_of(Phone(desk.directory, CORRESPONDENT, "C"), grant_id="gr_AQAAAAAAAAAAAAAAAAAAAA")
    for listed in (
        {**sound, "grant": {**sound["grant"], "until": START + 2 * DAY}},
        grant_of(desk.author, partner="tempo"),
        grant_of(Phone(Directory(), AUTHOR, "A")),
        {**sound, "chain": None},
        {**sound, "devices": None},
        {**sound, "grant": None},
    ):
        assert desk.take_in(listed, correspondent) == ["gr_AQAAAAAAAAAAAAAAAAAAAA"]


def test_forged_devices_are_left_out(desk: Desk) -> None:
    """A device whose enrolment or chain does not check is not taken for the author's; those beside it are."""
    sound, intruder = grant_of(desk.author), Phone(Directory(), AUTHOR, "B")
    other = intruder.engine.account.curve25519
    for forged in (
        device_of(intruder),
        device_of(desk.author, curve25519=other),
        device_of(desk.author)["chain"],
        None,
    ):
        assert desk.take_in({**sound, "devices": [forged, device_of(desk.author)]}) == [GRANT_ID]
        assert desk.partner.engine.users.device_with_key(AUTHOR, other) is None
        assert desk.partner.engine.users.device_with_key(AUTHOR, desk.author.engine.account.curve25519) is not None


def test_keys_of_devices_that_are_not_enrolled_open_nothing_believable(desk: Desk) -> None:
    """What a device outside the author's enrolled ones wrote is not taken for her words."""
    other = Phone(desk.directory, AUTHOR, "OTHER", identity=False)
    view = view_of(desk.partner, START)
    believed = desk.author.send("hers", room(AUTHOR), view)
    claimed = other.send("also hers?", room(AUTHOR), view)
    desk.partner.sync()
    opened = desk.partner.read(believed)
    planted = desk.partner.read(claimed)
    assert getattr(opened, "sender_verified", None) is True
    assert getattr(planted, "sender_verified", None) is False


def test_self_signing_key_of_another_master_is_refused(desk: Desk) -> None:
    """A device vouched for by an identity the platform made up is refused."""
    seeds = IdentitySeeds(os.urandom(32), os.urandom(32), os.urandom(32))
    planted = Phone(Directory(), AUTHOR, "PLANTED", identity=seeds)
    chain = device_of(planted)["chain"]
    key = SigningKey.generate()
    resigned = sign({**chain["self_signing_key"], "signatures": {}}, AUTHOR, key.key_id, key.sign)
    for shown in (chain, {**chain, "self_signing_key": resigned}):
        desk.take_in({**grant_of(desk.author), "devices": [{**device_of(desk.author), "chain": shown}]})
        assert desk.partner.engine.users.device_with_key(AUTHOR, desk.author.engine.account.curve25519) is None
