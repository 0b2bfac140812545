"""Ledger entries as a person or partner gets them (docs/protocol.md §6, `E`), their leaves, and the receipts for them.

Nothing here proves that an entry is as it was logged: the leaf follows from entry and openings, and `LogView.prove`
shows that the log has exactly that leaf. A receipt is the platform's signed promise that it will.
"""

from dataclasses import dataclass
from typing import Any

from paraph.protocol.base64 import b64url, unb64url
from paraph.protocol.entry import (
    ACCESS_KINDS,
    access_label,
    account_label,
    check_entry,
    commitment,
    grant_key,
    private_leaf,
    week_of,
)
from paraph.protocol.errors import ProtocolError, SignatureError
from paraph.protocol.receipt import Receipt, deadline_of, verify_receipt
from paraph.sdk.errors import ReceiptError
from paraph.tlog.merkle import leaf_hash


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One recorded act. `seq` orders a person's entries (partners are not told it), `ts` is milliseconds, `leaf` what
    the log commits to.
    """

    seq: int
    kind: str
    person: str
    partner: str | None
    ts: int
    body: dict[str, Any]
    leaf: bytes


def read_entry(rendered: Any, *, label: bytes | None = None) -> LedgerEntry:
    """Check week and openings of an entry, and its label if the right one is known. Raises ReceiptError."""
    try:
        entry, week = rendered["entry"], rendered["week"]
        check_entry(entry)
        found, o1, o2 = (unb64url(rendered[name], 32) for name in ("label", "o1", "o2"))
        if week != week_of(entry["ts"]):
            raise ReceiptError("the entry stands in another week than its time")
        if label is not None and found != label:
            raise ReceiptError("the entry stands under another label than its person or grant has")
        leaf = private_leaf(week, found, commitment(entry, o1, o2))
        return LedgerEntry(
            rendered.get("seq", 0), entry["kind"], entry["person"], entry["partner"], entry["ts"], entry["body"], leaf
        )
    except (ProtocolError, KeyError, TypeError, AttributeError) as error:
        raise ReceiptError(f"not a ledger entry: {error}") from error


def read_own_entry(rendered: Any, log_key: bytes) -> LedgerEntry:
    """Check an entry of the holder of `log_key`, its label included. Raises ReceiptError."""
    try:
        entry, week = rendered["entry"], rendered["week"]
        if entry["kind"] in ACCESS_KINDS:
            label = access_label(grant_key(log_key, entry["body"]["grant_id"]), week)
        else:
            label = account_label(log_key, week)
    except (ProtocolError, KeyError, TypeError) as error:
        raise ReceiptError(f"not a ledger entry: {error}") from error
    return read_entry(rendered, label=label)


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """With which key (unpadded base64) the platform of a log signs receipts; `record` is the leaf that says so."""

    log: str
    key: str
    record: dict[str, Any]


class OtherKeyError(ReceiptError):
    """A receipt that the key known did not sign: a forged one, unless the log names another key by now."""


def check_receipt(rendered: Any, entry: LedgerEntry, receipt_key: ReceiptKey) -> Receipt:
    """The receipt beside an entry, if it promises exactly this entry's leaf for exactly the right time.

    Raises OtherKeyError where its signature is not by `receipt_key`, else ReceiptError.
    """
    document = rendered.get("receipt") if isinstance(rendered, dict) else None
    if not isinstance(document, dict):
        raise ReceiptError("the entry comes without a receipt")
    try:
        receipt = verify_receipt(document, log=receipt_key.log, receipt_key=receipt_key.key)
    except SignatureError as error:
        raise OtherKeyError(f"the receipt is not signed by the platform's receipt key: {error}") from error
    except ProtocolError as error:
        raise ReceiptError(f"not a receipt of this platform: {error}") from error
    if receipt.leaf != b64url(leaf_hash(entry.leaf)):
        raise ReceiptError("the receipt is for another record than the one beside it")
    if receipt.deadline != deadline_of(entry.ts):
        raise ReceiptError("the receipt promises the record for another time than its entry's, and the merge delay")
    return receipt
