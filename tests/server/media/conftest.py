"""A repository for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.media.repository import Repository, repository


@pytest.fixture(autouse=True)
def _on_both_databases(dialect: str) -> None:
    """Every test of this room runs on SQLite and on PostgreSQL."""


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Repository]:
    """A repository for small files."""
    async with repository(tmp_path) as built:
        yield built
