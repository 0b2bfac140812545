"""Endpoints for push rules (Client-Server API, "Push Rules: API")."""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request
from paraph.server.http.endpoint import EMPTY
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.push.ruleset import (
    CONDITIONED,
    Rule,
    change,
    checked_actions,
    checked_conditions,
    checked_pattern,
    find,
    put,
    remove,
    rules_of_kind,
)
from paraph.server.messenger.push.service import Push

RULES = "/_matrix/client/v3/pushrules"
ATTRIBUTES = ("enabled", "actions")


class _Rule(msgspec.Struct):
    actions: list[str | dict[str, Any]]
    conditions: list[dict[str, Any]] | None = None
    pattern: str | None = None


class _Enabled(msgspec.Struct):
    enabled: bool


class _Actions(msgspec.Struct):
    actions: list[str | dict[str, Any]]


class _PushRules:
    def __init__(self, push: Push) -> None:
        self._push = push

    async def all(self, request: Request) -> Reply:
        return Reply.json({"global": await self._push.rules_of(request.person)})

    async def scope(self, request: Request) -> Reply:
        _check_scope(request)
        return Reply.json(await self._push.rules_of(request.person))

    async def kind(self, request: Request) -> Reply:
        _check_scope(request)
        return Reply.json(rules_of_kind(await self._push.rules_of(request.person), request.params["kind"]))

    async def rule(self, request: Request) -> Reply:
        return Reply.json(await self._found(request))

    async def _found(self, request: Request) -> Rule:
        _check_scope(request)
        return find(await self._push.rules_of(request.person), request.params["kind"], request.params["rule_id"])

    async def put(self, request: Request) -> Reply:
        _check_scope(request)
        kind, query, body = request.params["kind"], request.query(), request.json(_Rule)
        rule = _as_kind(kind, request.params["rule_id"], body)
        before, after = query.get("before"), query.get("after")
        await self._push.change(request.person, lambda rules: put(rules, kind, rule, before, after))
        return EMPTY

    async def delete(self, request: Request) -> Reply:
        _check_scope(request)
        kind, rule_id = request.params["kind"], request.params["rule_id"]
        await self._push.change(request.person, lambda rules: remove(rules, kind, rule_id))
        return EMPTY

    async def attribute(self, request: Request) -> Reply:
        name = _attribute(request)
        return Reply.json({name: getattr(await self._found(request), name)})

    async def set_attribute(self, request: Request) -> Reply:
        name = _attribute(request)
        _check_scope(request)
        kind, rule_id = request.params["kind"], request.params["rule_id"]
        value: Any = (
            request.json(_Enabled).enabled if name == "enabled" else checked_actions(request.json(_Actions).actions)
        )
        await self._push.change(request.person, lambda rules: change(rules, kind, rule_id, **{name: value}))
        return EMPTY

    async def incomplete(self, _request: Request) -> Reply:
        raise MatrixError(400, "M_UNRECOGNIZED", "a rule has a scope, a kind and an id; lists of rules end in a slash")


def _check_scope(request: Request) -> None:
    if request.params["scope"] != "global":
        raise invalid("the scope of a rule is global")


def _attribute(request: Request) -> str:
    name = request.params["attribute"]
    if name not in ATTRIBUTES:
        raise invalid(f"of a rule one can ask for {' or '.join(ATTRIBUTES)}")
    return name


def _as_kind(kind: str, rule_id: str, body: _Rule) -> Rule:
    """A rule with what its kind has; raises M_INVALID_PARAM, or M_MISSING_PARAM for a content rule without pattern."""
    rule = Rule(rule_id, checked_actions(body.actions))
    if kind in CONDITIONED:
        return msgspec.structs.replace(rule, conditions=checked_conditions(body.conditions or []))
    if kind == "content":
        if body.pattern is None:
            raise MatrixError(400, "M_MISSING_PARAM", "a content rule has a pattern")
        return msgspec.structs.replace(rule, pattern=checked_pattern(body.pattern))
    return rule


def endpoints(push: Push) -> list[Endpoint]:
    """Rows for push rules. A path that names half a rule is a bad request, not an unknown one."""
    on, person = _PushRules(push), Access.PERSON
    scope, kind = f"{RULES}/{{scope}}", f"{RULES}/{{scope}}/{{kind}}"
    rule = f"{kind}/{{rule_id}}"
    incomplete = [
        *(("GET", path) for path in (RULES, scope, kind)),
        *(("PUT", path) for path in (RULES, f"{RULES}/", scope, f"{scope}/", kind, f"{kind}/")),
    ]
    return [
        Endpoint("GET", f"{RULES}/", person, on.all, "One's push rules."),
        Endpoint("GET", f"{scope}/", person, on.scope, "One's push rules by kind."),
        Endpoint("GET", f"{kind}/", person, on.kind, "One's push rules of one kind."),
        Endpoint("GET", rule, person, on.rule, "A push rule."),
        Endpoint("PUT", rule, person, on.put, "Add or change a push rule of one's own."),
        Endpoint("DELETE", rule, person, on.delete, "Delete a push rule of one's own."),
        Endpoint("GET", f"{rule}/{{attribute}}", person, on.attribute, "Whether a push rule is enabled; its actions."),
        Endpoint(
            "PUT", f"{rule}/{{attribute}}", person, on.set_attribute, "Enable a push rule, or give it other actions."
        ),
        *(Endpoint(method, path, person, on.incomplete, "Names no rule.") for method, path in incomplete),
    ]
