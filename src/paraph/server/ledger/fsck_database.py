"""The database against the log: every recorded leaf where it says, none missing, every entry opening its leaf."""

from collections.abc import Callable, Collection

from paraph.protocol import entry as protocol
from paraph.server.ledger import store
from paraph.server.ledger.fsck_errors import Wrong
from paraph.server.ledger.model import Recorded
from paraph.server.storage import Transaction
from paraph.tlog.merkle import HASH_SIZE, leaf_hash

_PRIVATE = b"\x01"
_TELL_EACH = 1000


def progress(tx: Transaction) -> int:
    """Up to which size of the log the database knows where its leaves are."""
    return store.progress(tx)


def identity(tx: Transaction) -> str | None:
    """The key of the log that the database belongs to, if it belongs to one."""
    return store.known_identity(tx)


class Walk:
    """Walks over the ledger's tables, with the log's verified leaf hashes at hand."""

    def __init__(
        self,
        tx: Transaction,
        hashes: bytes,
        epochs: Collection[int],
        progress: int,
        *,
        alone: bool,
        told: Callable[[str, int, int | None], None],
    ) -> None:
        """`hashes` are all leaf hashes of the log, one after the other; `epochs` the sizes that epoch leaves close."""
        self._tx = tx
        self._hashes = hashes
        self._size = len(hashes) // HASH_SIZE
        self._epochs = epochs
        self._progress = progress
        self._alone = alone
        self._told = told
        self._leaves: set[bytes] = set()
        self._private = 0

    def leaves(self) -> tuple[bool, str]:
        """Every leaf of the outbox is itself, in the log where it says; every leaf of the log is in the outbox."""
        if self._progress > self._size:
            raise Wrong(
                f"the database knows a log of {self._progress} leaves, and here are {self._size}: the folder is older"
                " than the database"
            )
        seen, waiting = bytearray(self._size), set[bytes]()
        for hashed, leaf, index in store.all_leaves(self._tx):
            if leaf_hash(leaf) != hashed:
                raise Wrong(f"the leaf recorded under {hashed.hex()} has another hash: it was changed")
            self._leaves.add(hashed)
            self._private += leaf[:1] == _PRIVATE
            if index is None:
                waiting.add(hashed)
            elif index >= self._size or self._at(index) != hashed:
                raise Wrong(f"the leaf {hashed.hex()} is recorded at index {index}, where the log has another")
            else:
                seen[index] = 1
            self._tell("database", len(self._leaves), None)
        unmarked = self._unseen(seen, waiting)
        return True, (
            f"{len(self._leaves)} leaves recorded, {len(waiting) - unmarked} of them wait for the log;"
            f" knows the log up to {self._progress}"
        )

    def _unseen(self, seen: bytearray, waiting: set[bytes]) -> int:
        """Leaves of the log that have no index in the outbox must be those that are just being marked; how many."""
        unmarked, lost = 0, list[int]()
        for index in range(self._size):
            if seen[index] or index + 1 in self._epochs:
                continue
            if self._at(index) in waiting:
                if index < self._progress:
                    raise Wrong(f"leaf {index} of the log waits in the database as if it were not there")
                unmarked += 1
            elif index < self._progress or self._alone:
                lost.append(index)
        if lost:
            raise Wrong(
                f"{len(lost)} leaves of the log, the first at index {lost[0]}, are not in the database: an older one"
                " was put back, and what it does not know cannot be opened any more"
            )
        return unmarked

    def entries(self) -> tuple[bool, str]:
        """Each entry and its openings give a recorded leaf, under the label of its person or grant."""
        count = 0
        for recorded, person, k in store.all_entries(self._tx):
            count += 1
            self._entry(recorded, person, k)
            self._tell("openings", count, None)
        closed = self._private - count
        return True, f"{count} entries open their leaves" + (f"; {closed} leaves have no entry here" if closed else "")

    def _entry(self, recorded: Recorded, person: str, k: bytes | None) -> None:
        entry, where = recorded.entry, f"entry {recorded.seq}"
        protocol.check_entry(entry)
        if leaf_hash(recorded.leaf) not in self._leaves:
            raise Wrong(f"{where} does not open any recorded leaf: it, its openings or its label were changed")
        if entry["person"] != person or protocol.week_of(entry["ts"]) != recorded.week:
            raise Wrong(f"{where} is kept for another person or week than it names")
        if k is None:
            raise Wrong(f"{where}: the account log key of its person is missing")
        if recorded.label != _label(k, recorded):
            raise Wrong(f"{where} lies under a label that its person would not look for")

    def records(self) -> tuple[bool, str]:
        """Each public record is a recorded leaf."""
        count = 0
        for record in store.all_records(self._tx):
            count += 1
            leaf = protocol.public_leaf(record["kind"], record["partner"], record["ts"], record["document"])
            if leaf_hash(leaf) not in self._leaves:
                raise Wrong(f"a record of kind {record['kind']} about {record['partner']} is no recorded leaf")
            self._tell("records", count, None)
        return True, f"{count} public records"

    def _at(self, index: int) -> bytes:
        return self._hashes[index * HASH_SIZE : (index + 1) * HASH_SIZE]

    def _tell(self, check: str, done: int, total: int | None) -> None:
        if done % _TELL_EACH == 0:
            self._told(check, done, total)


def _label(k: bytes, recorded: Recorded) -> bytes:
    entry = recorded.entry
    if entry["kind"] not in protocol.ACCESS_KINDS:
        return protocol.account_label(k, recorded.week)
    return protocol.access_label(protocol.grant_key(k, entry["body"]["grant_id"]), recorded.week)
