"""What becomes of grants, told to higher rooms of the server inside the write transaction that does it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paraph.server.storage import Transaction


@dataclass(frozen=True, slots=True)
class GrantChange:
    """`what` became of a grant: made, amended, paused, resumed, revoked, ended, closed or reopened (a room).

    `more` are further members for whoever is told: the amendment's change, the room that was closed.
    """

    person: str
    partner: str
    grant_id: str
    what: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Hooks:
    """`on_grant(tx, change)`; `on_devices(tx, person)`: a device of hers was enrolled, or is no longer hers."""

    on_grant: list[Callable[[Transaction, GrantChange], None]] = field(default_factory=list)
    on_devices: list[Callable[[Transaction, str], None]] = field(default_factory=list)

    def grant(self, tx: Transaction, change: GrantChange) -> None:
        """Tell of a grant."""
        for hook in self.on_grant:
            hook(tx, change)

    def devices(self, tx: Transaction, person: str) -> None:
        """Tell of a person's devices."""
        for hook in self.on_devices:
            hook(tx, person)
