"""The public records of a log are verified partner by partner, and a record that does not hold is named."""

from pathlib import Path
from typing import Any

import pytest

from paraph.audit.errors import BadRecord
from paraph.audit.records import PartnerRecords, PublicRecords
from paraph.audit.replay import replay
from paraph.audit.sources import directory_source
from paraph.protocol.entry import public_leaf
from paraph.protocol.signing import document_hash, sign
from tests.audit.logs import KEY, LogWriter, private
from tests.protocol import examples
from tests.protocol.examples import ADDRESS, KEYS, NOW, SERVER, SLUG

FIRST = examples.agreement()
SECOND = examples.agreement(version=2, predecessor=document_hash(FIRST), reason="More purposes.")
THIRD = examples.agreement(version=3, predecessor=document_hash(SECOND))
HASTY = examples.agreement(version=2, predecessor=document_hash(FIRST), verbs=["metadata", "read", "friends"])
"""An extension that does not wait for the notice."""
ENDING = examples.by_partner(examples.agreement_ended())
DEVICE = examples.partner_device()
DEVICE_ENDING = examples.by_operator(examples.partner_device_ended())


def leaf(kind: str, document: dict[str, Any], partner: str = SLUG) -> bytes:
    """A public leaf about the partner."""
    return public_leaf(kind, partner, NOW, document)


WHOLE = [
    leaf("agreement-ended", ENDING),
    leaf("partner-device-ended", DEVICE_ENDING),
    leaf("agreement", THIRD),
    private(1),
    leaf("partner-device", DEVICE),
    leaf("agreement", FIRST),
    public_leaf("platform", "platform", NOW, {"build": "one"}),
    leaf("agreement", SECOND),
]
"""Shuffled, as the leaves of one epoch are: endings before what they end, versions in any order."""


def gather(root: Path, leaves: list[bytes]) -> PublicRecords:
    """Replay a log of these leaves."""
    LogWriter(root).epoch(leaves)
    records = PublicRecords(SERVER, KEYS.operator.public_key)
    replay(directory_source(root), KEY.vkey, visit=records.visit)
    return records


def verify(root: Path, leaves: list[bytes]) -> PartnerRecords:
    """The partner's records from a log of these leaves."""
    return gather(root, leaves).partners()[SLUG]


def test_records_are_verified_in_whatever_order_they_stand(tmp_path: Path) -> None:
    """Agreements come by version, each with its place in the log; what is no partner's is kept apart."""
    records = gather(tmp_path, WHOLE)
    partners = records.partners()
    assert list(partners) == [SLUG]
    found = partners[SLUG]
    assert [(record.index, record.document.version) for record in found.agreements] == [(5, 1), (7, 2), (2, 3)]
    assert [record.document.agreement_hash for record in found.endings] == [document_hash(FIRST)]
    assert [record.document.device_id for record in found.devices] == ["PARTNERDEV"]
    assert [(record.index, record.ts) for record in found.device_endings] == [(1, NOW)]
    assert [(index, other.kind) for index, other in records.others] == [(6, "platform")]


def test_a_log_without_partners(tmp_path: Path) -> None:
    """Nothing to verify is nothing wrong."""
    assert gather(tmp_path, [private(1)]).partners() == {}


def unsigned(document: dict[str, Any], entity: str) -> dict[str, Any]:
    """The same document without one party's signatures."""
    return document | {"signatures": {who: made for who, made in document["signatures"].items() if who != entity}}


def forged(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same signatures over other words."""
    return document | changes


OTHER_KEY = sign(
    sign(
        {k: v for k, v in SECOND.items() if k != "signatures"} | {"master_key": KEYS.stranger.public_key},
        SERVER,
        "ed25519:operator",
        KEYS.operator.sign,
    ),
    ADDRESS,
    KEYS.stranger.key_id,
    KEYS.stranger.sign,
)
"""A second version under another master key, signed by the operator and by that key."""


@pytest.mark.parametrize(
    ("leaves", "index"),
    [
        ([leaf("agreement", unsigned(FIRST, SERVER))], 0),
        ([leaf("agreement", unsigned(FIRST, ADDRESS))], 0),
        ([leaf("agreement", forged(FIRST, purposes=["advertising"]))], 0),
        ([leaf("agreement", forged(FIRST, extra=1))], 0),
        ([leaf("agreement", FIRST), leaf("agreement", OTHER_KEY)], 1),
        ([leaf("agreement", FIRST), leaf("agreement", THIRD)], 1),
        ([leaf("agreement", FIRST), leaf("agreement", FIRST)], 1),
        ([leaf("agreement", FIRST), leaf("agreement", examples.agreement(version=2, predecessor="A" * 43))], 1),
        ([leaf("agreement", FIRST), leaf("agreement", HASTY)], 1),
        ([private(1), leaf("agreement", SECOND)], 1),
        ([private(1), leaf("partner-device", DEVICE)], 1),
        ([leaf("agreement", FIRST), leaf("agreement-ended", examples.agreement_ended())], 1),
        ([leaf("agreement", FIRST), leaf("agreement-ended", forged(ENDING, reason="Other words."))], 1),
        (
            [
                leaf("agreement", FIRST),
                leaf("agreement-ended", examples.by_partner(examples.agreement_ended(agreement_hash="A" * 43))),
            ],
            1,
        ),
        ([leaf("agreement", FIRST), leaf("partner-device", unsigned(DEVICE, ADDRESS))], 1),
        ([leaf("agreement", FIRST), leaf("partner-device", forged(DEVICE, expires=NOW + 1))], 1),
        ([leaf("agreement", FIRST), leaf("partner-device-ended", DEVICE_ENDING)], 1),
        ([leaf("agreement", FIRST), leaf("partner-device", FIRST)], 1),
        ([leaf("agreement", FIRST), leaf("agreement", FIRST, partner="another-club")], 1),
    ],
    ids=[
        "operator did not sign",
        "partner did not sign",
        "other words",
        "unknown member",
        "another master key",
        "version left out",
        "version twice",
        "another predecessor",
        "no notice of an extension",
        "no first version",
        "device without agreement",
        "unsigned ending",
        "ending of other words",
        "ending of an unknown agreement",
        "device not signed",
        "device of other words",
        "ending of an unknown device",
        "document of another kind",
        "document about another partner",
    ],
)
def test_a_record_that_does_not_hold_is_named(tmp_path: Path, leaves: list[bytes], index: int) -> None:
    """Missing or wrong signatures, broken chains of versions, endings of nothing, misplaced documents."""
    records = gather(tmp_path, leaves)
    with pytest.raises(BadRecord, match=rf"^leaf {index}: expected ") as caught:
        records.partners()
    assert "binds nobody" in caught.value.diagnostics()


def test_another_operators_log_is_refused(tmp_path: Path) -> None:
    """The auditor's own knowledge of the operator's key decides."""
    LogWriter(tmp_path).epoch(WHOLE)
    records = PublicRecords(SERVER, KEYS.stranger.public_key)
    replay(directory_source(tmp_path), KEY.vkey, visit=records.visit)
    with pytest.raises(BadRecord):
        records.partners()
