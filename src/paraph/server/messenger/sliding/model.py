"""What a client asks of a sliding sync, parsed strictly (MSC4186).

Two forms are in use: that of the clients of today (`ranges`, `required_state` as a list of pairs, `pos` in the query)
and that of the proposal as it stands (`range`, `required_state` as an object, `pos` in the body). Both are taken under
both paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

MAX_LISTS = 100
MAX_LIST_NAME = 64
MAX_RANGES = 20
MAX_SUBSCRIPTIONS = 500
MAX_REQUIRED = 200
"""Pieces of state that one list or subscription may name."""
MAX_TIMELINE = 100
MAX_CONN_ID = 64
MAX_NAMES = 100
"""Entries of one list of a filter."""

Text = Annotated[str, msgspec.Meta(max_length=255)]
Texts = Annotated[list[Text], msgspec.Meta(max_length=MAX_NAMES)]
Kinds = Annotated[list[Text | None], msgspec.Meta(max_length=MAX_NAMES)]
Index = Annotated[int, msgspec.Meta(ge=0)]
Range = tuple[Index, Index]
Pairs = Annotated[list[tuple[Text, Text]], msgspec.Meta(max_length=MAX_REQUIRED)]


class Element(msgspec.Struct, frozen=True):
    """State by type and key; what is left out stands for any."""

    type: Text | None = None
    state_key: Text | None = None


Elements = Annotated[list[Element], msgspec.Meta(max_length=MAX_REQUIRED)]


class Required(msgspec.Struct, frozen=True):
    """Which state, in the newer form."""

    include: Elements = []
    exclude: Elements = []
    lazy_members: bool = False


class Config(msgspec.Struct, frozen=True):
    """What of a room is to be told. `required_state` is a list of pairs or a `Required`."""

    timeline_limit: Index
    required_state: Pairs | Required = []


class Filters(msgspec.Struct, frozen=True):
    """Which rooms a list is of."""

    is_dm: bool | None = None
    spaces: Texts | None = None
    is_encrypted: bool | None = None
    is_invite: bool | None = None
    is_invited: bool | None = None
    room_types: Kinds | None = None
    not_room_types: Kinds | None = None
    room_name_like: Text | None = None
    tags: Texts | None = None
    not_tags: Texts | None = None

    @property
    def invited(self) -> bool | None:
        """Whether the list is of invitations, by either name."""
        return self.is_invited if self.is_invite is None else self.is_invite

    @property
    def asks_facts(self) -> bool:
        """Whether rooms have to be known more closely than by who is in them."""
        asked = (self.is_encrypted, self.room_types, self.not_room_types, self.room_name_like)
        return any(part is not None for part in asked)


class RoomList(Config, frozen=True):
    """A window on the rooms that fit; without a range, all of them."""

    ranges: Annotated[list[Range], msgspec.Meta(max_length=MAX_RANGES)] | None = None
    range: Range | None = None
    filters: Filters = Filters()

    @property
    def windows(self) -> list[Range] | None:
        """Which indices are looked at, both ends included; None for all."""
        return self.ranges if self.range is None else [self.range]


class Extension(msgspec.Struct, frozen=True):
    """What several extensions have in common."""

    enabled: bool = False


class ToDevice(Extension, frozen=True):
    """Messages to the device; `since` is the `next_batch` of its last ones."""

    since: Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] = 100


class OfRooms(Extension, frozen=True):
    """Something about rooms: of which lists and subscriptions; left out, or with `*`, of all."""

    lists: Texts | None = None
    rooms: Texts | None = None


class Extensions(msgspec.Struct, frozen=True):
    """What is asked for beside rooms. Extensions that this server does not know are passed over."""

    to_device: ToDevice = ToDevice()
    e2ee: Extension = Extension()
    account_data: OfRooms = OfRooms()
    receipts: OfRooms = OfRooms()
    typing: OfRooms = OfRooms()


class Request(msgspec.Struct, frozen=True):
    """One request of a connection."""

    conn_id: Annotated[str, msgspec.Meta(max_length=MAX_CONN_ID)] = ""
    txn_id: Text | None = None
    pos: Text | None = None
    timeout: Index = 0
    set_presence: Literal["online", "offline", "unavailable"] = "online"
    lists: Annotated[
        dict[Annotated[str, msgspec.Meta(max_length=MAX_LIST_NAME)], RoomList], msgspec.Meta(max_length=MAX_LISTS)
    ] = {}
    room_subscriptions: Annotated[dict[Text, Config], msgspec.Meta(max_length=MAX_SUBSCRIPTIONS)] = {}
    extensions: Extensions = Extensions()


def with_query(body: dict[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    """A body with what today's clients put into the query; a timeout that is no number stays what it is."""
    given: dict[str, Any] = {name: query[name] for name in ("pos", "set_presence") if query.get(name)}
    if "timeout" in query:
        text = query["timeout"]
        given["timeout"] = int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else text
    return body | given
