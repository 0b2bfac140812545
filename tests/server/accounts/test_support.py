"""Whom people write to about the server."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from paraph.server.accounts.http_support import endpoints
from tests.server.accounts.house import House, refused
from tests.support.databases import runs_on_sqlite

pytestmark = runs_on_sqlite
PATH = "/.well-known/matrix/support"


async def told(home: House, contact: str, page: str) -> httpx.Response:
    async with home.client_at("192.0.2.9", endpoints(contact, page)) as client:
        return await client.get(PATH)


@pytest.mark.parametrize(
    ("contact", "page", "expected"),
    [
        ("help@example.org", "", {"contacts": [{"email_address": "help@example.org", "role": "m.role.admin"}]}),
        ("@help:test", "", {"contacts": [{"matrix_id": "@help:test", "role": "m.role.admin"}]}),
        ("", "https://example.org/help", {"support_page": "https://example.org/help"}),
    ],
)
async def test_contact_and_page_are_told(home: House, contact: str, page: str, expected: dict[str, Any]) -> None:
    """Each as the operator set it; what she did not set is not there."""
    assert (await told(home, contact, page)).json() == expected


async def test_no_contact_is_not_found(home: House) -> None:
    """Where nothing is set, there is nothing."""
    refused(await told(home, "", ""), 404, "M_NOT_FOUND")
