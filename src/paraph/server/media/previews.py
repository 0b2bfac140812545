"""Previews of web pages: there are none.

A server that fetches the pages that people write to each other about learns what stands in their encrypted messages,
and tells the pages' owners that somebody is reading. Clients show the address, or fetch the page themselves.
"""

from __future__ import annotations

from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request

PATHS = ("/_matrix/client/v1/media/preview_url", "/_matrix/media/v3/preview_url")


async def _refuse(_request: Request) -> Reply:
    raise MatrixError(404, "M_NOT_FOUND", "this server fetches no pages: it would learn what your messages are about")


def endpoints() -> list[Endpoint]:
    """The rows that refuse."""
    return [Endpoint("GET", path, Access.PERSON, _refuse, "No page is fetched to be shown in small.") for path in PATHS]
