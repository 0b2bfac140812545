"""The platform's log as a partner relies on it: pinned, cosigned and young, with the receipt key that it names.

Whatever keeps a partner from relying on it is a ReceiptError here: without the log no receipt proves anything.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from paraph.sdk.errors import ForkDetectedError, ReceiptError, SdkError
from paraph.sdk.keystore import Records
from paraph.sdk.log.leaves import LogLeaves
from paraph.sdk.log.partners import Trust
from paraph.sdk.log.promises import Promises, ReceiptNews, holds_receipts
from paraph.sdk.log.receipt_key import ReceiptKeys
from paraph.sdk.log.receipts import LedgerEntry, ReceiptKey
from paraph.sdk.log.trust import Pinned
from paraph.sdk.log.view import LogView
from paraph.sdk.transport import Transport

T = TypeVar("T")


class PlatformLog:
    """One platform's log, receipt key and kept receipts; nothing is asked before it is needed."""

    def __init__(self, transport: Transport, records: Records, given: Trust | None, now: Callable[[], int]) -> None:
        """What `given` does not say is pinned at first use. `now` gives milliseconds."""
        self._transport = transport
        self._records = records
        self._now = now
        self._pinned = Pinned(transport, records, given)
        self._parts: tuple[ReceiptKeys, Promises] | None = None

    async def receipt_key(self) -> ReceiptKey:
        """The newest receipt key, under a tree that a quorum cosigned in the last ten minutes.

        Raises ForkDetectedError, or ReceiptError when there is none or when too many receipts are unproven.
        """
        keys, promises = await _relying(self._open())
        if promises.full:
            raise ReceiptError("too many receipts are unproven: nothing is read before the log has what was promised")
        return await _relying(keys.current())

    async def other_receipt_key(self) -> ReceiptKey:
        """The same, looked up now, since a receipt was signed by another key than that one."""
        keys, _ = await _relying(self._open())
        return await _relying(keys.anew())

    async def keep(self) -> Callable[[LedgerEntry, Mapping[str, Any], ReceiptKey], None]:
        """What keeps a receipt, within a step, until its leaf is proven."""
        return (await _relying(self._open()))[1].keep

    async def prove(self) -> ReceiptNews:
        """Look for the leaves of receipts, a bounded number of them. Raises SdkError."""
        if not holds_receipts(self._records):
            return ReceiptNews(0, 0, 0)
        return await (await self._open())[1].prove()

    async def _open(self) -> tuple[ReceiptKeys, Promises]:
        if self._parts is None:
            trust = await self._pinned.trust()
            if trust.policy is None:  # the platform may get witnesses yet: then their policy is pinned
                raise ReceiptError("the platform's log has no witnesses, so no receipt of it proves anything")
            leaves = LogLeaves(self._transport)
            view = LogView(self._transport, self._records, trust.log_vkey, trust.policy, self._now)
            keys = ReceiptKeys(self._records, view, leaves, self._now)
            self._parts = keys, Promises(self._records, view, leaves, self._now)
        return self._parts


async def _relying(call: Awaitable[T]) -> T:
    try:
        return await call
    except (ForkDetectedError, ReceiptError):
        raise
    except SdkError as error:
        raise ReceiptError(f"the platform's log cannot be relied upon, so no data are taken: {error}") from error
