"""What a person does: enrol devices, grant, narrow, revoke. Each is recorded in the transaction that does it."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paraph.protocol.base64 import unb64url
from paraph.protocol.consent import check_consent
from paraph.protocol.documents import parse
from paraph.protocol.enrolment import key_hash, verify_enrolment
from paraph.protocol.entry import grant_key
from paraph.protocol.errors import ChainError, DocumentError, ScopeError
from paraph.protocol.grant import Amendment, Grant, Revocation, verify_amendment, verify_grant
from paraph.protocol.scope import check_amendment, check_within
from paraph.server.consent import grant_store as store
from paraph.server.consent.errors import Conflict, GrantOver, NotEnrolled, forbidden, not_found, refusing
from paraph.server.consent.gate import GrantGate
from paraph.server.consent.hooks import GrantChange
from paraph.server.consent.model import HeldAmendment, HeldGrant
from paraph.server.consent.notices import Notices
from paraph.server.consent.partners import Partners
from paraph.server.consent.ports import Rooms
from paraph.server.devices.service import Devices
from paraph.server.http import PersonPrincipal
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.receipts import Receipts
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Transaction

WORDS = {"pause": "paused", "resume": "resumed"}
"""What an amendment does to a grant, where that has a word of its own."""
MAX_OPEN_GRANTS = 200
"""Grants that a person may have at one time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The person's version right after an act, and the act's ledger entry."""

    version: int
    entry: Recorded

    def answered(self, receipts: Receipts) -> dict[str, Any]:
        """The answer of docs/protocol.md section 6, once the act is durable."""
        return {"version": self.version, "entry": receipts.answered(self.entry)}


class Grants:
    """A person's enrolments and grants."""

    def __init__(
        self,
        ledger: Ledger,
        devices: Devices,
        rooms: Rooms,
        partners: Partners,
        gate: GrantGate,
        notices: Notices,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._devices = devices
        self._rooms = rooms
        self._partners = partners
        self._gate = gate
        self._notices = notices
        self._clock = clock

    # -- enrolment --

    def enrol(self, tx: Transaction, caller: PersonPrincipal, document: Mapping[str, Any], log_key: str) -> Recorded:
        """Enrol the calling device; the first enrolment of a person fixes her account log key."""
        with refusing():
            k = unb64url(log_key, 32)
            enrolment = verify_enrolment(document, master_key=self._master_key(tx, caller.user_id))
            if enrolment.log_key_hash != key_hash(k):
                raise DocumentError("expected log_key_hash to be the hash of log_key")
        if (enrolment.user_id, enrolment.device_id) != (caller.user_id, caller.device_id):
            raise forbidden("a device enrols itself only")
        keys = self._devices.device_keys_of(tx, caller.user_id).get(caller.device_id, {}).get("keys", {})
        known = tuple(keys.get(f"{kind}:{caller.device_id}") for kind in ("curve25519", "ed25519"))
        if known != (enrolment.curve25519, enrolment.ed25519):
            raise forbidden("the enrolment names other keys than the device uploaded")
        before = store.enrolment(tx, caller.user_id, caller.device_id)
        if before is not None and before[0] == enrolment.hash and self._same_log_key(tx, caller.user_id, k):
            return self._ledger.entry(tx, before[2])
        if not self._ledger.set_log_key(tx, caller.user_id, k):
            raise Conflict("another account log key was fixed by your first enrolment; use that one")
        recorded = self._ledger.record_private(tx, "device", caller.user_id, None, {"enrolment": dict(document)})
        store.put_enrolment(tx, enrolment, document, recorded.seq)
        self._gate.hooks.devices(tx, caller.user_id)
        return recorded

    def _same_log_key(self, tx: Transaction, person: str, k: bytes) -> bool:
        return hmac.compare_digest(self._ledger.log_key(tx, person) or b"", k)

    def is_enrolled(self, tx: Transaction, caller: PersonPrincipal) -> bool:
        """Whether the calling device is enrolled."""
        return store.enrolment(tx, caller.user_id, caller.device_id) is not None

    def enrolled_ids(self, tx: Transaction, person: str) -> frozenset[str]:
        """Ids of the devices that the person ever enrolled: a grant opens what they sent."""
        return store.enrolled_ids(tx, person)

    def enrolled_devices(self, tx: Transaction, person: str) -> list[dict[str, Any]]:
        """The person's enrolled devices that are still hers, each with the chain from her master key.

        A device whose id came back with other keys is another device, and without a self-signing key there is no chain.
        """
        keys = self._devices.device_keys_of(tx, person)
        if self._devices.cross_signing_of(tx, person).self_signing is None:
            return []
        return [
            {"device_id": device_id, "enrolment": document, "chain": self._chain(tx, person, device_id)}
            for device_id, document in store.enrolments(tx, person).items()
            if device_id in keys and keys[device_id]["keys"].get(f"ed25519:{device_id}") == document["ed25519"]
        ]

    # -- reading --

    def listed(self, tx: Transaction, caller: PersonPrincipal) -> dict[str, Any]:
        """Everything that GET /grants answers."""
        now, grants = self._clock(), store.grants_of(tx, caller.user_id)
        slugs = {held.grant.partner for held in grants}
        agreements = {slug: self._partners.agreements(tx, slug) for slug in slugs}
        return {
            "version": store.version(tx, caller.user_id),
            "enrolled": self.is_enrolled(tx, caller),
            "grants": [held.rendered(agreements[held.grant.partner], now) for held in grants],
        }

    def own(self, tx: Transaction, person: str, grant_id: str) -> HeldGrant:
        """The person's grant; another person's is not found."""
        held = store.grant(tx, grant_id)
        if held is None or held.grant.person != person:
            raise not_found(f"you have no grant {grant_id[:40]!r}")
        return held

    # -- granting --

    def create(self, tx: Transaction, caller: PersonPrincipal, document: Mapping[str, Any]) -> Outcome:
        """Take in a signed grant; the same one again answers the same."""
        person = caller.user_id
        with refusing():
            named = parse(Grant, document)
        if named.person != person:
            raise forbidden(f"this grant is by {named.person}; a grant is made by the person herself")
        before = store.grant(tx, named.grant_id)
        if before is not None:
            if before.hash != named.hash or before.grant.person != person:
                raise Conflict(f"{named.grant_id} is taken; a new grant has a new id")
            return Outcome(before.version, self._ledger.entry(tx, before.seq))
        chain = self._enrolled_chain(tx, person, named.device_id)
        with refusing():
            grant = verify_grant(document, chain, master_key=self._master_key(tx, person))
            self._check_terms(tx, grant)
        body = {"grant": dict(document), "chain": chain}
        recorded = self._ledger.record_private(tx, "grant", person, grant.partner, body)
        version = self._gate.bump(tx, person)
        store.add_grant(
            tx,
            HeldGrant(grant, dict(document), chain, grant.hash, recorded.seq, version, (), None, None, None, None),
        )
        self._changed(tx, GrantChange(person, grant.partner, grant.grant_id, "made"))
        return Outcome(version, recorded)

    def _check_terms(self, tx: Transaction, grant: Grant) -> None:
        """The grant is within the agreement in force, over rooms of its person, and says what she was shown."""
        self._partners.get(tx, grant.partner)
        agreement = self._partners.in_force(tx, grant.partner)
        check_within(grant, agreement)
        if grant.until <= self._clock():
            raise ScopeError("the grant has run out already")
        k = self._ledger.log_key(tx, grant.person) or b""
        if not hmac.compare_digest(key_hash(grant_key(k, grant.grant_id)), grant.grant_key_hash):
            raise DocumentError("expected grant_key_hash to be the hash of the key derived from your log key")
        if grant.rooms != "all":
            absent = set(grant.rooms) - set(self._rooms.joined_rooms(tx, grant.person))
            if absent:
                raise ScopeError(f"you are not in {sorted(absent)[0]}")
        check_consent(grant, agreement)
        if store.count_open(tx, grant.person, self._clock()) >= MAX_OPEN_GRANTS:
            raise ScopeError(f"you have {MAX_OPEN_GRANTS} open grants; revoke one first")

    def amend(self, tx: Transaction, caller: PersonPrincipal, grant_id: str, document: Mapping[str, Any]) -> Outcome:
        """Take in a signed narrowing; the same one again answers the same."""
        held = self.own(tx, caller.user_id, grant_id)
        with refusing():
            named = parse(Amendment, document)
        for known in held.amendments:
            if known.hash == named.hash:
                return Outcome(known.version, self._ledger.entry(tx, known.seq))
        if held.revocation is not None or held.ended is not None:
            raise GrantOver(grant_id, "is over; there is nothing left to amend")
        chain = self._enrolled_chain(tx, caller.user_id, named.device_id)
        with refusing():
            master_key = self._master_key(tx, caller.user_id)
            amendment = verify_amendment(document, chain, grant=held.grant, master_key=master_key)
            check_amendment(held.grant, [known.amendment for known in held.amendments], amendment)
        body = {"amendment": dict(document), "chain": chain}
        recorded = self._ledger.record_private(tx, "amend", caller.user_id, held.grant.partner, body)
        version = self._gate.bump(tx, caller.user_id)
        store.add_amendment(tx, HeldAmendment(amendment, dict(document), chain, amendment.hash, recorded.seq, version))
        what = WORDS.get(document["change"]["op"], "amended")
        more = {"change": document["change"]}
        self._changed(tx, GrantChange(caller.user_id, held.grant.partner, grant_id, what, more))
        return Outcome(version, recorded)

    def revoke(self, tx: Transaction, caller: PersonPrincipal, grant_id: str, reason: str | None) -> Outcome:
        """Revoke a grant, for good; again answers the same."""
        held = self.own(tx, caller.user_id, grant_id)
        if held.revocation_seq is not None and held.revocation_version is not None:
            return Outcome(held.revocation_version, self._ledger.entry(tx, held.revocation_seq))
        revocation = {
            "type": "org.paraph.revocation",
            "grant_id": grant_id,
            "person": caller.user_id,
            "reason": reason,
            "created": self._clock(),
        }
        with refusing():
            parse(Revocation, revocation)
        body = {"revocation": revocation}
        recorded = self._ledger.record_private(tx, "revoke", caller.user_id, held.grant.partner, body)
        version = self._gate.bump(tx, caller.user_id)
        store.revoke_grant(tx, grant_id, revocation, recorded.seq, version)
        self._changed(tx, GrantChange(caller.user_id, held.grant.partner, grant_id, "revoked"))
        return Outcome(version, recorded)

    def give_up(self, tx: Transaction, slug: str, grant_id: str) -> None:
        """A partner gives a grant up: it is revoked, and the record says by whom. Raises 404 where it has none such."""
        held = store.grant(tx, grant_id)
        if held is None or held.grant.partner != slug:
            raise not_found(f"{slug} has no grant {grant_id[:40]!r}")
        self.revoke(tx, PersonPrincipal(held.grant.person, ""), grant_id, f"given up by {slug}")

    def on_deactivate(self, tx: Transaction, person: str) -> None:
        """Whoever ends her account can revoke nothing any more: every open grant of hers is revoked with it."""
        caller = PersonPrincipal(person, "")
        for held in store.open_grants_of(tx, person, self._clock()):
            self.revoke(tx, caller, held.grant.grant_id, "the account was deactivated")

    def _changed(self, tx: Transaction, change: GrantChange) -> None:
        """Rooms are told, higher rooms of the server too, and the person's devices look at the partner's keys again."""
        self._notices.refresh(tx, change.person)
        self._devices.lists.note_shared(tx, change.person, self._partners.user_id(change.partner))
        self._gate.hooks.grant(tx, change)

    # -- the person's identity, from the key directory --

    def _master_key(self, tx: Transaction, person: str) -> str:
        master = self._devices.cross_signing_of(tx, person).master
        if master is None:
            raise ChainError(f"{person} has no master key; upload cross-signing keys first")
        return master.public_key

    def _enrolled_chain(self, tx: Transaction, person: str, device_id: str) -> dict[str, Any]:
        if store.enrolment(tx, person, device_id) is None:
            raise NotEnrolled(device_id)
        with refusing():
            return self._chain(tx, person, device_id)

    def _chain(self, tx: Transaction, person: str, device_id: str) -> dict[str, Any]:
        """What vouches for a device, from the key directory; whoever uses it verifies it."""
        device_keys = self._devices.device_keys_of(tx, person).get(device_id)
        self_signing = self._devices.cross_signing_of(tx, person).self_signing
        if device_keys is None or self_signing is None:
            raise ChainError(f"device {device_id} has no keys in the directory, or {person} no self-signing key")
        return {"device_keys": device_keys, "self_signing_key": self_signing.document}
