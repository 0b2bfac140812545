"""What the server knows in memory about each person who syncs: rooms, what changed lately, and the devices' share.

A view is loaded inside a write, like a room, so that it is exactly what is durable. Above `floor` it knows of every
change; a device with an older token is answered from the tables.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from paraph.server.messenger.model import Membership

MAX_VIEWS = 20_000


class DeviceView:
    """One device's part: its key counts as last read, and what it has been told that no table remembers."""

    __slots__ = ("counts", "counts_at", "counts_until", "lazy", "presence", "typing", "unacknowledged")

    def __init__(self) -> None:
        self.counts: tuple[dict[str, int], list[str]] | None = None
        self.counts_at = 0
        self.counts_until = 0.0
        self.unacknowledged: int | None = 0  # a token from here on allows to-device messages to be deleted
        self.typing: dict[str, int] = {}
        self.presence = 0  # the last change of presence that it was told of
        self.lazy = 0  # under which number it is remembered which members this device was told; 0: none yet


class View:
    """One person. `recent` maps rooms to their last change above `floor`, oldest change first.

    `ignored` are the people whom she ignores; `presence` numbers the last change of each person's whom she meets here,
    the oldest first. `forgotten` are rooms that she left and took off her list: a device that was away is told that
    she left, and nothing of the room since.
    """

    __slots__ = (
        "account_data_at",
        "devices",
        "devices_at",
        "floor",
        "forgotten",
        "ignored",
        "newest",
        "presence",
        "recent",
        "rooms",
        "typing",
    )

    def __init__(
        self,
        rooms: dict[str, Membership],
        floor: int,
        ignored: frozenset[str] = frozenset(),
        forgotten: dict[str, Membership] | None = None,
    ) -> None:
        self.ignored = ignored
        self.forgotten = forgotten or {}
        self.presence: dict[str, int] = {}
        self.rooms = rooms
        self.floor = self.newest = floor
        self.recent: dict[str, int] = {}
        self.account_data_at = floor
        self.devices_at = floor
        self.typing: dict[str, int] = {}
        self.devices: dict[str, DeviceView] = {}

    def device(self, device_id: str) -> DeviceView:
        """The part of one of this person's devices."""
        found = self.devices.get(device_id)
        if found is None:
            found = self.devices[device_id] = DeviceView()
        return found

    def touch(self, room_id: str, position: int) -> None:
        """Something changed in a room.

        Of what other processes did, events are heard of before the rest; `recent` stays in order nevertheless: a
        change that is heard of late counts as the newest, and is at worst looked for in vain.
        """
        self.newest = max(self.newest, position)
        self.recent.pop(room_id, None)
        self.recent[room_id] = self.newest

    def devices_changed(self, position: int) -> None:
        """Something that the devices room tells this person is new as of `position`."""
        self.devices_at = max(self.devices_at, position)
        for device in self.devices.values():
            if device.unacknowledged is None:  # the message may be handed out, and its token seen, by another process
                device.unacknowledged = position

    def changed_since(self, position: int) -> Iterator[str]:
        """Rooms with a change above `position`; only asked with `position >= floor`."""
        for room_id, changed in reversed(self.recent.items()):
            if changed <= position:
                return
            yield room_id


class Views:
    """Views by person; the least recently used goes first."""

    def __init__(self, *, max_views: int = MAX_VIEWS) -> None:
        self._held: OrderedDict[str, View] = OrderedDict()
        self._max = max_views

    def held(self, user_id: str) -> View | None:
        """A person's view if it is in memory."""
        return self._held.get(user_id)

    def used(self, user_id: str) -> View | None:
        """As `held`, and marks it as used."""
        view = self._held.get(user_id)
        if view is not None:
            self._held.move_to_end(user_id)
        return view

    def install(self, user_id: str, loaded: View) -> None:
        """Keep a freshly loaded view, unless another load was faster."""
        self._held.setdefault(user_id, loaded)
        if len(self._held) > self._max:
            self._held.popitem(last=False)

    def forget(self, user_id: str) -> None:
        """Let go of a person; her next sync loads her again."""
        self._held.pop(user_id, None)

    def set_membership(self, user_id: str, room_id: str, membership: Membership | None) -> None:
        """What a person is to a room from now on; None for a room off her list."""
        view = self._held.get(user_id)
        if view is None:
            return
        if membership is not None:
            view.rooms[room_id] = membership
            view.forgotten.pop(room_id, None)
        elif (known := view.rooms.pop(room_id, None)) is not None:
            view.forgotten[room_id] = known

    def joined(self, room_id: str) -> list[str]:
        """The people in memory who are joined to a room. Looks at all of them: for rooms that are not in memory."""
        return [
            user_id
            for user_id, view in self._held.items()
            if (there := view.rooms.get(room_id)) is not None and there.membership == "join"
        ]

    def __len__(self) -> int:
        return len(self._held)

    def clear(self) -> None:
        """Forget everybody; whoever syncs is loaded again."""
        self._held.clear()

    def touch(self, user_ids: Iterable[str], room_id: str, position: int) -> None:
        """Something that these people see changed in a room."""
        held = self._held
        for user_id in user_ids:
            view = held.get(user_id)
            if view is not None:
                view.touch(room_id, position)
