"""Reading: which ciphertext a partner gets, decided and recorded in one write transaction.

Nothing leaves before its access entries are durable, and since a revocation is a write of the same queue, no read can
be decided after a revocation that was acknowledged.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paraph.server.consent.access import LiveGrant
from paraph.server.consent.gate import GRANTS_MEMBER
from paraph.server.consent.service import Consent
from paraph.server.http import Problem
from paraph.server.inbox.deletes import hidden_via
from paraph.server.inbox.errors import bad_parameter, not_granted, purpose_not_granted, room_closed
from paraph.server.inbox.source import MessageSource, Origin
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.receipts import Receipts
from paraph.server.ledger.service import Ledger
from paraph.server.messenger.model import ENCRYPTED, StoredEvent
from paraph.server.storage import Database, Transaction

READ = "read"
MAX_MESSAGES = 500
"""Messages in one answer, and so also event ids in one access entry."""
_CURSOR = re.compile(r"p(0|[1-9][0-9]{0,15})")
_SERVED = ("type", "sender", "event_id", "room_id", "origin_server_ts")
_RELATION = "m.relates_to"


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: events, where to go on, and the access entry of each author in it."""

    messages: list[dict[str, Any]]
    next: str
    accesses: list[Recorded]

    def answered(self, receipts: Receipts) -> dict[str, Any]:
        """The answer of docs/protocol.md section 8, once the accesses are durable."""
        return {
            "messages": self.messages,
            "next": self.next,
            "accesses": [receipts.answered(recorded) for recorded in self.accesses],
        }


@dataclass(frozen=True, slots=True)
class Source:
    """Under what an author's events are served: her grant, and her enrolled devices."""

    live: LiveGrant
    devices: frozenset[str]

    def opens(self, origin: Origin) -> bool:
        """Whether the grant lets the partner read what comes from there.

        It must be the author's own, from an enrolled device, and sent after the grant was recorded and from its
        beginning on, or within the history that the grant names.
        """
        if (origin.type, origin.sender) != (ENCRYPTED, self.live.person) or origin.device_id not in self.devices:
            return False
        history = self.live.scope.history
        if history is not None and origin.ts >= history:
            return True
        return origin.position > self.live.held.seq and origin.ts >= self.live.held.grant.from_


@dataclass(frozen=True, slots=True)
class Query:
    """What a partner asks for: events of a room, for a purpose, after a position; `only` under one grant."""

    slug: str
    room_id: str
    purpose: str
    since: int
    limit: int
    only: str | None = None


def parse_cursor(text: str) -> int:
    """The position behind a `since`; raises 400 for what no answer ever gave."""
    if text and not _CURSOR.fullmatch(text):
        raise bad_parameter("since must be the `next` of an earlier answer")
    return int(text[1:]) if text else 0


class Reading:
    """Grants, rooms and messages as partners see them."""

    def __init__(self, database: Database, ledger: Ledger, consent: Consent, source: MessageSource) -> None:
        self._database = database
        self._ledger = ledger
        self._consent = consent
        self._source = source

    async def grants(self, slug: str, only: str | None = None) -> list[dict[str, Any]]:
        """The partner's live grants, with the authors' enrolled devices."""

        def read(tx: Transaction) -> list[dict[str, Any]]:
            devices: dict[str, list[dict[str, Any]]] = {}
            for live in (found := self._consent.live.to(tx, slug, only)):
                if live.person not in devices:
                    devices[live.person] = self._consent.grants.enrolled_devices(tx, live.person)
            return [_rendered(live, devices[live.person]) for live in found]

        return await self._database.read(read)

    async def rooms(self, slug: str, only: str | None = None) -> list[dict[str, Any]]:
        """Rooms that are open to the partner, each with the live grants that cover it."""

        def read(tx: Transaction) -> list[dict[str, Any]]:
            grants: dict[str, list[str]] = {}
            for live in self._consent.live.to(tx, slug, only):
                for room_id in self._source.joined_rooms(tx, live.person):
                    if live.scope.covers(room_id):
                        grants.setdefault(room_id, []).append(live.grant_id)
            return [
                {"room_id": room_id, "grants": grants[room_id]}
                for room_id in sorted(grants)
                if not self._source.is_closed(tx, room_id)
            ]

        return await self._database.read(read)

    async def messages(self, query: Query) -> dict[str, Any]:
        """Events by granting authors, with their access entries and the receipts for them, as they are answered.

        Raises Problem, and LogNotFresh while the log does not keep up.
        """
        return (await self._page(query)).answered(self._ledger.receipts)

    async def _page(self, query: Query) -> Page:
        # Most polls find nothing: they need no transaction of the one writer. What is served is decided anew below.
        try:
            peeked = await self._database.read(lambda tx: self._peek(tx, query))
            if not peeked[0]:
                return Page([], peeked[1], [])
        except Problem:
            if not self._database.lag:  # else another process may have taken in the grant a moment ago
                raise
        return await self._database.write(lambda tx: self._serve(tx, query))

    def _peek(self, tx: Transaction, query: Query) -> tuple[list[tuple[StoredEvent, Source]], str]:
        self._ledger.check_fresh(tx)
        return self._select(tx, query)

    def _serve(self, tx: Transaction, query: Query) -> Page:
        selected, following = self._peek(tx, query)
        served: dict[str, list[str]] = {}
        grants: dict[str, LiveGrant] = {}
        messages = []
        for found, source in selected:
            messages.append(self._message(tx, query, found, source))
            served.setdefault(source.live.person, []).append(found.event["event_id"])
            grants[source.live.person] = source.live
        accesses = [self._record(tx, query, grants[person], event_ids) for person, event_ids in served.items()]
        return Page(messages, following, accesses)

    def _record(self, tx: Transaction, query: Query, live: LiveGrant, event_ids: list[str]) -> Recorded:
        body = {
            "grant_id": live.grant_id,
            "purpose": query.purpose,
            "room_id": query.room_id,
            "event_ids": event_ids,
        }
        return self._ledger.record_private(tx, "access", live.person, query.slug, body, grant_id=live.grant_id)

    def _select(self, tx: Transaction, query: Query) -> tuple[list[tuple[StoredEvent, Source]], str]:
        """The events to serve, each with what it is served under, and where to go on."""
        grants = self._grants_of_authors(tx, query)
        after = max(query.since, min(_reach(live)[0] for live in grants.values()))
        found = self._source.encrypted_events(tx, query.room_id, sorted(grants), after, query.limit)
        sources = {
            person: Source(live, self._consent.grants.enrolled_ids(tx, person)) for person, live in grants.items()
        }
        selected = [(event, sources[event.event["sender"]]) for event in found]
        following = found[-1].position if found else query.since
        return [(event, source) for event, source in selected if source.opens(Origin.of(event))], f"p{following}"

    def _grants_of_authors(self, tx: Transaction, query: Query) -> dict[str, LiveGrant]:
        """For each author in the room, the grant under which her words are served now; raises Problem if there is none.

        An answer has one access entry per author, so of several fitting grants the one that reaches back furthest is
        taken for all of her events in it.
        """
        reading = [
            live
            for person in self._source.members(tx, query.room_id)
            for live in self._consent.live.between(tx, person, query.slug, query.only)
            if READ in live.scope.verbs and live.scope.covers(query.room_id)
        ]
        if not reading:
            raise not_granted(query.room_id)
        if self._source.is_closed(tx, query.room_id):
            raise room_closed(query.room_id)
        fitting = [live for live in reading if query.purpose in live.scope.purposes]
        if not fitting:
            raise purpose_not_granted(query.purpose)
        return {live.person: live for live in sorted(fitting, key=_reach, reverse=True)}

    def _message(self, tx: Transaction, query: Query, found: StoredEvent, source: Source) -> dict[str, Any]:
        """What goes out of an event: what the author made, and no word about events that she did not let it see.

        Nor how often her grants changed, or which other partner proposed it: that is between her and them.
        """
        event, content = found.event, found.event["content"]
        hidden = {GRANTS_MEMBER} | hidden_via(content, query.slug)
        if _RELATION in content and not self._relation_is_granted(tx, query.room_id, content[_RELATION], source):
            hidden.add(_RELATION)
        content = {name: value for name, value in content.items() if name not in hidden}
        return {name: event[name] for name in _SERVED} | {"content": content}

    def _relation_is_granted(self, tx: Transaction, room_id: str, relation: object, source: Source) -> bool:
        """Whether every event that a relation names is the author's own and within the same grant."""
        if not isinstance(relation, Mapping):
            return False
        reply = relation.get("m.in_reply_to")
        named = [relation.get("event_id")] if "event_id" in relation else []
        if reply is not None:
            named.append(reply.get("event_id") if isinstance(reply, Mapping) else None)
        return bool(named) and all(
            isinstance(event_id, str) and self._is_granted(tx, room_id, event_id, source) for event_id in named
        )

    def _is_granted(self, tx: Transaction, room_id: str, event_id: str, source: Source) -> bool:
        target = self._source.origin(tx, room_id, event_id)
        return target is not None and source.opens(target)


def _reach(live: LiveGrant) -> tuple[int, int]:
    """How far back a grant can reach, as a position, and then as a time: the smaller, the further."""
    history = live.scope.history
    return (live.held.seq, live.held.grant.from_) if history is None else (0, history)


def _rendered(live: LiveGrant, devices: list[dict[str, Any]]) -> dict[str, Any]:
    held = live.held
    return {
        "grant": held.document,
        "chain": held.chain,
        "amendments": [{"amendment": made.document, "chain": made.chain} for made in held.amendments],
        "live": True,
        "devices": devices,
    }
