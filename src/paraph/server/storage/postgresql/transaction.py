"""What a write or read function is given on PostgreSQL."""

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.pq.abc import PGresult

from paraph.server.storage.batches import Effects, Listeners
from paraph.server.storage.database import Params, Row, StorageError
from paraph.server.storage.postgresql.wire import Ready, Wire

BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
COMMIT = "COMMIT"
MAX_AHEAD = 256
"""Statements that may be ahead of their answers: they and their parameters are held until they are sent."""


class Ahead:
    """What a batch has added without waiting for the answers, believing that each changes one row.

    They are sent in order, before anything that needs an answer, or at the end of the batch.
    """

    __slots__ = ("_calls", "_wire", "wrong")

    def __init__(self, wire: Wire) -> None:
        self._calls: list[Ready] = []
        self._wire = wire
        self.wrong = False  # one was refused, or changed nothing: whoever went on believing it has to run again

    def add(self, sql: str, params: Params) -> None:
        """Take a statement; raises what its parameters do not fit for."""
        self._calls.append(self._wire.ready(sql, params))
        if len(self._calls) >= MAX_AHEAD:
            self.catch_up()

    def catch_up(self) -> None:
        """Have everything run and answered; raises Lost."""
        if self._calls:
            calls, self._calls = self._calls, []
            try:
                self._check(self._wire.together_ready(calls))
            except psycopg.Error:
                self.wrong = True

    async def proved(self) -> bool:
        """As `catch_up`, leaving the event loop to others; returns whether all of it was as believed."""
        if self._calls and not self.wrong:
            calls, self._calls = self._calls, []
            try:
                self._check(await self._wire.exchange_ready(calls))
            except psycopg.Error:
                self.wrong = True
        return not self.wrong

    def _check(self, results: list[PGresult]) -> None:
        if any(result.command_tuples != 1 for result in results):
            self.wrong = True


class Writing(Effects):
    """One write's part of a batch. A database error ends it: nothing more can be done in it."""

    __slots__ = ("_ahead", "_take", "_wire", "connection", "wrote")

    def __init__(self, wire: Wire, listeners: Listeners, take: Callable[[], int], ahead: Ahead | None = None) -> None:
        """`ahead` takes what is added; without it every answer is waited for."""
        super().__init__(listeners)
        self._ahead = ahead
        self.connection: psycopg.Connection[Any] = wire.connection
        self._wire = wire
        self._take = take
        self.wrote = False

    def _execute(self, sql: str, params: Params) -> PGresult:
        if self._ahead is not None:
            self._ahead.catch_up()
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

    def add(self, sql: str, params: Params) -> bool:
        """Execute a statement that should change one row; returns whether it did, or is believed to do."""
        if self._ahead is None:
            return self.run(sql, params) == 1
        self._ahead.add(sql, params)
        self.wrote = True
        return True

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """Execute a statement once for each set of parameters, in one round trip."""
        if self._ahead is not None:
            self._ahead.catch_up()
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
