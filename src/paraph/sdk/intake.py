"""From an answer that was checked to messages: opened where the key and the right to open them are there."""

from collections.abc import Sequence
from typing import Any

from paraph.sdk.engine import DeviceEngine
from paraph.sdk.errors import DecryptionError
from paraph.sdk.inbox import Checked, GrantBook
from paraph.sdk.rooms import Message, closed_message, opened_message

Json = dict[str, Any]


class Intake:
    """Opens what a partner was served. Everything happens within the caller's step."""

    def __init__(self, engine: DeviceEngine, book: GrantBook) -> None:
        self._engine = engine
        self._book = book

    def take(self, room_id: str, events: Sequence[Json], checked: Sequence[Checked]) -> tuple[Message, ...]:
        """The messages of an answer; those of an author whose grant key has not come are held, closed."""
        self._book.take(checked)
        unlabelled = {found.entry.person for found in checked if not found.labelled}
        for found in checked:
            if not found.labelled:
                self._book.hold(found, room_id, [event for event in events if event["sender"] == found.entry.person])
        return tuple(
            _held(event, room_id) if event["sender"] in unlabelled else self.read(event, room_id) for event in events
        )

    def release(self, grant_ids: Sequence[str]) -> tuple[tuple[Message, ...], tuple[str, ...]]:
        """What was held for grants whose keys have come: messages that open, and the ids of those that must not."""
        opened: list[Message] = []
        refused: list[str] = []
        for held, fits in (item for grant_id in grant_ids for item in self._book.release(grant_id)):
            if fits:
                opened += [self.read(event, held.room_id) for event in held.events]
            else:
                refused += [event["event_id"] for event in held.events]
        return tuple(message for message in opened if message.undecryptable is None), tuple(refused)

    def read(self, event: Json, room_id: str) -> Message:
        """One message, opened if an enrolled device of its author wrote it and its key is there."""
        opened = self._engine.decrypt(event, room_id)
        if isinstance(opened, DecryptionError):
            return closed_message(event, room_id, opened)
        if not opened.sender_verified:
            error = DecryptionError("unverified-device", "the device is not one of the author's enrolled devices")
            return closed_message(event, room_id, error)
        return opened_message(opened, room_id)


def _held(event: Json, room_id: str) -> Message:
    error = DecryptionError("grant-key-missing", "the author's grant key has not come: her receipt cannot be checked")
    return closed_message(event, room_id, error)
