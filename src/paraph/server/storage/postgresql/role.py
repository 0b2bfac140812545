"""A role as an advisory lock of a session: PostgreSQL lets go of it the moment the connection ends."""

import asyncio
import contextlib
import hashlib

from paraph.server.storage.postgresql.setup import connect
from paraph.server.storage.postgresql.wire import Lost, Wire

_TAKE = "SELECT pg_try_advisory_lock(:key)"
_ASK = "SELECT 1"
_SESSION = b"SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"
"""A machine that loses its power says nothing: PostgreSQL notices after some eleven seconds."""


class AdvisoryRole:
    """A role of the database's deployment, held on a connection of its own."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._key = int.from_bytes(hashlib.sha256(f"paraph/role/{name}".encode()).digest()[:8], signed=True)
        self._wire: Wire | None = None
        self._held = False

    async def take(self) -> bool:
        """Hold the role from now on; False if another process holds it. Raises Lost, StorageError."""
        if not await self.held():
            self._held = await asyncio.to_thread(self._take)
        return self._held

    def _take(self) -> bool:
        if self._wire is None or not self._wire.alive:
            self._wire = connect(self._dsn, ())
            self._wire.command(_SESSION)
        row = self._wire.decoded(_TAKE, self._wire.execute(_TAKE, {"key": self._key}))[0]
        return bool(row[0])

    async def held(self) -> bool:
        """Whether this process still holds it; a broken connection shows here."""
        if self._held:
            self._held = await asyncio.to_thread(self._answers)
        return self._held

    def _answers(self) -> bool:
        wire = self._wire
        if wire is None or not wire.alive:
            return False
        try:
            wire.execute(_ASK, {})
        except Lost:
            return False
        return True

    async def release(self) -> None:
        """Leave the role to others."""
        wire, self._wire, self._held = self._wire, None, False
        if wire is not None:
            with contextlib.suppress(Lost):
                await asyncio.to_thread(wire.close)
