"""The ledger: what other rooms record in their own transactions, and the log that it ends up in."""

import asyncio
import functools
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from paraph.protocol import entry as protocol
from paraph.protocol.canonical import encode
from paraph.server.http.errors import Overloaded
from paraph.server.ledger import store
from paraph.server.ledger.errors import LogUnavailable, NoLogKey
from paraph.server.ledger.log import open_log
from paraph.server.ledger.model import Batch, Recorded
from paraph.server.ledger.sequencer import Cadence, Sequencer
from paraph.server.ledger.witnesses import Witnesses
from paraph.server.storage import Database, Transaction
from paraph.tlog import note
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.policy import Policy

MAX_WAITING = 200_000
"""Leaves that may wait for the sequencer; beyond it, nothing that needs a record is done."""
MAX_WATCHERS = 10_000
"""Requests that may wait for a leaf at one time."""


class Ledger:
    """Records entries and public documents, runs the sequencer, and knows where each leaf is."""

    def __init__(
        self,
        database: Database,
        data: Path,
        origin: str,
        *,
        clock: Callable[[], int],
        cadence: Cadence = Cadence(),
        policy: Policy | None = None,
    ) -> None:
        """Open the log below `data`; each checkpoint waits for the quorum of `policy`, if one is given.

        Raises StartRefused if key, checkpoints and files do not belong together, or if the policy is another log's.
        """
        self._database = database
        self._clock = clock
        self._log = open_log(data, origin)
        self._size = self._log.head().size
        self._waiting = 0
        self._watchers: dict[bytes, list[asyncio.Future[tuple[int, int] | None]]] = {}
        self._stopping = False
        witnesses = Witnesses(policy, note.Verifier.from_vkey(self._log.vkey), self._log.folder, clock=clock)
        self._sequencer = Sequencer(
            database, self._log, witnesses, clock=clock, on_published=self._published, cadence=cadence
        )

    @property
    def origin(self) -> str:
        """Origin line of the log's checkpoints."""
        return self._log.origin

    @property
    def vkey(self) -> str:
        """The log's public key, as clients pin it."""
        return self._log.vkey

    @property
    def size(self) -> int:
        """Size of the newest published tree."""
        return self._size

    @property
    def stopped(self) -> str | None:
        """Why the log stopped, if it did."""
        return None if self._sequencer.stopped is None else str(self._sequencer.stopped)

    async def start(self) -> None:
        """Finish what a crash left and start sequencing; a checkpoint is published when this returns."""
        self._waiting = await self._database.read(store.count_unsequenced)
        await self._sequencer.start()

    async def stop(self) -> None:
        """Let go of whoever waits for a leaf, finish the batch at hand and close."""
        self._stopping = True
        for future in [future for futures in self._watchers.values() for future in futures]:
            _resolve(future, None)
        await self._sequencer.stop()

    # -- recording, inside the caller's transaction --

    def set_log_key(self, tx: Transaction, person: str, k: bytes) -> bool:
        """Fix the account log key `k` (32 bytes) at the first enrolment; False if another key is fixed already."""
        if store.add_log_key(tx, person, k):
            return True
        known = store.log_key(tx, person)
        return known is not None and hmac.compare_digest(known, k)

    def log_key(self, tx: Transaction, person: str) -> bytes | None:
        """The person's account log key, if a device of hers enrolled."""
        return store.log_key(tx, person)

    def record_private(
        self,
        tx: Transaction,
        kind: str,
        person: str,
        partner: str | None,
        body: Mapping[str, Any],
        *,
        grant_id: str | None = None,
    ) -> Recorded:
        """Record an entry of a private kind; access kinds need the `grant_id` whose label they lie under.

        Raises NoLogKey, EntryError for a malformed entry, LogUnavailable or Overloaded.
        """
        self._check_open()
        k = store.log_key(tx, person)
        if k is None:
            raise NoLogKey(person)
        entry = protocol.entry(kind, person, partner, self._clock(), body)
        week = protocol.week_of(entry["ts"])
        label = _label(k, kind, week, grant_id)
        o1, o2 = secrets.token_bytes(protocol.OPENING_LENGTH), secrets.token_bytes(protocol.OPENING_LENGTH)
        recorded = Recorded(tx.next_position(), entry, o1, o2, label, week)
        store.add_entry(tx, person, recorded)
        leaf = protocol.private_leaf(week, label, protocol.commitment(entry, o1, o2))
        self._add_leaf(tx, recorded.seq, leaf)
        return recorded

    def record_public(self, tx: Transaction, kind: str, partner: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Record a document about a partner's slug or `platform`; returns the record {kind, partner, ts, document}.

        Raises LeafError for an unknown kind or a document too large for a leaf, LogUnavailable or Overloaded.
        """
        self._check_open()
        ts, position = self._clock(), tx.next_position()
        leaf = protocol.public_leaf(kind, partner, ts, document)
        record = {"kind": kind, "partner": partner, "ts": ts, "document": dict(document)}
        store.add_record(tx, position, record)
        self._add_leaf(tx, position, leaf)
        return record

    def _check_open(self) -> None:
        if self._sequencer.stopped is not None:
            raise LogUnavailable
        if self._waiting >= MAX_WAITING:
            raise Overloaded

    def _add_leaf(self, tx: Transaction, position: int, leaf: bytes) -> None:
        if store.add_leaf(tx, leaf_hash(leaf), position, leaf):
            tx.after_commit(self._recorded)

    def _recorded(self) -> None:
        self._waiting += 1
        self._sequencer.wake()

    # -- reading --

    def entries(self, tx: Transaction, person: str, from_seq: int, limit: int) -> list[Recorded]:
        """The person's entries with `seq >= from_seq`, oldest first."""
        return store.entries(tx, person, from_seq, limit)

    def entry(self, tx: Transaction, seq: int) -> Recorded:
        """The entry that was recorded under `seq`; KeyError if there is none."""
        found = store.entry(tx, seq)
        if found is None:
            raise KeyError(seq)
        return found

    def public_records(self, tx: Transaction, partner: str, kinds: Iterable[str]) -> list[dict[str, Any]]:
        """The public records of these kinds about a partner (or `platform`), kind by kind, oldest first."""
        return [record for kind in kinds for record in store.records(tx, partner, kind)]

    async def record_platform(self, document: Mapping[str, Any]) -> None:
        """Publish what this platform is ({version, server_name, operator_key, api}), if it changed."""

        def record(tx: Transaction) -> None:
            newest = store.newest_record(tx, "platform", "platform")
            if newest is None or encode(newest["document"]) != encode(dict(document)):
                self.record_public(tx, "platform", "platform", document)

        await self._database.write(record)

    async def integrated(self, wanted: bytes, timeout_ms: int) -> tuple[int, int] | None:
        """Leaf index and published size that covers it, for a leaf hash; None if unknown or not within the time."""
        # The watcher stands before the look, or a batch published in between would go unseen.
        future: asyncio.Future[tuple[int, int] | None] = asyncio.get_running_loop().create_future()
        self._watchers.setdefault(wanted, []).append(future)
        try:
            known, index = await self._database.read(lambda tx: store.leaf_index(tx, wanted))
            if index is not None:
                return index, self._size
            if not known or self._stopping or timeout_ms <= 0 or len(self._watchers) > MAX_WATCHERS:
                return None
            return await asyncio.wait_for(future, timeout_ms / 1000)
        except TimeoutError:
            return None
        finally:
            self._forget(wanted, future)

    def tile_file(self, path: str) -> bytes | None:
        """A public file below `log/`; `path` must be one that `tiles.parse_path` accepts, or `checkpoint`."""
        return self._log.folder.read(path)

    def _forget(self, wanted: bytes, future: "asyncio.Future[tuple[int, int] | None]") -> None:
        futures = self._watchers[wanted]
        futures.remove(future)
        if not futures:
            del self._watchers[wanted]

    def _published(self, batch: Batch, hashes: list[bytes]) -> None:
        self._size = batch.end
        self._waiting = max(0, self._waiting - (len(hashes) - 1))
        for index, found in enumerate(hashes, start=batch.start):
            for future in self._watchers.get(found, ()):
                _resolve(future, (index, batch.end))


def _resolve(future: "asyncio.Future[tuple[int, int] | None]", result: tuple[int, int] | None) -> None:
    if not future.done():
        future.set_result(result)


@functools.lru_cache(maxsize=4096)
def _label(k: bytes, kind: str, week: int, grant_id: str | None) -> bytes:
    if kind not in protocol.ACCESS_KINDS:
        return protocol.account_label(k, week)
    if grant_id is None:
        raise ValueError(f"a {kind} entry lies under its grant's label: grant_id is needed")
    return protocol.access_label(protocol.grant_key(k, grant_id), week)
