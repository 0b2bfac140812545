"""The predefined push rules (Client-Server API, "Predefined Rules"), as every account has them.

Polls have rules of their own (MSC3930, which mirrors those for messages). The rules that looked for names in a
message's body are no part of the specification since version 1.17; they are offered only where this server may see
bodies at all (`require_encryption = off`), for the older clients that are tested there.
"""

from __future__ import annotations

from typing import Any

MASTER = ".m.rule.master"
LEGACY = frozenset({".m.rule.contains_display_name", ".m.rule.roomnotif", ".m.rule.contains_user_name"})
"""Rules that apply only to events without `m.mentions`."""
_NOTIFY: list[Any] = ["notify"]


def _tweaks(sound: str | None = None, *, highlight: bool = False) -> list[Any]:
    actions: list[Any] = ["notify"]
    if sound is not None:
        actions.append({"set_tweak": "sound", "value": sound})
    if highlight:
        actions.append({"set_tweak": "highlight"})
    return actions


def _rule(rule_id: str, conditions: list[dict[str, Any]], actions: list[Any], *, enabled: bool = True) -> Any:
    return {"rule_id": rule_id, "default": True, "enabled": enabled, "conditions": conditions, "actions": actions}


def _match(key: str, pattern: str) -> dict[str, Any]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _state(kind: str) -> list[dict[str, Any]]:
    return [_match("type", kind), _match("state_key", "")]


_ONE_TO_ONE = {"kind": "room_member_count", "is": "2"}
_MAY_NOTIFY_ROOM = {"kind": "sender_notification_permission", "key": "room"}


def _override(user_id: str, *, legacy: bool) -> list[Any]:
    invited = [_match("type", "m.room.member"), _match("content.membership", "invite"), _match("state_key", user_id)]
    mentioned = {"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": user_id}
    room_mentioned = {"kind": "event_property_is", "key": "content.m\\.mentions.room", "value": True}
    edited = {"kind": "event_property_is", "key": "content.m\\.relates_to.rel_type", "value": "m.replace"}
    named = _rule(
        ".m.rule.contains_display_name", [{"kind": "contains_display_name"}], _tweaks("default", highlight=True)
    )
    room_named = _rule(
        ".m.rule.roomnotif", [_match("content.body", "@room"), _MAY_NOTIFY_ROOM], _tweaks(highlight=True)
    )
    return [
        _rule(MASTER, [], [], enabled=False),
        _rule(".m.rule.suppress_notices", [_match("content.msgtype", "m.notice")], []),
        _rule(".m.rule.invite_for_me", invited, _tweaks("default")),
        _rule(".m.rule.member_event", [_match("type", "m.room.member")], []),
        _rule(".m.rule.is_user_mention", [mentioned], _tweaks("default", highlight=True)),
        *([named] if legacy else []),
        _rule(".m.rule.is_room_mention", [room_mentioned, _MAY_NOTIFY_ROOM], _tweaks(highlight=True)),
        *([room_named] if legacy else []),
        _rule(".m.rule.tombstone", _state("m.room.tombstone"), _tweaks(highlight=True)),
        _rule(".m.rule.reaction", [_match("type", "m.reaction")], []),
        _rule(".m.rule.room.server_acl", _state("m.room.server_acl"), []),
        _rule(".m.rule.suppress_edits", [edited], []),
    ]


def _content(user_id: str) -> list[Any]:
    localpart = user_id[1:].partition(":")[0]
    actions = _tweaks("default", highlight=True)
    rule = {"rule_id": ".m.rule.contains_user_name", "default": True, "enabled": True}
    return [rule | {"pattern": localpart, "actions": actions}]


def _underride() -> list[Any]:
    rules = [
        _rule(".m.rule.call", [_match("type", "m.call.invite")], _tweaks("ring")),
        _rule(
            ".m.rule.encrypted_room_one_to_one", [_ONE_TO_ONE, _match("type", "m.room.encrypted")], _tweaks("default")
        ),
        _rule(".m.rule.room_one_to_one", [_ONE_TO_ONE, _match("type", "m.room.message")], _tweaks("default")),
        _rule(".m.rule.message", [_match("type", "m.room.message")], _NOTIFY),
        _rule(".m.rule.encrypted", [_match("type", "m.room.encrypted")], _NOTIFY),
    ]
    for name in ("poll_start", "poll_end"):
        about = _match("type", f"m.{name.replace('_', '.')}")
        rules.append(_rule(f".m.rule.{name}_one_to_one", [_ONE_TO_ONE, about], _tweaks("default")))
        rules.append(_rule(f".m.rule.{name}", [about], _NOTIFY))
    return rules


def default_rules(user_id: str, *, legacy: bool = False) -> dict[str, list[Any]]:
    """The rules of a person who never changed any, by kind; `legacy` adds those that look for names in bodies."""
    return {
        "override": _override(user_id, legacy=legacy),
        "content": _content(user_id) if legacy else [],
        "room": [],
        "sender": [],
        "underride": _underride(),
    }
