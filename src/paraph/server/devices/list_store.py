"""The tables of who changed and who concerns whom no longer."""

from paraph.server.devices.store import sql
from paraph.server.storage import Transaction


def put_change(tx: Transaction, user_id: str, position: int) -> None:
    """The person's devices or identity changed."""
    tx.run(sql.put_change, {"user_id": user_id, "position": position})


def changes(tx: Transaction, since: int, upto: int) -> dict[str, int]:
    """Everybody whose last change lies in (since, upto], and where."""
    return {row[0]: row[1] for row in tx.rows(sql.changes, {"since": since, "upto": upto})}


def newest_change(tx: Transaction) -> int:
    """Position of the last change of anybody; 0 if there was none."""
    row = tx.row(sql.newest_change)
    return 0 if row is None else row[0]


def put_notice(tx: Transaction, user_id: str, other: str, parted: bool, position: int) -> None:
    """`user_id` is to look at `other` again, or to forget them (`parted`)."""
    tx.run(sql.put_notice, {"user_id": user_id, "other": other, "parted": int(parted), "position": position})


def notices(tx: Transaction, user_id: str, since: int, upto: int) -> list[tuple[str, bool, int]]:
    """(other, parted, position) for the notices to a person in (since, upto]."""
    rows = tx.rows(sql.notices, {"user_id": user_id, "since": since, "upto": upto})
    return [(other, bool(parted), position) for other, parted, position in rows]


def newest_notice(tx: Transaction, user_id: str) -> int:
    """Position of the last notice to a person; 0 if there was none."""
    row = tx.row(sql.newest_notice, {"user_id": user_id})
    return 0 if row is None else row[0]
