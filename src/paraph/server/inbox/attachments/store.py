"""The table of which grants covered an attachment when it was uploaded."""

from paraph.server.storage import Transaction, load_sql

sql = load_sql("paraph.server.inbox.attachments")


def add(tx: Transaction, media_id: str, grant_id: str) -> None:
    """Note that a grant covers a new attachment."""
    tx.run(sql.add_attachment_grant, {"media_id": media_id, "grant_id": grant_id})


def has(tx: Transaction, media_id: str, grant_id: str) -> bool:
    """Whether the grant covered it."""
    return tx.row(sql.attachment_grant, {"media_id": media_id, "grant_id": grant_id}) is not None
