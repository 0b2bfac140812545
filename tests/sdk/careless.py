"""Devices that lack one check each: with them an attack is shown to work before it is shown to fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paraph.protocol.documents import parse
from paraph.protocol.grant import Amendment, Grant
from paraph.sdk.log import partners, view
from paraph.sdk.log.partners import PartnerInfo, ProvenPartner
from paraph.sdk.log.statements import Statements
from paraph.sdk.log.view import LogView
from paraph.sdk.person import grants as grants_module
from paraph.sdk.person import standing
from paraph.sdk.person.ledger import Account, OwnLedger
from paraph.sdk.person.standing import Standing
from paraph.tlog import checkpoint as checkpoints
from paraph.tlog import policy as policies
from paraph.tlog.policy import Cosigned, Policy
from tests.support.published_log import KEY


def believes_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the entries shown for all there are."""

    def check(self: OwnLedger, keys: dict[int, bytes], statements: Statements) -> Account:
        logged = {hashed for key in keys.values() for hashed in statements.leaves(key)}
        return Account(tuple(self._all()), frozenset(logged))

    monkeypatch.setattr(OwnLedger, "check", check)


def ignores_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes what became of a grant from the platform's list of grants alone."""
    of = Account.of

    def some(self: Account, kind: str) -> Any:
        return iter(()) if kind in ("amend", "revoke") else of(self, kind)

    monkeypatch.setattr(Account, "of", some)


def takes_any_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the end of a pause from the list of grants."""

    def amendments(_self: Standing, state: standing.GrantState) -> list[Any]:
        return [parse(Amendment, document) for document in state.amendments]

    monkeypatch.setattr(Standing, "_amendments", amendments)


def believes_partner_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the records shown about a partner for all there are."""

    def proven(info: PartnerInfo, statements: Statements) -> ProvenPartner:
        return ProvenPartner(info, frozenset(statements.leaves(info.map_key)))

    monkeypatch.setattr(grants_module, "proven", proven)


def looks_for_endings_where_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes a record for what the name of its list says."""
    records = partners._records

    def by_list(listed: dict[str, Any], slug: str) -> Any:
        others = [record["document"] for record in listed["records"]]
        for record in records(listed, slug):
            yield replace(record, kind="notice") if record.document in others else record

    monkeypatch.setattr(partners, "_records", by_list)


def needs_no_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believes whatever the log's key signed."""

    def check(_self: Policy, signed: bytes, now: int, _max_age: int | None = None) -> Cosigned:
        return Cosigned(checkpoints.open(signed, KEY.verifier), now, now, {})

    monkeypatch.setattr(Policy, "check", check)


def forgets_what_it_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not hold a checkpoint against the one before."""

    async def check(*_: Any) -> None:
        return None

    monkeypatch.setattr(LogView, "_check_extends", check)


def knows_no_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believes checkpoints of any age."""
    for module in (view, grants_module):
        monkeypatch.setattr(module, "MAX_AGE", 10**9)


def looks_at_cosignatures_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes a tree for as new as its cosignatures."""
    monkeypatch.setattr(view, "_check_times", lambda *_: None)


def takes_the_future_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets cosignatures be of any time to come."""
    for module in (policies, view):
        monkeypatch.setattr(module, "MAX_SKEW", 10**9)


def verifies_no_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believes the device that a grant names, enrolled or not."""
    monkeypatch.setattr(standing, "verify_grant", lambda document, *_a, **_k: parse(Grant, document))
    asks_for_no_enrolment(monkeypatch)


def asks_for_no_enrolment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is content with a device that the person's identity vouches for."""
    monkeypatch.setattr(Standing, "_is_enrolled", lambda *_: True)


def asks_for_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is content with a grant that her own device signed."""
    monkeypatch.setattr(Standing, "_check_grant", lambda *_: None)
