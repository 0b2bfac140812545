"""Changes kept as JSON until somebody acknowledges them: for programs that are not in this process.

A stream is poured into the store, in the step in which it is noted as handed out. From there each change is given as
often as it is asked for, until a place behind it is acknowledged; so whoever keeps what it did and the place in one
transaction of its own loses nothing and does nothing twice, whichever of the two processes is killed.
"""

import secrets
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Any

import msgspec

from paraph.protocol.base64 import b64url, unb64url
from paraph.protocol.errors import ProtocolError
from paraph.sdk.errors import SdkError
from paraph.sdk.keystore import Records
from paraph.sdk.partner.change_items import (
    Change,
    DevicesChange,
    DraftChange,
    GrantChange,
    MessageChange,
    Withheld,
)
from paraph.sdk.partner.changes import MAX_MESSAGES, Changes
from paraph.sdk.rooms import Message

Json = dict[str, Any]

PLACE, KEPT, ASKED = "outbox-place", "outbox", "outbox-asked"
MAX_KEPT = 5_000
"""Changes that are kept without being acknowledged: beyond, the stream waits."""


class OutboxStateError(SdkError):
    """A state that is none of this outbox's (`gone` False), or that a later one was acknowledged after (`gone`)."""

    def __init__(self, text: str, *, gone: bool) -> None:
        super().__init__(text)
        self.gone = gone


class _Place(msgspec.Struct, frozen=True):
    """Numbers of the newest change and of the last acknowledged one; `name` tells this outbox from one of before."""

    name: str
    last: int = 0
    acknowledged: int = 0


class Outbox:
    """The stream of one purpose, kept. Get it by `Partner.outbox`."""

    def __init__(self, records: Records, changes: Changes, purpose: str) -> None:
        self._records = records
        self._changes = changes
        self._purpose = purpose
        self._place()

    @property
    def waiting(self) -> int:
        """How many changes are not acknowledged."""
        place = self._place()
        return place.last - place.acknowledged

    def pour(self) -> AsyncGenerator[int, None]:
        """Take the stream in, until this is closed; yields after each batch, and its caller may pause there."""
        return self._changes.pour(self._purpose, self._take, MAX_MESSAGES)

    def after(self, state: str | None, limit: int) -> tuple[list[tuple[str, Json]], str]:
        """Changes behind a state (None: the oldest unacknowledged), at most `limit`, each with its own state.

        Also the state behind them all. Raises OutboxStateError.
        """
        place = self._place()
        number = place.acknowledged if state is None else self._number(state, place)
        found: list[tuple[str, Json]] = []
        while number < place.last and len(found) < limit:
            number += 1
            change = self._records.get(KEPT, self._name(number), Json)
            if change is not None:
                found.append((self._state(place, number), change))
        return found, self._state(place, number)

    def acknowledge(self, state: str) -> None:
        """Let go of every change up to this state. Raises OutboxStateError."""
        place = self._place()
        number = self._number(state, place)
        with self._records.step():
            for gone in range(place.acknowledged + 1, number + 1):
                self._records.delete(KEPT, self._name(gone))
            if number != place.acknowledged:
                self._records.put(PLACE, self._purpose, msgspec.structs.replace(place, acknowledged=number))

    def ask(self, name: str, change: Json) -> bool:
        """Put a change in once under a name; whether it has been acknowledged, and so done."""
        place, asked = self._place(), f"{self._purpose}/{name}"
        number = self._records.get(ASKED, asked, int)
        if number is None:
            with self._records.step():
                self._records.put(ASKED, asked, place.last + 1)
                self._put(change)
            return False
        if number > place.acknowledged:
            return False
        with self._records.step():
            self._records.delete(ASKED, asked)
        return True

    def _put(self, change: Json) -> None:
        place = self._place()
        self._records.put(KEPT, self._name(place.last + 1), change)
        self._records.put(PLACE, self._purpose, msgspec.structs.replace(place, last=place.last + 1))

    def _take(self, batch: Sequence[Change]) -> None:
        for change in batch:
            self._put(rendered(change))

    def _place(self) -> _Place:
        known = self._records.get(PLACE, self._purpose, _Place)
        if known is None:
            known = _Place(secrets.token_hex(4))
            with self._records.step():
                self._records.put(PLACE, self._purpose, known)
        return known

    def _name(self, number: int) -> str:
        return f"{self._purpose}/{number:016d}"

    def _state(self, place: _Place, number: int) -> str:
        return b64url(msgspec.json.encode([place.name, self._purpose, number]))

    def _number(self, state: str, place: _Place) -> int:
        try:
            name, purpose, number = msgspec.json.decode(unb64url(state), type=tuple[str, str, int])
        except (ProtocolError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise OutboxStateError("this is no state", gone=False) from error
        if (name, purpose) != (place.name, self._purpose) or not 0 <= number <= place.last:
            raise OutboxStateError("this state is another stream's, or another store's", gone=False)
        if number < place.acknowledged:
            raise OutboxStateError("a later state was acknowledged: what followed this one is kept no more", gone=True)
        return number


def drop_events(records: Records, event_ids: Collection[str]) -> None:
    """Within a step: let go of these messages, acknowledged or not."""
    for name, change in records.items(KEPT, Json):
        if change.get("kind") == "message" and change["message"]["event_id"] in event_ids:
            records.delete(KEPT, name)


def rendered(change: Change) -> Json:
    """A change as JSON: `kind` and its members."""
    match change:
        case MessageChange():
            body = {"grant_id": change.grant_id, "state": change.state, "older": change.older}
            return {"kind": "message", **body, "message": rendered_message(change.message)}
        case GrantChange():
            return {"kind": "grant", **_members(change)}
        case DraftChange():
            return {"kind": "draft", **_members(change)}
        case Withheld():
            return {"kind": "withheld", **_members(change)}
        case DevicesChange():
            return {"kind": "devices", **_members(change)}


def rendered_message(message: Message) -> Json:
    """A message as JSON, its text as `body`."""
    return {**_members(message), "body": message.body}


def _members(value: object) -> Json:
    found: Json = msgspec.to_builtins(value)
    return found
