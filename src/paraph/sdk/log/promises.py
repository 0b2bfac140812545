"""Receipts that a partner holds, until the log keeps what they promise, and the evidence where it does not.

Whether a leaf is in the log is asked leaf by leaf, and proven against one tree for all of them. Past its deadline the
map is asked for all that lies under the leaf's key: the leaf is there, or the answer is half of an evidence file
(docs/protocol.md §10).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from paraph.audit.errors import LogError as AuditError
from paraph.audit.missed_deadline import MissedDeadline, PlatformProof
from paraph.audit.statement import ProvenTree
from paraph.protocol.entry import public_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.map_key import map_key_of_bytes
from paraph.sdk.errors import LogError
from paraph.sdk.keystore import Records
from paraph.sdk.log.leaves import LogLeaves
from paraph.sdk.log.receipts import LedgerEntry, ReceiptKey
from paraph.sdk.log.statements import Statements
from paraph.sdk.log.view import LogView
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import leaf_hash, verify_inclusion

log = logging.getLogger(__name__)

KEPT = "receipt"
EVIDENCE = "evidence"
BATCH = 256
"""Receipts looked at in one call."""
MAX_KEPT = 50_000
"""Receipts kept; whoever holds that many unproven ones has reason to stop reading."""
MAX_EVIDENCE = 1000
"""Evidence files kept; a thousand broken promises prove as much as ten thousand."""


class Kept(msgspec.Struct, frozen=True):
    """A receipt whose leaf is not proven yet; `record` is the platform's, which names the key that signed it."""

    leaf: bytes
    receipt: dict[str, Any]
    record: dict[str, Any]

    @property
    def hashed(self) -> bytes:
        """The leaf's hash."""
        return leaf_hash(self.leaf)

    @property
    def key(self) -> bytes:
        """Where in the map the leaf lies."""
        return map_key_of_bytes(self.leaf) or b""

    @property
    def deadline(self) -> int:
        """By when the leaf was promised (ms)."""
        return int(self.receipt["deadline"])

    @property
    def name(self) -> str:
        """Under which it is kept: the earliest deadline comes first."""
        return f"{self.deadline:016d}/{self.hashed.hex()}"


@dataclass(frozen=True, slots=True)
class ReceiptNews:
    """What one look brought: receipts whose leaves are in the log, promises found broken, receipts still kept."""

    proven: int
    missed: int
    kept: int


class Promises:
    """The receipts of one partner."""

    def __init__(self, records: Records, log_view: LogView, leaves: LogLeaves, now: Callable[[], int]) -> None:
        """`now` gives milliseconds."""
        self._records = records
        self._log = log_view
        self._leaves = leaves
        self._now = now
        self._after = ""
        self._count = len(self._kept())

    @property
    def full(self) -> bool:
        """Whether so many receipts are unproven that no more are taken."""
        return self._count >= MAX_KEPT

    def keep(self, entry: LedgerEntry, receipt: Mapping[str, Any], key: ReceiptKey) -> None:
        """Keep a receipt that was checked, within the step that uses what it is for."""
        kept = Kept(entry.leaf, dict(receipt), key.record)
        self._records.put(KEPT, kept.name, kept)
        self._count += 1

    async def prove(self) -> ReceiptNews:
        """Look for the leaves of the receipts kept, at most BATCH of them, going on where the last call ended.

        Raises LogError when the log cannot be relied upon now; nothing is lost by that.
        """
        batch = self._next()
        if not batch:
            return ReceiptNews(0, 0, 0)
        tree = await self._log.refresh()
        proven = await self._present(batch, tree)
        late = [kept for kept in batch if kept.hashed not in proven and kept.deadline < tree.epoch.time]
        missed = await self._missed(late, proven) if late else {}
        with self._records.step():
            for kept in batch:
                if kept.hashed in proven or kept.hashed in missed:
                    self._records.delete(KEPT, kept.name)
            self._file(missed)
        self._count = len(self._kept())
        return ReceiptNews(len(proven), len(missed), self._count)

    def _next(self) -> list[Kept]:
        """The next receipts by deadline: some that cannot be settled now do not keep the others from being."""
        waiting = self._kept()
        following = [item for item in waiting if item[0] > self._after] or waiting
        batch = following[:BATCH]
        self._after = batch[-1][0] if len(following) > BATCH else ""
        return [kept for _, kept in batch]

    def _kept(self) -> list[tuple[str, Kept]]:
        return self._records.items(KEPT, Kept)

    def _file(self, missed: Mapping[bytes, bytes]) -> None:
        for hashed, data in missed.items():
            log.error("the platform did not keep a promise that it signed: leaf %s", hashed.hex())
            if len(self._records.items(EVIDENCE, bytes)) < MAX_EVIDENCE:
                self._records.put(EVIDENCE, hashed.hex(), data)

    async def _present(self, batch: Sequence[Kept], tree: ProvenTree) -> set[bytes]:
        """Hashes of the leaves that are proven to be in the tree."""
        places = await self._leaves.places([kept.hashed for kept in batch])
        inside = {hashed: index for hashed, index in places.items() if index < tree.size}
        try:
            proofs = await self._leaves.inclusions(sorted(set(inside.values())), tree.size)
        except TlogError as error:
            log.warning("the log's tiles do not check: %s", error)
            return set()
        return {hashed for hashed, index in inside.items() if _holds(hashed, index, tree, proofs[index])}

    async def _missed(self, late: Sequence[Kept], proven: set[bytes]) -> dict[bytes, bytes]:
        """Evidence by leaf hash; what the map shows to be there is added to `proven`."""
        found = await self._log.statements([kept.key for kept in late])
        missed = {}
        for kept in late:
            if kept.hashed in found.leaves(kept.key):
                proven.add(kept.hashed)
            elif (data := await self._evidence(kept, found)) is not None:
                missed[kept.hashed] = data
        return missed

    async def _evidence(self, kept: Kept, found: Statements) -> bytes | None:
        """The file, checked as anyone will check it."""
        policy = self._log.policy
        if policy is None:
            return None
        try:
            platform = await self._platform(kept.record, found.tree)
            statement = found.found[kept.key]
            made = MissedDeadline(kept.receipt, kept.leaf, platform, found.proof, statement)
            made.verify(policy, self._now() // 1000)
        except (AuditError, ProtocolError, TlogError, LogError) as error:
            log.warning("a broken promise cannot be shown yet: %s", error)
            return None
        return made.encode()

    async def _platform(self, record: Mapping[str, Any], tree: ProvenTree) -> PlatformProof:
        hashed = leaf_hash(public_leaf(record["kind"], record["partner"], record["ts"], record["document"]))
        index = (await self._leaves.places([hashed])).get(hashed)
        if index is None or index >= tree.size:
            raise LogError("the platform does not say where its record is in the log")
        proof = (await self._leaves.inclusions([index], tree.size))[index]
        return PlatformProof(record, index, tuple(proof))


def holds_receipts(records: Records) -> bool:
    """Whether there is any receipt whose leaf is not proven yet."""
    return bool(records.items(KEPT, Kept))


def filed(records: Records) -> list[bytes]:
    """An evidence file for each promise that the platform broke, as `audit.evidence.check` takes them."""
    return [data for _, data in records.items(EVIDENCE, bytes)]


def _holds(hashed: bytes, index: int, tree: ProvenTree, proof: Sequence[bytes]) -> bool:
    try:
        verify_inclusion(hashed, index, tree.size, tree.root, proof)
    except TlogError as error:
        log.warning("the log does not prove a record: %s", error)
        return False
    return True
