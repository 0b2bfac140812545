"""The ledger's tables: log keys, entries, public records and the outbox of leaves."""

from collections.abc import Iterable, Iterator
from typing import Any

from paraph.protocol.canonical import decode, encode
from paraph.server.ledger.model import Recorded
from paraph.server.storage import Row, Transaction, load_sql

sql = load_sql("paraph.server.ledger")


def log_key(tx: Transaction, person: str) -> bytes | None:
    """The person's account log key (32 bytes), if a device of hers enrolled."""
    row = tx.row(sql.log_key, {"person": person})
    return None if row is None else bytes(row[0])


def add_log_key(tx: Transaction, person: str, k: bytes) -> bool:
    """Keep the account log key; False if the person has one already."""
    return tx.run(sql.add_log_key, {"person": person, "k": k}) == 1


def add_entry(tx: Transaction, person: str, recorded: Recorded) -> None:
    """Keep an entry with its openings."""
    tx.run(
        sql.add_entry,
        {
            "seq": recorded.seq,
            "person": person,
            "week": recorded.week,
            "label": recorded.label,
            "o1": recorded.o1,
            "o2": recorded.o2,
            "entry": encode(recorded.entry).decode(),
        },
    )


def entry(tx: Transaction, seq: int) -> Recorded | None:
    """One entry by its sequence number."""
    row = tx.row(sql.entry, {"seq": seq})
    return None if row is None else _recorded(row)


def entries(tx: Transaction, person: str, from_seq: int, limit: int) -> list[Recorded]:
    """The person's entries from `from_seq` on, oldest first."""
    return [_recorded(row) for row in tx.rows(sql.entries_of, {"person": person, "from_seq": from_seq, "limit": limit})]


def _recorded(row: Row) -> Recorded:
    seq, week, label, o1, o2, text = row
    return Recorded(seq, decode(text.encode()), bytes(o1), bytes(o2), bytes(label), week)


def add_record(tx: Transaction, seq: int, record: dict[str, Any]) -> None:
    """Keep a public record."""
    tx.run(
        sql.add_record,
        {"seq": seq, "partner": record["partner"], "kind": record["kind"], "record": encode(record).decode()},
    )


def records(tx: Transaction, partner: str, kind: str) -> list[dict[str, Any]]:
    """The public records of one kind about a partner (or `platform`), oldest first."""
    return [decode(row[0].encode()) for row in tx.rows(sql.records_of, {"partner": partner, "kind": kind})]


def newest_record(tx: Transaction, partner: str, kind: str) -> dict[str, Any] | None:
    """The last public record of one kind about a partner (or `platform`)."""
    row = tx.row(sql.newest_record, {"partner": partner, "kind": kind})
    return None if row is None else decode(row[0].encode())


def add_leaf(tx: Transaction, leaf_hash: bytes, position: int, leaf: bytes, ts: int) -> bool:
    """Queue a leaf of time `ts` (ms) for the log; False if the same leaf is there already."""
    return tx.run(sql.add_leaf, {"leaf_hash": leaf_hash, "position": position, "leaf": leaf, "ts": ts}) == 1


def unsequenced(tx: Transaction, limit: int) -> list[bytes]:
    """Leaves that are not under a published checkpoint yet, oldest first."""
    return [bytes(row[0]) for row in tx.rows(sql.unsequenced, {"limit": limit})]


def count_unsequenced(tx: Transaction) -> int:
    """How many leaves wait."""
    row = tx.row(sql.count_unsequenced)
    return 0 if row is None else int(row[0])


def mark(tx: Transaction, indexes: Iterable[tuple[bytes, int]], size: int, time: int) -> None:
    """Give leaves (by leaf hash) their index in the published log of `size`, whose epoch leaf names `time` (ms).

    Those that have an index keep it.
    """
    tx.run(sql.set_progress, {"size": size, "time": time})
    tx.run_many(sql.mark_leaf, [{"leaf_hash": leaf_hash, "leaf_index": index} for leaf_hash, index in indexes])


def progress(tx: Transaction) -> int:
    """Up to which size of the log this database knows where its leaves are."""
    row = tx.row(sql.progress)
    return 0 if row is None else int(row[0])


def freshness(tx: Transaction) -> tuple[int, int | None]:
    """Time of the newest published tree's epoch, and of the oldest waiting leaf, if one waits; both in ms."""
    row = tx.row(sql.freshness)
    return (0, None) if row is None else (row[0], row[1])


def identity(tx: Transaction, vkey: str) -> str:
    """The key of the log that this database belongs to: the first that was ever given here."""
    tx.run(sql.add_identity, {"vkey": vkey})
    row = tx.row(sql.identity)
    return vkey if row is None else str(row[0])


def leaf_index(tx: Transaction, leaf_hash: bytes) -> tuple[bool, int | None]:
    """Whether a leaf is known, and its index once it is under a published checkpoint."""
    row = tx.row(sql.leaf_index, {"leaf_hash": leaf_hash})
    return (False, None) if row is None else (True, row[0])


PAGE = 2000
"""Rows that the walks below read at a time."""


def all_leaves(tx: Transaction) -> Iterator[tuple[bytes, bytes, int | None]]:
    """Hash, leaf and index of every leaf that is or will be in the log, in the order of hashes."""
    after = b""
    while rows := tx.rows(sql.outbox_page, {"after": after, "limit": PAGE}):
        yield from ((bytes(hashed), bytes(leaf), index) for hashed, leaf, index in rows)
        after = bytes(rows[-1][0])


def all_entries(tx: Transaction) -> Iterator[tuple[Recorded, str, bytes | None]]:
    """Every entry with its person and her account log key, in the order of their numbers."""
    after = -1
    while rows := tx.rows(sql.entries_page, {"after": after, "limit": PAGE}):
        yield from ((_recorded(row[:6]), row[6], row[7] and bytes(row[7])) for row in rows)
        after = rows[-1][0]


def all_records(tx: Transaction) -> Iterator[dict[str, Any]]:
    """Every public record, in the order of their numbers."""
    after = -1
    while rows := tx.rows(sql.records_page, {"after": after, "limit": PAGE}):
        yield from (decode(row[1].encode()) for row in rows)
        after = rows[-1][0]


def known_identity(tx: Transaction) -> str | None:
    """The key of the log that this database belongs to, if it belongs to one."""
    row = tx.row(sql.known_identity)
    return None if row is None else str(row[0])


def opened_leaf(tx: Transaction, leaf_hash: bytes) -> tuple[bytes, bytes, dict[str, Any]] | None:
    """Openings and entry of a private leaf; None once they are gone."""
    row = tx.row(sql.opened_leaf, {"leaf_hash": leaf_hash})
    return None if row is None else (bytes(row[0]), bytes(row[1]), decode(row[2].encode()))
