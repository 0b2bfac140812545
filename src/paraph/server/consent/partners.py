"""Partners as the operator and the public see them: registration, agreements, devices, and the end of each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from paraph.protocol.agreement import (
    Agreement,
    check_notice,
    check_successor,
    verify_agreement,
    verify_agreement_ended,
)
from paraph.protocol.base64 import unb64
from paraph.protocol.documents import parse
from paraph.protocol.entry import PUBLIC_KINDS
from paraph.protocol.errors import DocumentError
from paraph.protocol.identifiers import check_slug, partner_user_id
from paraph.protocol.partner_device import (
    PartnerDevice,
    PartnerDeviceEnded,
    verify_partner_device,
    verify_partner_device_ended,
)
from paraph.protocol.signing import document_hash
from paraph.server.consent import grant_store, partner_store
from paraph.server.consent.errors import Conflict, NoAgreement, bad_document, forbidden, not_found, refusing
from paraph.server.consent.gate import GrantGate
from paraph.server.consent.hooks import GrantChange
from paraph.server.consent.model import Agreements, Partner
from paraph.server.consent.notices import Notices
from paraph.server.consent.oauth.assertion import check_client_jwk
from paraph.server.consent.oauth.redirects import check_redirect_uris
from paraph.server.devices.service import Devices
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Transaction

OTHER_KINDS = sorted(PUBLIC_KINDS - {"agreement", "agreement-ended", "partner-device", "partner-device-ended"})
MAX_AHEAD_MS = 300_000
"""How far a partner's or operator's clock may be ahead of the platform's."""


class Partners:
    """Register partners, publish and end their agreements and devices."""

    def __init__(
        self,
        ledger: Ledger,
        devices: Devices,
        gate: GrantGate,
        notices: Notices,
        *,
        server_name: str,
        operator_key: str,
        clock: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._devices = devices
        self._gate = gate
        self._notices = notices
        self._server_name = server_name
        self._operator_key = operator_key
        self._clock = clock

    # -- reading --

    def get(self, tx: Transaction, slug: str) -> Partner:
        """A registered partner; raises 404."""
        partner = partner_store.partner(tx, slug)
        if partner is None:
            raise not_found(f"no partner is registered as {slug[:40]!r}")
        return partner

    def registered(self, tx: Transaction) -> list[Partner]:
        """Every registered partner, by slug."""
        return partner_store.partners(tx)

    def device_end(self, tx: Transaction, slug: str, device_id: str) -> int | None:
        """When a device of the partner was ended (ms); None if it was not, or is not registered."""
        known = partner_store.partner_device(tx, slug, device_id)
        return None if known is None else known[2]

    def user_id(self, slug: str) -> str:
        """The address of the partner's key-holding side."""
        return partner_user_id(slug, self._server_name)

    def agreements(self, tx: Transaction, slug: str) -> Agreements:
        """The partner's agreements."""
        return partner_store.agreements(tx, slug)

    def in_force(self, tx: Transaction, slug: str) -> Agreement:
        """The partner's agreement in force; raises NoAgreement."""
        agreement = partner_store.agreements(tx, slug).in_force(self._clock())
        if agreement is None:
            raise NoAgreement(slug)
        return agreement

    def live_devices(self, tx: Transaction, slug: str) -> dict[str, dict[str, Any]]:
        """Device keys of the partner's live devices, by device id."""
        return partner_store.live_devices(tx, slug, self._clock())

    def rendered(self, tx: Transaction, partner: Partner) -> dict[str, Any]:
        """The `P` of docs/protocol.md section 6."""
        records = {
            name: self._ledger.public_records(tx, partner.slug, [kind])
            for name, kind in (
                ("agreements", "agreement"),
                ("endings", "agreement-ended"),
                ("devices", "partner-device"),
                ("device_endings", "partner-device-ended"),
            )
        }
        # With the rest, a reader can match every leaf under the partner's public key of the map.
        records["records"] = self._ledger.public_records(tx, partner.slug, OTHER_KINDS)
        return {
            "slug": partner.slug,
            "name": partner.name,
            "user_id": self.user_id(partner.slug),
            "master_key": partner.master_key,
            **records,
        }

    def all_rendered(self, tx: Transaction) -> list[dict[str, Any]]:
        """Every partner as `P`."""
        return [self.rendered(tx, partner) for partner in partner_store.partners(tx)]

    # -- registration --

    def register(self, tx: Transaction, made: Partner, redirect_uris: Sequence[str] | None = None) -> Partner:
        """Register a partner by its master key, or give a registered one another name, client key or redirect URIs.

        `redirect_uris` None leaves them as they are.
        """
        with refusing():
            check_slug(made.slug)
            unb64(made.master_key, 32)
        if not made.name.strip() or len(made.name) > 100 or not made.name.isprintable():
            raise bad_document("a partner's name is 1 to 100 printable characters")
        check_client_jwk(made.client_jwk)
        check_redirect_uris(redirect_uris or ())
        known = partner_store.partner(tx, made.slug)
        if known is not None and known.master_key != made.master_key:
            raise Conflict(f"{made.slug} is registered with another master key, which cannot change")
        partner_store.put_partner(tx, made)
        if redirect_uris is not None:
            partner_store.put_redirect_uris(tx, made.slug, redirect_uris)
        return made

    # -- agreements --

    def publish_agreement(self, tx: Transaction, document: Mapping[str, Any]) -> dict[str, Any]:
        """Publish an agreement that both sides signed; the same one again answers the same record."""
        with refusing():
            slug = parse(Agreement, document).partner
        partner = self.get(tx, slug)
        with refusing():
            agreement = verify_agreement(
                document,
                server_name=self._server_name,
                operator_key=self._operator_key,
                master_key=partner.master_key,
            )
            published = self._published(tx, "agreement", slug, agreement.hash)
            if published is not None:
                return published
            self._check_follows(partner_store.agreements(tx, slug), agreement)
        partner_store.add_agreement(tx, agreement, document)
        record = self._ledger.record_public(tx, "agreement", slug, document)
        # What the new version no longer allows is no longer granted: everybody concerned looks again.
        self._tell_grantors(tx, slug, changed=True)
        more = {"change": {"op": "agreement", "version": agreement.version}}
        for held in grant_store.open_grants_to(tx, slug, self._clock()):
            self._gate.hooks.grant(tx, GrantChange(held.grant.person, slug, held.grant.grant_id, "amended", more))
        return record

    def _check_follows(self, before: Agreements, agreement: Agreement) -> None:
        newest = before.versions[max(before.versions)] if before.versions else None
        if newest is None and agreement.version != 1:
            raise DocumentError(f"expected version 1 as the first agreement, found version {agreement.version}")
        if newest is not None:
            check_successor(newest, agreement)
            check_notice(newest, agreement, self._clock())
        if agreement.until <= self._clock():
            raise DocumentError("expected an agreement that has not run out")

    def end_agreement(self, tx: Transaction, slug: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """End an agreement and, at once, every grant under it or an older version."""
        partner = self.get(tx, slug)
        with refusing():
            ending = verify_agreement_ended(
                document,
                server_name=self._server_name,
                operator_key=self._operator_key,
                master_key=partner.master_key,
            )
            self._check_ending(slug, ending.partner, ending.ended)
        known = partner_store.agreements(tx, slug)
        agreement = known.versions.get(ending.version)
        if agreement is None or agreement.hash != ending.agreement_hash:
            raise bad_document(f"{slug} has no agreement of version {ending.version} with this hash")
        if ending.version <= known.ended:
            return self._same_ending(tx, "agreement-ended", slug, ending.hash)
        grantors = grant_store.open_grantors_to(tx, slug, self._clock())
        open_grants = grant_store.open_grants_to(tx, slug, self._clock())
        partner_store.end_agreements(tx, slug, ending.version, ending.ended)
        ended = {"reason": "the agreement was ended", "ts": self._clock()}
        grant_store.end_grants(tx, slug, ending.version, ended)
        record = self._ledger.record_public(tx, "agreement-ended", slug, document)
        self._tell(tx, slug, grantors, changed=True)
        for grant in (held.grant for held in open_grants if held.grant.agreement.version <= ending.version):
            self._gate.hooks.grant(tx, GrantChange(grant.person, slug, grant.grant_id, "ended"))
        return record

    # -- devices --

    def register_device(self, tx: Transaction, slug: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Publish a partner's device, signed by its master key; the same one again answers the same record."""
        partner = self.get(tx, slug)
        with refusing():
            device = verify_partner_device(document, server_name=self._server_name, master_key=partner.master_key)
            self._check_device(slug, device)
        known = partner_store.partner_device(tx, slug, device.device_id)
        if known is not None:
            published = self._published(tx, "partner-device", slug, device.hash)
            if published is None or known[2] is not None:
                raise Conflict(f"device {device.device_id} was registered before; a new device has a new id")
            return published
        partner_store.add_device(tx, device, document)
        record = self._ledger.record_public(tx, "partner-device", slug, document)
        self._tell_grantors(tx, slug, changed=False)
        return record

    def _check_device(self, slug: str, device: PartnerDevice) -> None:
        now = self._clock()
        if device.partner != slug:
            raise forbidden(f"this device is one of {device.partner}, not of {slug}")
        if device.created > now + MAX_AHEAD_MS or device.expires <= now:
            raise DocumentError("expected a device that was made by now and has not expired")

    def end_device(self, tx: Transaction, slug: str, device_id: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """End a partner's device at once."""
        partner = self.get(tx, slug)
        with refusing():
            ending: PartnerDeviceEnded = verify_partner_device_ended(
                document,
                server_name=self._server_name,
                operator_key=self._operator_key,
                master_key=partner.master_key,
            )
            self._check_ending(slug, ending.partner, ending.ended)
        if ending.device_id != device_id:
            raise bad_document(f"expected the end of device {device_id}, found that of {ending.device_id}")
        known = partner_store.partner_device(tx, slug, device_id)
        if known is None:
            raise not_found(f"{slug} has no device {device_id[:40]!r}")
        if known[2] is not None:
            return self._same_ending(tx, "partner-device-ended", slug, ending.hash)
        partner_store.end_device(tx, slug, device_id, ending.ended)
        self._devices.on_logout(tx, self.user_id(slug), device_id)
        record = self._ledger.record_public(tx, "partner-device-ended", slug, document)
        self._tell_grantors(tx, slug, changed=True)
        return record

    def _check_ending(self, slug: str, partner: str, ended: int) -> None:
        if partner != slug:
            raise bad_document(f"expected an ending for {slug}, found one for {partner}")
        if ended > self._clock() + MAX_AHEAD_MS:
            raise bad_document("an ending takes effect when it is recorded; `ended` cannot lie ahead")

    def _same_ending(self, tx: Transaction, kind: str, slug: str, hash_: str) -> dict[str, Any]:
        published = self._published(tx, kind, slug, hash_)
        if published is None:
            raise Conflict("this has ended already")
        return published

    def _published(self, tx: Transaction, kind: str, slug: str, hash_: str) -> dict[str, Any] | None:
        with refusing():
            records = self._ledger.public_records(tx, slug, [kind])
            return next((record for record in records if document_hash(record["document"]) == hash_), None)

    def _tell_grantors(self, tx: Transaction, slug: str, *, changed: bool) -> None:
        self._tell(tx, slug, grant_store.open_grantors_to(tx, slug, self._clock()), changed=changed)

    def _tell(self, tx: Transaction, slug: str, grantors: Iterable[str], *, changed: bool) -> None:
        """Let the grantors' devices look at the partner's again and, if their grants `changed`, at those too."""
        for person in grantors:
            if changed:
                self._gate.bump(tx, person)
                self._notices.refresh(tx, person)
            self._devices.lists.note_shared(tx, person, self.user_id(slug))
