"""A room's part of a sync answer: what it covers, how it is put together, and building it from memory.

Everything is bounded by `upto`, the newest durable position when the answer was begun: later commits wait for the
next answer, whichever of several reads they would already show in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger import events
from paraph.server.messenger.model import MEMBER, Event, Receipt
from paraph.server.messenger.relations.bundles import with_relations
from paraph.server.messenger.room import Room
from paraph.server.messenger.store import newest_of_each
from paraph.server.messenger.sync.sections import Events, JoinedRoom, Raw, Timeline, encode

MAX_HEROES = 5


@dataclass(slots=True)
class Window:
    """What one answer covers: (since, upto], for one device, at most `limit` events per timeline.

    `since` is None for an initial sync. `met` and `parted` gather whose membership began or ended to matter, for
    `device_lists`.
    """

    person: PersonPrincipal
    since: int | None
    upto: int
    limit: int
    full_state: bool = False
    met: set[str] = field(default_factory=set)
    parted: set[str] = field(default_factory=set)

    def note(self, changes: list[Event]) -> None:
        """Look for people who came or went among the events that this answer covers."""
        for event in changes:
            if event.type == MEMBER and event.state_key and event.state_key != self.person.user_id:
                now, before = _memberships(event)
                if now == "join" and before != "join":
                    self.met.add(event.state_key)
                elif before == "join" and now != "join":
                    self.parted.add(event.state_key)


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


def from_memory(room: Room, window: Window, since: int) -> JoinedRoom:
    """The room for somebody joined all the time since `since`, which the room's tail reaches back to."""
    found = room.events_after(since, window.upto)
    shown = found[-window.limit :]
    state: list[Event] = []
    if len(found) > len(shown):
        state = newest_of_each(event for event in found[: -window.limit] if event.state_key is not None)
    section = JoinedRoom(
        timeline(window, shown, len(found) > len(shown)),
        Events([Raw(event.json) for event in state]),
        Events(receipts(room.receipts_after(since), window.person.user_id)),
        Events(),
    )
    if any(event.type == MEMBER for event in found):
        window.note(found)
        section.summary = summary(room.memberships, window.person.user_id)
    return section


def timeline(
    window: Window, shown: list[Event], limited: bool, bundles: Mapping[str, Raw] = MappingProxyType({})
) -> Timeline:
    """The timeline of these events, oldest first."""
    user_id, device_id = window.person.user_id, window.person.device_id
    before = shown[0].position - 1 if shown else window.upto
    served = [
        Raw(with_relations(events.for_device(event, user_id, device_id), bundles.get(event.event_id)))
        for event in shown
    ]
    return Timeline(served, limited, f"s{before}")


def summary(memberships: dict[str, str], user_id: str) -> dict[str, Any]:
    """`summary` of a room whose members have these memberships."""
    joined = [name for name, membership in memberships.items() if membership == "join"]
    invited = [name for name, membership in memberships.items() if membership == "invite"]
    heroes = sorted(name for name in (*joined, *invited) if name != user_id)[:MAX_HEROES]
    return {"m.heroes": heroes, "m.joined_member_count": len(joined), "m.invited_member_count": len(invited)}


def receipts(found: list[Receipt], user_id: str) -> list[Raw]:
    """One `m.receipt` event with what this person may see of these receipts, or nothing."""
    content: dict[str, dict[str, dict[str, Any]]] = {}
    for receipt in found:
        if receipt.type == "m.read.private" and receipt.user_id != user_id:
            continue
        entry: dict[str, Any] = {"ts": receipt.ts}
        if receipt.thread_id:
            entry["thread_id"] = receipt.thread_id
        content.setdefault(receipt.event_id, {}).setdefault(receipt.type, {})[receipt.user_id] = entry
    return [Raw(encode({"type": "m.receipt", "content": content}))] if content else []


def typing(user_ids: list[str]) -> Raw:
    """An `m.typing` event."""
    return Raw(encode({"type": "m.typing", "content": {"user_ids": user_ids}}))
