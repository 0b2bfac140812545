"""Previews of web pages are refused."""

from __future__ import annotations

import pytest

from paraph.server.http import Access, MatrixError, PersonPrincipal, Request
from paraph.server.media import previews


async def test_no_page_is_fetched() -> None:
    """Under both addresses, to people alone: 404, with the reason."""
    for endpoint in previews.endpoints():
        request = Request("GET", {}, b"url=http://127.0.0.1/", [], b"", "", PersonPrincipal("@author:localhost", "A"))
        with pytest.raises(MatrixError, match="fetches no pages") as refused:
            await endpoint.handler(request)
        assert (refused.value.status, endpoint.access) == (404, Access.PERSON)
