"""Sessions of interactive authentication (Client-Server API v1.19, "User-Interactive Authentication API").

A session is arithmetic: `nonce || minute || MAC(nonce, minute) || MAC(nonce, minute, operation)`. So asking what is
needed writes nothing, any process knows a session again, and one that was begun for one operation is good for no
other. Only a stage that was passed on a fallback page is kept, until the request that asked for it comes back.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from typing import Any

from paraph.protocol.base64 import b64url
from paraph.server.accounts import store
from paraph.server.accounts.errors import InteractiveAuth
from paraph.server.accounts.model import Passed
from paraph.server.http import MatrixError
from paraph.server.storage import Database

LIFETIME_MS = 60 * 60 * 1000
_MINUTE_MS = 60_000
_NONCE, _TIME, _MAC = 9, 3, 12
LENGTH = (_NONCE + _TIME + 2 * _MAC) * 4 // 3
"""Characters of a session."""


class OtherOperation(MatrixError):
    """The session was begun for another request: whoever agreed to that one agreed to nothing else."""

    def __init__(self) -> None:
        super().__init__(403, "M_FORBIDDEN", "this session of interactive authentication belongs to another request")


class Interactions:
    """Makes and knows sessions. `key` is a secret that all processes of the platform share; `clock` gives ms."""

    def __init__(self, database: Database, clock: Callable[[], int], key: bytes) -> None:
        self._database = database
        self._clock = clock
        self._key = key

    def begin(self, operation: str) -> str:
        """A new session for one operation."""
        head = secrets.token_bytes(_NONCE) + (self._clock() // _MINUTE_MS).to_bytes(_TIME + 1)[-_TIME:]
        return b64url(head + self._mac(head, "") + self._mac(head, operation))

    def is_live(self, session: str) -> bool:
        """Whether this is a session of this platform that has not ended, whatever it is for."""
        return self._head(session) is not None

    def is_for(self, session: str, operation: str) -> bool:
        """Whether a session is live; raises OtherOperation if it is for another operation."""
        found = self._head(session)
        if found is None:
            return False
        head, mac = found
        if not hmac.compare_digest(mac, self._mac(head, operation)):
            raise OtherOperation
        return True

    def _head(self, session: str) -> tuple[bytes, bytes] | None:
        """What begins a live session, and the MAC that binds it to its operation."""
        if len(session) != LENGTH or not session.isascii():
            return None
        try:
            raw = urlsafe_b64decode(session)
        except (Base64Error, ValueError):
            return None
        head, own, bound = raw[: _NONCE + _TIME], raw[_NONCE + _TIME : -_MAC], raw[-_MAC:]
        if b64url(raw) != session or not hmac.compare_digest(own, self._mac(head, "")):
            return None
        age = (self._clock() // _MINUTE_MS - int.from_bytes(head[_NONCE:])) % (1 << 8 * _TIME)
        return (head, bound) if age * _MINUTE_MS < LIFETIME_MS else None

    def _mac(self, head: bytes, operation: str) -> bytes:
        return hmac.digest(self._key, head + operation.encode(), "sha256")[:_MAC]

    async def stage(self, operation: str, stage: str, auth: Mapping[str, Any] | None) -> Passed | None:
        """What was passed on the stage's page, or None if `auth` is an attempt at the stage itself, to be judged.

        Raises InteractiveAuth where it is neither, OtherOperation.
        """
        given, session = _stage_of(auth)
        if session is not None and not self.is_for(session, operation):
            raise self.asks(operation, stage, "this session is unknown, or has ended: begin again")
        if given is None:
            passed = await self.take(session) if session is not None else None
            if passed is None or passed.stage != stage:
                raise self.asks(operation, stage, None, auth)
            return passed
        if given != stage:
            raise self.asks(operation, stage, f"expected the stage {stage}, found {given[:40]!r}", auth)
        return None

    def asks(
        self, operation: str, stage: str, error: str | None, auth: Mapping[str, Any] | None = None
    ) -> InteractiveAuth:
        """Ask for a stage, in the session that `auth` names or in a new one."""
        return InteractiveAuth(stage, session=_stage_of(auth)[1] or self.begin(operation), error=error)

    async def passed(self, session: str, passed: Passed) -> None:
        """Keep that a stage was passed for a session."""
        now = self._clock()

        await self._database.write(lambda tx: store.add_passed_stage(tx, _hash(session), passed, now, LIFETIME_MS))

    async def take(self, session: str) -> Passed | None:
        """The stage that was passed for a session, which is used up by that; None if there is none."""
        now, session_hash = self._clock(), _hash(session)
        if not await self._database.read(lambda tx: store.has_passed_stage(tx, session_hash, now)):
            return None
        return await self._database.write(lambda tx: store.take_passed_stage(tx, session_hash, now))


def _hash(session: str) -> bytes:
    return hashlib.sha256(session.encode()).digest()


def _stage_of(auth: Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    """The stage that `auth` tries and the session it belongs to; None for what is absent or no text."""
    if auth is None:
        return None, None
    stage, session = auth.get("type"), auth.get("session")
    return (stage if isinstance(stage, str) else None), (session if isinstance(session, str) else None)
