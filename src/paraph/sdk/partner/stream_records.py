"""What is kept of a partner's streams in its store."""

from collections.abc import Collection
from typing import Any

import msgspec

from paraph.sdk.keystore import Records

Json = dict[str, Any]

STREAM, WAITING, LATE, LEFT, RECOVERED = "changes", "changes-waiting", "changes-late", "changes-left", "changes-again"


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


def drop_events(records: Records, event_ids: Collection[str]) -> None:
    """Within a step: let go of these messages, handed out or not."""
    for name, stream in records.items(STREAM, Stream):
        page = tuple({"kind": "dropped"} if _event_id(item) in event_ids else item for item in stream.page)
        records.put(STREAM, name, msgspec.structs.replace(stream, page=page))
    for name in records.names(LATE):
        if name.rpartition("/")[2] in event_ids:
            records.delete(LATE, name)
    for event_id in event_ids:
        records.delete(WAITING, event_id)


def _event_id(item: Json) -> str | None:
    return str(item["event"].get("event_id")) if item.get("kind") == "message" else None
