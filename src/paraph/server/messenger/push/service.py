"""Push rules as use cases, and unread counts as sync asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import too_large
from paraph.server.messenger.personal import MAX_DATA_BYTES, Personal
from paraph.server.messenger.push.counts import Counts, Unread
from paraph.server.messenger.push.rules import PUSH_RULES, RulesOf
from paraph.server.messenger.push.ruleset import Rule, Rules, encode, predefined
from paraph.server.messenger.views import View
from paraph.server.storage import Transaction

ROOMS_PER_READ = 10
"""Rooms counted from the tables before others get their turn on the event loop."""


class Push:
    """Everything about notifications that is not sent to a gateway."""

    def __init__(self, core: Core, personal: Personal) -> None:
        self._core = core
        self._personal = personal
        self.rules = RulesOf(core)
        self.counts = Counts(core, self.rules)
        personal.unless_set[PUSH_RULES] = self.default_content

    def default_content(self, user_id: str) -> bytes:
        """The content of `m.push_rules` for somebody who never changed a rule."""
        return encode(predefined(user_id, legacy=self.rules.legacy))

    async def rules_of(self, person: PersonPrincipal) -> dict[str, list[Rule]]:
        """The person's rules by kind."""
        return await self._core.database.read(lambda tx: self.rules.rules(tx, person.user_id))

    async def change(self, person: PersonPrincipal, change: Callable[[Rules], Rules]) -> None:
        """Replace the person's rules by what `change` makes of them; all her devices hear of it in sync.

        Raises what `change` raises, and M_TOO_LARGE; nothing is changed then.
        """

        def write(tx: Transaction) -> None:
            data = encode(change(self.rules.rules(tx, person.user_id)))
            if len(data) > MAX_DATA_BYTES:
                raise too_large(f"push rules have at most {MAX_DATA_BYTES} bytes")
            self._personal.put_data(tx, person, "", PUSH_RULES, data)
            self.rules.changed(tx, person.user_id)

        await self._core.database.write(write)

    async def unread(
        self, user_id: str, rooms: Mapping[str, int], upto: int, view: View | None = None
    ) -> dict[str, Unread]:
        """What is unread as of `upto` in each of these rooms, given by the position where the person joined.

        As long as memory reaches back to what was counted last, no SQL runs; rooms in which, by her view, nothing has
        happened since then are not looked at again.
        """
        found: dict[str, Unread] = {}
        missing: list[str] = []
        for room_id in rooms:
            unread = self.counts.from_memory(user_id, room_id, upto, view)
            if unread is None:
                missing.append(room_id)
            else:
                found[room_id] = unread
        for start in range(0, len(missing), ROOMS_PER_READ):
            if start:
                await asyncio.sleep(0)
            part = {room_id: rooms[room_id] for room_id in missing[start : start + ROOMS_PER_READ]}
            read = partial(self.counts.from_tables, user_id=user_id, rooms=part, upto=upto)
            found |= await self._core.database.read(read)
        return found
