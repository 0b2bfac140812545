"""Fixtures that every area may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.databases import dialect
from tests.support.postgresql import postgresql, postgresql_dsn
from tests.support.server import RunningServer

__all__ = ["dialect", "postgresql", "postgresql_dsn", "server", "start_server"]

StartServer = Callable[..., RunningServer]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """A function that starts servers of this test's own: `start_server(registration="closed")`.

    All are killed when the test ends; after a failure the end of each log is printed.
    """
    servers: list[RunningServer] = []

    def start(**settings: str | None) -> RunningServer:
        server = RunningServer(tmp_path / f"server-{len(servers)}", **settings)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.kill()
        print(server.tail())  # noqa: T201 - pytest shows it with a failed test only


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One open server that the tests of a module share; each test makes accounts and rooms of its own."""
    with RunningServer(tmp_path_factory.mktemp("server") / "data") as running:
        yield running
        print(running.tail())  # noqa: T201 - pytest shows it with a failed test only
