"""The default push rules (Client-Server API, "Predefined Rules"), as every account has them.

Rules can be read, not changed: notifications are decided by the clients, since the server cannot read messages.
"""

from typing import Any

_NOTIFY: list[Any] = ["notify"]


def _tweaks(sound: str | None, highlight: bool | None) -> list[Any]:
    actions: list[Any] = ["notify"]
    if sound is not None:
        actions.append({"set_tweak": "sound", "value": sound})
    if highlight is not None:
        actions.append({"set_tweak": "highlight", "value": highlight})
    return actions


def _rule(rule_id: str, conditions: list[dict[str, Any]] | None, actions: list[Any], enabled: bool = True) -> Any:
    rule = {"rule_id": rule_id, "default": True, "enabled": enabled, "actions": actions}
    return rule if conditions is None else rule | {"conditions": conditions}


def _type(value: str) -> dict[str, Any]:
    return {"kind": "event_match", "key": "type", "pattern": value}


def _equals(key: str, value: Any) -> dict[str, Any]:
    return {"kind": "event_property_is", "key": key, "value": value}


_ONE_TO_ONE = {"kind": "room_member_count", "is": "2"}


def _may_notify(key: str) -> dict[str, Any]:
    return {"kind": "sender_notification_permission", "key": key}


def _override(user_id: str) -> list[Any]:
    mine = {"kind": "event_match", "key": "state_key", "pattern": user_id}
    invite = {"kind": "event_match", "key": "content.membership", "pattern": "invite"}
    mentions = {
        "kind": "event_property_contains",
        "key": "content.m\\.mentions.user_ids",
        "value": user_id,
    }
    return [
        _rule(".m.rule.master", [], [], enabled=False),
        _rule(
            ".m.rule.suppress_notices", [{"kind": "event_match", "key": "content.msgtype", "pattern": "m.notice"}], []
        ),
        _rule(".m.rule.invite_for_me", [_type("m.room.member"), invite, mine], _tweaks("default", None)),
        _rule(".m.rule.member_event", [_type("m.room.member")], []),
        _rule(".m.rule.is_user_mention", [mentions], _tweaks("default", True)),
        _rule(
            ".m.rule.is_room_mention",
            [_equals("content.m\\.mentions.room", True), _may_notify("room")],
            _tweaks(None, True),
        ),
        _rule(
            ".m.rule.tombstone",
            [_type("m.room.tombstone"), {"kind": "event_match", "key": "state_key", "pattern": ""}],
            _tweaks(None, True),
        ),
        _rule(".m.rule.reaction", [_type("m.reaction")], []),
        _rule(
            ".m.rule.room.server_acl",
            [_type("m.room.server_acl"), {"kind": "event_match", "key": "state_key", "pattern": ""}],
            [],
        ),
        _rule(".m.rule.suppress_edits", [_equals("content.m\\.relates_to.rel_type", "m.replace")], []),
    ]


def _underride() -> list[Any]:
    return [
        _rule(".m.rule.call", [_type("m.call.invite")], _tweaks("ring", None)),
        _rule(".m.rule.encrypted_room_one_to_one", [_ONE_TO_ONE, _type("m.room.encrypted")], _tweaks("default", None)),
        _rule(".m.rule.room_one_to_one", [_ONE_TO_ONE, _type("m.room.message")], _tweaks("default", None)),
        _rule(".m.rule.message", [_type("m.room.message")], _NOTIFY),
        _rule(".m.rule.encrypted", [_type("m.room.encrypted")], _NOTIFY),
    ]


def default_ruleset(user_id: str) -> dict[str, Any]:
    """The content of `m.push_rules` and of GET /pushrules/ for one person."""
    return {
        "global": {"override": _override(user_id), "content": [], "room": [], "sender": [], "underride": _underride()}
    }
