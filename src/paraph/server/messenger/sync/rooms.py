"""A room's part of a sync answer: what it covers, how it is put together, and building it from memory.

Everything is bounded by `upto`, the newest durable position when the answer was begun: later commits wait for the
next answer, whichever of several reads they would already show in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger.filters.matching import Plan
from paraph.server.messenger.model import MEMBER, Event, Receipt
from paraph.server.messenger.room import Room
from paraph.server.messenger.store import newest_of_each
from paraph.server.messenger.sync.dress import in_state, in_timeline
from paraph.server.messenger.sync.lazy import Lazy, senders
from paraph.server.messenger.sync.sections import Events, JoinedRoom, Raw, Timeline, encode

MAX_HEROES = 5
NAMES = ("m.room.name", "m.room.canonical_alias")
"""State with which a room needs no heroes to be called by."""


@dataclass(slots=True)
class Window:
    """What one answer covers: (since, upto], for one device, as far as `plan` wants it.

    `since` is None for an initial sync. `lazy` is None where all members are told. `ignored` are people whose messages
    and invitations are left out. `met` and `parted` gather whose membership began or ended to matter, for
    `device_lists`.
    """

    person: PersonPrincipal
    since: int | None
    upto: int
    plan: Plan
    full_state: bool = False
    state_after: bool = False
    ignored: frozenset[str] = frozenset()
    lazy: Lazy | None = None
    met: set[str] = field(default_factory=set)
    parted: set[str] = field(default_factory=set)

    def hears(self, event: Event) -> bool:
        """Whether the person wants to hear of an event at all: not of an ignored person's messages."""
        return event.sender not in self.ignored or event.state_key is not None

    def note(self, changes: Iterable[Event]) -> None:
        """Look for people who came or went among the events that this answer covers."""
        for event in changes:
            if event.type == MEMBER and event.state_key and event.state_key != self.person.user_id:
                now, before = _memberships(event)
                if now == "join" and before != "join":
                    self.met.add(event.state_key)
                elif before == "join" and now != "join":
                    self.parted.add(event.state_key)

    def section(
        self,
        shown: list[Event],
        memberships: Iterable[str],
        limited: bool,
        before: int,
        state: list[Event],
        read: list[Raw],
        bundles: Mapping[str, Raw] = MappingProxyType({}),
    ) -> JoinedRoom:
        """A room's part: the timeline, and the state before it (or after it, if the client wants that)."""
        plan, person = self.plan, self.person
        timeline = [
            in_timeline(event, person, there, plan, bundles.get(event.event_id))
            for event, there in zip(shown, memberships, strict=False)
        ]
        beside = Events([in_state(event, plan) for event in state])
        made = JoinedRoom(Timeline(timeline, limited, f"s{before}"), Events(read), Events())
        if self.state_after:
            made.state_after = made.unstable_state_after = beside
        else:
            made.state = beside
        return made


class _MemberContent(msgspec.Struct):
    membership: str = "leave"


class _MemberUnsigned(msgspec.Struct):
    prev_content: _MemberContent = msgspec.field(default_factory=_MemberContent)


class _MemberEvent(msgspec.Struct):
    content: _MemberContent
    unsigned: _MemberUnsigned = msgspec.field(default_factory=_MemberUnsigned)


_member_event = msgspec.json.Decoder(_MemberEvent)


def _memberships(event: Event) -> tuple[str, str]:
    found = _member_event.decode(event.json)
    return found.content.membership, found.unsigned.prev_content.membership


_JOINED = ("join",) * 200


def from_memory(room: Room, window: Window, since: int) -> JoinedRoom | None:
    """The room for somebody joined all the time since `since`, which the room's tail reaches back to.

    None if the tables have to be asked after all.
    """
    limit, found = window.plan.limit, room.events_after(since, window.upto)
    heard = found if not window.ignored else [event for event in found if window.hears(event)]
    shown = heard[-limit:]
    limited = len(heard) > len(shown)
    before = shown[0].position - 1 if shown else window.upto
    changed = [event for event in found if event.state_key is not None and (window.state_after or limited)]
    state = newest_of_each(event for event in changed if window.state_after or event.position <= before)
    moved = any(event.type == MEMBER for event in found)
    summarised = summary(room.memberships, window.person.user_id, _is_named(room)) if moved else None
    if window.lazy is not None:
        needed = senders(shown) + (summarised or {}).get("m.heroes", [])
        members = _members(room, window.lazy, needed, state, shown[0].position if shown else before)
        if members is None:
            return None
        state += members
        window.lazy.tell([*state, *shown])
    read = receipts(room.receipts_after(since), window.person.user_id, window.plan)
    section = window.section(shown, _JOINED, limited, before, state, read)
    if summarised is not None:
        window.note(found)
        section.summary = summarised
    return section


def _is_named(room: Room) -> bool:
    return any(names(room.state[kind, ""]) for kind in NAMES if (kind, "") in room.state)


def names(event: Event) -> bool:
    """Whether a piece of state (one of `NAMES`) gives a room a name."""
    content = event.content
    return bool(content.get("name") or content.get("alias"))


def _members(room: Room, lazy: Lazy, needed: list[str], state: list[Event], at: int) -> list[Event] | None:
    """The membership events of these people that the device lacks; None if memory no longer has one as of `at`."""
    given = {event.state_key for event in state if event.type == MEMBER}
    missing: list[Event] = []
    for user_id in dict.fromkeys(needed):
        event = room.state.get((MEMBER, user_id))
        if event is None or user_id in given:
            continue
        if event.position > at:
            return None
        if lazy.needs(event):
            missing.append(event)
    return missing


def summary(memberships: dict[str, str], user_id: str, named: bool) -> dict[str, Any]:
    """`summary` of a room whose members have these memberships; a room without a name is called by its heroes."""
    joined = [name for name, membership in memberships.items() if membership == "join"]
    invited = [name for name, membership in memberships.items() if membership == "invite"]
    counts: dict[str, Any] = {"m.joined_member_count": len(joined), "m.invited_member_count": len(invited)}
    return counts if named else {"m.heroes": heroes(memberships, user_id)} | counts


def heroes(memberships: dict[str, str], user_id: str) -> list[str]:
    """Whom a room is called by: others who are there or invited; if there are none, who was."""
    others = sorted(name for name in memberships if name != user_id)
    here = [name for name in others if memberships[name] in ("join", "invite")]
    return (here or [name for name in others if memberships[name] in ("leave", "ban")])[:MAX_HEROES]


def receipts(found: list[Receipt], user_id: str, plan: Plan) -> list[Raw]:
    """One `m.receipt` event with what this person may see of these receipts, or nothing.

    Where somebody has an unthreaded receipt and one of a thread for the same event, the unthreaded one is told.
    """
    content: dict[str, dict[str, dict[str, Any]]] = {}
    for receipt in found:
        if receipt.type == "m.read.private" and receipt.user_id != user_id:
            continue
        entry: dict[str, Any] = {"ts": receipt.ts}
        if receipt.thread_id:
            entry["thread_id"] = receipt.thread_id
        told = content.setdefault(receipt.event_id, {}).setdefault(receipt.type, {})
        if receipt.user_id not in told or not receipt.thread_id:
            told[receipt.user_id] = entry
    if not content or not plan.ephemeral.wants_type("m.receipt"):
        return []
    return [Raw(encode({"type": "m.receipt", "content": content}))]


def typing(user_ids: list[str]) -> Raw:
    """An `m.typing` event."""
    return Raw(encode({"type": "m.typing", "content": {"user_ids": user_ids}}))
