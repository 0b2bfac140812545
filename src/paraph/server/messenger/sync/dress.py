"""How an event looks in an answer: with the asking person's membership, and as the filter wants it to look."""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger import events
from paraph.server.messenger.filters.matching import Plan
from paraph.server.messenger.model import Event
from paraph.server.messenger.relations.bundles import with_relations
from paraph.server.messenger.sync.sections import Raw, encode


def in_timeline(event: Event, person: PersonPrincipal, membership: str, plan: Plan, bundle: Raw | None) -> Raw:
    """A timeline event for somebody who had this membership then, with what relates to it."""
    shown = events.shown(event, person.user_id, person.device_id, membership)
    if bundle is not None:
        shown = with_relations(shown, bundle)
    return Raw(_dressed(shown, event, plan) if plan.dressed else shown)


def in_state(event: Event, plan: Plan) -> Raw:
    """A state event beside the timeline."""
    return Raw(_dressed(event.json, event, plan) if plan.dressed else event.json)


def _dressed(shown: bytes, event: Event, plan: Plan) -> bytes:
    members: dict[str, Any] = msgspec.json.decode(shown)
    if plan.federation:
        members |= _never_federated(event)
    return encode(members if plan.fields is None else _only(members, plan.fields))


def _never_federated(event: Event) -> dict[str, Any]:
    """What an event has between servers. There is only this one: nothing was signed, and there is one order."""
    return {
        "room_id": event.room_id,
        "auth_events": [],
        "prev_events": [],
        "depth": event.position,
        "hashes": {},
        "signatures": {},
    }


def _only(members: dict[str, Any], fields: tuple[tuple[str, ...], ...]) -> dict[str, Any]:
    """The members that these paths lead to, each under the same path."""
    kept: dict[str, Any] = {}
    for *above, last in fields:
        found: Any = members
        for name in above:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, dict) and last in found:
            inside = kept
            for name in above:
                inside = inside.setdefault(name, {})
            inside[last] = found[last]
    return kept
