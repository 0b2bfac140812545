"""A person's push rules as a value: finding, adding, moving, changing and removing them. No I/O.

Within a kind the more important rule stands first: one's own before the predefined, except `.m.rule.master`, which
stands before everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from paraph.server.http import MatrixError
from paraph.server.messenger.errors import invalid, not_found
from paraph.server.messenger.push.defaults import MASTER, default_rules
from paraph.server.messenger.push.globs import MAX_PATTERN

KINDS = ("override", "content", "room", "sender", "underride")
"""In the order in which they are asked."""
CONDITIONED = ("override", "underride")
HISTORICAL = ("dont_notify", "coalesce")
MAX_RULES = 200
"""Rules of one's own."""
MAX_CONDITIONS = 50
MAX_ACTIONS = 20
MAX_ID_BYTES = 255


class Rule(msgspec.Struct, frozen=True):
    """One rule, as it is shown and kept."""

    rule_id: str
    actions: list[Any]
    default: bool = False
    enabled: bool = True
    conditions: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    pattern: str | msgspec.UnsetType = msgspec.UNSET


Rules = Mapping[str, Sequence[Rule]]
"""Rules by kind."""


class _Content(msgspec.Struct, rename={"rules": "global"}):
    rules: dict[str, list[Rule]]


_content = msgspec.json.Decoder(_Content)


def predefined(user_id: str, *, legacy: bool) -> dict[str, list[Rule]]:
    """The rules of a person who never changed any."""
    return msgspec.convert(default_rules(user_id, legacy=legacy), dict[str, list[Rule]])


def encode(rules: Rules) -> bytes:
    """The content of `m.push_rules`."""
    return msgspec.json.encode({"global": rules})


def stored(data: bytes | None, user_id: str, *, legacy: bool) -> dict[str, list[Rule]]:
    """A person's rules from what is kept of them (None: nothing). The predefined ones are those of today.

    What she changed about a predefined rule that still exists stays changed; new ones appear, old ones disappear.
    """
    known = predefined(user_id, legacy=legacy)
    if data is None:
        return known
    kept = _content.decode(data).rules
    return {kind: _merged(kept.get(kind, []), rules) for kind, rules in known.items()}


def _merged(kept: Sequence[Rule], known: Sequence[Rule]) -> list[Rule]:
    own = [rule for rule in kept if not rule.default]
    changed = {rule.rule_id: rule for rule in kept if rule.default}
    today = [_as_changed(rule, changed.get(rule.rule_id)) for rule in known]
    master = [rule for rule in today if rule.rule_id == MASTER]
    return master + own + [rule for rule in today if rule.rule_id != MASTER]


def _as_changed(rule: Rule, kept: Rule | None) -> Rule:
    if kept is None:
        return rule
    return msgspec.structs.replace(rule, enabled=kept.enabled, actions=kept.actions)


def rules_of_kind(rules: Rules, kind: str) -> Sequence[Rule]:
    """The rules of one kind; raises M_INVALID_PARAM for a kind that does not exist."""
    if kind not in KINDS:
        raise invalid(f"the kind of a rule is one of {', '.join(KINDS)}")
    return rules[kind]


def find(rules: Rules, kind: str, rule_id: str) -> Rule:
    """One rule; raises M_NOT_FOUND."""
    for rule in rules.get(kind, ()):
        if rule.rule_id == rule_id:
            return rule
    raise not_found(f"there is no {kind} rule {rule_id[:40]!r}")


def put(rules: Rules, kind: str, new: Rule, before: str | None, after: str | None) -> dict[str, list[Rule]]:
    """With a rule of one's own added or changed. Raises M_INVALID_PARAM, or M_UNKNOWN where `before` or `after` names
    no rule of one's own.

    A new rule is the most important of its kind, unless it is put `before` (more important than) or `after` another;
    a changed one stays where it is, and on or off as it was, unless it is moved.
    """
    check_id(new.rule_id)
    there = list(rules_of_kind(rules, kind))
    old = next((rule for rule in there if rule.rule_id == new.rule_id), None)
    if old is None and sum(not rule.default for rules in rules.values() for rule in rules) >= MAX_RULES:
        raise invalid(f"at most {MAX_RULES} rules can be kept")
    at = _first_own(there) if old is None else there.index(old)
    if old is not None:
        new = msgspec.structs.replace(new, enabled=old.enabled)
        there.remove(old)
    if before is not None:
        at = _index(there, before)
    elif after is not None:
        at = _index(there, after) + 1
    there.insert(at, new)
    return {**{name: list(found) for name, found in rules.items()}, kind: there}


def _first_own(rules: Sequence[Rule]) -> int:
    return 1 if rules and rules[0].rule_id == MASTER else 0


def _index(rules: Sequence[Rule], rule_id: str) -> int:
    for index, rule in enumerate(rules):
        if rule.rule_id == rule_id and not rule.default:
            return index
    raise MatrixError(400, "M_UNKNOWN", f"before/after rule not found: {rule_id[:40]}")


def remove(rules: Rules, kind: str, rule_id: str) -> dict[str, list[Rule]]:
    """Without one rule; raises M_NOT_FOUND, or M_INVALID_PARAM for a predefined one."""
    if find(rules, kind, rule_id).default:
        raise invalid("predefined rules can be disabled, not deleted")
    return {name: [rule for rule in found if name != kind or rule.rule_id != rule_id] for name, found in rules.items()}


def change(rules: Rules, kind: str, rule_id: str, **changed: Any) -> dict[str, list[Rule]]:
    """With one rule, which may be predefined, enabled, disabled or given other actions; raises M_NOT_FOUND."""
    old = find(rules, kind, rule_id)
    new = msgspec.structs.replace(old, **changed)
    return {name: [new if name == kind and rule is old else rule for rule in found] for name, found in rules.items()}


def check_id(rule_id: str) -> None:
    """Whether a rule of one's own may be called so; raises M_INVALID_PARAM."""
    if not rule_id or rule_id.startswith(".") or "/" in rule_id or "\\" in rule_id:
        raise invalid("a rule's id is not empty, does not begin with a dot, and holds no slash or backslash")
    if len(rule_id.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise invalid(f"a rule's id has at most {MAX_ID_BYTES} bytes")


def checked_actions(actions: Sequence[Any]) -> list[Any]:
    """The actions themselves, if they can be: `notify`, those of old, and tweaks; raises M_INVALID_PARAM."""
    if len(actions) > MAX_ACTIONS:
        raise invalid(f"a rule has at most {MAX_ACTIONS} actions")
    for action in actions:
        if isinstance(action, dict):
            if not isinstance(action.get("set_tweak"), str):
                raise invalid("an action that is an object names its tweak in set_tweak")
        elif action != "notify" and action not in HISTORICAL:
            raise invalid("an action is notify, or an object with set_tweak")
    return list(actions)


def checked_conditions(conditions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conditions themselves, if each names its kind; raises M_INVALID_PARAM.

    Unknown kinds are kept: they never hold.
    """
    if len(conditions) > MAX_CONDITIONS:
        raise invalid(f"a rule has at most {MAX_CONDITIONS} conditions")
    if not all(isinstance(condition.get("kind"), str) for condition in conditions):
        raise invalid("each condition names its kind")
    for condition in conditions:
        checked_pattern(condition.get("pattern"))
    return list(conditions)


def checked_pattern(pattern: Any) -> Any:
    """The pattern itself, unless it is too long; raises M_INVALID_PARAM."""
    if isinstance(pattern, str) and len(pattern) > MAX_PATTERN:
        raise invalid(f"a pattern has at most {MAX_PATTERN} characters")
    return pattern
