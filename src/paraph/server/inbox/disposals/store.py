"""The table of the newest confirmation under each grant."""

from dataclasses import dataclass

from paraph.server.storage import Transaction, load_sql

sql = load_sql("paraph.server.inbox.disposals")


@dataclass(frozen=True, slots=True)
class HeldDisposal:
    """A confirmation by its document's hash: up to when (ms), and its ledger entry."""

    hash: str
    opened_before: int
    seq: int


def get(tx: Transaction, grant_id: str) -> HeldDisposal | None:
    """The newest confirmation under a grant."""
    row = tx.row(sql.disposal, {"grant_id": grant_id})
    return None if row is None else HeldDisposal(*row)


def put(tx: Transaction, grant_id: str, made: HeldDisposal) -> None:
    """Keep a confirmation in place of the one before."""
    values = {"hash": made.hash, "opened_before": made.opened_before, "seq": made.seq}
    tx.run(sql.put_disposal, {"grant_id": grant_id, **values})
