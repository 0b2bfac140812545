"""`paraph serve` with one enforcement taken out: `python serve.py NAME serve --data DIR --port N`.

Each function below breaks one thing that the platform enforces; the demo, played on such a platform, must say so.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from paraph.cli.main import main
from paraph.protocol import chain, scope
from paraph.protocol import entry as entries
from paraph.protocol.agreement import Agreement
from paraph.protocol.device_keys import parse_device_keys
from paraph.protocol.documents import parse
from paraph.protocol.enrolment import Enrolment
from paraph.protocol.grant import Grant
from paraph.server.consent import access, grant_store, grants, partners
from paraph.server.consent.gate import GrantGate
from paraph.server.consent.oauth import tokens
from paraph.server.consent.partner_keys import PartnerKeys
from paraph.server.devices.to_device import ToDevice
from paraph.server.inbox import reading, serving
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.service import Ledger

patch: Callable[[object, str, Any], None] = setattr


def anybodys_keys() -> None:
    """Everybody may claim a partner's one-time keys and send it to-device messages, grant or no grant."""

    async def send(self: Any, person: Any, event_type: str, _txn_id: str, messages: Any) -> None:
        sender, device = person.user_id, person.device_id
        await self._database.write(lambda tx: self.queue(tx, sender, event_type, messages, sender_device=device))

    patch(PartnerKeys, "may_claim", lambda _self, _tx, _person, _partner: True)
    patch(ToDevice, "send", send)


def everybodys_words() -> None:
    """A read serves the words of all members, as if each had granted what one of them did."""
    granted = reading.Reading._grants_of_authors

    def grants_of_authors(self: Any, tx: Any, query: Any) -> Any:
        (live,) = granted(self, tx, query).values()
        return dict.fromkeys(self._source.members(tx, query.room_id), live)

    patch(reading.Reading, "_grants_of_authors", grants_of_authors)
    patch(serving.Source, "opens", lambda _self, _origin: True)


def every_room() -> None:
    """A grant for one room lets the partner read in all of them."""
    patch(scope.Scope, "covers", lambda _self, _room_id: True)


def every_purpose() -> None:
    """A read names a purpose that nobody granted."""
    granted = reading.Reading._grants_of_authors

    def grants_of_authors(self: Any, tx: Any, query: Any) -> Any:
        return granted(self, tx, dataclasses.replace(query, purpose="recommendations"))

    patch(reading.Reading, "_grants_of_authors", grants_of_authors)


def revoked_is_live() -> None:
    """A revocation is recorded, shown to the person, and forgotten when a partner reads."""

    def between(self: Any, tx: Any, person: str, slug: str, _only: Any = None) -> Any:
        held = [grant for grant in grant_store.grants_of(tx, person) if grant.grant.partner == slug]
        return self._live(tx, slug, [dataclasses.replace(grant, revocation=None) for grant in held])

    patch(access.LiveGrants, "between", between)


def no_gate() -> None:
    """A message is taken whatever state of the grants its device acted on."""
    patch(GrantGate, "before_send", lambda *_: None)


def unsigned_grant() -> None:
    """A grant's signature is not looked at."""
    patch(grants, "verify_grant", lambda document, _chain, *, master_key: parse(Grant, document))


def unvouched_device() -> None:
    """Nobody asks whether a device is signed under its person's master key."""

    def verify_device_keys(device_keys: Any, _self_signing: Any, *, person: str, master_key: str) -> Any:
        return parse_device_keys(device_keys)

    patch(chain, "verify_device_keys", verify_device_keys)
    patch(grants, "verify_enrolment", lambda document, *, master_key: parse(Enrolment, document))


def unenrolled_device() -> None:
    """Any device of a person may grant, enrolled or not."""
    patch(grants.Grants, "_enrolled_chain", grants.Grants._chain)


def half_signed_agreement() -> None:
    """An agreement is published without both sides' signatures."""
    patch(partners, "verify_agreement", lambda document, **_: parse(Agreement, document))


def token_without_agreement() -> None:
    """A partner gets tokens whether or not it has an agreement."""
    anything = SimpleNamespace(in_force=lambda _at: True)
    patch(tokens, "partner_store", SimpleNamespace(agreements=lambda _tx, _slug: anything))


def unlogged_agreement() -> None:
    """Agreements are shown to whoever asks, and kept out of the log."""
    add_leaf = Ledger._add_leaf

    def add(self: Any, tx: Any, position: int, leaf: bytes, ts: int) -> None:
        if not (leaf[:1] == b"\0" and b'"kind":"agreement"' in leaf):
            add_leaf(self, tx, position, leaf, ts)

    patch(Ledger, "_add_leaf", add)


def unrecorded_reads() -> None:
    """The partner gets access entries that fit, and the author's list and the log never hear of them."""
    record_private = Ledger.record_private

    def record(self: Any, tx: Any, kind: str, person: str, partner: Any, body: Any, *, grant_id: Any = None) -> Any:
        if kind != "access":
            return record_private(self, tx, kind, person, partner, body, grant_id=grant_id)
        entry = entries.entry(kind, person, partner, self._clock(), body)
        week, key = entries.week_of(entry["ts"]), entries.grant_key(self.log_key(tx, person), grant_id)
        o1, o2 = secrets.token_bytes(32), secrets.token_bytes(32)
        return Recorded(tx.next_position(), entry, o1, o2, entries.access_label(key, week), week)

    patch(Ledger, "record_private", record)


def withheld_read() -> None:
    """The first read of every person is in the log, and on nobody's list."""
    entries_of = Ledger.entries

    def listed(self: Any, tx: Any, person: str, from_seq: int, limit: int) -> list[Recorded]:
        reads = [shown for shown in entries_of(self, tx, person, 0, 1000) if shown.entry["kind"] == "access"]
        return [shown for shown in entries_of(self, tx, person, from_seq, limit) if shown not in reads[:1]]

    patch(Ledger, "entries", listed)


def no_receipts() -> None:
    """A read is answered without its access entries."""
    answered: Any = vars(reading.Page)["answered"]
    patch(reading.Page, "answered", lambda page, receipts: answered(page, receipts) | {"accesses": []})


def clear_text() -> None:
    """Messages may be sent in clear."""
    os.environ.update(PARAPH_REQUIRE_ENCRYPTION="off", PARAPH_PROFILE="test")


SABOTAGES: dict[str, Callable[[], None]] = {
    sabotage.__name__: sabotage
    for sabotage in (
        anybodys_keys,
        everybodys_words,
        every_room,
        every_purpose,
        revoked_is_live,
        no_gate,
        unsigned_grant,
        unvouched_device,
        unenrolled_device,
        half_signed_agreement,
        token_without_agreement,
        unlogged_agreement,
        unrecorded_reads,
        withheld_read,
        no_receipts,
        clear_text,
    )
}

if __name__ == "__main__":
    SABOTAGES[sys.argv.pop(1)]()
    main()
