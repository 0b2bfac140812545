"""One room's part of an answer while it is put together from the tables: which events its timeline shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from paraph.server.messenger.model import MEMBER, Event
from paraph.server.messenger.rooms_at_once import Stretch
from paraph.server.messenger.store import newest_of_each
from paraph.server.messenger.sync.sections import Raw
from paraph.server.messenger.visibility import Sight

MAX_SCAN = 500
"""Events of one room looked at for one answer, wanted or not; behind them the timeline is limited."""
MAX_READ = 256
"""Events of one room read at once."""


@dataclass(slots=True)
class Part:
    """One room's part in the making.

    `sight` is None for somebody joined all the time since the window began, who sees everything. `full`: with the whole
    state, not just what changed. `fresh`: the client knows nothing of the room, which for it begins with a gap.
    `before` is the position where the timeline begins; `dropped` are events of the stretch that are not shown.
    """

    stretch: Stretch
    sight: Sight | None
    full: bool
    left: bool = False
    fresh: bool = False
    receipts: list[Raw] = field(default_factory=list)
    shown: list[Event] = field(default_factory=list)
    dropped: list[Event] = field(default_factory=list)
    limited: bool = False
    before: int = 0
    state: list[Event] = field(default_factory=list)
    scanned: int = 0
    at: int = 0

    def __post_init__(self) -> None:
        """Nothing has been looked at."""
        self.at = self.stretch.upto

    @property
    def room_id(self) -> str:
        """The room."""
        return self.stretch.room_id

    @property
    def tells(self) -> bool:
        """Whether the room has a place in the answer."""
        return bool(self.sight is not None or self.full or self.shown or self.receipts or self.state)

    @property
    def gap(self) -> bool:
        """Whether state may have changed where the timeline does not show it."""
        return self.limited or bool(self.dropped)

    @property
    def moved(self) -> bool:
        """Whether who is in the room has to be told, or to be compared."""
        if self.sight is not None or self.full:
            return True
        return any(event.type == MEMBER for event in self.changes)

    @property
    def changes(self) -> list[Event]:
        """Every state change that is known of; of those in a gap that was not read, the newest ones."""
        return [event for event in (*self.state, *self.dropped, *self.shown) if event.state_key is not None]

    @property
    def rest(self) -> Stretch:
        """What has not been looked at."""
        return Stretch(self.room_id, self.stretch.after, self.at)

    @property
    def begin(self) -> int:
        """The first shown event's position, if there is one."""
        return self.before + 1 if self.shown else self.before

    def take(self, newest: list[Event], limit: int, more: bool, wanted: Callable[[Event], bool] | None) -> bool:
        """Show what may be seen and is wanted of these events (newest first); whether more have to be read.

        `more`: there may be further events behind these. `wanted` is None for everything.
        """
        if wanted is None and not self.shown and newest and self._sees_from(newest[-1].position):
            self.shown, self.limited = newest[:limit], len(newest) > limit
            return False
        for event in newest:
            if not (self._sees(event) and (wanted is None or wanted(event))):
                self.dropped.append(event)
            elif len(self.shown) == limit:
                self.limited = True
                return False
            else:
                self.shown.append(event)
            self.at = event.position - 1
        self.scanned += len(newest)
        if more and self.scanned >= MAX_SCAN:
            self.limited, more = True, False
        return more

    def _sees_from(self, position: int) -> bool:
        """Whether the person has been there all the time since a position."""
        return self.sight is None or (self.sight.now == "join" and position >= self.sight.last_change)

    def _sees(self, event: Event) -> bool:
        return self.sight is None or self._sees_from(event.position) or self.sight.sees(event)

    @property
    def hidden_state(self) -> list[Event]:
        """State that came while the person could not see the room; what of it still holds she sees nevertheless."""
        return [event for event in self.dropped if event.state_key is not None and not self._sees(event)]

    def show(self, events: list[Event], limit: int) -> None:
        """Show events (given newest first) that were dropped; should there be too many now, the oldest ones go."""
        again = {event.position for event in events}
        self.dropped = [event for event in self.dropped if event.position not in again]
        self.shown = sorted([*self.shown, *events], key=lambda event: -event.position)
        if len(self.shown) > limit:
            self.dropped += self.shown[limit:]
            self.shown, self.limited = self.shown[:limit], True

    def settle(self) -> None:
        """Everything is found: put the timeline in order."""
        self.shown.reverse()
        self.before = self.shown[0].position - 1 if self.shown else self.stretch.upto
        unseen = self.sight is not None and not self.full and any(not self._sees(event) for event in self.dropped)
        self.limited = self.limited or self.fresh or unseen

    def memberships(self) -> list[str]:
        """What the person was to the room at each shown event."""
        if self.sight is None or (self.shown and self._sees_from(self.shown[0].position)):
            return ["join"] * len(self.shown)
        return [self.sight.membership_at(event.position) for event in self.shown]

    def beside(self) -> list[Event]:
        """State that changed within the timeline's stretch where the timeline does not show it."""
        given = {(event.type, event.state_key) for event in self.shown if event.state_key is not None}
        within = [event for event in self.dropped if event.state_key is not None and event.position > self.before]
        within.sort(key=lambda event: event.position)
        return [event for event in newest_of_each(within) if (event.type, event.state_key) not in given]


def overlaid(state: list[Event], newer: list[Event]) -> list[Event]:
    """`state` with newer events in place of older ones of the same key."""
    return newest_of_each([*state, *newer])
