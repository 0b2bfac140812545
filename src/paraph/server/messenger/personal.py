"""What belongs to one person or passes by: account data, tags, receipts, typing, the directory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from paraph.protocol import canonical
from paraph.protocol.errors import CanonicalJsonError
from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import bad_json, not_found, too_large
from paraph.server.messenger.events import check_name
from paraph.server.messenger.model import IGNORED
from paraph.server.messenger.typing import Typing
from paraph.server.storage import Announcement, Transaction

MAX_DATA_BYTES = 65_536
_SERVER_DATA = frozenset({"m.fully_read", "m.push_rules"})
_ACCOUNT_DATA = "messenger.account_data"
_account_data = msgspec.json.Decoder(tuple[str, int, bool])


class Personal:
    """Use cases of one person with herself."""

    def __init__(self, core: Core, typing: Typing) -> None:
        self._core = core
        self._typing = typing
        self.unless_set: dict[str, Callable[[str], bytes]] = {}
        """Types of global data that everybody has, as long as she has not set her own: content by person."""
        core.database.listen(_ACCOUNT_DATA, self._data_changed)

    # Account data and tags

    async def set_data(self, person: PersonPrincipal, room_id: str, kind: str, content: dict[str, Any]) -> None:
        """Keep the person's own data, global where `room_id` is empty; all her devices hear of it in sync."""
        check_name("type", kind)
        if kind in _SERVER_DATA:
            raise MatrixError(405, "M_BAD_JSON", f"{kind} is not set through account data")
        data = bounded(content)
        await self._core.database.write(lambda tx: self.put_data(tx, person, room_id, kind, data))

    def put_data(self, tx: Transaction, person: PersonPrincipal, room_id: str, kind: str, data: bytes) -> None:
        """As `set_data`, inside a running write and for every type."""
        core, user_id = self._core, person.user_id
        if room_id:
            core.room_joined_by(tx, room_id, user_id)
        position = tx.next_position()
        core.store.put_account_data(tx, user_id, room_id, kind, data, position)

        ignores = kind == IGNORED and not room_id
        tx.announce(_ACCOUNT_DATA, msgspec.json.encode([user_id, position, ignores]).decode())

    def _data_changed(self, announcement: Announcement) -> None:
        user_id, position, ignores = _account_data.decode(announcement.payload)
        if ignores:
            self._core.views.forget(user_id)  # it is loaded again, with whom she ignores now
        view = self._core.views.held(user_id)
        if view is not None:
            view.account_data_at = max(view.account_data_at, position)
        self._core.notifier.wake([user_id])

    async def data(self, person: PersonPrincipal, room_id: str, kind: str) -> bytes:
        """The person's own data of one type; raises M_NOT_FOUND."""
        user_id = person.user_id
        found = await self._core.database.read(lambda tx: self._core.store.account_data(tx, user_id, room_id, kind))
        if found is not None:
            return found
        if room_id or kind not in self.unless_set:
            raise not_found(f"there is no account data {kind}")
        return self.unless_set[kind](user_id)

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
            self.put_data(tx, person, room_id, "m.tag", bounded({"tags": tags}, floats=True))

        await self._core.database.write(write)

    def on_deactivate(self, tx: Transaction, user_id: str) -> None:
        """An account ends: what its owner kept for herself goes."""
        self._core.store.forget_personal(tx, user_id)

    # Typing

    async def set_typing(self, person: PersonPrincipal, room_id: str, typing: bool, seconds: float) -> None:
        """Say that the person types, for `seconds`, or no longer does."""

        def write(tx: Transaction) -> None:
            self._core.room_joined_by(tx, room_id, person.user_id)
            self._typing.announce(tx, room_id, person.user_id, typing, seconds)

        await self._core.database.write(write)


def bounded(content: dict[str, Any], *, floats: bool = False) -> bytes:
    """`content` as JSON; canonical unless `floats` (a tag's order is one). Raises M_BAD_JSON, M_TOO_LARGE."""
    try:
        data = msgspec.json.encode(content) if floats else canonical.encode(content)
    except (CanonicalJsonError, UnicodeEncodeError) as error:
        raise bad_json(f"the content has no canonical JSON form: {error}") from None
    if len(data) > MAX_DATA_BYTES:
        raise too_large(f"at most {MAX_DATA_BYTES} bytes can be kept")
    return data
