"""What a search asks for (Client-Server API, "Server Side Search"), parsed strictly."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Literal

import msgspec

from paraph.server.messenger.errors import invalid
from paraph.server.messenger.filters.model import RoomEventFilter

Key = Literal["content.body", "content.name", "content.topic"]
KEYS: tuple[Key, ...] = ("content.body", "content.name", "content.topic")
MAX_TERM = 500
MAX_CONTEXT = 20
Count = Annotated[int, msgspec.Meta(ge=0)]


class EventContext(msgspec.Struct, frozen=True):
    """How much around a result is wanted."""

    before_limit: Count = 5
    after_limit: Count = 5
    include_profile: bool = False


class Group(msgspec.Struct, frozen=True):
    """One way of grouping results."""

    key: Literal["room_id", "sender"]


class Groupings(msgspec.Struct, frozen=True):
    """The ways of grouping results."""

    group_by: Annotated[list[Group], msgspec.Meta(max_length=2)] = []


class RoomEvents(msgspec.Struct, frozen=True):
    """A search among events."""

    search_term: Annotated[str, msgspec.Meta(max_length=MAX_TERM)]
    keys: Annotated[list[Key], msgspec.Meta(max_length=10)] | None = None
    filter: RoomEventFilter = RoomEventFilter()
    order_by: Literal["recent", "rank"] = "rank"
    event_context: EventContext | None = None
    include_state: bool = False
    groupings: Groupings = Groupings()


class Categories(msgspec.Struct, frozen=True):
    """The one category there is."""

    room_events: RoomEvents | None = None


class Search(msgspec.Struct, frozen=True):
    """POST /search."""

    search_categories: Categories


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins: so many results on, of those up to a position, in one group (key and value) or in all."""

    upto: int
    offset: int
    key: str = ""
    value: str = ""

    def token(self) -> str:
        """As clients get it."""
        return urlsafe_b64encode(msgspec.json.encode(self)).rstrip(b"=").decode()


def place(token: str) -> Place:
    """What a token says; raises M_INVALID_PARAM."""
    try:
        found = msgspec.json.decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=Place)
    except (ValueError, msgspec.DecodeError, UnicodeError):
        raise invalid(f"{token[:40]!r} is no token of a search") from None
    if not (0 <= found.upto < 2**62 and 0 <= found.offset <= 2**31):
        raise invalid(f"{token[:40]!r} is no token of a search")
    return found
