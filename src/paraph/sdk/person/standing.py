"""What a grant stands for under one tree of the log: the judgement behind every key that goes to a partner.

Everything it needs was verified before: all that the log has about the account and the partner is at hand. Here it is
decided, without I/O. What closes counts wherever it comes from, the platform's word included; what opens (the grant,
the device that signed it, the agreements, the partner's devices, the end of a pause) counts only if it is in the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paraph.protocol.agreement import Agreement
from paraph.protocol.documents import parse
from paraph.protocol.enrolment import Enrolment, key_hash, verify_enrolment
from paraph.protocol.errors import ProtocolError
from paraph.protocol.grant import Amendment, Grant, Resume, verify_amendment, verify_grant
from paraph.protocol.scope import Scope, effective_scope
from paraph.protocol.signing import document_hash
from paraph.sdk.engine.model import PartnerAccess
from paraph.sdk.errors import LogError, TrustError
from paraph.sdk.log.partners import ProvenPartner
from paraph.sdk.person.ledger import Account


@dataclass(frozen=True, slots=True)
class GrantState:
    """One grant with what has become of it. `amendments` are the documents in the platform's order."""

    grant: Grant
    document: dict[str, Any]
    chain: dict[str, Any]
    amendments: tuple[dict[str, Any], ...]
    revoked: bool
    ended: bool
    live: bool

    @property
    def tip(self) -> str:
        """The hash that the next amendment names as `previous`."""
        return document_hash(self.amendments[-1]) if self.amendments else self.grant.hash


def read_state(listed: Mapping[str, Any], *, person: str, master_key: str) -> GrantState:
    """A grant as the platform lists it, its chains checked. Raises ProtocolError, KeyError, TypeError."""
    grant = verify_grant(listed["grant"], listed["chain"], master_key=master_key)
    if grant.person != person:
        raise ProtocolError("the grant is another person's")
    for item in listed["amendments"]:
        verify_amendment(item["amendment"], item["chain"], grant=grant, master_key=master_key)
    amendments = tuple(dict(item["amendment"]) for item in listed["amendments"])
    revoked, ended = listed["revocation"] is not None, listed["ended"] is not None
    return GrantState(grant, listed["grant"], listed["chain"], amendments, revoked, ended, live=listed["live"] is True)


@dataclass(frozen=True)
class Holder:
    """The person as her device knows her: her pinned master key, and the account log key."""

    master_key: str
    log_key: bytes


@dataclass(frozen=True)
class Standing:
    """Under one tree: all that the log has about the account, and about each partner that could be proven."""

    holder: Holder
    account: Account
    partners: Mapping[str, ProvenPartner]

    def access(self, state: GrantState, at: int, behind: int) -> PartnerAccess | None:
        """Whose devices stand behind this grant, and for what, at `at` (ms), on a device whose clock is `behind`.

        None if it gives nothing then.
        Raises LogError, TrustError or ProtocolError for what cannot be relied upon.
        """
        try:
            return self._access(state, at, behind)
        except (KeyError, TypeError, AttributeError) as error:
            raise TrustError(f"the ledger has a malformed entry: {error!r}") from error

    def _access(self, state: GrantState, at: int, behind: int) -> PartnerAccess | None:
        grant = state.grant
        partner = self.partners.get(grant.partner)
        if partner is None:
            raise TrustError("nothing is proven about the partner")
        scope = self._scope(state, partner, at)
        if scope is None:
            return None
        self._check_grant(state)
        devices = partner.live_devices(at)
        until = scope.until - behind
        return PartnerAccess(
            grant.grant_id,
            partner.info.user_id,
            scope.rooms,
            until,
            devices,
            scope.excluded,
            scope.verbs,
            scope.history,
            grant.from_,
        )

    def _scope(self, state: GrantState, partner: ProvenPartner, at: int) -> Scope | None:
        grant, info = state.grant, partner.info
        own, current = info.agreement(grant.agreement.hash), info.in_force(at)
        if own is None:
            raise TrustError("the platform does not show the agreement that the grant names")
        for agreement in (own,) if current is None else (own, current):
            partner.check_agreement(agreement)
        if at < info.begins[own.hash]:
            return None
        revoked = state.revoked or self._is_revoked(grant.grant_id)
        ended = state.ended or own.hash in info.ended
        return effective_scope(grant, self._amendments(state), own, current, at=at, revoked=revoked, ended=ended)

    def _is_revoked(self, grant_id: str) -> bool:
        return any(body["revocation"]["grant_id"] == grant_id for _, body in self.account.of("revoke"))

    def _amendments(self, state: GrantState) -> list[Amendment]:
        """All amendments known, from the platform's list and from the ledger; the end of a pause only from the log."""
        found = {made.hash: made for made in (parse(Amendment, document) for document in state.amendments)}
        logged = set()
        for entry, body in self.account.of("amend"):
            if body["amendment"]["grant_id"] != state.grant.grant_id:
                continue
            amendment = verify_amendment(
                body["amendment"], body["chain"], grant=state.grant, master_key=self.holder.master_key
            )
            found[amendment.hash] = amendment
            if entry.leaf in self.account.logged and self._is_enrolled(amendment.device_id, body["chain"]):
                logged.add(amendment.hash)
        return [a for a in found.values() if a.hash in logged or not isinstance(a.change, Resume)]

    def _check_grant(self, state: GrantState) -> None:
        """The grant is in the log, signed by a device that is enrolled there."""
        entries = [entry for entry, body in self.account.of("grant") if body["grant"] == state.document]
        if not any(entry.leaf in self.account.logged for entry in entries):
            raise LogError("the grant is not in the log")
        if not self._is_enrolled(state.grant.device_id, state.chain):
            raise LogError(f"device {state.grant.device_id}, which signed the grant, is not enrolled in the log")

    def _is_enrolled(self, device_id: str, chain: Mapping[str, Any]) -> bool:
        """Whether the log has the enrolment of this device, with the key that the chain names."""
        key = chain["device_keys"]["keys"][f"ed25519:{device_id}"]
        for entry, body in self.account.of("device"):
            document = body["enrolment"]
            if entry.leaf in self.account.logged and document["device_id"] == device_id and document["ed25519"] == key:
                return self._enrolment(document).log_key_hash == key_hash(self.holder.log_key)
        return False

    def _enrolment(self, document: Mapping[str, Any]) -> Enrolment:
        return verify_enrolment(document, master_key=self.holder.master_key)


def agreement_for(partner: ProvenPartner, at: int) -> Agreement:
    """The agreement that a new grant is made under, in force and in the log. Raises TrustError, LogError."""
    agreement = partner.info.in_force(at)
    if agreement is None:
        raise TrustError(f"partner {partner.info.slug} has no agreement in force")
    partner.check_agreement(agreement)
    return agreement
