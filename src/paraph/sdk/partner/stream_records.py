"""What is kept of a partner's streams in its store."""

import msgspec

from paraph.sdk.partner.reading import Json


class Left(msgspec.Struct, frozen=True):
    """Something of a room was withheld; `messages` gives it from `since` on (None: from the beginning), if ever."""

    grant_id: str
    room_id: str
    since: str | None


class Stream(msgspec.Struct, frozen=True):
    """A stream as it is kept: the state behind `page`, and how many of the page's changes were handed out.

    Each change of the page is the platform's, with `state` beside each message.
    """

    state: str | None = None
    page: tuple[Json, ...] = ()
    done: int = 0
    more: bool = False
    recoveries: tuple[Left, ...] = ()
    recovered: bool = False


class Pending(msgspec.Struct, frozen=True):
    """A message that was handed out closed: in which stream, under which grant."""

    stream: str
    grant_id: str
    older: bool


class Late(msgspec.Struct, frozen=True):
    """What has become of a pending message: it opens now, or never will."""

    grant_id: str
    event: Json
    state: str
    older: bool
