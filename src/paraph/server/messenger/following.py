"""Keeping memory exact while other processes write: what they committed is taken in before anything else happens.

Events are read from the tables, in order, each time others have committed (`Database.follow`); what has no event of its
own is announced by its writer. Both arrive before any later write of this process runs and before `position` moves,
so a write never decides by a membership that has ended elsewhere, and a sync never answers past what it knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import structlog

from paraph.server.messenger.model import MEMBER, REDACTION, Event, Membership
from paraph.server.messenger.room import Room
from paraph.server.storage import StorageError, Transaction

if TYPE_CHECKING:
    from paraph.server.messenger.core import Core

logger = structlog.get_logger("paraph.messenger")

MAX_STRETCH = 2_000
"""Positions taken in one by one; a process that was away for longer forgets what it held and loads it again."""


class _Redacts(msgspec.Struct):
    redacts: str


class _Redaction(msgspec.Struct):
    content: _Redacts


_redaction = msgspec.json.Decoder(_Redaction)


@dataclass(slots=True)
class _News:
    """What was read of a stretch, before any of it is applied: a read that breaks off leaves memory as it was."""

    events: list[Event]
    loaded: dict[str, Room] = field(default_factory=dict)
    people: dict[str, list[str]] = field(default_factory=dict)
    memberships: dict[tuple[str, str], Membership | None] = field(default_factory=dict)
    rewritten: list[Event] = field(default_factory=list)


class Following:
    """Takes other processes' events into the rooms, views and waiters of this one."""

    def __init__(self, core: Core) -> None:
        self._core = core
        core.database.follow(self.take_in)

    def take_in(self, tx: Transaction, after: int, upto: int) -> None:
        """Others have committed the positions in (after, upto]."""
        core = self._core
        if not core.views and not core.rooms:
            return  # nobody syncs here: there is nothing to keep exact, and nobody to wake
        if upto - after > MAX_STRETCH:
            self._forget()
            return
        try:
            self._apply(self._read(tx, after, upto))
        except StorageError:
            raise  # the stretch is offered again
        except Exception:
            # No event may keep this process from ever writing again: without memory nothing can be out of date.
            logger.exception("what another process wrote could not be taken in", after=after, upto=upto)
            self._forget()

    def _forget(self) -> None:
        self._core.rooms.clear()
        self._core.views.clear()
        self._core.notifier.wake_all()

    def _read(self, tx: Transaction, after: int, upto: int) -> _News:
        news = _News(self._core.store.events_between(tx, after, upto))
        for event in news.events:
            if event.room_id not in news.people:
                news.people[event.room_id] = self._people(tx, event.room_id, news)
            if event.type == MEMBER and event.state_key is not None:
                self._read_membership(tx, event.room_id, event.state_key, news)
            elif event.type == REDACTION:
                self._read_redacted(tx, event, news)
        return news

    def _people(self, tx: Transaction, room_id: str, news: _News) -> list[str]:
        """Who is joined to a room. If it is not held, and one of them syncs here, it is loaded."""
        core = self._core
        held = core.rooms.held(room_id)
        if held is not None:
            return list(held.joined)
        members = core.store.members(tx, room_id)
        if any(core.views.held(user_id) is not None for user_id in members):
            room = core.store.load_room(tx, room_id)
            if room is not None:
                news.loaded[room_id] = room
        return members

    def _read_membership(self, tx: Transaction, room_id: str, user_id: str, news: _News) -> None:
        if (user_id, room_id) not in news.memberships and self._core.views.held(user_id) is not None:
            news.memberships[user_id, room_id] = self._core.store.membership(tx, user_id, room_id)

    def _read_redacted(self, tx: Transaction, redaction: Event, news: _News) -> None:
        """A redaction rewrites its target and, of a piece of state, the event that replaced it."""
        store = self._core.store
        target = store.event(tx, redaction.room_id, _redaction.decode(redaction.json).content.redacts)
        if target is None:
            return
        successor = store.successor(tx, target) if target.state_key is not None else None
        news.rewritten += [target] if successor is None else [target, successor]

    def _apply(self, news: _News) -> None:
        core, woken = self._core, set[str]()
        for room in news.loaded.values():
            core.rooms.install(room)
        for event in news.events:
            held = core.rooms.durable(event, None)
            woken.update(self._touch(event, news.people[event.room_id] if held is None else held.joined))
        for target in news.rewritten:
            core.rooms.replace(target)
        for (user_id, room_id), membership in news.memberships.items():
            core.views.set_membership(user_id, room_id, membership)
        core.notifier.wake(woken)

    def _touch(self, event: Event, joined: Iterable[str]) -> list[str]:
        told = list(joined)
        if event.type == MEMBER and event.state_key is not None and event.state_key not in told:
            told.append(event.state_key)
        self._core.views.touch(told, event.room_id, event.position)
        return told
