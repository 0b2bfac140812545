"""A house for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.messenger.house import House, house


@pytest.fixture(autouse=True)
def _on_both_databases(dialect: str) -> None:
    """Every test of this room runs on SQLite and on PostgreSQL."""


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    """A messenger that requires encryption."""
    async with house(tmp_path / "paraph.db") as built:
        yield built


@pytest.fixture
async def open_home(tmp_path: Path) -> AsyncIterator[House]:
    """A messenger of the test profile: plaintext is allowed."""
    async with house(tmp_path / "paraph.db", require_encryption=False) as built:
        yield built
