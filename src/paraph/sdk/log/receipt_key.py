"""With which key a platform signs receipts: what the newest `platform` record in its log says, under a cosigned tree.

The record is read from the log itself. The map (docs/protocol.md §9) shows all leaves under the platform's label, so no
later record can be held back; those that came since the last look are read, from the newest on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from paraph.audit.statement import ProvenTree
from paraph.protocol.entry import PublicLeaf, parse_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.identifiers import PLATFORM
from paraph.protocol.map_key import public_map_key
from paraph.protocol.receipt import receipt_key_of
from paraph.sdk.errors import ForkDetectedError, LogError, SdkError
from paraph.sdk.keystore import Records
from paraph.sdk.log.leaves import LogLeaves
from paraph.sdk.log.receipts import ReceiptKey
from paraph.sdk.log.view import MAX_AGE, LogView
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import leaf_hash

TABLE = "receipt-key"
LOOK_MS = 60_000
"""For how long one look at the log serves."""
MAX_UNREAD = 4096
"""Leaves under the platform's label that are read at most to find the newest record."""
_AT_A_TIME = 64


class Named(msgspec.Struct, frozen=True):
    """The newest `platform` record, and how many leaves the platform's label had then, the last of them with hash."""

    record: dict[str, Any]
    count: int
    last: bytes


class ReceiptKeys:
    """The receipt key of one log. One instance may be asked by several tasks."""

    def __init__(self, records: Records, log_view: LogView, leaves: LogLeaves, now: Callable[[], int]) -> None:
        """`now` gives milliseconds."""
        self._records = records
        self._log = log_view
        self._leaves = leaves
        self._now = now
        self._found: tuple[ProvenTree, ReceiptKey] | None = None
        self._looked = 0

    async def current(self) -> ReceiptKey:
        """The newest receipt key under a tree that a quorum cosigned at most ten minutes ago; looked up now and then.

        Raises ForkDetectedError, or LogError when the log cannot be relied upon or names no receipt key.
        """
        known = None if self._log.fork is not None else self._found
        if known is not None and 0 <= self._now() - self._looked < LOOK_MS and self._is_young(known[0]):
            return known[1]
        try:
            return await self.anew()
        except ForkDetectedError:
            raise
        except SdkError as error:
            if known is None or not self._is_young(known[0]):
                raise LogError(f"the log cannot be asked: {error}") from error
            return known[1]

    async def anew(self) -> ReceiptKey:
        """The same, looked up now: a receipt was signed by another key. Raises SdkError."""
        self._looked = self._now()
        await self._log.refresh()
        key = public_map_key(PLATFORM)
        found = await self._log.statements([key])
        try:
            named = await self._newest(found.leaves(key), found.tree.size)
            origin = found.tree.cosigned.checkpoint.origin
            made = ReceiptKey(origin, receipt_key_of(named.record, origin), named.record)
        except (ProtocolError, TlogError) as error:
            raise LogError(f"the log names no receipt key: {error}") from error
        with self._records.step():
            self._records.put(TABLE, "self", named)
        self._found = found.tree, made
        return made

    def _is_young(self, tree: ProvenTree) -> bool:
        return self._now() // 1000 - tree.cosigned.time <= MAX_AGE

    async def _newest(self, leaves: Sequence[bytes], size: int) -> Named:
        """The last platform record among the leaves with these hashes; those read before are not read again."""
        known = self._records.get(TABLE, "self", Named)
        read = 0
        if known is not None and 0 < known.count <= len(leaves) and leaves[known.count - 1] == known.last:
            read = known.count
        end = len(leaves)
        if end - read > MAX_UNREAD:
            raise LogError(f"the platform's label has {end - read} records to read, more than {MAX_UNREAD}")
        while end > read:
            start = max(read, end - _AT_A_TIME)
            for leaf in reversed(await self._read(leaves[start:end], size)):
                if leaf.kind == PLATFORM:
                    return Named(_record(leaf), len(leaves), leaves[-1])
            end = start
        if known is None or read == 0:
            raise LogError("the log holds no record of what the platform is")
        return Named(known.record, len(leaves), leaves[-1])

    async def _read(self, hashes: Sequence[bytes], size: int) -> list[PublicLeaf]:
        found = []
        for hashed, leaf in zip(hashes, await self._leaves.read(hashes, size), strict=True):
            if leaf_hash(leaf) != hashed:
                raise LogError("the log shows another leaf than the one under the platform's label")
            parsed = parse_leaf(leaf)
            if not isinstance(parsed, PublicLeaf):
                raise LogError("a leaf under the platform's label is no public record")
            found.append(parsed)
        return found


def _record(leaf: PublicLeaf) -> dict[str, Any]:
    return {"kind": leaf.kind, "partner": leaf.partner, "ts": leaf.ts, "document": leaf.document}
