"""People's rules in memory, ready to be asked: loaded when first needed, forgotten when they change."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from paraph.server.messenger.core import Core
from paraph.server.messenger.push.evaluator import Evaluator
from paraph.server.messenger.push.ruleset import Rule, stored
from paraph.server.storage import Announcement, Transaction

PUSH_RULES = "m.push_rules"
MAX_PEOPLE = 20_000
CHANGED = "messenger.push_rules"
_account_data = msgspec.json.Decoder(tuple[str, int, bool])

Known = tuple[Evaluator, frozenset[str]]


class RulesOf:
    """Rules, and whom somebody ignores, by person."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.legacy = not core.require_encryption
        self._shared = Evaluator.shared(legacy=self.legacy)
        self._held: OrderedDict[str, Known] = OrderedDict()
        core.database.listen(CHANGED, self._changed)
        core.database.listen("messenger.account_data", self._data_changed)

    def changed(self, tx: Transaction, user_id: str) -> None:
        """To be called in the write that changes a person's rules."""
        tx.announce(CHANGED, user_id)

    def _changed(self, announcement: Announcement) -> None:
        self._held.pop(announcement.payload, None)

    def _data_changed(self, announcement: Announcement) -> None:
        user_id, _, ignores = _account_data.decode(announcement.payload)
        if ignores:
            self._held.pop(user_id, None)

    def held(self, user_id: str) -> Known | None:
        """A person's rules, if they are in memory; others than before once they have changed."""
        return self._held.get(user_id)

    def load(self, tx: Transaction, user_id: str) -> Known:
        """A person's rules and whom she ignores, from the tables if need be."""
        if user_id not in self._held:
            data = self._core.store.account_data(tx, user_id, "", PUSH_RULES)
            evaluator = self._shared if data is None else Evaluator(stored(data, user_id, legacy=self.legacy))
            self._held[user_id] = (evaluator, self._core.store.ignored(tx, user_id))
            if len(self._held) > MAX_PEOPLE:
                self._held.popitem(last=False)
        return self._held[user_id]

    def rules(self, tx: Transaction, user_id: str) -> dict[str, list[Rule]]:
        """A person's rules as they are shown."""
        data = self._core.store.account_data(tx, user_id, "", PUSH_RULES)
        return stored(data, user_id, legacy=self.legacy)
