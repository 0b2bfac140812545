"""What belongs to one person or passes by: account data, tags, receipts, typing, presence, filters, the directory."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections import OrderedDict
from typing import Any

import msgspec

from paraph.protocol import canonical
from paraph.protocol.errors import CanonicalJsonError, IdentifierError
from paraph.protocol.identifiers import check_event_id
from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import bad_json, forbidden, invalid, not_found, too_large
from paraph.server.messenger.events import check_name
from paraph.server.messenger.model import Profile, Receipt
from paraph.server.messenger.typing import Typing
from paraph.server.storage import Announcement, Transaction

MAX_DATA_BYTES = 65_536
MAX_FILTER_BYTES = 16_384
MAX_PRESENCES = 50_000
_SERVER_DATA = frozenset({"m.fully_read", "m.push_rules"})
_PRESENCES = ("online", "offline", "unavailable")
_ACCOUNT_DATA, _RECEIPT = "messenger.account_data", "messenger.receipt"
DEFAULT_TIMELINE = 20
MAX_TIMELINE = 100


class _RoomTimeline(msgspec.Struct):
    limit: int = DEFAULT_TIMELINE


class _RoomFilter(msgspec.Struct):
    timeline: _RoomTimeline = msgspec.field(default_factory=_RoomTimeline)


class _Filter(msgspec.Struct):
    room: _RoomFilter = msgspec.field(default_factory=_RoomFilter)


_filter = msgspec.json.Decoder(_Filter)
_account_data = msgspec.json.Decoder(tuple[str, int])
_receipt = msgspec.json.Decoder(tuple[str, Receipt])


def timeline_limit(definition: bytes) -> int:
    """The one part of a filter that the server follows: how many events a timeline may have, 1 to 100.

    Everything else in a filter may be left unfollowed without harm: the client then gets more than it asked for.
    Raises M_INVALID_PARAM.
    """
    try:
        return min(max(_filter.decode(definition).room.timeline.limit, 1), MAX_TIMELINE)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"the filter does not fit: {error}") from None


class Personal:
    """Use cases of one person with herself."""

    def __init__(self, core: Core, typing: Typing) -> None:
        self._core = core
        self._typing = typing
        self._presence: OrderedDict[str, tuple[str, str | None, int]] = OrderedDict()
        self._limits: OrderedDict[tuple[str, str], int] = OrderedDict()
        core.database.listen(_ACCOUNT_DATA, self._data_changed)
        core.database.listen(_RECEIPT, self._receipt_elsewhere)

    # Account data and tags

    async def set_data(self, person: PersonPrincipal, room_id: str, kind: str, content: dict[str, Any]) -> None:
        """Keep the person's own data, global where `room_id` is empty; all her devices hear of it in sync."""
        check_name("type", kind)
        if kind in _SERVER_DATA:
            raise MatrixError(405, "M_BAD_JSON", f"{kind} is not set through account data")
        data = _bounded(content)
        await self._core.database.write(lambda tx: self._put_data(tx, person, room_id, kind, data))

    def _put_data(self, tx: Transaction, person: PersonPrincipal, room_id: str, kind: str, data: bytes) -> None:
        core, user_id = self._core, person.user_id
        if room_id:
            core.room_joined_by(tx, room_id, user_id)
        position = tx.next_position()
        core.store.put_account_data(tx, user_id, room_id, kind, data, position)

        tx.announce(_ACCOUNT_DATA, msgspec.json.encode([user_id, position]).decode())

    def _data_changed(self, announcement: Announcement) -> None:
        user_id, position = _account_data.decode(announcement.payload)
        view = self._core.views.held(user_id)
        if view is not None:
            view.account_data_at = max(view.account_data_at, position)
        self._core.notifier.wake([user_id])

    async def data(self, person: PersonPrincipal, room_id: str, kind: str) -> bytes:
        """The person's own data of one type; raises M_NOT_FOUND."""
        user_id = person.user_id
        found = await self._core.database.read(lambda tx: self._core.store.account_data(tx, user_id, room_id, kind))
        if found is None:
            raise not_found(f"there is no account data {kind}")
        return found

    async def tags(self, person: PersonPrincipal, room_id: str) -> dict[str, Any]:
        """The person's tags of a room."""
        user_id = person.user_id
        found = await self._core.database.read(lambda tx: self._core.store.account_data(tx, user_id, room_id, "m.tag"))
        tags: dict[str, Any] = msgspec.json.decode(found)["tags"] if found else {}
        return tags

    async def set_tag(self, person: PersonPrincipal, room_id: str, tag: str, content: dict[str, Any] | None) -> None:
        """Put a tag on a room, or take it off (None)."""
        check_name("the tag", tag)

        def write(tx: Transaction) -> None:
            found = self._core.store.account_data(tx, person.user_id, room_id, "m.tag")
            tags = msgspec.json.decode(found)["tags"] if found else {}
            tags.pop(tag, None)
            if content is not None:
                tags[tag] = content
            self._put_data(tx, person, room_id, "m.tag", _bounded({"tags": tags}, floats=True))

        await self._core.database.write(write)

    # Receipts and typing

    async def read_up_to(self, person: PersonPrincipal, room_id: str, marks: dict[str, str], thread: str = "") -> None:
        """Set receipts (`m.read`, `m.read.private`) and the `m.fully_read` marker; `marks` is type to event id."""
        for event_id in marks.values():
            try:
                check_event_id(event_id)
            except IdentifierError as error:
                raise invalid(str(error)) from None
        check_name("thread_id", thread)

        def write(tx: Transaction) -> None:
            self._core.room_joined_by(tx, room_id, person.user_id)
            for kind, event_id in marks.items():
                if self._core.store.event(tx, room_id, event_id) is None:
                    raise not_found(f"there is no event {event_id} in this room")
                if kind == "m.fully_read":
                    content = msgspec.json.encode({"event_id": event_id})
                    self._put_data(tx, person, room_id, kind, content)
                else:
                    self._put_receipt(tx, person, room_id, kind, event_id, thread)

        await self._core.database.write(write)

    def _put_receipt(
        self, tx: Transaction, person: PersonPrincipal, room_id: str, kind: str, event_id: str, thread: str
    ) -> None:
        core = self._core
        receipt = Receipt(person.user_id, kind, thread, event_id, core.clock(), tx.next_position())
        core.store.put_receipt(tx, room_id, receipt)
        joined = core.room_joined_by(tx, room_id, person.user_id).joined
        told = [person.user_id] if kind == "m.read.private" else list(joined)
        tx.after_commit(lambda: self._received(room_id, receipt, told))
        tx.announce(_RECEIPT, msgspec.json.encode((room_id, receipt)).decode())

    def _receipt_elsewhere(self, announcement: Announcement) -> None:
        if announcement.local:  # done already, with members that the write knew
            return
        room_id, receipt = _receipt.decode(announcement.payload)
        private = receipt.type == "m.read.private"
        self._received(room_id, receipt, [receipt.user_id] if private else self._core.members_here(room_id))

    def _received(self, room_id: str, receipt: Receipt, told: list[str]) -> None:
        core = self._core
        core.rooms.change(room_id, lambda held: held.receive(receipt))
        core.views.touch(told, room_id, receipt.position)
        core.notifier.wake(told)

    async def set_typing(self, person: PersonPrincipal, room_id: str, typing: bool, seconds: float) -> None:
        """Say that the person types, for `seconds`, or no longer does."""

        def write(tx: Transaction) -> None:
            self._core.room_joined_by(tx, room_id, person.user_id)
            self._typing.announce(tx, room_id, person.user_id, typing, seconds)

        await self._core.database.write(write)

    # Presence

    async def presence(self, person: PersonPrincipal, user_id: str) -> dict[str, Any]:
        """Whether somebody is here; of oneself, or of people one shares a room with."""
        if user_id != person.user_id and not await self._core.database.read(
            lambda tx: self._core.store.share_a_room(tx, person.user_id, user_id)
        ):
            raise forbidden("presence is shown to people who share a room")
        said = self._presence.get(user_id)
        waiting = self._core.notifier.is_waiting(user_id)
        if said is None:
            return {"presence": "online" if waiting else "offline", "currently_active": waiting}
        state, message, at = said
        answer: dict[str, Any] = {
            "presence": state,
            "currently_active": waiting,
            "last_active_ago": max(0, self._core.clock() - at),
        }
        return answer if message is None else answer | {"status_msg": message}

    def set_presence(self, person: PersonPrincipal, state: str, message: str | None) -> None:
        """Say whether one is here; forgotten when the server restarts."""
        if state not in _PRESENCES:
            raise invalid(f"presence must be one of {', '.join(_PRESENCES)}")
        if message is not None:
            check_name("status_msg", message)
        self._presence.pop(person.user_id, None)
        self._presence[person.user_id] = (state, message, self._core.clock())
        if len(self._presence) > MAX_PRESENCES:
            self._presence.popitem(last=False)

    # Filters and the directory

    async def add_filter(self, person: PersonPrincipal, definition: dict[str, Any]) -> str:
        """Keep a filter; the same one gets the same id."""
        data = _bounded(definition)
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

    async def search(self, term: str, limit: int) -> tuple[list[tuple[str, Profile]], bool]:
        """People by the beginning of their display name or user id; and whether there are more."""

        def read(tx: Transaction) -> list[tuple[str, Profile]]:
            exact = term if ":" in term else f"{term}:{self._core.server_name}"
            exact = ("@" + exact.removeprefix("@")).lower()
            found = dict(self._core.store.find_profiles(tx, term, limit + 1))
            if exact not in found and self._core.exists(tx, exact):
                found = {exact: self._core.store.profile(tx, exact)} | found
            return list(found.items())

        found = await self._core.database.read(read)
        return found[:limit], len(found) > limit


def _bounded(content: dict[str, Any], *, floats: bool = False) -> bytes:
    """`content` as JSON; canonical unless `floats` (a tag's order is one). Raises M_BAD_JSON, M_TOO_LARGE."""
    try:
        data = msgspec.json.encode(content) if floats else canonical.encode(content)
    except (CanonicalJsonError, UnicodeEncodeError) as error:
        raise bad_json(f"the content has no canonical JSON form: {error}") from None
    if len(data) > MAX_DATA_BYTES:
        raise too_large(f"at most {MAX_DATA_BYTES} bytes can be kept")
    return data
