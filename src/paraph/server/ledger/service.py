"""The ledger: what other rooms record in their own transactions, and the log that it ends up in."""

import asyncio
import functools
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paraph.protocol import entry as protocol
from paraph.protocol.canonical import encode
from paraph.protocol.identifiers import PLATFORM
from paraph.server.http.errors import Overloaded
from paraph.server.ledger import store
from paraph.server.ledger.errors import LogNotFresh, LogUnavailable, MapNotKept, NoLogKey, StartRefused
from paraph.server.ledger.files import LogFolder
from paraph.server.ledger.freshness import Freshness
from paraph.server.ledger.key import load_log_key, load_receipt_key
from paraph.server.ledger.label_map import KeyAnswer
from paraph.server.ledger.leadership import Leadership, published_size
from paraph.server.ledger.leading import STOPPED, Leading
from paraph.server.ledger.log import Log
from paraph.server.ledger.map_follower import MapFollower
from paraph.server.ledger.metrics import LedgerMetrics, LogState
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.receipts import Receipts
from paraph.server.ledger.restored import Restored
from paraph.server.ledger.sequencer import PUBLISHED, Cadence, Sequencer
from paraph.server.ledger.witnesses import Witnesses
from paraph.server.storage import Announcement, Database, Transaction
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.policy import Policy

_RECORDED = "ledger.recorded"
"""Topic: a leaf waits for the sequencer, in whichever process that runs."""
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
        """Open the log below `data`, to write it or, where another process does that already, to serve it.

        Each checkpoint waits for the quorum of `policy`, if one is given. Raises StartRefused if key, checkpoints and
        files do not belong together, or if the policy is another log's.
        """
        self._database = database
        self._clock = clock
        self._cadence = cadence
        self._policy = policy
        self._freshness = Freshness(clock, cadence.heartbeat)
        self.metrics = LedgerMetrics()
        self._restored = Restored(data, cadence.heartbeat)
        if policy is None:
            self._restored.refuse_without_witnesses()
        self._leadership = Leadership(data, origin, database.role("log"))
        log = self._leadership.claim()
        try:
            self._open(data, origin, log)
        except BaseException:
            self._leadership.abandon(log)
            raise
        self._waiting = 0
        self._watchers: dict[bytes, list[asyncio.Future[tuple[int, int] | None]]] = {}
        self._looks: set[asyncio.Task[None]] = set()
        self._stopped: str | None = None
        self._naming_key: bytes | None = None
        """Hash of the leaf that names the receipt key, until the log is seen to hold it."""
        self._stopping = False
        database.listen(_RECORDED, self._recorded)
        database.listen(PUBLISHED, self._published)
        database.listen(STOPPED, self._heard_stop)

    def _open(self, data: Path, origin: str, log: Log | None) -> None:
        key = load_log_key(data / "keys" / "log.key", origin, new_log=False)
        self._origin, self._vkey, self._verifier = key.name, key.vkey, key.verifier
        self.receipts = Receipts(load_receipt_key(data / "keys" / "receipt.key"), origin)
        self._folder = LogFolder(data / "log")
        self._map_follower = MapFollower(data / "map.db", self._folder.read)
        self._size = published_size(self._folder, self._verifier)  # the signed head may still wait for its witnesses
        if log is None:
            self._witnesses()  # a policy that does not fit is refused now, not when this process comes to lead
        self._leading = Leading(self._database, self._leadership, log, self._sequencer)

    def _sequencer(self, log: Log) -> Sequencer:
        """What writes the log while this process leads."""
        return Sequencer(
            self._database,
            log,
            self._witnesses(),
            clock=self._clock,
            still_leads=self._leadership.held,
            cadence=self._cadence,
            restored=self._restored,
            metrics=self.metrics,
        )

    def _witnesses(self) -> Witnesses:
        return Witnesses(self._policy, self._verifier, self._folder, clock=self._clock, metrics=self.metrics)

    @property
    def origin(self) -> str:
        """Origin line of the log's checkpoints."""
        return self._origin

    @property
    def vkey(self) -> str:
        """The log's public key, as clients pin it."""
        return self._vkey

    @property
    def size(self) -> int:
        """Size of the newest published tree."""
        return self._size

    @property
    def stopped(self) -> str | None:
        """Why the log stopped, if it did, in this process or in the one that writes it."""
        return self._stopped if self._leading.stopped is None else str(self._leading.stopped)

    @property
    def leads(self) -> bool:
        """Whether this process writes the log; of those that share a database and a data folder, one does."""
        return self._leading.sequencer is not None

    async def start(self) -> None:
        """Finish what a crash left and start sequencing; in the process that leads, a checkpoint is published when
        this returns. Raises StartRefused if the database belongs to another log.
        """
        await self._database.write(self._check_identity)
        self._waiting = await self._database.read(store.count_unsequenced)
        await self._leading.start()

    def _check_identity(self, tx: Transaction) -> None:
        known = store.identity(tx, self._vkey)
        if known != self._vkey:
            raise StartRefused(
                f"this database belongs to the log {known}, and keys/log.key is the key of {self._vkey};"
                " processes that share a database share one data folder"
            )

    async def stop(self) -> None:
        """Let go of whoever waits for a leaf, finish the batch at hand and close."""
        self._stopping = True
        for future in [future for futures in self._watchers.values() for future in futures]:
            _resolve(future, None)
        await self._leading.stop()
        self._map_follower.close()
        await asyncio.gather(*self._looks)

    def check_fresh(self, tx: Transaction) -> None:
        """Whether what is recorded now will be in the log in time; partners read nothing otherwise.

        Raises LogNotFresh, or LogUnavailable where the log has stopped. The answer may be a second old.
        """
        self._check_open()
        self._check_receipt_key(tx)
        self._freshness.check(tx)

    def _check_receipt_key(self, tx: Transaction) -> None:
        """A receipt says something only once the log names the key that signs it. Raises LogNotFresh."""
        if self._naming_key is not None:
            if store.leaf_index(tx, self._naming_key)[1] is None:
                raise LogNotFresh("the record that names the receipt key waits for the log", seconds=1)
            self._naming_key = None

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
        self._add_leaf(tx, recorded.seq, recorded.leaf, entry["ts"])
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
        self._add_leaf(tx, position, leaf, ts)
        return record

    def _check_open(self) -> None:
        if self.stopped is not None:
            raise LogUnavailable
        if self._waiting >= MAX_WAITING:
            raise Overloaded

    def _add_leaf(self, tx: Transaction, position: int, leaf: bytes, ts: int) -> None:
        if store.add_leaf(tx, leaf_hash(leaf), position, leaf, ts):
            tx.announce(_RECORDED, "")

    def _recorded(self, _announcement: Announcement) -> None:
        self._waiting += 1
        self._leading.wake()

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

    def platform_record(self, tx: Transaction) -> dict[str, Any] | None:
        """The newest record of what this platform is, which names the receipt key."""
        return store.newest_record(tx, PLATFORM, "platform")

    async def record_platform(self, document: Mapping[str, Any]) -> None:
        """Publish what this platform is (docs/protocol.md section 10), if it changed."""

        def record(tx: Transaction) -> bytes:
            newest = self.platform_record(tx)
            if newest is None or encode(newest["document"]) != encode(dict(document)):
                newest = self.record_public(tx, "platform", PLATFORM, document)
            return leaf_hash(protocol.public_leaf("platform", PLATFORM, newest["ts"], newest["document"]))

        self._naming_key = await self._database.write(record)

    async def integrated(self, wanted: bytes, timeout_ms: int) -> tuple[int, int] | None:
        """Leaf index and published size that covers it, for a leaf hash; None if unknown or not within the time."""
        # The watcher stands before the look, or a batch published in between would go unseen.
        future: asyncio.Future[tuple[int, int] | None] = asyncio.get_running_loop().create_future()
        self._watchers.setdefault(wanted, []).append(future)
        try:
            (known, index), size = await self._database.read(
                lambda tx: (store.leaf_index(tx, wanted), store.progress(tx))
            )
            if index is not None:
                return index, size
            if not known or self._stopping or timeout_ms <= 0 or len(self._watchers) > MAX_WATCHERS:
                return None
            return await asyncio.wait_for(future, timeout_ms / 1000)
        except TimeoutError:
            return None
        finally:
            self._forget(wanted, future)

    async def map_answer(self, key: bytes, size: int | None = None) -> KeyAnswer:
        """All that the log of `size` (the newest published tree without it) holds under a key of the verifiable map.

        Raises MapNotKept if the map of that size is not in memory, or not published.
        """
        return (await self.map_answers([key], size))[0]

    async def map_answers(self, keys: Sequence[bytes], size: int | None = None) -> list[KeyAnswer]:
        """The same for several keys, all under one tree. Raises MapNotKept, TooManyLeaves."""
        published = self._size
        wanted = published if size is None else size
        if wanted > published:
            raise MapNotKept(f"the newest published tree has size {published}, not {wanted}")
        label_map = self._leading.label_map
        if label_map is None:
            return await asyncio.to_thread(self._map_follower.answers, keys, wanted, published)
        return await asyncio.to_thread(label_map.answers, keys, wanted)

    def state(self, tx: Transaction) -> LogState:
        """The log as this process sees it now, for whoever watches over it."""
        published, oldest = store.freshness(tx)
        label_map = self._leading.label_map
        labels = None if label_map is None else label_map.labels
        return LogState(self._size, self._waiting, oldest, published, self.leads, self.stopped is not None, labels)

    def tile_file(self, path: str) -> bytes | None:
        """A public file below `log/`; `path` must be one that `tiles.parse_path` accepts, or `checkpoint`."""
        return self._folder.read(path)

    def _forget(self, wanted: bytes, future: "asyncio.Future[tuple[int, int] | None]") -> None:
        futures = self._watchers[wanted]
        futures.remove(future)
        if not futures:
            del self._watchers[wanted]

    def _published(self, announcement: Announcement) -> None:
        """A batch is under a published checkpoint, whichever process wrote it."""
        start, end = map(int, announcement.payload.split())
        self._size = max(self._size, end)
        self._waiting = max(0, self._waiting - (end - start - 1))  # the epoch leaf never waited
        self._stopped = None
        if self._watchers:
            task = asyncio.get_running_loop().create_task(self._look_for_watched(start, end))
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    async def _look_for_watched(self, start: int, end: int) -> None:
        """Tell whoever waits for one of these leaves; the published tiles say where each is."""
        indexes = await asyncio.to_thread(self._folder.indexes, start, end)
        for wanted in self._watchers.keys() & indexes.keys():
            for future in self._watchers[wanted]:
                _resolve(future, (indexes[wanted], end))

    def _heard_stop(self, announcement: Announcement) -> None:
        self._stopped = announcement.payload


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
