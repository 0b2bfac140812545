"""Room versions: what differs between them for one server with one order of events.

Much of what a version settles (state resolution, event formats, signatures) is between servers and does not arise here.
What is left: who may knock, how levels are written, what a redaction keeps, and what the creator is
(Matrix specification, "Room Versions").
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_VERSION = "11"
_UNKNOWN = 1
"""A create event that names no version is one of version 1."""


@dataclass(frozen=True, slots=True)
class RoomVersion:
    """One room version's rules. `number` orders the versions."""

    number: int

    @property
    def id(self) -> str:
        """As `m.room.create` names it."""
        return str(self.number)

    @property
    def knocks(self) -> bool:
        """Whether the join rule `knock` means anything."""
        return self.number >= 7

    @property
    def restricts(self) -> bool:
        """Whether the join rule `restricted` means anything."""
        return self.number >= 8

    @property
    def knocks_restricted(self) -> bool:
        """Whether the join rule `knock_restricted` means anything."""
        return self.number >= 10

    @property
    def integers_only(self) -> bool:
        """Whether power levels are integers alone; before, text that holds an integer was one too."""
        return self.number >= 10

    @property
    def guards_notifications(self) -> bool:
        """Whether `notifications` of power levels are held to the sender's own level."""
        return self.number >= 6

    @property
    def names_creator(self) -> bool:
        """Whether the content of `m.room.create` names its sender once more, as `creator`."""
        return self.number <= 10

    @property
    def creators_above_all(self) -> bool:
        """Whether the creators stand above every power level, and the room is named by its create event."""
        return self.number >= 12

    def kept(self, event_type: str) -> frozenset[str] | None:
        """Members of the content that a redaction leaves; None: all of them."""
        if event_type == "m.room.create" and self.number >= 11:
            return None
        return frozenset(name for name, since, until in _KEPT.get(event_type, ()) if since <= self.number <= until)


_ALWAYS = 10**6
# (member, first version, last version)
_KEPT: dict[str, tuple[tuple[str, int, int], ...]] = {
    "m.room.member": (
        ("membership", 1, _ALWAYS),
        ("join_authorised_via_users_server", 9, _ALWAYS),
        ("third_party_invite", 11, _ALWAYS),
    ),
    "m.room.create": (("creator", 1, 10),),
    "m.room.join_rules": (("join_rule", 1, _ALWAYS), ("allow", 8, _ALWAYS)),
    "m.room.power_levels": (
        *(
            (name, 1, _ALWAYS)
            for name in (
                "ban",
                "events",
                "events_default",
                "kick",
                "redact",
                "state_default",
                "users",
                "users_default",
            )
        ),
        ("invite", 11, _ALWAYS),
    ),
    "m.room.aliases": (("aliases", 1, 5),),
    "m.room.history_visibility": (("history_visibility", 1, _ALWAYS),),
    "m.room.redaction": (("redacts", 11, _ALWAYS),),
}

ROOM_VERSIONS = {str(number): RoomVersion(number) for number in range(1, 13)}
"""Every version that rooms here can have."""


def version_of(name: object) -> RoomVersion:
    """The version that a create event names; a room whose version is not known here is read by the oldest rules."""
    return (
        ROOM_VERSIONS.get(name, ROOM_VERSIONS[str(_UNKNOWN)]) if isinstance(name, str) else ROOM_VERSIONS[str(_UNKNOWN)]
    )
