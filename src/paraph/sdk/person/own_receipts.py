"""Receipts for a person's own acts: kept where the log does not show the act at once, until it does or is late.

What she did is in the log within seconds, and her device proves it there and then. Where it is not, the receipt beside
the answer is all she has: a promise that the record will be there within a minute of its time. If it is not there by
then, her device has the evidence (docs/protocol.md §10).
"""

import logging
from collections.abc import Callable
from typing import Any

from paraph.sdk.errors import SdkError
from paraph.sdk.keystore import Records
from paraph.sdk.log.leaves import LogLeaves
from paraph.sdk.log.promises import Promises, holds_receipts
from paraph.sdk.log.receipt_key import ReceiptKeys
from paraph.sdk.log.receipts import LedgerEntry, OtherKeyError, check_receipt
from paraph.sdk.log.view import LogView
from paraph.sdk.transport import Transport

log = logging.getLogger(__name__)


class OwnReceipts:
    """The promises that a platform has made to one device's person and not been seen to keep."""

    def __init__(self, transport: Transport, records: Records, log_view: LogView, now: Callable[[], int]) -> None:
        """`now` gives milliseconds."""
        leaves = LogLeaves(transport)
        self._records = records
        self._keys = ReceiptKeys(records, log_view, leaves, now)
        self._promises = Promises(records, log_view, leaves, now)

    async def keep(self, rendered: Any, entry: LedgerEntry) -> None:
        """Keep the receipt that came beside an entry, if it is a good one; say so in the log file if it is none."""
        try:
            key = await self._keys.current()
            try:
                check_receipt(rendered, entry, key)
            except OtherKeyError:
                key = await self._keys.anew()
                check_receipt(rendered, entry, key)
        except SdkError as error:
            log.warning("the platform shows no record of this act, nor a good receipt for it: %s", error)
            return
        with self._records.step():
            self._promises.keep(entry, rendered["receipt"], key)

    async def look(self) -> None:
        """Look whether what was promised is in the log by now; what is late becomes evidence."""
        if not holds_receipts(self._records):
            return
        try:
            await self._promises.prove()
        except SdkError as error:
            log.warning("whether promises were kept cannot be told now: %s", error)
