"""A room's part of a sync answer, from the tables or from memory; both give the same.

Everything is bounded by `upto`, the newest durable position when the answer was begun: later commits wait for the
next answer, whichever of several reads they would already show in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger import events
from paraph.server.messenger.model import ENCRYPTION, MEMBER, Event, Membership, Receipt
from paraph.server.messenger.room import Room
from paraph.server.messenger.sections import Events, InvitedRoom, JoinedRoom, Raw, Timeline, encode
from paraph.server.messenger.store import Store, newest_of_each
from paraph.server.messenger.visibility import Sight
from paraph.server.storage import Transaction

MAX_HEROES = 5
_INVITE_STATE = (
    "m.room.create",
    "m.room.join_rules",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.canonical_alias",
    ENCRYPTION,
)


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
        _timeline(window, shown, len(found) > len(shown)),
        Events([Raw(event.json) for event in state]),
        Events(receipts(room.receipts_after(since), window.person.user_id)),
        Events(),
    )
    if any(event.type == MEMBER for event in found):
        window.note(found)
        section.summary = _summary(room.memberships, window.person.user_id)
    return section


def _timeline(window: Window, shown: list[Event], limited: bool) -> Timeline:
    user_id, device_id = window.person.user_id, window.person.device_id
    before = shown[0].position - 1 if shown else window.upto
    return Timeline([Raw(events.for_device(event, user_id, device_id)) for event in shown], limited, f"s{before}")


class FromTables:
    """Builds sections from the tables."""

    def __init__(self, store: Store, window: Window) -> None:
        self._store = store
        self._window = window

    def joined(self, tx: Transaction, room_id: str, since_when: int) -> JoinedRoom | None:
        """The room for somebody joined since `since_when`; None if nothing happened there."""
        window, store, user_id = self._window, self._store, self._window.person.user_id
        since = window.since
        read = receipts(store.receipts_after(tx, room_id, since or 0, window.upto), user_id)
        if since is not None and since_when <= since:
            return self._stayed(tx, room_id, since, read)
        sight = Sight.load(store, tx, room_id, user_id, window.upto)
        knew = since is not None and sight.membership_at(since) == "join"
        after = since if since is not None and knew else sight.last_departure(since) if since is not None else 0
        if since is not None:
            window.met.update(name for name in store.members(tx, room_id) if name != user_id)
        section = self._section(tx, room_id, after, window.upto, sight, full=not knew or window.full_state)
        section.ephemeral = Events(read)
        return section

    def _stayed(self, tx: Transaction, room_id: str, since: int, read: list[Raw]) -> JoinedRoom | None:
        window = self._window
        if not window.full_state and not read and self._store.last_position(tx, room_id) <= since:
            return None
        section = self._section(tx, room_id, since, window.upto, None, full=window.full_state)
        section.ephemeral = Events(read)
        return section

    def _section(
        self, tx: Transaction, room_id: str, after: int, upto: int, sight: Sight | None, *, full: bool
    ) -> JoinedRoom:
        window, store = self._window, self._store
        newest = store.events_backwards(tx, room_id, after, upto, window.limit + 1)
        limited, newest = len(newest) > window.limit, newest[: window.limit]
        shown = _visible(newest, sight)
        limited = limited or len(shown) < len(newest)
        before = shown[0].position - 1 if shown else upto
        if full:
            state = store.state_at(tx, room_id, before)
        else:
            state = store.state_delta(tx, room_id, after, before) if limited else []
        section = JoinedRoom(_timeline(window, shown, limited), _raw(state), Events(), Events())
        changed = [*state, *shown]
        if window.since is not None and not full:
            window.note(changed)
        if full or any(event.type == MEMBER for event in changed):
            section.summary = self._summarise(tx, room_id)
        return section

    def _summarise(self, tx: Transaction, room_id: str) -> dict[str, Any]:
        members = dict.fromkeys(self._store.members(tx, room_id), "join")
        members |= dict.fromkeys(self._store.members(tx, room_id, "invite"), "invite")
        return _summary(members, self._window.person.user_id)

    def left(self, tx: Transaction, room_id: str, when: int) -> JoinedRoom:
        """The room for somebody who left it (or was put out, or turned an invitation down) at `when`."""
        window, store, user_id = self._window, self._store, self._window.person.user_id
        since = window.since or 0
        sight = Sight.load(store, tx, room_id, user_id, when)
        if not sight.joined_within(since, when):
            own = store.state_entry(tx, room_id, MEMBER, user_id, when)
            return JoinedRoom(_timeline(window, [own] if own else [], False), Events(), Events(), Events())
        window.parted.update(store.members(tx, room_id))
        knew = sight.membership_at(since) == "join"
        after = since if knew else sight.last_departure(since)
        section = self._section(tx, room_id, after, when, sight, full=not knew)
        section.summary = msgspec.UNSET
        return section

    def invited(self, tx: Transaction, room_id: str) -> InvitedRoom:
        """Stripped state for somebody invited."""
        user_id, upto = self._window.person.user_id, self._window.upto
        own = self._store.state_entry(tx, room_id, MEMBER, user_id, upto)
        keys = [(kind, "") for kind in _INVITE_STATE]
        if own is not None:
            keys.append((MEMBER, own.sender))
        found = [self._store.state_entry(tx, room_id, kind, key, upto) for kind, key in keys]
        found.append(own)
        return InvitedRoom(Events([Raw(events.stripped(event)) for event in found if event is not None]))

    def section(self, tx: Transaction, room_id: str, membership: Membership) -> JoinedRoom | InvitedRoom | None:
        """Whatever this answer says of a room; None if nothing."""
        since = self._window.since
        if membership.membership == "join":
            return self.joined(tx, room_id, membership.position)
        if since is not None and membership.position <= since:
            return None
        if membership.membership == "invite":
            return self.invited(tx, room_id)
        return None if since is None else self.left(tx, room_id, membership.position)


def _visible(newest: list[Event], sight: Sight | None) -> list[Event]:
    """The newest stretch of events (given newest first) that may all be seen, oldest first."""
    if sight is None:
        return newest[::-1]
    shown: list[Event] = []
    for event in newest:
        if not sight.sees(event):
            break
        shown.append(event)
    return shown[::-1]


def _raw(found: list[Event]) -> Events:
    return Events([Raw(event.json) for event in found])


def _summary(memberships: dict[str, str], user_id: str) -> dict[str, Any]:
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
