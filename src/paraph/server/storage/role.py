"""Roles: what one process of a deployment does for all of them."""

from typing import Protocol


class Role(Protocol):
    """A role that at most one process holds. It is lost when the process ends, however it ends."""

    async def take(self) -> bool:
        """Hold the role from now on; False if another process holds it. Raises StorageError."""
        ...

    async def held(self) -> bool:
        """Whether this process still holds it: a lost connection to the database loses it."""
        ...

    async def release(self) -> None:
        """Leave the role to others."""
        ...


class OnlyProcess:
    """The role of a process that holds its database alone."""

    async def take(self) -> bool:
        """Nobody else is there."""
        return True

    async def held(self) -> bool:
        """Nobody else is there."""
        return True

    async def release(self) -> None:
        """Nobody else is there."""
