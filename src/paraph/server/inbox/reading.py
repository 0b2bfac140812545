"""Reading: which ciphertext a partner gets, decided and recorded in one write transaction.

Nothing leaves before its access entries are durable, and since a revocation is a write of the same queue, no read can
be decided after a revocation that was acknowledged.
"""

from dataclasses import dataclass
from typing import Any

from paraph.server.consent.access import LiveGrant
from paraph.server.consent.service import Consent
from paraph.server.http import PartnerPrincipal, Problem
from paraph.server.inbox import serving
from paraph.server.inbox.errors import not_granted, purpose_not_granted, room_closed
from paraph.server.inbox.opaque import Opaque
from paraph.server.inbox.receipts import answered
from paraph.server.inbox.serving import READ, Accesses, Coverage, Source, reach
from paraph.server.inbox.source import MessageSource, Origin
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.receipts import Receipts
from paraph.server.ledger.service import Ledger
from paraph.server.messenger.model import StoredEvent
from paraph.server.storage import Database, Transaction

CURSOR = "cursor"


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
            "accesses": [answered(receipts, recorded) for recorded in self.accesses],
        }


@dataclass(frozen=True, slots=True)
class Query:
    """What a partner asks for: events of a room, for a purpose, after a position; `only` under one grant."""

    slug: str
    room_id: str
    purpose: str
    since: int
    limit: int
    only: str | None = None


class Cursors:
    """Where reading in a room goes on, as partners carry it: good for one partner and one room."""

    def __init__(self, opaque: Opaque) -> None:
        self._opaque = opaque

    def made(self, slug: str, room_id: str, position: int) -> str:
        """The cursor behind a position."""
        return self._opaque.seal(CURSOR, slug, {"room": room_id, "position": f"{position:016x}"})

    def position(self, slug: str, room_id: str, text: str) -> int:
        """The position behind a cursor, 0 for none. Raises Problem `bad-state`."""
        if not text:
            return 0
        members = self._opaque.open(CURSOR, slug, text)
        if members["room"] != room_id:
            raise bad_cursor()
        return int(members["position"], 16)


def bad_cursor() -> Problem:
    """A cursor of another room."""
    return Problem(400, "bad-state", "this cursor belongs to another room")


class Reading:
    """Grants, rooms and messages as partners see them."""

    def __init__(
        self, database: Database, ledger: Ledger, consent: Consent, source: MessageSource, opaque: Opaque
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._consent = consent
        self._source = source
        self.cursors = Cursors(opaque)

    async def grants(
        self, caller: PartnerPrincipal, *, grant_id: str | None = None, person: str | None = None
    ) -> list[dict[str, Any]]:
        """The partner's live grants, with the authors' enrolled devices: all, or one, or one person's."""
        slug, only = caller.slug, caller.grant_id

        def read(tx: Transaction) -> list[dict[str, Any]]:
            if grant_id is not None:
                named = self._consent.live.named(tx, slug, [grant_id] if only in (None, grant_id) else [])
                found = [live for one in named.values() if (live := one.live) is not None]
            elif person is not None:
                found = self._consent.live.between(tx, person, slug, only)
            else:
                found = self._consent.live.to(tx, slug, only)
            devices: dict[str, list[dict[str, Any]]] = {}
            for live in found:
                if live.person not in devices:
                    devices[live.person] = self._consent.grants.enrolled_devices(tx, live.person)
            return [rendered(live, devices[live.person]) for live in found]

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
        accesses, messages = Accesses(), []
        for found, source in selected:
            messages.append(serving.shown(tx, self._source.origin, found, source))
            accesses.add(source.live, found.event)
        return Page(messages, following, accesses.record(tx, self._ledger, query.slug, query.purpose))

    def _select(self, tx: Transaction, query: Query) -> tuple[list[tuple[StoredEvent, Source]], str]:
        """The events to serve, each with what it is served under, and where to go on."""
        grants = self._grants_of_authors(tx, query)
        after = max(query.since, min(reach(live)[0] for live in grants.values()))
        found = self._source.encrypted_events(tx, query.room_id, sorted(grants), after, query.limit)
        coverage = Coverage(tx, self._database.dialect, query.slug)
        coverage.look(event.position for event in found)
        sources = {
            person: Source(live, self._consent.grants.enrolled_ids(tx, person), coverage)
            for person, live in grants.items()
        }
        selected = [(event, sources[event.event["sender"]]) for event in found]
        following = self.cursors.made(query.slug, query.room_id, found[-1].position if found else query.since)
        return [(event, source) for event, source in selected if source.opens(Origin.of(event))], following

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
        return {live.person: live for live in sorted(fitting, key=reach, reverse=True)}


def rendered(live: LiveGrant, devices: list[dict[str, Any]]) -> dict[str, Any]:
    """A live grant as partners get it, with its author's enrolled devices."""
    held = live.held
    return {
        "grant": held.document,
        "chain": held.chain,
        "amendments": [{"amendment": made.document, "chain": made.chain} for made in held.amendments],
        "live": True,
        "devices": devices,
    }
