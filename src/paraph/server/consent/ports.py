"""What consent asks of the messenger, as `app.py` hands it in."""

from collections.abc import Iterable
from typing import Any, Protocol

from paraph.server.storage import Transaction


class Rooms(Protocol):
    """The messenger's rooms."""

    def joined_rooms(self, tx: Transaction, user_id: str) -> Iterable[str]:
        """Rooms that the person is in."""

    def members(self, tx: Transaction, room_id: str) -> Iterable[str]:
        """Who is in the room."""

    def is_closed(self, tx: Transaction, room_id: str) -> bool:
        """Whether a member closed the room to partners."""

    def put_platform_state(
        self, tx: Transaction, room_id: str, event_type: str, state_key: str, sender: str, content: dict[str, Any]
    ) -> object:
        """Write a state event that no client may send."""
