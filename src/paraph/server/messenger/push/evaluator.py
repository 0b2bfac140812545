"""From a person's rules and an event to what is to be done about it.

Most events of encrypted rooms say nothing in clear that any rule asks about. What is decided for one of them then
depends on its type, sender and room alone, and is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from paraph.server.messenger.model import Event
from paraph.server.messenger.push.conditions import ME, MY_NAME, Condition, Facts, body_contains, compiled, path_of
from paraph.server.messenger.push.defaults import LEGACY
from paraph.server.messenger.push.ruleset import CONDITIONED, KINDS, Rule, Rules, predefined

MAX_REMEMBERED = 4_096
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
"""Names that stand in JSON as they are."""
_SIMPLE = ("type", "sender", "room_id")
_LEGACY_PATHS = (("content", "m.mentions"), ("content", "body"))


class Outcome:
    """What the first rule that matched wants done.

    `tweaks` are as they travel to push gateways; `notify` says whether the event is a notification, `highlight` whether
    it is one to be highlighted.
    """

    __slots__ = ("actions", "highlight", "notify", "tweaks")

    def __init__(self, actions: Sequence[Any] = ()) -> None:
        self.actions = list(actions)
        self.notify = "notify" in self.actions
        tweaks = [action for action in self.actions if isinstance(action, dict)]
        self.tweaks: dict[str, Any] = {tweak["set_tweak"]: tweak.get("value", True) for tweak in tweaks}
        self.highlight = self.notify and self.tweaks.get("highlight") is True


NOTHING = Outcome()


class RoomFacts(Protocol):
    """A room as rules ask about it, for one person; all but the number of members is asked seldom."""

    @property
    def members(self) -> int:
        """How many are joined."""
        ...

    def display_name(self) -> str | None:
        """The person's own name in the room."""
        ...

    def may_notify(self, sender: str, key: str) -> bool:
        """Whether somebody's power level is enough for notifications of this kind."""
        ...


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: Rule
    holds: tuple[Condition, ...]
    legacy: bool


class Evaluator:
    """A person's rules, ready to be asked. Those of people who changed none are compiled once, for all of them."""

    def __init__(self, rules: Rules) -> None:
        self._rules = [
            _Compiled(rule, tuple(_conditions(kind, rule)), rule.rule_id in LEGACY)
            for kind in KINDS
            for rule in rules[kind]
            if rule.enabled
        ]
        paths = [path for compiled_rule in self._rules for path in _paths(compiled_rule.rule)]
        if any(compiled_rule.legacy for compiled_rule in self._rules):
            paths += _LEGACY_PATHS
        self._names = [
            b'"%b"' % name.encode("utf-8", "surrogatepass")
            for name in sorted({path[1] for path in paths if path[0] == "content" and len(path) > 1})
        ]
        self._may_remember = all(_is_simple(path) for path in paths) and not any(
            _asks_room_alone(compiled_rule.rule) for compiled_rule in self._rules
        )
        self._remembered: dict[tuple[str, str, str, int], Outcome] = {}

    @classmethod
    def shared(cls, *, legacy: bool) -> Evaluator:
        """For everybody who changed no rule."""
        return cls(predefined(f"{ME}", legacy=legacy) | ({"content": [_named()]} if legacy else {}))

    def outcome(self, event: Event, user_id: str, room: RoomFacts) -> Outcome:
        """What to do about somebody else's event, for this person."""
        if event.redacted_by is not None:
            return NOTHING
        if not self._may_remember or event.state_key is not None:
            return self._asked(event, user_id, room)
        json = event.json
        for name in self._names:  # may it say something in clear that a rule asks about?
            if name in json:
                return self._asked(event, user_id, room)
        key = (event.type, event.sender, event.room_id, room.members)
        outcome = self._remembered.get(key)
        if outcome is None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            outcome = self._remembered[key] = self._asked(event, user_id, room)
        return outcome

    def _asked(self, event: Event, user_id: str, room: RoomFacts) -> Outcome:
        members = msgspec.json.decode(event.json, type=dict[str, Any])
        members["room_id"] = event.room_id
        facts = Facts(members, user_id, room.members, room.display_name, lambda key: room.may_notify(event.sender, key))
        mentions = "m.mentions" in members["content"]
        for rule in self._rules:
            if not (rule.legacy and mentions) and all(holds(facts) for holds in rule.holds):
                return Outcome(rule.rule.actions)
        return NOTHING


def _named() -> Rule:
    (rule,) = predefined("@:", legacy=True)["content"]
    return msgspec.structs.replace(rule, pattern=MY_NAME)


def _conditions(kind: str, rule: Rule) -> Iterable[Condition]:
    if kind == "content":
        return [body_contains(rule.pattern if isinstance(rule.pattern, str) else "")]
    if kind in CONDITIONED:
        return [compiled(condition) for condition in _said(rule)]
    key = "room_id" if kind == "room" else "sender"
    return [compiled({"kind": "event_property_is", "key": key, "value": rule.rule_id})]


def _said(rule: Rule) -> list[dict[str, Any]]:
    return rule.conditions if isinstance(rule.conditions, list) else []


def _paths(rule: Rule) -> list[tuple[str, ...]]:
    """The properties that a rule asks about."""
    paths = [path_of(condition["key"]) for condition in _said(rule) if _names_property(condition)]
    asks_body = isinstance(rule.pattern, str) or any(found["kind"] == "contains_display_name" for found in _said(rule))
    return [*paths, ("content", "body")] if asks_body else paths


def _names_property(condition: dict[str, Any]) -> bool:
    return condition["kind"].startswith("event_") and isinstance(condition.get("key"), str)


def _is_simple(path: tuple[str, ...]) -> bool:
    """Whether messages that say nothing in clear are alike in this, given type, sender and room."""
    if path[0] == "content":
        return len(path) > 1 and _PLAIN.fullmatch(path[1]) is not None
    return path in [(name,) for name in (*_SIMPLE, "state_key")]


def _asks_room_alone(rule: Rule) -> bool:
    """Whether a rule asks for power levels, which change, and not about something in clear as well."""
    conditions = _said(rule)
    asks = any(condition["kind"] == "sender_notification_permission" for condition in conditions)
    return asks and not any(_names_property(found) and path_of(found["key"])[0] == "content" for found in conditions)
