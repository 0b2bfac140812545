"""What partners may do now: the live grants, as the Inbox API asks for them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from paraph.protocol.scope import Scope
from paraph.server.consent import grant_store, partner_store
from paraph.server.consent.gate import GrantGate
from paraph.server.consent.model import HeldGrant
from paraph.server.storage import Transaction


@dataclass(frozen=True, slots=True)
class LiveGrant:
    """A grant that gives something now, and what."""

    held: HeldGrant
    scope: Scope

    @property
    def grant_id(self) -> str:
        """The grant's id."""
        return self.held.grant.grant_id

    @property
    def person(self) -> str:
        """The author who made it."""
        return self.held.grant.person


@dataclass(frozen=True, slots=True)
class Named:
    """A grant, whatever has become of it, and what it gives now (None: nothing)."""

    held: HeldGrant
    scope: Scope | None

    @property
    def live(self) -> LiveGrant | None:
        """The grant if it gives something now."""
        return None if self.scope is None else LiveGrant(self.held, self.scope)


class LiveGrants:
    """Reads live grants; every answer holds for the transaction it was given in.

    `only` is the one grant that the caller's token is for (`PartnerPrincipal.grant_id`), or None for all.
    """

    def __init__(self, gate: GrantGate, clock: Callable[[], int]) -> None:
        self._gate = gate
        self._clock = clock

    def between(self, tx: Transaction, person: str, slug: str, only: str | None = None) -> list[LiveGrant]:
        """One person's live grants to a partner, oldest first."""
        if not self._gate.may_have_grants(person):
            return []
        found = grant_store.open_grants_between(tx, person, slug, self._clock())
        return self._live(tx, slug, [held for held in found if only in (None, held.grant.grant_id)])

    def to(self, tx: Transaction, slug: str, only: str | None = None) -> list[LiveGrant]:
        """Everybody's live grants to a partner."""
        if only is not None:
            held = grant_store.grant(tx, only)
            return [] if held is None or held.grant.partner != slug else self._live(tx, slug, [held])
        return self._live(tx, slug, grant_store.open_grants_to(tx, slug, self._clock()))

    def get(self, tx: Transaction, grant_id: str) -> LiveGrant | None:
        """One grant, if it gives something now."""
        held = grant_store.grant(tx, grant_id)
        return None if held is None else next(iter(self._live(tx, held.grant.partner, [held])), None)

    def named(self, tx: Transaction, slug: str, grant_ids: Iterable[str]) -> dict[str, Named]:
        """These of the partner's grants, each with its scope now, or None where it gives nothing."""
        now, agreements, found = self._clock(), partner_store.agreements(tx, slug), {}
        for grant_id in grant_ids:
            held = grant_store.grant(tx, grant_id)
            if held is not None and held.grant.partner == slug:
                found[grant_id] = Named(held, held.scope(agreements, now))
        return found

    def _live(self, tx: Transaction, slug: str, grants: list[HeldGrant]) -> list[LiveGrant]:
        if not grants:
            return []
        now, agreements = self._clock(), partner_store.agreements(tx, slug)
        scopes = ((held, held.scope(agreements, now)) for held in grants)
        return [LiveGrant(held, scope) for held, scope in scopes if scope is not None]
