"""One connection to PostgreSQL, spoken to through libpq itself (`psycopg.pq`).

psycopg's cursors cost three times as much for each statement (docs/adr/0008), most of it for choosing types that are
known here: PostgreSQL infers a parameter's type from the statement (`values`). A statement used twice is prepared.
Several statements can share one round trip: `exchange` never blocks the event loop, `together` and `execute` do.
"""

import asyncio
import select
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import errors, pq
from psycopg.pq.abc import PGresult

from paraph.server.storage.database import Params, Row, StorageError
from paraph.server.storage.postgresql.placeholders import Statement, translate
from paraph.server.storage.postgresql.values import Decoder, arguments

Step = tuple[str, Params]

_BINARY = pq.Format.BINARY
_GOOD = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)
_MAX_PREPARED = 1000
_OPTIONS: dict[str, Any] = {"fallback_application_name": "paraph", "connect_timeout": 5, "tcp_user_timeout": 10_000}


class Lost(StorageError):
    """The connection to PostgreSQL is gone."""


class _Held:
    """A statement as this connection knows it: how often it was used, its name once prepared, its results' decoder."""

    __slots__ = ("decoder", "handle", "names", "reads", "text", "uses")

    def __init__(self, statement: Statement) -> None:
        self.text = statement.text.encode()
        self.names = statement.names
        self.reads = statement.reads
        self.uses = 0
        self.handle: bytes | None = None
        self.decoder: Decoder | None = None


Ready = tuple[_Held, list[Any], list[int]]


class Wire:
    """A connection, and what has been prepared on it. Not for use by two threads at once."""

    def __init__(self, dsn: str) -> None:
        """Connect; raises Lost if there is no server or it lets nobody in."""
        try:
            self.connection = psycopg.connect(dsn, autocommit=True, **_OPTIONS)
        except psycopg.OperationalError as error:
            raise Lost(f"PostgreSQL cannot be reached: {error}".strip()) from None
        self._pg = self.connection.pgconn
        self._held: dict[str, _Held] = {}
        self._prepared = 0
        self._owed = False
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)

    @property
    def alive(self) -> bool:
        """Whether the connection worked when it was last used."""
        return self._pg.status == pq.ConnStatus.OK

    @property
    def failed(self) -> bool:
        """Whether the running transaction can only be rolled back."""
        return self._pg.transaction_status == pq.TransactionStatus.INERROR

    @property
    def socket(self) -> int:
        """The file descriptor to wait on."""
        return self._pg.socket

    def close(self) -> None:
        """Hang up; PostgreSQL rolls back what was not committed."""
        self._owed = False
        self.connection.close()

    def reads(self, sql: str) -> bool:
        """Whether this statement certainly writes nothing."""
        return self._hold(sql).reads

    def prepare(self, sql: str) -> None:
        """Have PostgreSQL parse this statement now, once for all."""
        held = self._hold(sql)
        handle = b"p%d" % self._prepared
        try:
            self._checked(self._pg.prepare(handle, held.text))
        except psycopg.OperationalError as error:
            raise self._broken(error) from None
        held.handle = handle
        self._prepared += 1

    def execute(self, sql: str, params: Params) -> PGresult:
        """Run one statement; raises the `psycopg.Error` for what PostgreSQL said, or Lost."""
        self._collect()
        held = self._used(sql)
        values, formats = arguments(held.names, params)
        try:
            if held.handle is None:
                result = self._pg.exec_params(held.text, values, None, formats, _BINARY)
            else:
                result = self._pg.exec_prepared(held.handle, values, formats, _BINARY)
        except psycopg.OperationalError as error:
            raise self._broken(error) from None
        return self._checked(result)

    def decoded(self, sql: str, result: PGresult, limit: int | None = None) -> list[Row]:
        """The first `limit` rows (or all) that `sql` returned, as Python values."""
        held = self._held[sql]
        if held.decoder is None:
            held.decoder = Decoder(result)
        return held.decoder.rows(result, limit)

    def rows(self, sql: str) -> list[Row]:
        """Every row of a query without parameters."""
        return self.decoded(sql, self.execute(sql, {}))

    def command(self, text: bytes) -> None:
        """Run commands without parameters, such as `SAVEPOINT`, in one round trip."""
        self._collect()
        try:
            self._checked(self._pg.exec_(text))
        except psycopg.OperationalError as error:
            raise self._broken(error) from None

    def leave(self, sql: str) -> None:
        """Send a statement and let its answer be collected by whatever comes next; for the end of a read."""
        try:
            self._send(self._hold(sql), [], [])
            self._owed = True
            while self._pg.flush():
                self._poll.poll()
        except psycopg.OperationalError as error:
            raise self._broken(error) from None

    def notifications(self) -> list[bytes]:
        """The payloads of the notifications that have arrived; raises Lost."""
        try:
            self._pg.consume_input()
        except psycopg.OperationalError as error:
            raise self._broken(error) from None
        return [notify.extra for notify in iter(self._pg.notifies, None)]

    # Several statements, one round trip (libpq documentation, "Pipeline Mode")

    def ready(self, sql: str, params: Params) -> Ready:
        """A statement and its parameters as they will be sent; raises what `params` do not fit for."""
        held = self._used(sql)
        return held, *arguments(held.names, params)

    def together(self, steps: Sequence[Step]) -> list[PGresult]:
        """Run `steps`; raises as `execute` does, for the first that fails, with the ones behind it not run."""
        return self.together_ready([self.ready(*step) for step in steps])

    def together_ready(self, calls: Sequence[Ready]) -> list[PGresult]:
        """As `together`, for what `ready` has made."""
        results: list[PGresult] = []
        for writing in self._pipeline(calls, results):
            self._poll.modify(self.socket, select.POLLIN | select.POLLOUT if writing else select.POLLIN)
            self._poll.poll()
        return [self._checked(result) for result in results]

    async def exchange(self, steps: Sequence[Step]) -> list[PGresult]:
        """As `together`, but others may use the event loop until PostgreSQL has answered."""
        return await self.exchange_ready([self.ready(*step) for step in steps])

    async def exchange_ready(self, calls: Sequence[Ready]) -> list[PGresult]:
        """As `exchange`, for what `ready` has made."""
        results: list[PGresult] = []
        try:
            for writing in self._pipeline(calls, results):
                await _ready(self.socket, writing=writing)
        except asyncio.CancelledError:  # what PostgreSQL still answers would be taken for something else's answer
            self.close()
            raise
        return [self._checked(result) for result in results]

    def _pipeline(self, calls: Sequence[Ready], results: list[PGresult]) -> Iterator[bool]:
        """Send `calls`, add their results; yields when it has to wait: True if for room to send as well."""
        self._collect()
        pg = self._pg
        try:
            pg.enter_pipeline_mode()
            for held, values, formats in calls:
                self._send(held, values, formats)
            pg.pipeline_sync()
            while pg.flush():
                yield True
                pg.consume_input()
            while (result := (yield from self._next_result())) is not None:
                results.append(result)
            pg.exit_pipeline_mode()
        except psycopg.OperationalError as error:
            raise self._broken(error) from None

    def _send(self, held: _Held, values: list[Any], formats: list[int]) -> None:
        if held.handle is None:
            self._pg.send_query_params(held.text, values, None, formats, _BINARY)
        else:
            self._pg.send_query_prepared(held.handle, values, formats, _BINARY)

    def _next_result(self) -> Generator[bool, None, PGresult | None]:
        """The next statement's result; None at the end of the pipeline. (libpq says None after each result as well.)"""
        while True:
            while self._pg.is_busy():
                yield False
                self._pg.consume_input()
            result = self._pg.get_result()
            if result is not None:
                return None if result.status == pq.ExecStatus.PIPELINE_SYNC else result
            if not self.alive:
                raise psycopg.OperationalError("the connection was closed")

    # What a statement is here, and what an answer means

    def _hold(self, sql: str) -> _Held:
        held = self._held.get(sql)
        if held is None:
            held = self._held[sql] = _Held(translate(sql))
        return held

    def _used(self, sql: str) -> _Held:
        """Count a use, and prepare what is used again."""
        held = self._hold(sql)
        held.uses += 1
        if held.handle is None and held.uses > 1 and self._prepared < _MAX_PREPARED:
            self.prepare(sql)
        return held

    def _collect(self) -> None:
        """Take the answer that `leave` did not wait for."""
        if self._owed:
            self._owed = False
            while self._pg.get_result() is not None:
                pass

    def _checked(self, result: PGresult) -> PGresult:
        if result.status in _GOOD:
            return result
        message = result.error_message.decode(errors="replace").strip()
        if not self.alive:
            self.close()
            raise Lost(message)
        state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        primary = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
        raise _error_class(state)(primary or message)

    def _broken(self, error: psycopg.OperationalError) -> Lost:
        self.close()
        return Lost(f"the connection to PostgreSQL broke: {error}".strip())


def _error_class(state: str) -> type[psycopg.Error]:
    try:
        return errors.lookup(state)
    except KeyError:
        return psycopg.DatabaseError


async def _ready(socket: int, *, writing: bool) -> None:
    """Wait until `socket` can be read (or, if `writing`, written)."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(socket, wake)
    if writing:
        loop.add_writer(socket, wake)
    try:
        await ready
    finally:
        loop.remove_reader(socket)
        if writing:
            loop.remove_writer(socket)
