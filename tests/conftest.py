"""Fixtures that every area may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import settings

from tests.corpus.summary import pytest_terminal_summary
from tests.support.databases import databases, dialect
from tests.support.postgresql import postgresql, postgresql_dsn
from tests.support.server import RunningServer

__all__ = ["dialect", "postgresql", "postgresql_dsn", "pytest_terminal_summary", "server", "start_server"]

# Hundreds of processes are started: they are to find compiled what the first of them has compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long one example takes says more about what else runs on the machine than about the code.
settings.register_profile("paraph", deadline=None)
settings.register_profile("brief", settings.get_profile("paraph"), max_examples=20)
settings.load_profile("paraph")

REHEARSED_OF = 1 if os.environ.get("PARAPH_REHEARSE") else 4
"""One in so many tests runs with every write done twice; `make rehearse` runs them all."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out most rehearsed runs, always the same ones, and let pytest count them as deselected."""
    left_out = [item for item in items if "rehearsed" in item.name and crc32(item.nodeid.encode()) % REHEARSED_OF]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = {id(item) for item in left_out}
        items[:] = [item for item in items if id(item) not in gone]


StartServer = Callable[..., RunningServer]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """A function that starts servers of this test's own: `start_server(registration="closed")`.

    They run on PostgreSQL where the test does (fixture `dialect`). All are killed when the test ends; after a failure
    the end of each log is printed.
    """
    servers: list[RunningServer] = []

    def start(*, witnessed: bool = True, **settings: str | None) -> RunningServer:
        data = tmp_path / f"server-{len(servers)}"
        settings = {"database": databases().setting(data / "paraph.db"), **settings}
        server = RunningServer(data, witnessed=witnessed, **settings)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.kill()
        print(server.tail())  # noqa: T201 - pytest shows it with a failed test only


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One open server that the tests of a module share; each test makes accounts and rooms of its own.

    A module marked with `on_both_databases` gets one on SQLite and one on PostgreSQL.
    """
    with contextlib.ExitStack() as stack:
        database = "sqlite"
        if getattr(request, "param", "sqlite") == "postgresql":
            database = stack.enter_context(request.getfixturevalue("postgresql").database())
        data = tmp_path_factory.mktemp("server") / "data"
        running = stack.enter_context(RunningServer(data, database=database))
        yield running
        print(running.tail())  # noqa: T201 - pytest shows it with a failed test only
