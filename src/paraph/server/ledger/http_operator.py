"""The ledger's endpoint for the operator (docs/protocol.md section 7)."""

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.ledger.disclosure import Disclosure

_MOST = 2**53 - 1


def endpoints(disclosure: Disclosure) -> list[Endpoint]:
    """What the operator discloses."""

    async def page(request: Request) -> Reply:
        start = request.query_int("from", 0, 0, _MOST)
        size = request.query_int("size", 0, 0, _MOST) or None
        return Reply.json((await disclosure.page(start, size)).rendered)

    return [
        Endpoint(
            "GET",
            "/_paraph/v1/admin/disclosure",
            Access.OPERATOR,
            page,
            "Kind, partner and day of every private record, in log order, as the log commits to them",
            "log",
        )
    ]
