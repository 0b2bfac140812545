"""A condition on every write that somebody asks for, checked where it cannot be overtaken: inside the write itself.

What was true when a request arrived may have ended before its write runs, in this process or in another. The guard
runs first in the write's function: under the lock, after everything that others have committed was taken in.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TypeVar

from paraph.server.storage.database import Transaction

T = TypeVar("T")

Guard = Callable[[Transaction], None]
"""Raises what the write is to fail with."""

_guard: ContextVar[Guard | None] = ContextVar("guard", default=None)


@contextlib.contextmanager
def guarding(guard: Guard) -> Iterator[None]:
    """Every write asked for in this block (and in tasks that it starts) begins with `guard`."""
    token = _guard.set(guard)
    try:
        yield
    finally:
        _guard.reset(token)


def guarded(fn: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
    """`fn` behind the guard of whoever asks, if there is one."""
    guard = _guard.get()
    if guard is None:
        return fn

    def checked(tx: Transaction) -> T:
        guard(tx)
        return fn(tx)

    return checked
