"""What a partner is handed out of its stream of changes."""

from dataclasses import dataclass
from typing import Any

from paraph.sdk.rooms import Message

Json = dict[str, Any]

OPEN, PENDING, NOT_GRANTED = "open", "key-pending", "not-granted"


@dataclass(frozen=True, slots=True)
class MessageChange:
    """A message under a grant. `state` says whether it is open.

    `key-pending`: its key has not come yet; the message comes again, open, when it has. `not-granted`: the key that
    this partner has begins after it, or it must not be believed; should a fitting key come, the message comes open.
    `older`: it was written before the grant, or was withheld for a while.
    """

    grant_id: str
    message: Message
    state: str
    older: bool = False


@dataclass(frozen=True, slots=True)
class GrantChange:
    """What became of a grant: made, amended, paused, resumed, revoked, ended, expired, closed or reopened (a room)."""

    grant_id: str
    person: str
    what: str
    room_id: str | None = None
    change: Json | None = None


@dataclass(frozen=True, slots=True)
class DraftChange:
    """A draft of this partner has another status."""

    grant_id: str
    draft_id: str
    status: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """Something that stood in the stream may not be read now, and why; `room_id` None: the grant's whole history."""

    grant_id: str
    room_id: str | None
    why: str


@dataclass(frozen=True, slots=True)
class DevicesChange:
    """An author's enrolled devices are others now; they are known from here on."""

    grant_id: str
    person: str


Change = MessageChange | GrantChange | DraftChange | Withheld | DevicesChange
