"""Filters as clients write them (Client-Server API, "Filtering"), parsed strictly.

What the specification does not name is ignored; what it names must have its form: a list of user ids is one, a switch
is `true` or `false`. Bounds are the size of the whole definition and the number of names in a list.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from paraph.server.messenger.errors import invalid

T = TypeVar("T")

MAX_FILTER_BYTES = 16_384
MAX_NAMES = 1_000
"""Entries of one list of a filter."""
MAX_FIELDS = 100
"""Entries of `event_fields`."""

UserId = Annotated[str, msgspec.Meta(pattern=r"^@[^:]*:.", max_length=255)]
RoomId = Annotated[str, msgspec.Meta(pattern=r"^![^:]", max_length=255)]
TypePattern = Annotated[str, msgspec.Meta(max_length=255)]
Names = Annotated[list[TypePattern], msgspec.Meta(max_length=MAX_NAMES)]
UserIds = Annotated[list[UserId], msgspec.Meta(max_length=MAX_NAMES)]
RoomIds = Annotated[list[RoomId], msgspec.Meta(max_length=MAX_NAMES)]
Limit = Annotated[int, msgspec.Meta(ge=0)]


class EventFilter(msgspec.Struct, frozen=True):
    """Which events: by type (`*` stands for anything) and sender. An empty list of wanted names wants none."""

    limit: Limit | None = None
    types: Names | None = None
    not_types: Names | None = None
    senders: UserIds | None = None
    not_senders: UserIds | None = None


class RoomEventFilter(EventFilter, frozen=True):
    """Which events of rooms; also the `filter` of /messages, /context and search."""

    rooms: RoomIds | None = None
    not_rooms: RoomIds | None = None
    contains_url: bool | None = None
    lazy_load_members: bool = False
    include_redundant_members: bool = False
    unread_thread_notifications: bool = False
    related_by_rel_types: Names | None = None
    related_by_senders: UserIds | None = None


class RoomFilter(msgspec.Struct, frozen=True):
    """Which rooms, and which events of each part of a room."""

    rooms: RoomIds | None = None
    not_rooms: RoomIds | None = None
    include_leave: bool = False
    timeline: RoomEventFilter = RoomEventFilter()
    state: RoomEventFilter = RoomEventFilter()
    ephemeral: RoomEventFilter = RoomEventFilter()
    account_data: RoomEventFilter = RoomEventFilter()


class Filter(msgspec.Struct, frozen=True):
    """What a sync is to leave out."""

    event_fields: Annotated[list[TypePattern], msgspec.Meta(max_length=MAX_FIELDS)] | None = None
    event_format: Literal["client", "federation"] = "client"
    presence: EventFilter = EventFilter()
    account_data: EventFilter = EventFilter()
    room: RoomFilter = RoomFilter()


_filter = msgspec.json.Decoder(Filter)
_room_events = msgspec.json.Decoder(RoomEventFilter)


def parse(definition: bytes) -> Filter:
    """The filter of a sync; raises M_INVALID_PARAM."""
    return _parsed(definition, _filter)


def parse_room_events(definition: bytes) -> RoomEventFilter:
    """The filter of a page of history; raises M_INVALID_PARAM."""
    return _parsed(definition, _room_events)


def _parsed(definition: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    if len(definition) > MAX_FILTER_BYTES:
        raise invalid(f"a filter has at most {MAX_FILTER_BYTES} bytes")
    try:
        return decoder.decode(definition)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"the filter does not fit: {error}") from None
