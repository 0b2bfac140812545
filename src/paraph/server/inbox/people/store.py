"""The table of who lets herself be listed."""

from paraph.server.storage import Transaction, load_sql

sql = load_sql("paraph.server.inbox.people")


def put(tx: Transaction, user_id: str, *, listed: bool) -> None:
    """Keep what a person decided."""
    tx.run(sql.add_listed if listed else sql.remove_listed, {"user_id": user_id})


def is_listed(tx: Transaction, user_id: str) -> bool:
    """Whether a person lets herself be listed."""
    return tx.row(sql.listed, {"user_id": user_id}) is not None
