"""A person's own ledger as one of her devices keeps it: the entries she was shown, held against all that the log has.

Entries are fetched once, from the last one known. For each week the map says which leaves lie under her account label:
each must be the leaf of an entry that she was shown and that opens under that label. So nothing that ends or narrows a
grant can be in the log unseen. A week that is over is final once it has been proven, and is not asked for again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from paraph.protocol.entry import ACCESS_KINDS, account_label, week_of
from paraph.protocol.limits import DAY_MS, MERGE_DELAY_MS
from paraph.protocol.map_key import private_map_key
from paraph.sdk.errors import HiddenRecordsError, TransportError
from paraph.sdk.keystore import Records
from paraph.sdk.log.receipts import read_own_entry
from paraph.sdk.log.statements import Statements
from paraph.sdk.transport import PARAPH, Transport
from paraph.tlog.merkle import leaf_hash

TABLE = "ledger"
FINAL = "ledger-final"
PAGE = 500
NEEDED = frozenset({"device", "grant", "amend", "revoke"})
"""Kinds whose bodies decide who gets keys; of the others the leaf alone is kept, and only while its week is asked."""
SETTLED_MS = DAY_MS
"""How long after its end a week is still asked for. More than the merge delay: what comes late is then seen as well."""


class Kept(msgspec.Struct, frozen=True):
    """An entry she was shown: `leaf` is its leaf hash, `body` None where it is not needed.

    `final` says that its week is final and that the entry is in the log.
    """

    seq: int
    kind: str
    ts: int
    leaf: bytes
    body: dict[str, Any] | None
    final: bool = False


@dataclass(frozen=True)
class Account:
    """What is known about an account under one tree: the entries she was shown, and the leaf hashes in the log."""

    entries: tuple[Kept, ...]
    logged: frozenset[bytes]

    def of(self, kind: str) -> Iterator[tuple[Kept, dict[str, Any]]]:
        """The entries of a kind with their bodies, oldest first."""
        for entry in self.entries:
            if entry.kind == kind and entry.body is not None:
                yield entry, entry.body


class OwnLedger:
    """The person's entries and weeks on this device."""

    def __init__(self, transport: Transport, records: Records) -> None:
        self._transport = transport
        self._records = records
        self._weeks: dict[int, dict[bytes, Kept]] | None = None

    async def fetch(self, log_key: bytes, *, again: bool = False) -> None:
        """Take in the entries that are new, or all of them `again`. Raises ReceiptError, SdkError."""
        start = 0 if again else self._records.get(TABLE, "next", int) or 0
        while True:
            params = {"from": start, "limit": PAGE}
            answer = await self._transport.json("GET", f"{PARAPH}/entries", params=params)
            page, following = answer.get("entries"), answer.get("next")
            if not isinstance(page, list) or not isinstance(following, int):
                raise TransportError("the platform lists no entries")
            self._take(page, following, log_key)
            if len(page) < PAGE or following <= start:
                return
            start = following

    def grant_entry(self, document: Mapping[str, Any]) -> Kept | None:
        """The oldest entry of this very grant that she was shown."""
        made = (kept for kept in self._all() if kept.kind == "grant" and (kept.body or {}).get("grant") == document)
        return min(made, key=lambda kept: kept.ts, default=None)

    def keys(self, log_key: bytes, since: int, until: int) -> dict[int, bytes]:
        """The keys of the map to ask for, by week: those from `since` to `until` (ms) that are not final."""
        weeks = range(week_of(max(since, 0)), week_of(until + MERGE_DELAY_MS) + 1)
        open_weeks = (week for week in weeks if self._records.get(FINAL, str(week), bool) is None)
        return {week: private_map_key(week, account_label(log_key, week)) for week in open_weeks}

    def check(self, keys: Mapping[int, bytes], statements: Statements) -> Account:
        """Hold these weeks against the map. Raises HiddenRecordsError if the log has more than she was shown."""
        logged = {kept.leaf for kept in self._all() if kept.final}
        for week, key in keys.items():
            leaves = statements.leaves(key)
            hidden = set(leaves) - self._week(week).keys()
            if hidden:
                raise HiddenRecordsError(
                    f"the log has {len(hidden)} records of this account in week {week} that the platform does not show"
                )
            logged.update(leaves)
        self._settle(keys, statements)
        return Account(tuple(sorted(self._all(), key=lambda kept: kept.seq)), frozenset(logged))

    def _take(self, page: Iterable[Any], following: int, log_key: bytes) -> None:
        taken = []
        for rendered in page:
            entry = read_own_entry(rendered, log_key)
            if entry.kind not in ACCESS_KINDS:
                body = entry.body if entry.kind in NEEDED else None
                taken.append(Kept(entry.seq, entry.kind, entry.ts, leaf_hash(entry.leaf), body))
        weeks = self._loaded()
        new = [kept for kept in taken if kept.leaf not in weeks.get(week_of(kept.ts), {}) and self._is_needed(kept)]
        with self._records.step():
            for kept in new:
                self._records.put(TABLE, _name(kept), kept)
            self._records.put(TABLE, "next", following)
        for kept in new:
            weeks.setdefault(week_of(kept.ts), {})[kept.leaf] = kept

    def _is_needed(self, kept: Kept) -> bool:
        return kept.body is not None or self._records.get(FINAL, str(week_of(kept.ts)), bool) is None

    def _settle(self, keys: Mapping[int, bytes], statements: Statements) -> None:
        """Weeks that were over for long enough when this tree was made are final: keep of them what is needed."""
        over = [week for week in keys if week_of(max(statements.tree.epoch.time - SETTLED_MS, 0)) > week]
        if not over:
            return
        with self._records.step():
            for week in over:
                self._records.put(FINAL, str(week), True)
                for leaf in statements.leaves(keys[week]):
                    kept = self._week(week)[leaf]
                    if kept.body is None:
                        self._records.delete(TABLE, _name(kept))
                    else:
                        self._records.put(TABLE, _name(kept), msgspec.structs.replace(kept, final=True))
        self._weeks = None

    def _all(self) -> Iterator[Kept]:
        for week in self._loaded().values():
            yield from week.values()

    def _week(self, week: int) -> dict[bytes, Kept]:
        return self._loaded().get(week, {})

    def _loaded(self) -> dict[int, dict[bytes, Kept]]:
        """The entries by week and leaf hash: an index in memory, since all of it is looked at with each view."""
        if self._weeks is None:
            self._weeks = {}
            for _, kept in self._records.items(TABLE, Kept, "entry/"):
                self._weeks.setdefault(week_of(kept.ts), {})[kept.leaf] = kept
        return self._weeks


def _name(kept: Kept) -> str:
    return f"entry/{kept.leaf.hex()}"
