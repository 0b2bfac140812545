"""What anybody may see of the ledger, page by page: public records, how many there are, and single leaves."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

from paraph.protocol import entry as protocol
from paraph.protocol.canonical import decode
from paraph.server.ledger import store
from paraph.server.ledger.store import sql
from paraph.server.storage import Row, Transaction
from paraph.tlog.merkle import leaf_hash

END = 2**53 - 1
"""Above every position: a page that begins here begins with the newest record."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A public record {kind, partner, ts, document} and its position in the server's one order."""

    seq: int
    record: dict[str, Any]

    @property
    def leaf_hash(self) -> bytes:
        """Under which hash it is in the log, or will be."""
        return hash_of(self.record)


@dataclass(frozen=True, slots=True)
class KnownLeaf:
    """A leaf, its index (None while it waits for the log) and its position in the server's one order."""

    leaf: bytes
    index: int | None
    seq: int


def hash_of(record: Mapping[str, Any]) -> bytes:
    """Leaf hash (32 bytes) of a public record."""
    kind, partner, ts = record["kind"], record["partner"], record["ts"]
    return leaf_hash(protocol.public_leaf(kind, partner, ts, record["document"]))


def records_from(tx: Transaction, partner: str, kind: str, skip: int, limit: int) -> list[dict[str, Any]]:
    """Records of one kind about a partner (or `platform`), oldest first, after the first `skip`."""
    params = {"partner": partner, "kind": kind, "skip": skip, "limit": limit}
    return [decode(row[0].encode()) for row in tx.rows(sql.records_from, params)]


def records_about(tx: Transaction, partner: str, kinds: Iterable[str], limit: int, before: int = END) -> list[Listed]:
    """The newest records of these kinds about a partner (or `platform`) from below a position, newest first."""
    found = []
    for kind in kinds:
        params = {"partner": partner, "kind": kind, "before": before, "limit": limit}
        found += [_listed(row) for row in tx.rows(sql.records_before, params)]
    return nlargest(limit, found, key=lambda listed: listed.seq)


def records(tx: Transaction, limit: int, before: int = END) -> list[Listed]:
    """The newest records of all kinds about anybody from below a position, newest first."""
    return [_listed(row) for row in tx.rows(sql.all_records_before, {"before": before, "limit": limit})]


def _listed(row: Row) -> Listed:
    return Listed(row[0], decode(row[1].encode()))


def waiting_kinds(tx: Transaction) -> Counter[str]:
    """How many public records of each kind wait for the log."""
    return Counter(dict(tx.rows(sql.waiting_kinds)))


def find_leaf(tx: Transaction, hash_of_leaf: bytes) -> KnownLeaf | None:
    """A leaf by its hash, public or private; None if it is not this log's."""
    row = tx.row(sql.leaf_at, {"leaf_hash": hash_of_leaf})
    return None if row is None else KnownLeaf(bytes(row[0]), row[1], row[2])


def published_size(tx: Transaction) -> int:
    """Size of the newest published tree, as far as this database knows where its leaves are."""
    return store.progress(tx)


class Tally:
    """How many public records of each kind there are, counted once and kept up with what is new.

    Commits come in the order of their positions, so what is below the last position seen never changes.
    """

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._upto = 0

    def count(self, tx: Transaction) -> Counter[str]:
        """Records by kind, those that wait for the log included."""
        found = tx.rows(sql.kinds_since, {"after": self._upto})
        for kind, count, _ in found:
            self._kinds[kind] += count
        self._upto = max((last for *_, last in found), default=self._upto)
        return Counter(self._kinds)
