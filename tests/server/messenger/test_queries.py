"""Every statement finds its rows by an index, so that cost does not grow with what is stored."""

from __future__ import annotations

import re

import pytest

from paraph.server.storage import load_sql
from tests.server.messenger.house import House

_SQL = load_sql("paraph.server.messenger", "sqlite")


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", sorted(vars(_SQL)))
async def test_no_statement_scans_a_table(home: House, name: str) -> None:
    """The query plan searches; the only thing read in full is the list of senders that comes with the question."""
    sql = getattr(_SQL, name)
    params = dict.fromkeys(re.findall(r":(\w+)", sql), "1")
    plan = await home.messenger.core.database.read(lambda tx: tx.rows(f"EXPLAIN QUERY PLAN {sql}", params))
    details = [str(row[3]) for row in plan]
    assert not [text for text in details if text.startswith("SCAN") and "json_each" not in text]
    assert not [text for text in details if "TEMP B-TREE FOR ORDER BY" in text and name not in _SORTED]


_SORTED = {"state_at", "state_of_type"}
"""Sorted after the search: as many rows as the room has state, not as many as it has messages."""
