"""A map auditor: before its witness cosigns a tree, it has replayed every leaf of it by the map's rule.

The leaves are fetched from the log's public address, and believed only because they give the submitted root. What was
followed is kept step by step, so that only what is new has to be read. An audit goes on in a thread of its own; who
asks meanwhile waits a little and is then told "not yet", and asks again.
"""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from paraph.audit.errors import LogError
from paraph.audit.follower import Follower, Standing
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.errors import TlogError
from paraph.tlog.map_proof import map_value
from paraph.tlog.prefix_map import PrefixMap
from paraph.tlog.witness import Refused, Submission
from paraph.witness.audit_store import AuditStore
from paraph.witness.source import HttpSource, Unavailable
from paraph.witness.store import FoundFault

logger = logging.getLogger("paraph.witness")

PATIENCE = 3.0
"""Seconds that a submission waits for its audit: less than the 5 that a log of ours waits for its witnesses."""
FLUSH = 200_000
"""Changed keys that are gathered in memory, some 50 MB, before they go to disk ahead of the root that confirms them."""
REPORT = 5.0
"""Seconds between two reports of progress."""
LOADED = 4096
"""Keys taken from the store at a time when the map is made of it."""


class NotYet(Refused):
    """The tree is not audited: the audit goes on, or the leaves cannot be had. Nothing is said against the log."""

    status = 503


class MapRefused(Refused):
    """The tree holds a leaf, an epoch or a map root that breaks the rules; it will never be cosigned."""

    status = 422


@dataclass(frozen=True, slots=True)
class _Found:
    """The first leaf that breaks a rule, and which."""

    index: int
    entry: bytes
    error: LogError


class MapAuditor:
    """Audits one log. `require` is for the event loop; everything else happens in the auditor's own thread."""

    def __init__(
        self,
        store: AuditStore,
        source: HttpSource,
        keep: Callable[[FoundFault], None],
        *,
        clock: Callable[[], int],
        patience: float = PATIENCE,
        flush: int = FLUSH,
    ) -> None:
        """`keep` makes a fault durable and is called in the auditor's thread; `clock` gives seconds since 1970."""
        self._store = store
        self._source = source
        self._keep = keep
        self._clock = clock
        self._patience = patience
        self._flush = flush
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._task: asyncio.Future[None] | None = None
        self._asked: Checkpoint | None = None
        self._passed: Checkpoint | None = None
        self._fault: tuple[Checkpoint, MapRefused] | None = None
        self._closing = threading.Event()
        self._done = 0
        self._at: Standing | None = None
        self._tree = PrefixMap()
        self._proven = False  # `_at` goes back to the first leaf, or to a signed root, within this process
        self._ahead = False  # the store holds leaves that no signed root has confirmed

    def start(self) -> None:
        """Begin to make the map of what the store holds, before anybody asks."""
        self._thread.submit(self._restored)

    async def require(self, submission: Submission) -> None:
        """Return once the submitted tree is audited. Raises NotYet or MapRefused; the audit goes on after NotYet."""
        loop, tree = asyncio.get_running_loop(), submission.checkpoint
        end = loop.time() + self._patience
        while self._passed != tree:
            if self._task is None or self._task.done():
                self._asked = tree
                self._task = loop.run_in_executor(self._thread, self._audit, submission)
                self._task.add_done_callback(_looked_at)
            task, asked = self._task, self._asked
            await asyncio.wait([task], timeout=max(end - loop.time(), 0))
            if not task.done():
                raise NotYet(self._progress(tree))
            if asked == tree:
                task.result()

    def close(self) -> None:
        """Stop, wherever the audit is; what the store holds is gone on with at the next start."""
        self._closing.set()
        self._source.close()
        self._thread.shutdown()
        self._store.close()

    def _progress(self, tree: Checkpoint) -> str:
        return f"the map is being audited: {self._done} of {tree.size} leaves so far; submit again"

    # From here on: in the auditor's thread.

    def _audit(self, submission: Submission) -> None:
        tree = submission.checkpoint
        if self._fault is not None and self._fault[0] == tree:
            raise self._fault[1]
        try:
            if tree.size:
                self._replay(submission)
        except Refused:
            raise
        except sqlite3.OperationalError as error:
            raise NotYet(f"the store of the audit: {error}") from error
        except (TlogError, sqlite3.DatabaseError) as error:
            self._begin_anew(str(error))
            raise NotYet("the store of the audit is damaged; it is made anew") from error
        self._passed = tree

    def _replay(self, submission: Submission) -> None:
        """Follow the log to the submitted tree. Raises NotYet or MapRefused; what was followed to is kept."""
        tree, at = submission.checkpoint, self._restored()
        if tree.size < at.size:
            at = self._smaller(tree, at)
        follower = Follower(at, self._tree, self._store.frontiers)
        found = self._follow(follower, tree.size)
        if follower.root() != tree.root:
            self._doubt()
            raise NotYet(f"the entries at {self._source.url} do not give the root of the submitted tree")
        if found is not None:
            self._blame(submission, found)
        self._step(follower)
        self._proven, self._ahead = True, False

    def _smaller(self, tree: Checkpoint, at: Standing) -> Standing:
        """A tree that ends before the leaves followed so far."""
        if self._proven:
            raise NotYet(f"{at.size} leaves of this log were audited already, submit a tree that holds them")
        self._begin_anew(f"the store is that of {at.size} leaves, and a tree of {tree.size} is asked for")
        return Standing()

    def _follow(self, follower: Follower, size: int) -> _Found | None:
        """Read all leaves up to a size; the first that breaks a rule, if one does. Raises NotYet."""
        found, last, reported = None, b"", time.monotonic()
        try:
            for entries in self._source.entries(follower.size, size):
                if self._closing.is_set():
                    raise NotYet("this witness ends")
                found, last = _take(follower, entries, found), entries[-1]
                self._done = follower.size
                if found is None and len(follower.changes) > self._flush:
                    self._step(follower)
                    self._ahead = True
                if time.monotonic() - reported > REPORT:
                    reported = time.monotonic()
                    logger.info("audited %d of %d leaves", follower.size, size)
        except Unavailable as error:
            raise NotYet(str(error)) from error
        return found or _ended(follower, last)

    def _step(self, follower: Follower) -> None:
        """Keep what was followed."""
        at, tree = follower.standing()
        if at != self._at:
            self._store.write(at, tree.root, follower.changes)
            follower.changes.clear()
            self._at, self._tree = at, tree

    def _blame(self, submission: Submission, found: _Found) -> None:
        """Refuse a tree for good, with the evidence kept; unless the fault may be our own store's."""
        if not self._proven:
            self._begin_anew(f"{found.error}, as far as the store tells")
            raise NotYet("the audit begins anew at the first leaf, before anything is said against this log")
        note, now = submission.note(), self._clock()
        self._keep(FoundFault(submission.origin, found.index, found.entry, now, str(found.error), note))
        logger.error("the log %s broke the rules: %s", submission.origin, found.error)
        self._fault = submission.checkpoint, MapRefused(str(found.error))
        raise self._fault[1]

    def _doubt(self) -> None:
        """The leaves do not give the submitted root: what was followed without a signed root is not gone on with."""
        if self._ahead or not self._proven:
            self._begin_anew("no signed tree confirms the leaves in the store")

    def _restored(self) -> Standing:
        """Where the log was followed to, with the map of what the store holds, if that has the root it should."""
        if self._at is None:
            try:
                fits = self._load()
            except (TlogError, sqlite3.DatabaseError):
                fits = False
            if not fits or self._at is None:
                self._begin_anew("the map of the store has not the root that was audited")
        return self._at or Standing()

    def _load(self) -> bool:
        kept, began = self._store.standing(), time.monotonic()
        if kept is None:
            self._at, self._proven = Standing(), True
            return next(self._store.labels(), None) is None
        tree, labels = PrefixMap(), self._store.labels()
        while some := {key: map_value(frontier.size, frontier.root()) for key, frontier in islice(labels, LOADED)}:
            tree = tree.set(some)
        self._at, self._tree, self._done = kept[0], tree, kept[0].size
        logger.info("the map of %d leaves is there again after %.1f s", self._done, time.monotonic() - began)
        return tree.root == kept[1]

    def _begin_anew(self, reason: str) -> None:
        logger.warning("the audit begins at the first leaf: %s", reason)
        self._store.clear()
        self._at, self._tree, self._done = Standing(), PrefixMap(), 0
        self._proven, self._ahead = True, False


def _take(follower: Follower, entries: list[bytes], found: _Found | None) -> _Found | None:
    """Follow these leaves; after the first that breaks a rule, the tree alone, whose root tells who is to blame."""
    for entry in entries:
        if found is not None:
            follower.skim(entry)
            continue
        try:
            follower.take(entry)
        except LogError as error:
            found = _Found(follower.size - 1, entry, error)
    return found


def _ended(follower: Follower, last: bytes) -> _Found | None:
    try:
        follower.closed()
    except LogError as error:
        return _Found(follower.size - 1, last, error)
    return None


def _looked_at(task: "asyncio.Future[None]") -> None:
    """Whoever submits the tree again asks again; nobody has to."""
    if not task.cancelled():
        task.exception()
