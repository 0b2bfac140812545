"""One person's presence."""

from __future__ import annotations

from typing import Any

import msgspec

PRESENCES = ("online", "unavailable", "offline")
OFFLINE_AFTER = 30_000
"""Milliseconds after the last sync."""
IDLE_AFTER = 300_000
"""Milliseconds after somebody last did something: sent, set a presence, came."""
ACTIVE_FOR = 60_000
"""Milliseconds for which somebody counts as active after doing something."""


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A presence as it travels between processes.

    `chosen`: she said herself that she is `unavailable`; `idle`: she is taken for that, as she does nothing.
    """

    presence: str
    message: str | None
    active: int
    chosen: bool = False
    idle: bool = False


class Status:
    """What is known of a person: `active` and `seen` are when she last did something, or synced (ms).

    `devices` are what each of her devices said with its last sync, and when. `change` numbers the last change, of all
    people's in this process.
    """

    __slots__ = ("active", "change", "chosen", "devices", "idle", "message", "presence", "seen", "syncing")

    def __init__(self) -> None:
        self.presence = "offline"
        self.message: str | None = None
        self.active = 0
        self.seen = 0
        self.syncing = 0
        self.change = 0
        self.chosen = False
        self.idle = False
        self.devices: dict[str, tuple[str, int]] = {}

    def take(self, said: Said) -> bool:
        """Take over what was said; whether it shows."""
        shows = (self.presence, self.message) != (said.presence, said.message)
        self.presence, self.message, self.chosen, self.idle = said.presence, said.message, said.chosen, said.idle
        self.active = max(self.active, said.active)
        if said.presence != "offline" and not said.idle:
            self.seen = max(self.seen, said.active)
        return shows

    def synced(self, device_id: str, presence: str, now: int) -> Said | None:
        """A device syncs and says this; what that changes.

        The most present of her devices counts. What she chose, and that she does nothing, outweighs what they say.
        """
        if presence == "offline":
            self.devices.pop(device_id, None)
            return None
        before = self.devices.get(device_id)
        self.devices[device_id] = (presence, now)
        self.seen = now
        lately = [said for said, at in self.devices.values() if now - at < OFFLINE_AFTER or at == now]
        shown = "online" if "online" in lately else "unavailable"
        still = self.idle and before is not None and before[0] == presence
        if shown == self.presence or self.chosen or still:
            return None
        return Said(shown, self.message, now)

    def is_here(self, now: int) -> bool:
        """Whether she syncs in this process."""
        return self.presence != "offline" and (self.syncing > 0 or now - self.seen < OFFLINE_AFTER)

    def now(self, now: int) -> Said | None:
        """What time has made of it, if that is something else."""
        if self.presence == "offline":
            return None
        if not self.is_here(now):
            return Said("offline", self.message, self.active)
        if self.presence == "online" and now - self.active > IDLE_AFTER:
            return Said("unavailable", self.message, self.active, idle=True)
        return None

    def content(self, now: int) -> dict[str, Any]:
        """As the specification shows it."""
        ago = max(0, now - self.active)
        shown: dict[str, Any] = {"presence": self.presence}
        if self.active:
            shown["last_active_ago"] = ago
        if self.presence == "online":
            shown["currently_active"] = ago < ACTIVE_FOR
        if self.message is not None:
            shown["status_msg"] = self.message
        return shown
