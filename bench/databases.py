"""The database behind a server under measurement: a file, or a PostgreSQL started for the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.postgresql import PostgresServer


@dataclass(frozen=True)
class Database:
    """What `PARAPH_DATABASE` is set to, and the processes whose cost counts as the server's."""

    setting: str
    pids: tuple[int, ...] = ()


SQLITE = Database("sqlite")


class Databases:
    """Fresh databases of one kind (`sqlite` or `postgresql`)."""

    def __init__(self, postgresql: PostgresServer | None) -> None:
        self._postgresql = postgresql

    @contextlib.contextmanager
    def fresh(self) -> Iterator[Database]:
        """A database that nobody has used; dropped afterwards."""
        if self._postgresql is None:
            yield SQLITE
            return
        with self._postgresql.database() as dsn:
            yield Database(dsn, (self._postgresql.pid,))


@contextlib.contextmanager
def databases(kind: str) -> Iterator[Databases]:
    """Databases of a kind; starts a PostgreSQL where one is needed."""
    if kind == "sqlite":
        yield Databases(None)
        return
    from tests.support.postgresql import PostgresServer

    server = PostgresServer()
    try:
        yield Databases(server.start())
    finally:
        server.remove()
