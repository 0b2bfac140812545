"""`paraph serve` with one enforcement taken out: `python serve.py NAME serve --data DIR --port N`.

Each function below breaks one thing that the platform enforces; the demo, played on such a platform, must say so.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
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
from paraph.server.accounts.service import Accounts
from paraph.server.accounts.sessions import Sessions
from paraph.server.consent import access, grant_store, grants, partners
from paraph.server.consent.gate import GrantGate
from paraph.server.consent.model import Agreements
from paraph.server.consent.oauth import tokens
from paraph.server.consent.partner_keys import PartnerKeys
from paraph.server.devices.to_device import ToDevice
from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request
from paraph.server.inbox import draft_store, drafts, published, reading, serving
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


def partners_speak() -> None:
    """A token that is no person's speaks for the author; her messages need no state of the grants."""
    authenticate, known = Accounts.authenticate, {}

    async def anybody(self: Any, token: str) -> Any:
        person = await authenticate(self, token)
        if person is not None:
            known.setdefault(person.user_id.partition(":")[0], person)
        return person or known.get("@mira")

    patch(Accounts, "authenticate", anybody)
    patch(Sessions, "confirm", lambda *_, **__: None)
    patch(GrantGate, "before_send", lambda *_: None)


def two_hold_a_draft() -> None:
    """Every device that asks for a draft gets it, and what it was sealed as before is forgotten."""
    settle = drafts.Drafts._settle

    def sent(self: Any, tx: Any, event: Any, content: Any) -> None:
        held = draft_store.get(tx, event.txn_id)
        if held is not None and held.settled_seq is None:
            sealed = drafts.Settlement(drafts.SEALED, room_id=event.room_id, event_id=event.event_id)
            settle(self, tx, held, sealed)

    async def claim(_self: Any, _caller: Any, draft_id: str) -> dict[str, Any]:
        await asyncio.sleep(0.2)  # so that both have it before one has sent it
        return {"draft_id": draft_id, "status": drafts.CLAIMED, "until": 0}

    patch(drafts.Drafts, "claim", claim)
    patch(drafts.Drafts, "on_sent", sent)


def declined_in_vain() -> None:
    """A draft that was declined is still there for whoever seals it."""

    async def decline(_self: Any, _caller: Any, draft_id: str, _reason: Any) -> dict[str, Any]:
        return {"draft_id": draft_id, "status": drafts.DECLINED}

    patch(drafts.Drafts, "decline", decline)


def another_purpose() -> None:
    """Her list names a purpose that she did not grant."""
    entries_of = Ledger.entries

    def listed(self: Any, tx: Any, person: str, from_seq: int, limit: int) -> list[Recorded]:
        found = entries_of(self, tx, person, from_seq, limit)
        for shown in found:
            if shown.entry["kind"] == "access":
                shown.entry["body"]["purpose"] = "advertising"
        return found

    patch(Ledger, "entries", listed)


def any_text() -> None:
    """Nobody asks which text a person was shown."""
    patch(grants, "check_consent", lambda *_: "")


def friendlier_limits() -> None:
    """Whoever asks third for the limits of the API is shown others."""
    made, asked = vars(published.Published)["limits"], itertools.count()

    def limits(self: Any) -> bytes:
        document: bytes = made.func(self)
        return document if next(asked) < 2 else document.replace(b'_at_once":', b'_at_once":1')

    patch(published.Published, "limits", property(limits))


def hidden_route() -> None:
    """One more endpoint, which nobody documents."""
    endpoints = published.endpoints

    async def answer(_request: Request) -> Reply:
        return Reply.json({"messages": []})

    def more(made: Any) -> list[Endpoint]:
        return [*endpoints(made), Endpoint("GET", "/inbox/v2/everything", Access.PUBLIC, answer, "Everything.")]

    patch(published, "endpoints", more)


def signed_in_secret() -> None:
    """Whatever both sides agree on is good, and need not be published."""
    publish = partners.Partners.publish_agreement

    def published_or_not(self: Any, tx: Any, document: Any) -> Any:
        try:
            return publish(self, tx, document)
        except MatrixError:
            return {}

    patch(partners.Partners, "publish_agreement", published_or_not)


def no_notice() -> None:
    """The newest version of an agreement is in force, whenever it says that it begins."""
    patch(Agreements, "in_force", lambda self, _at: self.versions.get(max(self.versions, default=0)))


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
        partners_speak,
        two_hold_a_draft,
        declined_in_vain,
        another_purpose,
        any_text,
        friendlier_limits,
        hidden_route,
        signed_in_secret,
        no_notice,
    )
}

if __name__ == "__main__":
    SABOTAGES[sys.argv.pop(1)]()
    main()
