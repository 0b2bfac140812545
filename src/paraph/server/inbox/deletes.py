"""Deletes: a partner takes an author's own messages back, in her name, where she let it.

What goes is the event's content, for everybody and for good, as with any redaction. Uploaded files stay: their keys
went with the message, but the encrypted bytes have an id of their own. The partner's words do not go into the room: its
reason stands in the record that the author sees, and the redaction says through whom it came.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from paraph.protocol.draft import VIA
from paraph.server.consent.access import LiveGrant
from paraph.server.consent.service import Consent
from paraph.server.http import PartnerPrincipal
from paraph.server.inbox import delete_store as store
from paraph.server.inbox.errors import no_such_message, not_granted, purpose_not_granted, room_closed
from paraph.server.inbox.receipts import answered
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.service import Ledger
from paraph.server.messenger.model import ENCRYPTED, Event
from paraph.server.storage import Database, Transaction

VIA_PARTNER, AUTHORED = "delete:via-partner", "delete:authored"


class Rooms(Protocol):
    """What is asked of the messenger."""

    def members(self, tx: Transaction, room_id: str) -> list[str]:
        """Who is in a room; nobody for a room that does not exist."""

    def is_closed(self, tx: Transaction, room_id: str) -> bool:
        """Whether a member closed the room to partners."""

    def event(self, tx: Transaction, room_id: str, event_id: str) -> Event | None:
        """One event of a room."""

    def redact_for(self, tx: Transaction, room_id: str, author: str, target_id: str, content: dict[str, Any]) -> str:
        """Redact an author's own event in her name; returns the redaction's id."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a partner wants to have deleted, for which purpose and reason (for the author's eyes)."""

    room_id: str
    event_id: str
    purpose: str
    reason: str | None


class Deletes:
    """Deletes in authors' names, each with its record."""

    def __init__(self, database: Database, ledger: Ledger, consent: Consent, rooms: Rooms) -> None:
        self._database = database
        self._ledger = ledger
        self._consent = consent
        self._rooms = rooms

    async def delete(self, caller: PartnerPrincipal, wanted: Wanted) -> dict[str, Any]:
        """Delete a message; the same one again answers the same. Raises Problem, and LogNotFresh."""
        redaction_id, recorded = await self._database.write(lambda tx: self._delete(tx, caller, wanted))
        return {"redaction_id": redaction_id, "entry": answered(self._ledger.receipts, recorded)}

    def _delete(self, tx: Transaction, caller: PartnerPrincipal, wanted: Wanted) -> tuple[str, Recorded]:
        before = store.get(tx, caller.slug, wanted.event_id)
        if before is not None and before.room_id == wanted.room_id and caller.grant_id in (None, before.grant_id):
            return before.redaction_id, self._ledger.entry(tx, before.seq)
        self._ledger.check_fresh(tx)
        live, verb = self._allowed(tx, caller, wanted)
        content = {VIA: {"partner": caller.slug}}
        redaction_id = self._rooms.redact_for(tx, wanted.room_id, live.person, wanted.event_id, content)
        body = {
            "grant_id": live.grant_id,
            "purpose": wanted.purpose,
            "verb": verb,
            "room_id": wanted.room_id,
            "event_id": wanted.event_id,
            "redaction_id": redaction_id,
            "reason": wanted.reason,
        }
        recorded = self._ledger.record_private(tx, "delete", live.person, caller.slug, body, grant_id=live.grant_id)
        made = store.HeldDelete(wanted.room_id, live.grant_id, redaction_id, recorded.seq)
        store.add(tx, caller.slug, wanted.event_id, made)
        return redaction_id, recorded

    def _allowed(self, tx: Transaction, caller: PartnerPrincipal, wanted: Wanted) -> tuple[LiveGrant, str]:
        """The grant and verb under which this message may be deleted; raises Problem."""
        granting = [
            live
            for person in self._rooms.members(tx, wanted.room_id)
            for live in self._consent.live.between(tx, person, caller.slug, caller.grant_id)
            if live.scope.covers(wanted.room_id) and not live.scope.verbs.isdisjoint((VIA_PARTNER, AUTHORED))
        ]
        if not granting:
            raise not_granted(wanted.room_id)
        if self._rooms.is_closed(tx, wanted.room_id):
            raise room_closed(wanted.room_id)
        event = self._rooms.event(tx, wanted.room_id, wanted.event_id)
        if event is None or event.type != ENCRYPTED or event.redacted_by is not None:
            raise no_such_message(wanted.event_id)
        verbs = (VIA_PARTNER, AUTHORED) if is_via(event.content, caller.slug) else (AUTHORED,)
        found = [
            (live, verb)
            for verb in verbs
            for live in granting
            if live.person == event.sender and verb in live.scope.verbs
        ]
        if not found:
            raise no_such_message(wanted.event_id)
        for live, verb in found:
            if wanted.purpose in live.scope.purposes:
                return live, verb
        raise purpose_not_granted(wanted.purpose)


def hidden_via(content: Mapping[str, Any], slug: str) -> set[str]:
    """Members of an event's content that this partner is not shown: that it came through another one."""
    return {VIA} if VIA in content and not is_via(content, slug) else set()


def is_via(content: Mapping[str, Any], slug: str) -> bool:
    """Whether an event seals a draft of this partner. That it says so was checked when it was sent."""
    via = content.get(VIA)
    return isinstance(via, dict) and via.get("partner") == slug
