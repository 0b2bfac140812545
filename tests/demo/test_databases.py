"""The databases that the demo makes for itself."""

from __future__ import annotations

import psycopg
import pytest
from typer.testing import CliRunner

from paraph.cli.demo.postgresql import PostgresUnavailable, new_databases
from paraph.cli.main import app
from tests.support.postgresql import PostgresServer

pytestmark = pytest.mark.slow


def names(server: PostgresServer) -> set[str]:
    """The databases that this server has."""
    with psycopg.connect(server.dsn()) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


def test_on_a_server_by_its_url_they_are_made_and_dropped(postgresql: PostgresServer) -> None:
    """Each platform of the demo gets an empty database of its own, and nothing is left behind."""
    before = names(postgresql)
    with new_databases(postgresql.dsn()) as new_database:
        urls = [new_database(), new_database()]
        assert len(names(postgresql) - before) == 2
        for url in urls:
            with psycopg.connect(url) as connection:
                assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (
                    0,
                )
    assert names(postgresql) == before


def test_a_server_that_is_not_there_is_an_error_of_one_line() -> None:
    """The demo says what is wrong instead of playing."""
    url = "postgresql://nobody@127.0.0.1:1/none"
    with new_databases(url) as new_database, pytest.raises(PostgresUnavailable, match="made no database"):
        new_database()
    played = CliRunner().invoke(app, ["demo", "--once", "--database", "oracle"])
    assert played.exit_code == 2
    assert "expected sqlite, postgresql" in played.output
