"""Ledger entries as partners are shown them."""

from typing import Any

from paraph.server.ledger.model import Recorded
from paraph.server.ledger.receipts import Receipts


def answered(receipts: Receipts, recorded: Recorded) -> dict[str, Any]:
    """The `E` of an entry with its receipt, once it is durable.

    Without `seq`: that is a position in the server's one order, and would tell a partner how much everybody says.
    """
    return {name: value for name, value in receipts.answered(recorded).items() if name != "seq"}
