"""The conformance table of the Matrix API says what the application answers, and names tests that exist."""

import pytest

from paraph.server.http import Access, Endpoint, Reply, Request
from scripts import matrix_table, reference
from scripts.matrix_table import Row

TESTED = "docs/test_matrix.py::test_the_table_tells_the_truth"


@pytest.fixture(scope="module")
def endpoints() -> tuple[Endpoint, ...]:
    """The table of the real application."""
    return reference.table()


def test_the_table_tells_the_truth(endpoints: tuple[Endpoint, ...]) -> None:
    """Each endpoint that is answered has a row with a test that exists; each row is answered or says why not."""
    assert matrix_table.faults(endpoints) == []


def test_the_page_is_up_to_date() -> None:
    """docs/matrix.md is what docs/matrix.toml gives now."""
    assert matrix_table.PAGE.read_text(encoding="utf-8").endswith(matrix_table.matrix_page())


def test_no_endpoint_is_told_twice() -> None:
    """Each has one row."""
    told = [(row.method, row.path) for row in matrix_table.rows()]
    assert len(set(told)) == len(told) > 150


async def _handler(_request: Request) -> Reply:
    return Reply.json({})


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([], "has no row"),
        ([Row("GET", "/_matrix/client/v3/one/{id}", why="no reason")], "says that it is not served"),
        ([Row("GET", "/_matrix/client/v3/one/{id}", TESTED), Row("GET", "/_matrix/x", TESTED)], "is not answered"),
        ([Row("GET", "/_matrix/client/v3/one/{id}", TESTED, "both")], "expected a test, or why"),
        ([Row("GET", "/_matrix/client/v3/one/{id}")], "expected a test, or why"),
        ([Row("GET", "/_matrix/client/v3/one/{id}", f"{TESTED}_always")], "there is no test"),
        ([Row("GET", "/_matrix/client/v3/one/{id}", "docs/nothing.py::test_x")], "there is no test"),
    ],
)
def test_each_fault_is_found(rows: list[Row], fault: str) -> None:
    """A missing row, a wrong claim in either direction and a test that is not there are named."""
    table = [Endpoint("GET", "/_matrix/client/v3/one/{id}", Access.PUBLIC, _handler, "One")]
    said = matrix_table.faults(table, rows)
    assert any(fault in one for one in said), said


def test_a_true_table_has_no_faults() -> None:
    """The check does not find what is not there."""
    table = [Endpoint("GET", "/_matrix/client/v3/one/{id}", Access.PUBLIC, _handler, "One")]
    assert matrix_table.faults(table, [Row("GET", "/_matrix/client/v3/one/{id}", TESTED)]) == []
