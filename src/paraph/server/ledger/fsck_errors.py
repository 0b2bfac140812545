"""What a check of a data folder finds wrong."""

from paraph.server.ledger.errors import LedgerError


class Wrong(LedgerError):
    """Something in the data folder is not as it must be."""
