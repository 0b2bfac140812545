"""One room at a glance, as clients asked for it before sync (Client-Server API, `rooms/{roomId}/initialSync`)."""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.messenger import events
from paraph.server.messenger.directory import store as directory
from paraph.server.messenger.service import Messenger
from paraph.server.storage import Transaction

ROOM = "/_matrix/client/v3/rooms/{room_id}"
DEFAULT_MESSAGES = 20
MAX_MESSAGES = 100


class _Snapshot:
    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger

    async def room(self, request: Request) -> Reply:
        person, room_id, reading = request.person, request.params["room_id"], self._messenger.reading
        limit = request.query_int("limit", DEFAULT_MESSAGES, 1, MAX_MESSAGES)
        page = await reading.messages(person, room_id, "b", None, None, limit)
        state = await reading.state(person, room_id)
        shown = [
            events.with_membership(event, person.user_id, person.device_id, page.sight.membership_at(event.position))
            for event in reversed(page.events)
        ]
        end = page.events[0].position if page.events else page.start
        start = page.events[-1].position - 1 if page.events else page.start
        messages = {"chunk": list(map(msgspec.Raw, shown)), "start": f"s{start}", "end": f"s{end}"}
        own = await self._messenger.core.database.read(lambda tx: self._own(tx, person.user_id, room_id))
        return Reply.json(
            {
                "room_id": room_id,
                "membership": page.sight.now,
                "messages": messages,
                "state": [msgspec.Raw(events.full(event)) for event in state],
                "presence": [],
                "receipts": [],
                **own,
            }
        )

    def _own(self, tx: Transaction, user_id: str, room_id: str) -> dict[str, Any]:
        """What the person keeps of the room, and whether it is in the public list."""
        rows = self._messenger.core.store.room_data(tx, user_id, room_id)
        return {
            "account_data": [{"type": kind, "content": msgspec.Raw(content)} for kind, content in rows],
            "visibility": "public" if directory.is_listed(tx, room_id) else "private",
        }


def endpoints(messenger: Messenger) -> list[Endpoint]:
    """The row of a room's snapshot."""
    on = _Snapshot(messenger)
    return [Endpoint("GET", f"{ROOM}/initialSync", Access.PERSON, on.room, "A room at a glance, for older clients.")]
