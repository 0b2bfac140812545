"""What follows a person from a room to its successor: her tags, her push rules, and whether it is a direct chat.

A room that was replaced (Client-Server API, "Room upgrades") is the same to the person, so what she said of the old
one is said of the new one when she joins it, if the old one's tombstone leads there, or if she made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from paraph.server.http import ApiError, PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.model import TOMBSTONE
from paraph.server.messenger.personal import MAX_DATA_BYTES, Personal
from paraph.server.messenger.push import ruleset
from paraph.server.messenger.push.rules import PUSH_RULES, RulesOf
from paraph.server.messenger.push.ruleset import Rule
from paraph.server.messenger.room import Room
from paraph.server.storage import Transaction

_KINDS = ("override", "room", "underride")
"""Kinds of push rules that can be about one room."""
_TAGS, _DIRECT = "m.tag", "m.direct"


class Succession:
    """Copies what is a person's own of a room."""

    def __init__(self, core: Core, personal: Personal, rules: RulesOf) -> None:
        self._core = core
        self._personal = personal
        self._rules = rules
        core.hooks.on_membership.append(self._member_changed)

    def _member_changed(self, tx: Transaction, room_id: str, user_id: str, membership: str) -> None:
        work = self._core.writes(tx).get(room_id)
        if membership != "join" or work is None or work.room.predecessor is None:
            return
        if user_id in work.room.creators or self._leads_here(tx, work.room, work.room.predecessor):
            self._follow(tx, PersonPrincipal(user_id, ""), work.room.predecessor, room_id)

    def _leads_here(self, tx: Transaction, room: Room, old_id: str) -> bool:
        tombstone = self._core.store.state_entry(tx, old_id, TOMBSTONE, "")
        return tombstone is not None and tombstone.content.get("replacement_room") == room.room_id

    def _follow(self, tx: Transaction, person: PersonPrincipal, old_id: str, new_id: str) -> None:
        if not self._core.store.has_been_in(tx, person.user_id, old_id):
            return
        self._copy_tags(tx, person, old_id, new_id)
        self._copy_direct(tx, person, old_id, new_id)
        self._copy_rules(tx, person, old_id, new_id)

    def _copy_tags(self, tx: Transaction, person: PersonPrincipal, old_id: str, new_id: str) -> None:
        store, user_id = self._core.store, person.user_id
        tags = store.account_data(tx, user_id, old_id, _TAGS)
        if tags is not None and store.account_data(tx, user_id, new_id, _TAGS) is None:
            self._personal.put_data(tx, person, new_id, _TAGS, tags)

    def _copy_direct(self, tx: Transaction, person: PersonPrincipal, old_id: str, new_id: str) -> None:
        data = self._core.store.account_data(tx, person.user_id, "", _DIRECT)
        chats: dict[str, Any] = {} if data is None else msgspec.json.decode(data)
        named = {name: [*rooms, new_id] for name, rooms in chats.items() if _names(rooms, old_id, new_id)}
        encoded = msgspec.json.encode(chats | named)
        if named and len(encoded) <= MAX_DATA_BYTES:
            self._personal.put_data(tx, person, "", _DIRECT, encoded)

    def _copy_rules(self, tx: Transaction, person: PersonPrincipal, old_id: str, new_id: str) -> None:
        rules = before = self._rules.rules(tx, person.user_id)
        try:
            for kind in _KINDS:
                for rule in [rule for rule in before[kind] if rule.rule_id == old_id]:
                    rules = ruleset.put(rules, kind, _about(rule, old_id, new_id), None, None)
        except ApiError:  # she has as many rules as there can be
            return
        encoded = ruleset.encode(rules)
        if rules is not before and len(encoded) <= MAX_DATA_BYTES:
            self._personal.put_data(tx, person, "", PUSH_RULES, encoded)


def _names(rooms: Any, old_id: str, new_id: str) -> bool:
    return isinstance(rooms, list) and old_id in rooms and new_id not in rooms


def _about(rule: Rule, old_id: str, new_id: str) -> Rule:
    """The same rule about another room."""
    conditions: Sequence[dict[str, Any]] | msgspec.UnsetType = rule.conditions
    if isinstance(conditions, list):
        conditions = [
            {name: new_id if value == old_id else value for name, value in condition.items()}
            for condition in conditions
        ]
    return msgspec.structs.replace(rule, rule_id=new_id, conditions=conditions)
