"""Whom people write to about this server (Client-Server API v1.19, "Server Administration", well-known support)."""

from typing import Any

from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request


def endpoints(contact: str, page: str) -> list[Endpoint]:
    """The one row. `contact` is a mail address or a user id, `page` a URL; either may be empty."""
    told = _told(contact, page)

    async def support(_request: Request) -> Reply:
        if not told:
            raise MatrixError(404, "M_NOT_FOUND", "the operator of this server names no contact")
        return Reply.json(told)

    return [Endpoint("GET", "/.well-known/matrix/support", Access.PUBLIC, support, "Whom to write to about the server")]


def _told(contact: str, page: str) -> dict[str, Any]:
    told: dict[str, Any] = {"support_page": page} if page else {}
    if contact:
        kind = "matrix_id" if contact.startswith("@") else "email_address"
        told["contacts"] = [{kind: contact, "role": "m.role.admin"}]
    return told
