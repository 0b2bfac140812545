"""Keeping filters, and finding them again."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections import OrderedDict
from typing import Any

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import not_found, too_large
from paraph.server.messenger.filters import model
from paraph.server.messenger.filters.matching import EVERYTHING, Plan, compiled
from paraph.server.messenger.personal import bounded
from paraph.server.storage import Transaction

MAX_PLANS = 1_000
"""Compiled filters kept in memory."""


class Filters:
    """The filters that people keep, or send along."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._plans: OrderedDict[tuple[str, str], Plan] = OrderedDict()

    async def add(self, person: PersonPrincipal, definition: dict[str, Any]) -> str:
        """Keep a filter; the same one gets the same id. Raises M_INVALID_PARAM, M_BAD_JSON, M_TOO_LARGE."""
        data = bounded(definition)
        if len(data) > model.MAX_FILTER_BYTES:
            raise too_large(f"a filter has at most {model.MAX_FILTER_BYTES} bytes")
        model.parse(data)
        filter_id = urlsafe_b64encode(hashlib.sha256(data).digest())[:16].decode()
        await self._core.database.write(lambda tx: self._core.store.put_filter(tx, person.user_id, filter_id, data))
        return filter_id

    async def definition(self, person: PersonPrincipal, filter_id: str) -> bytes:
        """A filter of the person as she sent it; raises M_NOT_FOUND."""
        return await self._core.look(lambda tx: self._stored(tx, person.user_id, filter_id))

    def _stored(self, tx: Transaction, user_id: str, filter_id: str) -> bytes:
        found = self._core.store.filter(tx, user_id, filter_id)
        if found is None:
            raise not_found(f"there is no filter {filter_id[:40]!r}")
        return found

    async def plan(self, person: PersonPrincipal, text: str | None) -> Plan:
        """The filter that a sync names, by id or in full. Raises M_INVALID_PARAM, M_NOT_FOUND."""
        if text is None or text == "":
            return EVERYTHING
        inline = text.startswith("{")
        key = ("" if inline else person.user_id, text)
        plan = self._plans.get(key)
        if plan is None:
            definition = text.encode(errors="replace") if inline else await self.definition(person, text)
            plan = self._plans[key] = compiled(model.parse(definition))
            if len(self._plans) > MAX_PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return plan
