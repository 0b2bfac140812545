"""A partner believes an answer only with its access entries, and keys only from an author's own devices."""

from __future__ import annotations

import os
from typing import Any

import pytest

from paraph.protocol.base64 import b64url
from paraph.protocol.enrolment import key_hash
from paraph.protocol.entry import access_label, entry, week_of
from paraph.protocol.signing import SigningKey, sign
from paraph.sdk.engine.cross_signing import IdentitySeeds
from paraph.sdk.engine.model import OlmEvent
from paraph.sdk.errors import ReceiptError
from paraph.sdk.inbox import GrantBook
from paraph.sdk.receipts import LedgerEntry
from tests.sdk.directory import AUTHOR, CORRESPONDENT, PARTNER, ROOM, START, Directory, Phone, room, view_of

DAY = 86_400_000
GRANT_ID = "gr_AAAAAAAAAAAAAAAAAAAAAA"
KEY = bytes(range(32))
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


def access(*, label: bytes | None = None, person: str = AUTHOR, ids: list[str] | None = None, **body: Any) -> Any:
    """An access entry as the inbox answers it, by default for all of `EVENTS`."""
    week = week_of(START)
    made = {"grant_id": GRANT_ID, "purpose": "recommendations", "room_id": ROOM, **body}
    made["event_ids"] = [e["event_id"] for e in EVENTS] if ids is None else ids
    return {
        "seq": 1,
        "entry": entry("access", person, "marquee", START, made),
        "o1": b64url(os.urandom(32)),
        "o2": b64url(os.urandom(32)),
        "label": b64url(label or access_label(KEY, week)),
        "week": week,
    }


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

    def check(self, room: str, events: list[dict[str, Any]], entries: list[Any]) -> tuple[LedgerEntry, ...]:
        with self.partner.records.step():
            return self.book.check_answer(room, "recommendations", events, entries)

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
