"""Searching events: bodies where this server can read them, names and topics of rooms. Encrypted words are never found.

Bodies are found by the table of words; names and topics are few and are looked through as they are. Whoever searches
finds what she may see of the rooms that she is or was in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger import events
from paraph.server.messenger.core import Core
from paraph.server.messenger.filters.matching import Events
from paraph.server.messenger.model import MEMBER, Event
from paraph.server.messenger.relations.bundles import Reader, with_relations
from paraph.server.messenger.relations.service import Relations
from paraph.server.messenger.rooms_at_once import RoomsAtOnce
from paraph.server.messenger.search.model import KEYS, MAX_CONTEXT, EventContext, Place, RoomEvents
from paraph.server.messenger.search.words import MAX_HITS, words_of
from paraph.server.messenger.visibility import Sight
from paraph.server.storage import Transaction

MAX_QUERY_WORDS = 10
DEFAULT_PAGE, MAX_PAGE = 10, 50
_STATE = {"content.name": "m.room.name", "content.topic": "m.room.topic"}
Raw = msgspec.Raw


@dataclass(frozen=True, slots=True)
class _Hit:
    event: Event
    rank: int


@dataclass(frozen=True, slots=True)
class _Question:
    """One search by one person: its words, whose rooms, and up to where."""

    person: PersonPrincipal
    asked: RoomEvents
    words: list[str]
    rooms: list[str]
    place: Place
    ignored: frozenset[str]

    @property
    def limit(self) -> int:
        """Results on one page."""
        limit = self.asked.filter.limit
        return DEFAULT_PAGE if limit is None else min(max(limit, 1), MAX_PAGE)


class Searching:
    """Answers POST /search."""

    def __init__(self, core: Core, relations: Relations) -> None:
        self._core = core
        self._relations = relations
        self._tables = RoomsAtOnce(core.database.dialect)

    async def room_events(self, person: PersonPrincipal, asked: RoomEvents, place: Place | None) -> dict[str, Any]:
        """One page of results."""
        view = await self._core.view(person.user_id)
        wanted = Events(asked.filter)
        rooms = [
            room_id
            for room_id, there in view.rooms.items()
            if there.membership not in ("invite", "knock") and room_id in wanted.rooms
        ]
        words = list(words_of(asked.search_term))[:MAX_QUERY_WORDS]
        place = place or Place(self._core.database.position, 0)
        question = _Question(person, asked, words, rooms, place, view.ignored)
        return await self._core.database.read(lambda tx: self._answer(tx, question, wanted))

    def _answer(self, tx: Transaction, question: _Question, wanted: Events) -> dict[str, Any]:
        place, limit = question.place, question.limit
        hits, sights = self._hits(tx, question, wanted)
        if question.asked.order_by == "rank":
            hits.sort(key=lambda hit: (-hit.rank, hit.event.position))
        of_group = [hit for hit in hits if not place.key or _group(hit.event, place.key) == place.value]
        page = of_group[place.offset : place.offset + limit]
        answer: dict[str, Any] = {
            "count": len(hits),
            "highlights": question.words,
            "results": self._rendered(tx, question, page, sights),
            "groups": {
                group.key: self._groups(page, group.key, place.upto, limit)
                for group in question.asked.groupings.group_by
            },
        }
        if question.asked.include_state:
            rooms = {hit.event.room_id for hit in page}
            answer["state"] = {room_id: self._state(tx, room_id, sights[room_id], place.upto) for room_id in rooms}
        if len(page) == limit:
            answer["next_batch"] = Place(place.upto, place.offset + limit, place.key, place.value).token()
        return answer

    def _hits(self, tx: Transaction, question: _Question, wanted: Events) -> tuple[list[_Hit], dict[str, Sight]]:
        """What was found and may be seen, newest first; and the sights by which it may."""
        upto = min(question.place.upto, self._core.database.position)
        ranks = self._found(tx, question, upto) if question.words and question.rooms else {}
        found = self._core.relations.store.events_at(tx, sorted(ranks)[-MAX_HITS:])
        kept = [
            event
            for event in found.values()
            if event.redacted_by is None and event.sender not in question.ignored and wanted.wants(event)
        ]
        rooms = sorted({event.room_id for event in kept})
        sights = Sight.load_all(self._tables, tx, rooms, question.person.user_id, upto)
        seen = [_Hit(event, ranks[event.position]) for event in kept if _may_see(sights[event.room_id], event)]
        return sorted(seen, key=lambda hit: -hit.event.position), sights

    def _found(self, tx: Transaction, question: _Question, upto: int) -> dict[int, int]:
        """How often the words stand in each event that holds them all, by position."""
        keys = question.asked.keys or KEYS
        found: dict[int, int] = {}
        if "content.body" in keys:
            found |= self._core.words.search(tx, question.rooms, question.words, upto)
        for key in keys:
            if key in _STATE:
                history = self._tables.state_history(tx, question.rooms, _STATE[key], "", upto)
                found |= _in_state(history, key.removeprefix("content."), question.words)
        return found

    def _rendered(
        self, tx: Transaction, question: _Question, page: list[_Hit], sights: Mapping[str, Sight]
    ) -> list[dict[str, Any]]:
        person = question.person
        upto = self._core.database.position

        def sees(event: Event) -> bool:
            return _may_see(sights[event.room_id], event)

        reader = Reader(person.user_id, person.device_id, upto, question.ignored, sees)
        bundles = self._relations.bundles.of(tx, reader, [hit.event for hit in page])
        results = []
        for hit in page:
            result = {"rank": hit.rank, "result": _served(hit.event, person, bundles)}
            if question.asked.event_context is not None:
                result["context"] = self._context(tx, reader, hit.event, question.asked.event_context)
            results.append(result)
        return results

    def _context(self, tx: Transaction, reader: Reader, event: Event, wanted: EventContext) -> dict[str, Any]:
        store, at, room_id = self._core.store, event.position, event.room_id
        limits = min(wanted.before_limit, MAX_CONTEXT), min(wanted.after_limit, MAX_CONTEXT)
        before = store.events_backwards(tx, room_id, 0, at - 1, limits[0]) if limits[0] else []
        after = store.events_forwards(tx, room_id, at, reader.upto, limits[1]) if limits[1] else []
        before, after = [list(filter(reader.sees, found)) for found in (before, after)]
        bundles = self._relations.bundles.of(tx, reader, [*before, *after])
        person = PersonPrincipal(reader.user_id, reader.device_id)
        context: dict[str, Any] = {
            "events_before": [_served(found, person, bundles) for found in before],
            "events_after": [_served(found, person, bundles) for found in after],
            "start": f"s{before[-1].position - 1 if before else at - 1}",
            "end": f"s{after[-1].position if after else at}",
        }
        if wanted.include_profile:
            context["profile_info"] = self._profiles(tx, [event, *before, *after])
        return context

    def _profiles(self, tx: Transaction, shown: Iterable[Event]) -> dict[str, dict[str, Any]]:
        """How each sender was shown in the room when the event was sent."""
        profiles: dict[str, dict[str, Any]] = {}
        for event in shown:
            if event.sender not in profiles:
                member = self._core.store.state_entry(tx, event.room_id, MEMBER, event.sender, event.position)
                content: Mapping[str, Any] = {} if member is None else member.content
                names = ("displayname", "avatar_url")
                profiles[event.sender] = {name: content[name] for name in names if isinstance(content.get(name), str)}
        return profiles

    def _state(self, tx: Transaction, room_id: str, sight: Sight, upto: int) -> list[Raw]:
        """The room's state now, or as it was when the person left."""
        departure = sight.departure
        upto = upto if sight.now == "join" or departure is None else min(upto, departure)
        return [Raw(events.full(event)) for event in self._core.store.state_at(tx, room_id, upto)]

    def _groups(self, page: list[_Hit], key: str, upto: int, limit: int) -> dict[str, dict[str, Any]]:
        groups: dict[str, dict[str, Any]] = {}
        for hit in page:
            value = _group(hit.event, key)
            group = groups.setdefault(value, {"order": len(groups) + 1, "results": []})
            group["results"].append(hit.event.event_id)
        for value, group in groups.items():
            if len(page) == limit:
                group["next_batch"] = Place(upto, len(group["results"]), key, value).token()
        return groups


def _in_state(history: Mapping[str, list[Event]], name: str, words: list[str]) -> dict[int, int]:
    found: dict[int, int] = {}
    for changes in history.values():
        for event in changes:
            text = event.content.get(name)
            held = words_of(text) if isinstance(text, str) else {}
            if all(word in held for word in words):
                found[event.position] = sum(held[word] for word in words)
    return found


def _may_see(sight: Sight, event: Event) -> bool:
    if sight.now != "join" and (sight.departure is None or event.position > sight.departure):
        return sight.open and sight.sees(event)
    return sight.sees(event)


def _group(event: Event, key: str) -> str:
    return event.room_id if key == "room_id" else event.sender


def _served(event: Event, person: PersonPrincipal, bundles: Mapping[str, Raw]) -> Raw:
    served = events.full_for_device(event, person.user_id, person.device_id)
    return Raw(with_relations(served, bundles.get(event.event_id)))
