"""The table of what partners had deleted, so that the same request is answered the same."""

from dataclasses import dataclass

from paraph.server.storage import Transaction, load_sql

sql = load_sql("paraph.server.inbox")


@dataclass(frozen=True, slots=True)
class HeldDelete:
    """A delete: where, under which grant, by which redaction, and its ledger entry."""

    room_id: str
    grant_id: str
    redaction_id: str
    seq: int


def get(tx: Transaction, partner: str, event_id: str) -> HeldDelete | None:
    """What the partner had done with an event."""
    row = tx.row(sql.delete, {"partner": partner, "event_id": event_id})
    return None if row is None else HeldDelete(*row)


def add(tx: Transaction, partner: str, event_id: str, made: HeldDelete) -> None:
    """Keep a delete."""
    tx.run(
        sql.add_delete,
        {
            "partner": partner,
            "event_id": event_id,
            "room_id": made.room_id,
            "grant_id": made.grant_id,
            "redaction_id": made.redaction_id,
            "seq": made.seq,
        },
    )
