"""The databases that the tests of this room run on."""

import pytest


@pytest.fixture(autouse=True)
def _on_both_databases(dialect: str) -> None:
    """Every test of this room runs on SQLite and on PostgreSQL."""
