"""Which events of a room a person may see (Client-Server API, "Room History Visibility")."""

from bisect import bisect_right
from collections.abc import Sequence

from paraph.server.messenger.model import MEMBER, VISIBILITY, Event
from paraph.server.messenger.rooms_at_once import RoomsAtOnce
from paraph.server.messenger.store import Store
from paraph.server.storage import Transaction


class Sight:
    """One person's sight of one room's history, from the room's and the person's own past up to a position."""

    __slots__ = ("_last_join", "_memberships", "_rules", "_user_id")

    def __init__(self, user_id: str, memberships: list[tuple[int, str]], rules: list[tuple[int, str]]) -> None:
        self._user_id = user_id
        self._memberships = memberships
        self._rules = rules
        self._last_join = max((at for at, value in memberships if value == "join"), default=-1)

    @classmethod
    def load(cls, store: Store, tx: Transaction, room_id: str, user_id: str, upto: int) -> "Sight":
        """As the tables tell it."""
        members = store.state_history(tx, room_id, MEMBER, user_id, upto)
        return cls._told(user_id, members, store.state_history(tx, room_id, VISIBILITY, "", upto))

    @classmethod
    def load_all(
        cls, tables: RoomsAtOnce, tx: Transaction, rooms: Sequence[str], user_id: str, upto: int
    ) -> "dict[str, Sight]":
        """As `load`, for several rooms at once."""
        members = tables.state_history(tx, rooms, MEMBER, user_id, upto)
        rules = tables.state_history(tx, rooms, VISIBILITY, "", upto)
        return {room_id: cls._told(user_id, members.get(room_id, []), rules.get(room_id, [])) for room_id in rooms}

    @classmethod
    def _told(cls, user_id: str, members: list[Event], rules: list[Event]) -> "Sight":
        return cls(
            user_id,
            [(event.position, str(event.content.get("membership", "leave"))) for event in members],
            [(event.position, str(event.content.get("history_visibility", "shared"))) for event in rules],
        )

    def membership_at(self, position: int) -> str:
        """What the person was at a position."""
        return _at(self._memberships, position, "leave")

    @property
    def now(self) -> str:
        """What the person is."""
        return self._memberships[-1][1] if self._memberships else "leave"

    @property
    def last_change(self) -> int:
        """Where the present membership began (a new display name does not begin one)."""
        began, value = 0, ""
        for position, membership in self._memberships:
            if membership != value:
                began, value = position, membership
        return began

    def last_departure(self, upto: int) -> int:
        """The last leave or ban at or before `upto`; 0 if there was none."""
        gone = [at for at, value in self._memberships if at <= upto and value in ("leave", "ban")]
        return max(gone, default=0)

    def joined_within(self, after: int, upto: int) -> bool:
        """Whether the person was joined at any time in (after, upto]."""
        return self.membership_at(after) == "join" or any(
            after < at <= upto and value == "join" for at, value in self._memberships
        )

    @property
    def open(self) -> bool:
        """Whether everybody may read the room now."""
        return bool(self._rules) and self._rules[-1][1] == "world_readable"

    @property
    def departure(self) -> int | None:
        """Where the person's last stay in the room ended; None if there was none. Not for somebody joined."""
        after = [at for at, value in self._memberships if at > self._last_join and value != "join"]
        return after[0] if after and self._last_join >= 0 else None

    def sees(self, event: Event) -> bool:
        """Whether the person may see an event. A change of the rule is seen by whom either rule lets see it."""
        position = event.position
        if event.type == MEMBER and event.state_key == self._user_id:
            return True
        if event.type == VISIBILITY and self._allows(_at(self._rules, position - 1, "shared"), position):
            return True
        return self._allows(_at(self._rules, position, "shared"), position)

    def _allows(self, rule: str, position: int) -> bool:
        if rule == "world_readable":
            return True
        there = self.membership_at(position)
        if there == "join":
            return True
        if rule == "invited" and there == "invite":
            return True
        return rule == "shared" and self._last_join > position


def _at(history: list[tuple[int, str]], position: int, default: str) -> str:
    index = bisect_right(history, position, key=lambda entry: entry[0])
    return history[index - 1][1] if index else default
