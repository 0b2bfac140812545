"""Ledger entries as a person or partner gets them (docs/protocol.md §6, `E`), and the log leaf each one makes.

Nothing here proves that an entry is as it was logged: the leaf follows from entry and openings, and `LogView.prove`
shows that the log has exactly that leaf.
"""

from dataclasses import dataclass
from typing import Any

from paraph.protocol.base64 import unb64url
from paraph.protocol.entry import (
    ACCESS_KINDS,
    access_label,
    account_label,
    commitment,
    grant_key,
    private_leaf,
    week_of,
)
from paraph.protocol.errors import ProtocolError
from paraph.sdk.errors import ReceiptError


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One recorded act. `seq` orders a person's entries, `ts` is milliseconds, `leaf` what the log commits to."""

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
        found, o1, o2 = (unb64url(rendered[name], 32) for name in ("label", "o1", "o2"))
        if week != week_of(entry["ts"]):
            raise ReceiptError("the entry stands in another week than its time")
        if label is not None and found != label:
            raise ReceiptError("the entry stands under another label than its person or grant has")
        leaf = private_leaf(week, found, commitment(entry, o1, o2))
        return LedgerEntry(
            rendered["seq"], entry["kind"], entry["person"], entry["partner"], entry["ts"], entry["body"], leaf
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
