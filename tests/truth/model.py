"""The table's axes, and what the design says of each cell: one small model, replayed beside the real thing.

The design (`no record, no key`; own words only): a partner's devices get an author's session keys under the verb `read`
alone, from the moment of the grant on, or with a history from its date on; for the rooms and as long as the grant gives
it, while no member keeps the room closed. What opened once stays open; what goes on is under another key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Step(Enum):
    """What happens to a grant and around it."""

    GRANT = "a grant is made"
    DROP_ROOM = "one room is dropped"
    SHORTEN = "shortened to an hour"
    TIME_PASSES = "hours pass"
    PAUSE = "paused"
    RESUME = "resumed"
    REVOKE = "revoked"
    END_AGREEMENT = "the agreement is ended"
    END_DEVICE = "the partner's device is ended"
    CLOSE_ROOM = "the correspondent closes the room"
    REOPEN_ROOM = "and opens it again"
    NEW_AUTHOR_DEVICE = "the author speaks on a new device"
    NEW_PARTNER_DEVICE = "the partner has a new device; its keys alone"


ENDINGS = (Step.REVOKE, Step.END_AGREEMENT, Step.END_DEVICE)


class Kind(Enum):
    """What is said."""

    TEXT = "text"
    EDIT = "edit"
    REPLY = "reply with a quote"
    THREAD = "in a thread"
    ATTACHMENT = "attachment"
    FILE = "its file"
    THUMBNAIL = "its thumbnail"
    DRAFT = "draft, sealed"
    REACTION = "reaction"
    REDACTED = "redacted"


AUTHOR, CORRESPONDENT = "author", "correspondent"
TALKED, OTHER, NEVER = "talked", "other", "never"
"""Rooms: where all is said that can be said; another one under the same grant; one that is never granted."""
HOURS = 2
"""The life of a grant that is to expire."""
BEFORE, EARLIER, UNDER = "before the date", "before the grant", "under it"
"""The first three times at which something is said. A history begins at the end of the first."""

VERBS: dict[str, tuple[str, ...]] = {
    "metadata": ("metadata",),
    "read": ("read",),
    "read:attachments": ("read:attachments",),
    "read, read:attachments": ("read", "read:attachments"),
    "read, history from the date": ("read",),
    "write:draft": ("write:draft",),
    "delete:via-partner": ("delete:via-partner",),
    "delete:authored": ("delete:authored",),
    "friends": ("friends",),
}
HISTORY, DRAFTS = "read, history from the date", "write:draft"

CHANGES: dict[str, tuple[Step, ...]] = {
    "made": (),
    "narrowed by a room": (Step.DROP_ROOM,),
    "shortened": (Step.SHORTEN, Step.TIME_PASSES),
    "paused": (Step.PAUSE,),
    "paused and resumed": (Step.PAUSE, Step.RESUME),
    "revoked": (Step.REVOKE,),
    "expired": (Step.TIME_PASSES,),
    "agreement ended": (Step.END_AGREEMENT,),
    "partner's device ended": (Step.END_DEVICE,),
    "room closed to partners": (Step.CLOSE_ROOM, Step.REOPEN_ROOM),
    "new device of the author": (Step.NEW_AUTHOR_DEVICE,),
    "new device of the partner": (Step.NEW_PARTNER_DEVICE,),
    "granted again": (Step.REVOKE, Step.GRANT),
    "the correspondent, who granted nothing": (),
}
THEIRS = "the correspondent, who granted nothing"
"""The row that is about the correspondent's words."""


@dataclass(frozen=True)
class Word:
    """Something said: when (an index of `times`), where, by whom."""

    time: int
    room: str
    speaker: str
    kind: Kind


def times(change: str) -> list[str]:
    """When something is said, in words: before the grant, under it, and after each step of the change."""
    return [BEFORE, EARLIER, UNDER, *(step.value for step in CHANGES[change])]


@dataclass
class Design:
    """What one partner's keys open, by the design, for what one author says."""

    verbs: tuple[str, ...]
    history: bool
    until_hour: bool
    """Whether the grant runs for some hours only."""
    said: list[Word] = field(default_factory=list)
    opens: set[Word] = field(default_factory=set)
    standing: bool = False
    paused: bool = False
    rooms: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)

    def covers(self, room: str) -> bool:
        """Whether the grant is good for anything in this room now."""
        return self.standing and not self.paused and room in self.rooms and room not in self.closed

    def say(self, word: Word) -> None:
        """The author's words open while the grant covers the room; nobody else's ever do."""
        self.said.append(word)
        if "read" in self.verbs and word.speaker == AUTHOR and self.covers(word.room) and has_key(word.kind):
            self.opens.add(word)

    def step(self, step: Step) -> None:
        """Go on to the next state."""
        if step is Step.GRANT:
            self.standing, self.rooms = True, {TALKED, OTHER}
            self._look_back()
        elif step is Step.DROP_ROOM:
            self.rooms -= {OTHER}
        elif step is Step.SHORTEN:
            self.until_hour = True
        elif step in (Step.PAUSE, Step.RESUME):
            self.paused = step is Step.PAUSE
        elif step in ENDINGS or (step is Step.TIME_PASSES and self.until_hour):
            self.standing = False
        elif step in (Step.CLOSE_ROOM, Step.REOPEN_ROOM):
            self.closed = {TALKED} if step is Step.CLOSE_ROOM else set()
        elif step is Step.NEW_PARTNER_DEVICE:
            self.opens.clear()
            self._look_back()

    def _look_back(self) -> None:
        """With a history: the author's own words since the date, in the rooms that the grant covers."""
        if self.history and "read" in self.verbs:
            older = (word for word in self.said if word.time > 0 and word.speaker == AUTHOR and has_key(word.kind))
            self.opens.update(word for word in older if self.covers(word.room))


def has_key(kind: Kind) -> bool:
    """Whether there is ciphertext to open: a reaction stands in clear, and what was redacted is gone."""
    return kind not in (Kind.REACTION, Kind.REDACTED)


def design(change: str, verb: str) -> Design:
    """The model of a row before anything is said."""
    return Design(VERBS[verb], history=verb == HISTORY, until_hour=change == "expired")
