"""Platforms for the tests of accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.accounts.house import House, house


@pytest.fixture(autouse=True)
def _on_both_databases(dialect: str) -> None:
    """Every test of this room runs on SQLite and on PostgreSQL."""


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    """A platform where anyone may register and nobody is told to slow down."""
    async with house(tmp_path / "paraph.db") as built:
        yield built


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[House]:
    """An open platform with its published limits on."""
    async with house(tmp_path / "paraph.db", limits=True) as built:
        yield built
