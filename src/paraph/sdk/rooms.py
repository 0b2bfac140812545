"""What a person's device knows of its rooms, from state events alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from paraph.protocol.draft import VIA, read_via, via_hash
from paraph.protocol.errors import ProtocolError
from paraph.protocol.identifiers import is_partner
from paraph.sdk.engine.model import Decrypted, RoomSettings
from paraph.sdk.errors import DecryptionError
from paraph.sdk.keystore import Records

TABLE = "room"
IN_ROOM = ("join", "invite")


class Room(msgspec.Struct, frozen=True, omit_defaults=True):
    """A room. `members` maps user ids to memberships; `encrypted` never goes back to False.

    `closed_by` are those who closed the room to partners; `partners` maps an author to the partners that may read her
    words there, each `{partner, until}` as the platform states it.
    """

    room_id: str
    membership: str = "join"
    name: str = ""
    members: dict[str, str] = {}
    encrypted: bool = False
    rotation_ms: int | None = None
    rotation_messages: int | None = None
    closed_by: tuple[str, ...] = ()
    partners: dict[str, list[dict[str, Any]]] = {}

    @property
    def present(self) -> frozenset[str]:
        """Users who are joined or invited. A membership that names a partner's address counts for nothing."""
        return frozenset(user for user, state in self.members.items() if state in IN_ROOM and not is_partner(user))

    @property
    def settings(self) -> RoomSettings:
        """The room as the device engine needs it."""
        # As the platform has it: whoever closed the room and left has left it closed.
        closed = bool(self.closed_by)
        return RoomSettings(self.room_id, self.present, self.rotation_ms, self.rotation_messages, closed)


@dataclass(frozen=True, slots=True)
class Via:
    """Through which partner a message (or the deletion of one) came.

    `confirmed`: the sending device says the same inside the message. Else it is the platform's word alone or, where
    `partner` is None, only the device's, and the platform does not say which partner it was.
    """

    partner: str | None
    draft_id: str | None
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a room's timeline. `ts` is the server's time in milliseconds.

    `undecryptable` says why there is no content, else it is None. `verified`: written by a device that its owner's
    pinned identity vouches for. Content that was sent unencrypted has `encrypted` False and is never verified.
    """

    room_id: str
    event_id: str
    sender: str
    ts: int
    type: str
    content: dict[str, Any] = field(repr=False)
    encrypted: bool = True
    verified: bool = False
    undecryptable: str | None = None
    redacted: bool = False
    via: Via | None = None

    @property
    def body(self) -> str | None:
        """The text, if it has one."""
        body = self.content.get("body")
        return body if isinstance(body, str) else None


class Rooms:
    """All rooms of one person, as one device knows them."""

    def __init__(self, records: Records, user_id: str) -> None:
        self._records = records
        self._user_id = user_id
        self._applied: Counter[str] = Counter()

    def applied(self, room_id: str) -> int:
        """How often state of the room came by sync: whether something came while its whole state was under way."""
        return self._applied[room_id]

    def get(self, room_id: str) -> Room | None:
        """The room, if known."""
        return self._records.get(TABLE, room_id, Room)

    def all(self) -> list[Room]:
        """Every known room, left ones included."""
        return [room for _, room in self._records.items(TABLE, Room)]

    def load(self, room_id: str, state: Iterable[dict[str, Any]]) -> Room:
        """Take the whole state of a room in place of what was known; encryption stays on."""
        known = self.get(room_id)
        fresh = Room(room_id, encrypted=known is not None and known.encrypted)
        for event in state:
            fresh = _applied(fresh, event, self._user_id)
        self._records.put(TABLE, room_id, fresh)
        return fresh

    def apply(self, room_id: str, events: Iterable[dict[str, Any]], *, membership: str) -> Room:
        """Take in state events of a sync, in order. `membership` is the person's own."""
        room = self.get(room_id) or Room(room_id)
        for event in events:
            if "state_key" in event:
                self._applied[room_id] += 1
                room = _applied(room, event, self._user_id)
        room = msgspec.structs.replace(room, membership=membership)
        self._records.put(TABLE, room_id, room)
        return room


def plain_message(event: dict[str, Any], room_id: str) -> Message:
    """A timeline event that is not encrypted (or redacted)."""
    redacted = "redacted_because" in (event.get("unsigned") or {})
    content = event.get("content")
    kind = str(event.get("type"))
    content = content if isinstance(content, dict) else {}
    by = (event.get("unsigned") or {}).get("redacted_because") if redacted else event
    via = _deleted_via(by) if redacted or kind == "m.room.redaction" else None
    return _message(event, room_id, kind, content, encrypted=False, redacted=redacted, via=via)


def opened_message(opened: Decrypted, room_id: str) -> Message:
    """A decrypted event."""
    via = _via(opened.event, opened.content.get(VIA))
    return _message(opened.event, room_id, opened.type, opened.content, verified=opened.sender_verified, via=via)


def closed_message(event: dict[str, Any], room_id: str, error: DecryptionError) -> Message:
    """An event that cannot be opened, and why."""
    undecryptable = f"{error.code}: {error}"
    return _message(event, room_id, "m.room.encrypted", {}, undecryptable=undecryptable, via=_via(event, None))


def _via(event: dict[str, Any], claimed: Any) -> Via | None:
    """What the event says in clear, held against the hash that its plaintext claims."""
    hashed = claimed.get("hash") if isinstance(claimed, dict) else None
    try:
        content = event.get("content")
        clear = read_via(content if isinstance(content, dict) else {})
    except ProtocolError:
        clear = None
    if clear is None:
        return None if hashed is None else Via(None, None, confirmed=False)
    same = hashed == via_hash({"partner": clear.partner, "draft_id": clear.draft_id})
    return Via(clear.partner, clear.draft_id, confirmed=same)


def _deleted_via(redaction: Any) -> Via | None:
    """The partner through which a message was deleted; the platform says so, since no device took part."""
    content = redaction.get("content") if isinstance(redaction, dict) else None
    via = content.get(VIA) if isinstance(content, dict) else None
    partner = via.get("partner") if isinstance(via, dict) else None
    return Via(partner, None, confirmed=False) if isinstance(partner, str) else None


def _message(event: dict[str, Any], room_id: str, kind: str, content: dict[str, Any], **more: Any) -> Message:
    ts = event.get("origin_server_ts")
    return Message(
        room_id=room_id,
        event_id=str(event.get("event_id")),
        sender=str(event.get("sender")),
        ts=ts if isinstance(ts, int) else 0,
        type=kind,
        content=content,
        **more,
    )


def _applied(room: Room, event: dict[str, Any], user_id: str) -> Room:
    key, content = event.get("state_key"), event.get("content")
    if not isinstance(key, str) or not isinstance(content, dict):
        return room
    match event.get("type"):
        case "m.room.member":
            membership = str(content.get("membership"))
            room = msgspec.structs.replace(room, members={**room.members, key: membership})
            return msgspec.structs.replace(room, membership=membership) if key == user_id else room
        case "m.room.name":
            return msgspec.structs.replace(room, name=str(content.get("name", "")))
        case "m.room.encryption":
            return _encrypted(room, content)
        case "org.paraph.closed":
            others = tuple(user for user in room.closed_by if user != key)
            return msgspec.structs.replace(room, closed_by=(*others, key) if content.get("closed") is True else others)
        case "org.paraph.grant":
            granted = content.get("partners")
            granted = [p for p in granted if isinstance(p, dict)] if isinstance(granted, list) else []
            return msgspec.structs.replace(room, partners={**room.partners, key: granted})
    return room


def _encrypted(room: Room, content: dict[str, Any]) -> Room:
    period, messages = content.get("rotation_period_ms"), content.get("rotation_period_msgs")
    return msgspec.structs.replace(
        room,
        encrypted=True,
        rotation_ms=period if isinstance(period, int) and period > 0 else None,
        rotation_messages=messages if isinstance(messages, int) and messages > 0 else None,
    )
