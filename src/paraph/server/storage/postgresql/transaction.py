"""What a write or read function is given on PostgreSQL."""

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.pq.abc import PGresult

from paraph.server.storage.batches import Effects, Listeners
from paraph.server.storage.database import Params, Row, StorageError
from paraph.server.storage.postgresql.wire import Wire

BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
COMMIT = "COMMIT"


class Writing(Effects):
    """One write's part of a batch. A database error ends it: nothing more can be done in it."""

    __slots__ = ("_take", "_wire", "connection", "wrote")

    def __init__(self, wire: Wire, listeners: Listeners, take: Callable[[], int]) -> None:
        super().__init__(listeners)
        self.connection: psycopg.Connection[Any] = wire.connection
        self._wire = wire
        self._take = take
        self.wrote = False

    def _execute(self, sql: str, params: Params) -> PGresult:
        if not self.wrote:
            self.wrote = not self._wire.reads(sql)
        return self._wire.execute(sql, params)

    def rows(self, sql: str, params: Params = {}) -> list[Row]:  # noqa: B006 (never changed)
        """Every row of a query."""
        return self._wire.decoded(sql, self._execute(sql, params))

    def row(self, sql: str, params: Params = {}) -> Row | None:  # noqa: B006
        """The first row of a query, or None."""
        found = self._wire.decoded(sql, self._execute(sql, params), limit=1)
        return found[0] if found else None

    def run(self, sql: str, params: Params = {}) -> int:  # noqa: B006
        """Execute a statement; returns how many rows it changed (-1 for a statement that changes no rows)."""
        changed = self._execute(sql, params).command_tuples
        return -1 if changed is None else changed

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """Execute a statement once for each set of parameters, in one round trip."""
        self.wrote = True
        if params:
            self._wire.together([(sql, each) for each in params])

    def next_position(self) -> int:
        """The next position of the server's one order."""
        return self._take()


class Reading(Writing):
    """A read: its BEGIN travels with its first statement, and its end is not waited for."""

    __slots__ = ("_begun",)

    def __init__(self, wire: Wire, listeners: Listeners) -> None:
        super().__init__(wire, listeners, _no_positions)
        self._begun = False

    def _execute(self, sql: str, params: Params) -> PGresult:
        if self._begun:
            return self._wire.execute(sql, params)
        self._begun = True
        return self._wire.together([(BEGIN_READING, {}), (sql, params)])[1]

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """Execute a statement once for each set of parameters."""
        for each in params:
            self._execute(sql, each)

    def end(self) -> None:
        """Let go of the view."""
        if not self._begun or not self._wire.alive:
            return
        if self._wire.failed:
            self._wire.command(b"ROLLBACK")
        else:
            self._wire.leave(COMMIT)


def _no_positions() -> int:
    raise StorageError("a reading transaction has no positions to give")
