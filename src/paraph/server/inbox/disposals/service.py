"""Confirmations of partners that what they opened is deleted: each becomes a record of the person's.

The platform vouches for who said it, by the signature of a logged device, and when. That it is true nobody can prove.
"""

from collections.abc import Callable
from typing import Any

from paraph.protocol.disposal import Disposal, verify_disposal
from paraph.protocol.documents import parse
from paraph.server.consent.errors import Conflict, bad_document, forbidden, refusing
from paraph.server.consent.service import Consent
from paraph.server.http import PartnerPrincipal
from paraph.server.inbox.disposals import store
from paraph.server.inbox.errors import no_such_device, no_such_grant
from paraph.server.inbox.receipts import answered
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database, Transaction

MAX_AHEAD_MS = 300_000


class Disposals:
    """Every confirmation of every partner. `clock` gives milliseconds."""

    def __init__(self, database: Database, ledger: Ledger, consent: Consent, clock: Callable[[], int]) -> None:
        self._database = database
        self._ledger = ledger
        self._consent = consent
        self._clock = clock

    async def post(self, caller: PartnerPrincipal, document: dict[str, Any]) -> dict[str, Any]:
        """Record a signed confirmation; the same one again answers the same. Raises Problem or MatrixError."""
        recorded = await self._database.write(lambda tx: self._post(tx, caller, document))
        return {"entry": answered(self._ledger.receipts, recorded)}

    def _post(self, tx: Transaction, caller: PartnerPrincipal, document: dict[str, Any]) -> Recorded:
        with refusing():
            made = parse(Disposal, document)
        if made.partner != caller.slug:
            raise forbidden(f"this confirmation is one of {made.partner}, not of {caller.slug}")
        person = self._person(tx, caller, made.grant_id)
        before = store.get(tx, made.grant_id)
        if before is not None and before.hash == made.hash:
            return self._ledger.entry(tx, before.seq)
        self._check_document(tx, made, document)
        if before is not None and made.opened_before <= before.opened_before:
            raise Conflict(f"what was opened before {before.opened_before} is confirmed already; expected a later time")
        body = {"grant_id": made.grant_id, "disposal": document}
        recorded = self._ledger.record_private(tx, "disposal", person, caller.slug, body, grant_id=made.grant_id)
        store.put(tx, made.grant_id, store.HeldDisposal(made.hash, made.opened_before, recorded.seq))
        return recorded

    def _person(self, tx: Transaction, caller: PartnerPrincipal, grant_id: str) -> str:
        """Whose grant it is, whatever has become of it; raises Problem."""
        wanted = [grant_id] if caller.grant_id in (None, grant_id) else []
        named = self._consent.live.named(tx, caller.slug, wanted).get(grant_id)
        if named is None:
            raise no_such_grant(grant_id)
        return named.held.grant.person

    def _check_document(self, tx: Transaction, made: Disposal, document: dict[str, Any]) -> None:
        """It is of now, and a live device of the partner signed it."""
        keys = self._consent.partners.live_devices(tx, made.partner).get(made.device_id)
        if keys is None:
            raise no_such_device(made.device_id)
        with refusing():
            ed25519 = keys["keys"][f"ed25519:{made.device_id}"]
            verify_disposal(document, server_name=self._consent.server_name, ed25519=ed25519)
        if abs(made.created - self._clock()) > MAX_AHEAD_MS:
            raise bad_document("expected a confirmation that was made just now, by the platform's clock")
