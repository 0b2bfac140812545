"""Receipts and markers (Client-Server API, "Receipts" and "Fully read markers").

Each stands at one event for each person, kind and thread, and only ever moves forward. A receipt for a thread at an
event where the unthreaded one stands already says nothing new and is not kept (MSC4102): clients could not tell them
apart, and would take the narrower one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import check_event_id
from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import invalid, not_found
from paraph.server.messenger.events import check_name
from paraph.server.messenger.model import Event, Receipt
from paraph.server.messenger.personal import Personal
from paraph.server.messenger.room import Room
from paraph.server.storage import Announcement, Transaction

FULLY_READ, PRIVATE = "m.fully_read", "m.read.private"
KINDS = ("m.read", PRIVATE, FULLY_READ)
MAIN = "main"
_RECEIPT = "messenger.receipt"
_receipt = msgspec.json.Decoder(tuple[str, Receipt])


class _Marker(msgspec.Struct):
    event_id: str = ""


class Receipts:
    """Sets receipts and markers. `on_receipt(room_id, receipt)` are told of each once it is durable."""

    def __init__(self, core: Core, personal: Personal) -> None:
        self._core = core
        self._personal = personal
        self.on_receipt: list[Callable[[str, Receipt], None]] = []
        core.database.listen(_RECEIPT, self._elsewhere)

    async def read_up_to(
        self, person: PersonPrincipal, room_id: str, marks: Mapping[str, str], thread: str = ""
    ) -> None:
        """Move receipts and the `m.fully_read` marker; `marks` is kind to event id, `thread` empty for unthreaded ones.

        Raises M_FORBIDDEN, M_INVALID_PARAM (an event that is not in the thread), M_NOT_FOUND. All move, or none.
        """
        for event_id in marks.values():
            try:
                check_event_id(event_id)
            except IdentifierError as error:
                raise invalid(str(error)) from None
        check_name("thread_id", thread)

        def write(tx: Transaction) -> None:
            room = self._core.room_joined_by(tx, room_id, person.user_id)
            for kind, event_id in marks.items():
                event = self._core.store.event(tx, room_id, event_id)
                if event is None:
                    raise not_found(f"there is no event {event_id} in this room")
                if kind == FULLY_READ:
                    self._move_marker(tx, person, event)
                else:
                    self._move(tx, person, room, kind, event, thread)

        await self._core.database.write(write)

    def _move_marker(self, tx: Transaction, person: PersonPrincipal, event: Event) -> None:
        store, room_id = self._core.store, event.room_id
        kept = store.account_data(tx, person.user_id, room_id, FULLY_READ)
        stands = None if kept is None else store.event(tx, room_id, msgspec.json.decode(kept, type=_Marker).event_id)
        if stands is None or stands.position < event.position:
            content = msgspec.json.encode({"event_id": event.event_id})
            self._personal.put_data(tx, person, room_id, FULLY_READ, content)

    def _move(self, tx: Transaction, person: PersonPrincipal, room: Room, kind: str, event: Event, thread: str) -> None:
        if thread:
            self._check_thread(tx, event, thread)
        core = self._core
        stands = core.store.receipts_of(tx, room.room_id, person.user_id, kind)
        if event.position <= stands.get(thread, 0) or (thread and event.position == stands.get("", 0)):
            return
        receipt = Receipt(
            person.user_id, kind, thread, event.event_id, core.clock(), tx.next_position(), event.position
        )
        core.store.put_receipt(tx, room.room_id, receipt)
        told = [person.user_id] if kind == PRIVATE else list(room.joined)
        tx.after_commit(lambda: self._received(room.room_id, receipt, told))
        tx.announce(_RECEIPT, msgspec.json.encode((room.room_id, receipt)).decode())

    def _check_thread(self, tx: Transaction, event: Event, thread: str) -> None:
        """Whether an event is in a thread, or relates to its root in another way; a root counts as either."""
        relations = self._core.relations
        found = relations.thread_of(tx, event.event_id) or MAIN
        if thread in (found, event.event_id):
            return
        top = relations.top_of(tx, event.event_id)
        if top != thread or not relations.store.is_thread(tx, top):
            raise invalid(f"{event.event_id} is not in the thread {thread[:80]}")

    def _elsewhere(self, announcement: Announcement) -> None:
        if announcement.local:  # done already, with members that the write knew
            return
        room_id, receipt = _receipt.decode(announcement.payload)
        private = receipt.type == PRIVATE
        self._received(room_id, receipt, [receipt.user_id] if private else self._core.members_here(room_id))

    def _received(self, room_id: str, receipt: Receipt, told: list[str]) -> None:
        core = self._core
        for hook in self.on_receipt:
            hook(room_id, receipt)
        core.rooms.change(room_id, lambda held: held.receive(receipt))
        core.views.touch(told, room_id, receipt.position)
        core.notifier.wake(told)
