"""Keeping filters, and finding them again."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections import OrderedDict
from typing import Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import invalid, not_found, too_large
from paraph.server.messenger.personal import bounded

MAX_FILTER_BYTES = 16_384
DEFAULT_TIMELINE = 20
MAX_TIMELINE = 100


class _RoomTimeline(msgspec.Struct):
    limit: int = DEFAULT_TIMELINE


class _RoomFilter(msgspec.Struct):
    timeline: _RoomTimeline = msgspec.field(default_factory=_RoomTimeline)


class _Filter(msgspec.Struct):
    room: _RoomFilter = msgspec.field(default_factory=_RoomFilter)


_filter = msgspec.json.Decoder(_Filter)


def timeline_limit(definition: bytes) -> int:
    """The one part of a filter that the server follows: how many events a timeline may have, 1 to 100.

    Everything else in a filter may be left unfollowed without harm: the client then gets more than it asked for.
    Raises M_INVALID_PARAM.
    """
    try:
        return min(max(_filter.decode(definition).room.timeline.limit, 1), MAX_TIMELINE)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"the filter does not fit: {error}") from None


class Filters:
    """The filters that people keep."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._limits: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def add_filter(self, person: PersonPrincipal, definition: dict[str, Any]) -> str:
        """Keep a filter; the same one gets the same id."""
        data = bounded(definition)
        timeline_limit(data)
        if len(data) > MAX_FILTER_BYTES:
            raise too_large(f"a filter has at most {MAX_FILTER_BYTES} bytes")
        filter_id = urlsafe_b64encode(hashlib.sha256(data).digest())[:16].decode()
        await self._core.database.write(lambda tx: self._core.store.put_filter(tx, person.user_id, filter_id, data))
        return filter_id

    async def filter(self, person: PersonPrincipal, filter_id: str) -> bytes:
        """A filter of the person; raises M_NOT_FOUND."""
        found = await self._core.database.read(lambda tx: self._core.store.filter(tx, person.user_id, filter_id))
        if found is None:
            raise not_found(f"there is no filter {filter_id[:40]!r}")
        return found

    async def timeline_limit(self, person: PersonPrincipal, text: str | None) -> int:
        """The timeline limit of the filter that a sync names, by id or in full."""
        if text is None:
            return DEFAULT_TIMELINE
        key = ("" if text.startswith("{") else person.user_id, text)
        limit = self._limits.get(key)
        if limit is None:
            definition = text.encode() if text.startswith("{") else await self.filter(person, text)
            limit = self._limits[key] = timeline_limit(definition)
            if len(self._limits) > 1_000:
                self._limits.popitem(last=False)
        return limit
