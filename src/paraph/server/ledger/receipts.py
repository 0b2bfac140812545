"""Receipts: the platform's signed promise, beside each entry that an answer carries, that the leaf will be in the log.

A receipt is signed when the entry is durable and never before: what was promised is in the outbox by then, and the
outbox is emptied into the log, whatever ends or restarts. Ed25519 is deterministic and the deadline follows from the
entry, so an action that is answered again is answered with the same receipt.
"""

from typing import Any

from paraph.protocol.receipt import make_receipt
from paraph.protocol.signing import SigningKey
from paraph.server.ledger.model import Recorded
from paraph.tlog.merkle import leaf_hash


class Receipts:
    """Signs for the leaves of one log."""

    def __init__(self, key: SigningKey, origin: str) -> None:
        self._key = key
        self._origin = origin

    @property
    def public_key(self) -> str:
        """The receipt key, unpadded base64, as the `platform` leaf names it."""
        return self._key.public_key

    def answered(self, recorded: Recorded) -> dict[str, Any]:
        """The `E` of docs/protocol.md section 6 with its receipt, for an entry whose transaction is committed."""
        receipt = make_receipt(self._origin, leaf_hash(recorded.leaf), recorded.entry["ts"], self._key.sign)
        return recorded.rendered | {"receipt": receipt}
