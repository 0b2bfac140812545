"""Filling the partners' streams, in the transaction of what they tell of.

A message comes in under each grant that covers it when it is sent. What is said while a grant is paused, or a room is
closed, or no agreement is in force, comes in under none, and is served to nobody later. Everything else (whether the
grant still gives it, for which purpose) is decided when a partner reads.
"""

from collections.abc import Callable, Iterable
from typing import Any

from paraph.server.consent import grant_store, partner_store
from paraph.server.consent.hooks import GrantChange
from paraph.server.consent.model import HeldGrant
from paraph.server.consent.service import Consent
from paraph.server.inbox import draft_store
from paraph.server.inbox.feed import store
from paraph.server.inbox.feed.store import Row
from paraph.server.messenger.model import Event
from paraph.server.messenger.notifier import Notifier, Waiter
from paraph.server.storage import Database, Transaction

MESSAGE, GRANT, DEVICES, DRAFT, HISTORY = "message", "grant", "devices", "draft", "history"
OVER = frozenset({"revoked", "ended"})
FED = "inbox.fed"
"""Topic: a partner's stream has something new; the payload is the slug."""
MAX_RUN_OUT = 500
"""Grants that one look finds to have run out."""


class Feed:
    """The streams of all partners."""

    def __init__(self, database: Database, consent: Consent, notifier: Notifier, clock: Callable[[], int]) -> None:
        """`notifier` wakes whoever waits for a stream; `clock` gives milliseconds."""
        self._consent = consent
        self._notifier = notifier
        self._clock = clock
        consent.gate.hooks.on_grant.append(self.on_grant)
        consent.gate.hooks.on_devices.append(self.on_devices)
        database.listen(FED, lambda heard: notifier.wake([_waits_as(heard.payload)]))

    # -- hooks --

    def on_encrypted(self, tx: Transaction, event: Event) -> None:
        """An encrypted event was sent (hook of the messenger). Costs one look into a set where nobody has grants."""
        if not self._consent.gate.may_have_grants(event.sender):
            return
        covering = self._consent.covering.reading(tx, event.sender, event.device_id, event.room_id)
        for held in covering:
            row = Row(event.position, held.grant.grant_id, MESSAGE, event.sender, event.room_id, None)
            store.add(tx, held.grant.partner, row)
        self._wake(tx, covering)

    def on_grant(self, tx: Transaction, change: GrantChange) -> None:
        """Something became of a grant (hook of consent)."""
        about = {"what": change.what, **change.more}
        self._add(tx, change.partner, change.grant_id, GRANT, change.person, about)
        held = grant_store.grant(tx, change.grant_id)
        if change.what in OVER or held is None:
            store.drop_running(tx, change.grant_id)
            return
        until = held.runs_until(partner_store.agreements(tx, change.partner), self._clock())
        store.put_running(tx, change.partner, change.person, change.grant_id, until)
        if change.what == "made" and held.grant.history is not None:
            self._add(tx, change.partner, change.grant_id, HISTORY, change.person)

    def on_devices(self, tx: Transaction, person: str) -> None:
        """A person's devices changed (hook of consent, and of the accounts)."""
        if not self._consent.gate.may_have_grants(person):
            return
        position, held = tx.next_position(), grant_store.open_grants_of(tx, person, self._clock())
        for grant in (one.grant for one in held):
            store.add(tx, grant.partner, Row(position, grant.grant_id, DEVICES, person, None, None))
        self._wake(tx, held)

    def note_draft(self, tx: Transaction, partner: str, draft_id: str, status: str) -> None:
        """A draft of the partner has another status."""
        held = draft_store.get(tx, draft_id)
        if held is not None:
            about = {"draft_id": draft_id, "status": status}
            self._add(tx, partner, held.grant_id, DRAFT, held.person, about)

    # -- time --

    def next_end(self, tx: Transaction, partner: str) -> int | None:
        """When the next of the partner's grants runs out (ms); in the past if the stream does not say so yet."""
        return store.next_to_run_out(tx, partner)

    def note_run_out(self, tx: Transaction, partner: str) -> bool:
        """Say in the stream which grants have run out: nobody writes anything at that moment. Whether any have."""
        over = store.run_out(tx, partner, self._clock(), MAX_RUN_OUT)
        for grant_id, person in over:
            store.drop_running(tx, grant_id)
            self._add(tx, partner, grant_id, GRANT, person, {"what": "expired"})
        return bool(over)

    def wait(self, partner: str, seconds: float) -> Waiter:
        """A waiter for what is new in a partner's stream."""
        return self._notifier.wait(_waits_as(partner), seconds)

    def _add(
        self, tx: Transaction, partner: str, grant_id: str, kind: str, person: str, about: dict[str, Any] | None = None
    ) -> None:
        store.add(tx, partner, Row(tx.next_position(), grant_id, kind, person, None, about))
        tx.announce(FED, partner)

    def _wake(self, tx: Transaction, grants: Iterable[HeldGrant]) -> None:
        for slug in sorted({held.grant.partner for held in grants}):
            tx.announce(FED, slug)


def _waits_as(slug: str) -> str:
    """No user id begins so: key events have waiters of their own."""
    return f"inbox:{slug}"
