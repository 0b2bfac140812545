"""Partner devices in the key directory: visible to a person under a live grant only."""

from collections.abc import Callable
from typing import Any

from paraph.protocol import identifiers
from paraph.server.consent import grant_store, partner_store
from paraph.server.storage import Transaction


class PartnerKeys:
    """What `/keys/query` and `/keys/claim` may show of `@app-…` addresses."""

    def __init__(self, server_name: str, clock: Callable[[], int]) -> None:
        self._server_name = server_name
        self._clock = clock

    def device_keys(self, tx: Transaction, person: str, partner_user_id: str) -> dict[str, dict[str, Any]]:
        """Keys of the partner's live devices by device id; none unless the person has a live grant to it."""
        slug = self._granted_slug(tx, person, partner_user_id)
        return {} if slug is None else partner_store.live_devices(tx, slug, self._clock())

    def may_claim(self, tx: Transaction, person: str, partner_user_id: str) -> bool:
        """Whether the person may claim one-time keys of the partner's devices."""
        return self._granted_slug(tx, person, partner_user_id) is not None

    def _granted_slug(self, tx: Transaction, person: str, partner_user_id: str) -> str | None:
        slug = identifiers.slug_of(partner_user_id)
        if slug is None or partner_user_id != identifiers.partner_user_id(slug, self._server_name):
            return None
        now = self._clock()
        agreements = None
        for held in grant_store.open_grants_between(tx, person, slug, now):
            agreements = agreements or partner_store.agreements(tx, slug)
            if held.scope(agreements, now) is not None:
                return slug
        return None
