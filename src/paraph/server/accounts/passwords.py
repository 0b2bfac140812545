"""Password hashing with argon2id (RFC 9106), away from the event loop and bounded.

Parameters: m = 19,456 KiB, t = 2, p = 1 (the OWASP minimum for argon2id; 28 ms on the machine they were measured on,
where the library's default takes 193 ms and 64 MiB).
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from paraph.server.http.errors import Overloaded

T = TypeVar("T")

THREADS = 2
MAX_WAITING = 128
"""Hashes under way or waiting: about two seconds of work. Whoever comes then is told to come back."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password was right, and its new hash if the stored one was made with other parameters."""

    right: bool
    rehashed: str | None = None


class Passwords:
    """Hashes and checks passwords in a small pool of threads."""

    def __init__(self, hasher: PasswordHasher | None = None, *, max_waiting: int = MAX_WAITING) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self._max_waiting = max_waiting
        self._waiting = 0
        # Checked where there is no account, so that a guess takes as long as for one that exists.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    async def hash(self, password: str) -> str:
        """The password's argon2id hash in PHC text form, with a fresh salt; raises Overloaded."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Check against a stored hash; None (no such account) takes the same work and is never right.

        Raises Overloaded.
        """
        return await self._run(lambda: self._verify(password, stored))

    def _verify(self, password: str, stored: str | None) -> Verdict:
        try:
            self._hasher.verify(stored or self._nobody, password)
        except VerifyMismatchError:
            return Verdict(False)
        if stored is None:
            return Verdict(False)
        return Verdict(True, self._hasher.hash(password) if self._hasher.check_needs_rehash(stored) else None)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._max_waiting:
            raise Overloaded
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish what runs and end the threads."""
        self._pool.shutdown()
