"""What every use case of the messenger stands on: the tables, what is in memory, and writing events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import check_user_id, is_partner
from paraph.server.http import MatrixError
from paraph.server.messenger import events
from paraph.server.messenger.errors import forbidden, invalid, not_found, not_joined
from paraph.server.messenger.following import Following
from paraph.server.messenger.model import CLOSED, MEMBER, Event, Membership
from paraph.server.messenger.notifier import Notifier
from paraph.server.messenger.relations.model import RELATES_TO, relation_of
from paraph.server.messenger.relations.recording import Recorder
from paraph.server.messenger.room import Room
from paraph.server.messenger.rooms import Rooms
from paraph.server.messenger.search.words import Words
from paraph.server.messenger.store import Store
from paraph.server.messenger.views import View, Views
from paraph.server.storage import Database, Transaction

T = TypeVar("T")

BeforeSend = Callable[[Transaction, str, str, str, dict[str, Any]], None]
OnMembership = Callable[[Transaction, str, str, str], None]
OnClosed = Callable[[Transaction, str, str, bool], None]
OnVia = Callable[[Transaction, Event, dict[str, Any]], None]
OnEncrypted = Callable[[Transaction, Event], None]


@dataclass(slots=True)
class Hooks:
    """What higher rooms of the server want to be asked or told, inside the write transaction.

    `before_send(tx, user_id, device_id, room_id, content)` sees every `m.room.encrypted` event and may raise;
    `on_encrypted(tx, event)` is told of it once it has its position; `on_membership(tx, room_id, user_id, membership)`;
    `on_closed(tx, room_id, user_id, closed)`; `on_via(tx, event, content)` sees each new event that says through which
    partner it came, once it is stored, and may raise. Without that hook no event may say so.
    """

    before_send: BeforeSend | None = None
    on_encrypted: OnEncrypted | None = None
    on_via: OnVia | None = None
    on_membership: list[OnMembership] = field(default_factory=list)
    on_closed: list[OnClosed] = field(default_factory=list)


class Core:
    """Shared by the messenger's services. `exists(tx, user_id)` asks the accounts; `clock` gives milliseconds."""

    def __init__(
        self,
        database: Database,
        exists: Callable[[Transaction, str], bool],
        hooks: Hooks,
        clock: Callable[[], int],
        *,
        server_name: str,
        require_encryption: bool,
    ) -> None:
        self.database = database
        self.exists = exists
        self.hooks = hooks
        self.clock = clock
        self.server_name = server_name
        self.require_encryption = require_encryption
        self.store = Store(database.dialect)
        self.relations = Recorder(self.store, database.dialect)
        self.words = Words(database.dialect, reads=not require_encryption)
        self.rooms = Rooms(self.store)
        self.views = Views()
        self.notifier = Notifier()
        self.following = Following(self)
        self.on_state: list[Callable[[Transaction, Room, Event], None]] = []
        self.on_sent: Callable[[Event], None] | None = None
        self.published: Callable[[], None] | None = None
        """Called when an event of this process has become durable; nobody is, as long as nobody has a pusher."""
        self._writing: tuple[Transaction, dict[str, RoomWrite]] | None = None

    def writes(self, tx: Transaction) -> dict[str, RoomWrite]:
        """The rooms that the running write is changing: hooks that write to the same room must share its view."""
        if self._writing is None or self._writing[0] is not tx:
            self._writing = (tx, {})
        return self._writing[1]

    def check_person(self, tx: Transaction, user_id: str) -> None:
        """Whether `user_id` can be a member: a local person. Raises M_INVALID_PARAM, M_FORBIDDEN or M_NOT_FOUND."""
        check_address(user_id)
        if not self.exists(tx, user_id):
            raise not_found(f"nobody here is called {user_id}")

    def room_joined_by(self, tx: Transaction, room_id: str, user_id: str) -> Room:
        """The room as this transaction sees it; raises M_FORBIDDEN unless `user_id` is joined."""
        room = self.rooms.current(tx, room_id)
        if room is None or user_id not in room.joined:
            raise not_joined(user_id, room_id)
        return room

    def room_now(self, tx: Transaction, room_id: str) -> Room | None:
        """The room as what is durable has it, within a read: to look at its state and members, and at nothing else.

        Does not keep what it had to load.
        """
        return self.rooms.held(room_id) or self.store.load_state(tx, room_id)

    def ignored(self, tx: Transaction, user_id: str) -> frozenset[str]:
        """Whom a person ignores."""
        view = self.views.held(user_id)
        return self.store.ignored(tx, user_id) if view is None else view.ignored

    async def reach(self, position: int) -> None:
        """Return once this process knows of everything up to `position`, if another one has got there already.

        A token that another process gave out may be ahead of this one for a moment.
        """
        if position > self.database.position:
            await self.database.write(lambda _tx: None)

    async def look(self, fn: Callable[[Transaction], T]) -> T:
        """As `Database.read`, but nothing is forbidden or missing only because another process wrote it just now."""
        try:
            return await self.database.read(fn)
        except MatrixError as error:
            if error.status not in (403, 404) or not self.database.lag:
                raise
        await self.database.write(lambda _tx: None)
        return await self.database.read(fn)

    def members_here(self, room_id: str) -> list[str]:
        """Who of a room's members may be waiting in this process."""
        room = self.rooms.held(room_id)
        return self.views.joined(room_id) if room is None else list(room.joined)

    def publish(self, event: Event, room: Room, seen: Room | None) -> None:
        """A durable event goes into memory and wakes who can see it. `room` is the room as its write saw it."""
        now = self.rooms.durable(event, seen) or room
        told: Iterable[str] = now.joined
        if event.type == MEMBER and event.state_key is not None and event.state_key not in now.joined:
            told = [*now.joined, event.state_key]
        self.views.touch(told, event.room_id, event.position)
        self.notifier.wake(told)
        if self.published is not None:
            self.published()
        if self.on_sent is not None:
            self.on_sent(event)

    async def view(self, user_id: str) -> View:
        """What is known about a person, loaded if need be."""
        held = self.views.used(user_id)
        return held if held is not None else await self._load_view(user_id)

    async def _load_view(self, user_id: str) -> View:
        def load(tx: Transaction) -> None:
            rooms, forgotten = self.store.memberships_of(tx, user_id), self.store.forgotten_by(tx, user_id)
            ignored = self.store.ignored(tx, user_id)
            tx.after_commit(
                lambda: self.views.install(user_id, View(rooms, self.database.position, ignored, forgotten))
            )

        while (view := self.views.used(user_id)) is None:  # a full memory may have let go of it again
            await self.database.write(load)
        return view


def check_address(user_id: str) -> None:
    """Whether a membership can name `user_id`, known here or not; raises M_INVALID_PARAM or M_FORBIDDEN."""
    try:
        check_user_id(user_id)
    except IdentifierError as error:
        raise invalid(str(error)) from None
    if is_partner(user_id):
        raise forbidden(f"{user_id} is a partner's address; no membership can name it")


class RoomWrite:
    """State events for one room inside one write: each is seen by the next, and published once durable."""

    def __init__(self, core: Core, tx: Transaction, room: Room, seen: Room | None) -> None:
        self._core = core
        self._tx = tx
        self._seen = seen
        self.room = room

    @classmethod
    def open(cls, core: Core, tx: Transaction, room_id: str) -> RoomWrite:
        """For an existing room; raises M_NOT_FOUND."""
        writes = core.writes(tx)
        if room_id not in writes:
            found = core.rooms.working(tx, room_id)
            if found is None:
                raise not_found(f"there is no room {room_id}")
            writes[room_id] = cls(core, tx, *found)
        return writes[room_id]

    @classmethod
    def create(cls, core: Core, tx: Transaction, room_id: str) -> RoomWrite:
        """For a room that does not exist yet; its create event comes first."""
        room = Room(room_id)
        work = core.writes(tx)[room_id] = cls(core, tx, room, room)
        return work

    def put(self, sender: str, device_id: str, kind: str, state_key: str, content: dict[str, Any]) -> Event:
        """Write a state event; whether it is allowed has been decided. Raises M_BAD_JSON, M_TOO_LARGE."""
        previous = self.room.state.get((kind, state_key))
        event = events.seal(
            self.room.room_id,
            sender,
            device_id,
            kind,
            events.canonical_content(content),
            self._core.clock(),
            state_key=state_key,
            unsigned=_replaced(previous),
        )
        return self.write(event, kind, state_key, content)

    def write(self, event: Event, kind: str, state_key: str, content: dict[str, Any]) -> Event:
        """As `put`, for an event that is sealed already."""
        event.position = self._tx.next_position()
        self._core.store.add_event(self._tx, event, None)
        if RELATES_TO in content:
            self._relate(event, content)
        self._core.rooms.mark(event)
        before, room, seen = self.room.memberships.get(state_key), self.room, self._seen
        self.room.apply(event)
        # Before any hook: what a hook writes comes later in the order, and must be published later.
        self._tx.after_commit(lambda: self._core.publish(event, room, seen))
        for told in self._core.on_state:
            told(self._tx, room, event)
        if kind == MEMBER and content["membership"] != before:
            self._member_changed(event, state_key, content["membership"])
        elif kind == CLOSED:
            for hook in self._core.hooks.on_closed:
                hook(self._tx, event.room_id, state_key, content["closed"])
        return event

    def _relate(self, event: Event, content: dict[str, Any]) -> None:
        relation = relation_of(content)
        target = None if relation is None else self._core.relations.check(self._tx, event, relation)
        if relation is not None and target is not None:
            self._core.relations.record(self._tx, event, relation, target, content)

    def _member_changed(self, event: Event, user_id: str, membership: str) -> None:
        core, now = self._core, Membership(membership, event.position)
        core.store.put_membership(self._tx, user_id, event.room_id, membership, event.position)

        self._tx.after_commit(lambda: core.views.set_membership(user_id, event.room_id, now))
        for hook in core.hooks.on_membership:
            hook(self._tx, event.room_id, user_id, membership)


def _replaced(previous: Event | None) -> bytes:
    """What a client shows as the change: the content before (Client-Server API, `prev_content`)."""
    if previous is None:
        return b""
    unsigned = {"prev_content": previous.content, "replaces_state": previous.event_id}
    return msgspec.json.encode(unsigned)
