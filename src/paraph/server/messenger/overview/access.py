"""Who may know what a room is without being in it (Client-Server API, "Room summaries", "Spaces")."""

from __future__ import annotations

from paraph.server.messenger.core import Core
from paraph.server.messenger.room import Room
from paraph.server.storage import Transaction

_KNOWN = ("join", "invite", "knock")


def may_know(core: Core, tx: Transaction, room: Room, user_id: str) -> bool:
    """Whether a person may see the summary of a room: she belongs to it somehow, or could join it, or anybody may."""
    if room.memberships.get(user_id) in _KNOWN or room.visibility == "world_readable":
        return True
    if room.memberships.get(user_id) == "ban":
        return False
    if room.join_rule == "public" or room.knockable:
        return True
    return room.restricted and any(core.store.is_joined(tx, user_id, allowed) for allowed in room.allowed_rooms)
