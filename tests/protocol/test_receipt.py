"""Receipts: a promise about one leaf of one log until one time, by one key."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from paraph.protocol.base64 import b64url
from paraph.protocol.documents import parse, to_document
from paraph.protocol.errors import DocumentError, ProtocolError
from paraph.protocol.limits import MAX_TIME, MERGE_DELAY_MS
from paraph.protocol.receipt import KEY_ID, Receipt, deadline_of, make_receipt, receipt_key_of, verify_receipt
from paraph.protocol.signing import SigningKey, sign

SERVER, LOG = "example.org", "example.org/log"
KEY = SigningKey.from_seed(bytes(range(32)))
LEAF = bytes(range(1, 33))
TS = 1_760_000_000_000
KNOWN = {"log": LOG, "receipt_key": KEY.public_key}


def receipt(**changes: Any) -> dict[str, Any]:
    """A sound receipt; members are changed before it is signed."""
    made = make_receipt(LOG, LEAF, TS, KEY.sign)
    del made["signatures"]
    return sign({**made, **changes}, SERVER, KEY_ID, KEY.sign)


def test_receipt_names_leaf_and_deadline() -> None:
    """What was made verifies, and says which leaf will be in which log, a merge delay after the entry."""
    made = make_receipt(LOG, LEAF, TS, KEY.sign)
    found = verify_receipt(made, **KNOWN)
    assert (found.log, found.leaf, found.deadline) == (LOG, b64url(LEAF), TS + MERGE_DELAY_MS)
    assert to_document(parse(Receipt, made)) == made


def test_the_same_leaf_gets_the_same_receipt() -> None:
    """Asked again, the platform promises nothing new: Ed25519 signatures are deterministic (RFC 8032)."""
    assert receipt() == receipt()


def test_the_last_time_has_a_deadline_too() -> None:
    """A deadline never leaves the times that canonical JSON has."""
    assert deadline_of(MAX_TIME) == MAX_TIME


@pytest.mark.parametrize("member", ["type", "log", "leaf", "deadline", "signatures"])
def test_every_member_is_needed(member: str) -> None:
    """Without one of its members a receipt says nothing."""
    made = receipt()
    del made[member]
    with pytest.raises(ProtocolError):
        verify_receipt(made, **KNOWN)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("log", "example.org/other"),
        ("leaf", b64url(bytes(32))),
        ("deadline", TS + MERGE_DELAY_MS + 1),
        ("type", "org.paraph.grant"),
    ],
)
def test_every_member_is_signed(member: str, value: Any) -> None:
    """What was changed after signing is refused; signed anew by the same key, only what it says would count."""
    with pytest.raises(ProtocolError):
        verify_receipt({**receipt(), member: value}, **KNOWN)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "org.paraph.promise"},
        {"log": "example.org/other"},
        {"log": "two words"},
        {"log": "a+b"},
        {"log": ""},
        {"leaf": "short"},
        {"leaf": b64url(LEAF) + "="},
        {"leaf": None},
        {"deadline": -1},
        {"deadline": str(TS)},
        {"deadline": True},
        {"note": "x"},
    ],
)
def test_out_of_bounds_is_refused_even_when_signed(changes: dict[str, Any]) -> None:
    """A signature does not make a malformed receipt a sound one."""
    with pytest.raises(ProtocolError):
        verify_receipt(receipt(**changes), **KNOWN)


def test_another_key_entity_or_key_id_is_refused() -> None:
    """The receipt key under the platform's name and nothing else: not the operator's, not a person's."""
    sound, other = receipt(), SigningKey.generate()
    verify_receipt(sound, **KNOWN)
    unsigned = {name: value for name, value in sound.items() if name != "signatures"}
    for forged in (
        sign(unsigned, SERVER, KEY_ID, other.sign),
        sign(unsigned, SERVER, "ed25519:operator", KEY.sign),
        sign(unsigned, "example.com", KEY_ID, KEY.sign),
    ):
        with pytest.raises(ProtocolError):
            verify_receipt(forged, **KNOWN)
    signature = sound["signatures"][SERVER][KEY_ID]
    for broken in (signature[:-1], signature + "A", "A" * 86, None):
        changed = copy.deepcopy(sound)
        changed["signatures"][SERVER][KEY_ID] = broken
        with pytest.raises(ProtocolError):
            verify_receipt(changed, **KNOWN)


def record(**changes: Any) -> dict[str, Any]:
    """A platform record that names the receipt key."""
    document = {"version": "1", "server_name": SERVER, "operator_key": KEY.public_key, "api": "0" * 64}
    return {
        "kind": "platform",
        "partner": "platform",
        "ts": TS,
        "document": document | {"receipt_key": KEY.public_key} | changes,
    }


def test_the_platforms_record_names_the_receipt_key() -> None:
    """The key is taken from the record of this platform, whatever else the record says."""
    assert receipt_key_of(record(), LOG) == KEY.public_key
    assert receipt_key_of(record(limits="0" * 64), LOG) == KEY.public_key
    for bad in (
        record(server_name="example.com"),
        record(receipt_key=None),
        record(receipt_key="short"),
        record(receipt_key=KEY.public_key + "="),
        record() | {"kind": "notice"},
        record() | {"partner": "marquee"},
        record() | {"document": None},
        {},
    ):
        with pytest.raises(DocumentError):
            receipt_key_of(bad, LOG)


def test_a_receipt_belongs_to_the_server_that_its_log_is_named_after() -> None:
    """Whose signature counts follows from the log's origin, so a receipt is checked with nothing but the log known."""
    for nameless in ("/log", "example.org", ""):
        with pytest.raises(DocumentError):
            make_receipt(nameless, LEAF, TS, KEY.sign)
        with pytest.raises(DocumentError):
            receipt_key_of(record(), nameless)
