"""Conditions of push rules (Client-Server API, "Conditions"), as pure functions of an event and its room."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paraph.server.messenger.push.globs import matcher

ME, MY_NAME = "\x00user_id", "\x00localpart"
"""Stand for the person herself in rules that everybody shares. No stored text holds the character U+0000."""
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "": lambda members, number: members == number,
    "==": lambda members, number: members == number,
    "<": lambda members, number: members < number,
    ">": lambda members, number: members > number,
    "<=": lambda members, number: members <= number,
    ">=": lambda members, number: members >= number,
}
_IS = re.compile(r"(==|<=|>=|<|>)?([0-9]{1,10})", re.ASCII)
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Facts:
    """What conditions ask about: the event, who is to be notified of it, and its room as it is now."""

    event: Mapping[str, Any]
    user_id: str
    members: int
    display_name: Callable[[], str | None]
    may_notify: Callable[[str], bool]
    """Whether the event's sender has the power level for notifications of this kind."""


Condition = Callable[[Facts], bool]


def path_of(key: str) -> tuple[str, ...]:
    """The names in a dot-separated property path; a backslash takes the dot or backslash after it literally."""
    names, name, chars = [], "", iter(key)
    for char in chars:
        if char == "\\":
            following = next(chars, "")
            name += following if following in (".", "\\") else char + following
        elif char == ".":
            names.append(name)
            name = ""
        else:
            name += char
    return (*names, name)


def _value(event: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = event
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return _MISSING
        found = found[name]
    return found


def _is_same(one: Any, other: Any) -> bool:
    """Exactly the same simple value: true is not 1."""
    return type(one) is type(other) and isinstance(one, str | int | bool | None) and bool(one == other)


def _never(_facts: Facts) -> bool:
    return False


def compiled(condition: Mapping[str, Any]) -> Condition:
    """The condition as a function. One that is not known, or lacks what it needs, never holds."""
    made = _KINDS.get(str(condition.get("kind")))
    return _never if made is None else made(condition)


def _event_match(condition: Mapping[str, Any]) -> Condition:
    key, pattern = condition.get("key"), condition.get("pattern")
    if not isinstance(key, str) or not isinstance(pattern, str):
        return _never
    path = path_of(key)
    if pattern == ME:
        return lambda facts: _value(facts.event, path) == facts.user_id
    matches = matcher(pattern, words=path == ("content", "body"))

    def holds(facts: Facts) -> bool:
        value = _value(facts.event, path)
        return isinstance(value, str) and matches(value)

    return holds


def body_contains(pattern: str) -> Condition:
    """What a content rule asks: whether the body holds the pattern between word boundaries."""
    if pattern == MY_NAME:
        return lambda facts: _names(facts, facts.user_id[1:].partition(":")[0])
    return _event_match({"key": "content.body", "pattern": pattern})


def _property_is(condition: Mapping[str, Any]) -> Condition:
    key, wanted = condition.get("key"), condition.get("value", _MISSING)
    if not isinstance(key, str):
        return _never
    path = path_of(key)
    return lambda facts: _is_same(_value(facts.event, path), wanted)


def _property_contains(condition: Mapping[str, Any]) -> Condition:
    key, wanted = condition.get("key"), condition.get("value", _MISSING)
    if not isinstance(key, str):
        return _never
    path = path_of(key)

    def holds(facts: Facts) -> bool:
        values, value = _value(facts.event, path), facts.user_id if wanted == ME else wanted
        return isinstance(values, list) and any(_is_same(entry, value) for entry in values)

    return holds


def _member_count(condition: Mapping[str, Any]) -> Condition:
    parsed = _IS.fullmatch(str(condition.get("is")))
    if parsed is None:
        return _never
    compare, number = _COMPARISONS[parsed[1] or ""], int(parsed[2])
    return lambda facts: compare(facts.members, number)


def _names(facts: Facts, name: str | None) -> bool:
    body = _value(facts.event, ("content", "body"))
    if not name or not isinstance(body, str):
        return False
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", body, re.IGNORECASE) is not None


def _display_name(_condition: Mapping[str, Any]) -> Condition:
    return lambda facts: _names(facts, facts.display_name())


def _permission(condition: Mapping[str, Any]) -> Condition:
    key = condition.get("key")
    return (lambda facts: facts.may_notify(key)) if isinstance(key, str) else _never


_KINDS: dict[str, Callable[[Mapping[str, Any]], Condition]] = {
    "event_match": _event_match,
    "event_property_is": _property_is,
    "event_property_contains": _property_contains,
    "room_member_count": _member_count,
    "contains_display_name": _display_name,
    "sender_notification_permission": _permission,
}
