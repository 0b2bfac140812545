"""A platform for the tests of devices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.devices.party import Home, open_home


@pytest.fixture(autouse=True)
def _on_both_databases(dialect: str) -> None:
    """Every test of this room runs on SQLite and on PostgreSQL."""


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """An open platform with accounts and devices."""
    async with open_home(tmp_path / "paraph.db") as built:
        yield built
