"""The table of what people reported. Nothing else reads or writes it."""

import msgspec

from paraph.server.storage import Transaction, load_sql

_sql = load_sql("paraph.server.messenger.complaints")


class Complaint(msgspec.Struct, frozen=True):
    """One report; `position` is its place in the server's one order, `ts` milliseconds since 1970."""

    position: int
    reporter: str
    room_id: str | None
    event_id: str | None
    user_id: str | None
    reason: str
    ts: int


def add(tx: Transaction, complaint: Complaint) -> None:
    """Keep a report."""
    tx.run(_sql.add, msgspec.structs.asdict(complaint))


def below(tx: Transaction, position: int, limit: int) -> list[Complaint]:
    """Reports from before a position, the newest first."""
    rows = tx.rows(_sql.complaints_below, {"position": position, "limit": limit})
    return [Complaint(*row) for row in rows]
