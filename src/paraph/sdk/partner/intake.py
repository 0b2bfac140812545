"""From an answer that was checked to messages: opened where the key and the right to open them are there."""

from collections.abc import Sequence
from typing import Any

from paraph.sdk.engine import DeviceEngine
from paraph.sdk.errors import DecryptionError
from paraph.sdk.partner.inbox import MAX_HELD, Checked, GrantBook
from paraph.sdk.partner.retention import Retention
from paraph.sdk.rooms import Message, closed_message, opened_message

Json = dict[str, Any]


class Intake:
    """Opens what a partner was served. Everything happens within the caller's step."""

    def __init__(self, engine: DeviceEngine, book: GrantBook, retention: Retention) -> None:
        self._engine = engine
        self._book = book
        self._retention = retention

    def take(
        self, room_id: str, events: Sequence[Json], checked: Sequence[Checked], *, most: int | None = MAX_HELD
    ) -> tuple[Message, ...]:
        """The messages of an answer of one room; those of an author whose grant key has not come are held, closed."""
        self._book.take(checked)
        unlabelled = {found.entry.person for found in checked if not found.labelled}
        for found in checked:
            own = [event for event in events if event["sender"] == found.entry.person]
            self._retention.note(found.entry, own)
            if not found.labelled:
                self._book.hold(found, own, most=most)
        return tuple(
            held_message(event, room_id) if event["sender"] in unlabelled else self.read(event, room_id)
            for event in events
        )

    def take_changes(self, messages: Sequence[Json], checked: Sequence[Checked]) -> list[Message]:
        """The messages of a stream's answer, `{grant_id, event}`, in order; nothing that is held is ever let go."""
        self._book.take(checked)
        held = {str(found.entry.body["grant_id"]) for found in checked if not found.labelled}
        taken = []
        for message in messages:
            event = message["event"]
            if message["grant_id"] in held:
                taken.append(held_message(event, event["room_id"]))
            else:
                taken.append(self.read(event, event["room_id"]))
        served: dict[tuple[str, str], list[Json]] = {}
        for message in messages:
            served.setdefault((str(message["grant_id"]), message["event"]["room_id"]), []).append(message["event"])
        for found in checked:
            body = found.entry.body
            own = served.get((str(body["grant_id"]), body["room_id"]), [])
            self._retention.note(found.entry, own)
            if not found.labelled and own:
                self._book.hold(found, own, most=None)
        return taken

    def release(self, grant_ids: Sequence[str]) -> tuple[tuple[tuple[Json, Message], ...], tuple[Json, ...]]:
        """What was held for grants whose keys have come: events with their messages, and events that must not open."""
        opened: list[tuple[Json, Message]] = []
        refused: list[Json] = []
        for held, fits in (item for grant_id in grant_ids for item in self._book.release(grant_id)):
            if fits:
                opened += [(event, self.read(event, held.room_id)) for event in held.events]
            else:
                refused += held.events
        return tuple(opened), tuple(refused)

    def was_taken(self, event: Json) -> bool:
        """Whether this very event was opened before, or waits for its key."""
        return self._engine.was_taken(event)

    def read(self, event: Json, room_id: str) -> Message:
        """One message, opened if an enrolled device of its author wrote it and its key is there."""
        opened = self._engine.decrypt(event, room_id)
        if isinstance(opened, DecryptionError):
            return closed_message(event, room_id, opened)
        if not opened.sender_verified:
            error = DecryptionError("unverified-device", "the device is not one of the author's enrolled devices")
            return closed_message(event, room_id, error)
        return opened_message(opened, room_id)


def held_message(event: Json, room_id: str) -> Message:
    """A message that stays closed until its author's grant key comes."""
    error = DecryptionError("grant-key-missing", "the author's grant key has not come: her receipt cannot be checked")
    return closed_message(event, room_id, error)
