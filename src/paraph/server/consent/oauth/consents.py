"""What a person's client does with a pushed request: look at it, grant or decline it, and get the redirect.

The redirect, and with it the code, goes to the client of the person who answered and to nobody else: not to the page
that showed the request, since whoever lured her there may be looking at it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paraph.protocol.authorization import check_asked, check_granted
from paraph.protocol.documents import parse
from paraph.protocol.grant import Grant
from paraph.server.consent import grant_store, partner_store
from paraph.server.consent.errors import Conflict, GrantOver, NoAgreement, not_found, refusing
from paraph.server.consent.grants import Grants, Outcome
from paraph.server.consent.model import Partner
from paraph.server.consent.oauth import requests
from paraph.server.consent.oauth.redirects import redirect
from paraph.server.consent.oauth.requests import DECLINED, GRANTED, OPEN, PUSHED, Request
from paraph.server.consent.partners import Partners
from paraph.server.http import PersonPrincipal
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database, Transaction
from paraph.tlog.merkle import leaf_hash

ANSWER_WITHIN_MS = 900_000
"""How long a person may read and think, once she has opened the request."""
COLLECT_WITHIN_MS = 600_000
"""How long her client may take to collect the redirect after her answer."""
_DONE = "done"
_PENDING = "pending"


@dataclass(frozen=True, slots=True)
class View:
    """A request as it stands, the leaf that a code waits for, and what goes back to the partner if that is ready."""

    rendered: dict[str, Any]
    leaf: bytes | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows: a request, who makes it, and the agreement in force (None: none is)."""

    request: Request
    partner: Partner
    version: int | None


class Consents:
    """Requests on their way through people's clients."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        grants: Grants,
        partners: Partners,
        issuer: str,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._grants = grants
        self._partners = partners
        self._issuer = issuer
        self._clock = clock

    # -- looking --

    def found(self, tx: Transaction, slug: str, request_id: str) -> Shown | None:
        """A partner's request that a page may show: there, not answered, not too old."""
        found = requests.find(tx, request_id)
        if found is None or found.asked.expires <= self._clock() or found.status not in (PUSHED, OPEN):
            return None
        if found.asked.partner != slug:
            return None
        current = self._partners.agreements(tx, slug).in_force(self._clock())
        return Shown(found, self._partners.get(tx, slug), None if current is None else current.version)

    def shown(self, tx: Transaction, slug: str, request_id: str) -> Shown | None:
        """The same, and from now on it waits for a person to answer."""
        if self.found(tx, slug, request_id) is not None:
            requests.open_(tx, request_id, self._clock() + ANSWER_WITHIN_MS)
        return self.found(tx, slug, request_id)

    async def look(self, caller: PersonPrincipal, request_id: str, timeout_ms: int) -> dict[str, Any]:
        """The request as the caller's client sees it; waits for the redirect, if one is under way. Raises 404."""
        return await self._followed(caller, request_id, timeout_ms)

    def _mine(self, tx: Transaction, caller: PersonPrincipal, request_id: str) -> Request:
        """A request that nobody else has opened; it is the caller's from now on."""
        found = requests.find(tx, request_id)
        if found is None or found.asked.expires <= self._clock() or found.person not in (None, caller.user_id):
            raise not_found("there is no such request: it has run out, or somebody else opened it")
        if found.person is None:
            self.shown(tx, found.asked.partner, request_id)
            requests.claim(tx, request_id, caller.user_id)
        return requests.find(tx, request_id) or found

    # -- answering --

    async def answer(
        self, caller: PersonPrincipal, request_id: str, document: Mapping[str, Any] | None, timeout_ms: int
    ) -> tuple[dict[str, Any], Outcome | None]:
        """Grant (a signed grant, for no more than is asked) or decline (None); the same answer again is the same."""

        def write(tx: Transaction) -> Outcome | None:
            found = self._mine(tx, caller, request_id)
            if document is not None:
                return self._grant(tx, caller, found, document)
            self._decline(tx, found)
            return None

        outcome = await self._database.write(write)
        return await self._followed(caller, request_id, timeout_ms), outcome

    def _decline(self, tx: Transaction, found: Request) -> None:
        if found.status == GRANTED:
            raise Conflict("you have granted this; revoke the grant instead")
        requests.answer(tx, found.asked.id, DECLINED, None, self._clock() + COLLECT_WITHIN_MS)

    def _grant(self, tx: Transaction, caller: PersonPrincipal, found: Request, document: Mapping[str, Any]) -> Outcome:
        with refusing():
            grant = parse(Grant, document)
            check_granted(grant, found.asked.details, found.asked.partner)
        if found.status == DECLINED or found.grant_id not in (None, grant.grant_id):
            raise Conflict("this request was answered before, in another way")
        outcome = self._grants.create(tx, caller, document)
        if not self._is_live(tx, grant.grant_id):
            raise GrantOver(grant.grant_id, "is over; a request is answered by a live grant")
        requests.answer(tx, found.asked.id, GRANTED, grant.grant_id, self._clock() + COLLECT_WITHIN_MS)
        return outcome

    # -- what goes back --

    async def _followed(self, caller: PersonPrincipal, request_id: str, timeout_ms: int) -> dict[str, Any]:
        """The request; where its grant is recorded, with the redirect once the leaf is under a cosigned checkpoint."""
        view = await self._database.write(lambda tx: self._view(tx, self._mine(tx, caller, request_id)))
        if view.leaf is None or await self._ledger.integrated(leaf_hash(view.leaf), timeout_ms) is None:
            return view.rendered
        return await self._database.write(
            lambda tx: view.rendered | self._with_code(tx, self._mine(tx, caller, request_id))
        )

    def _view(self, tx: Transaction, found: Request) -> View:
        asked = found.asked
        partner, agreement = self._partners.get(tx, asked.partner), self._partners.agreements(tx, asked.partner)
        current = agreement.in_force(self._clock())
        rendered = {
            "id": asked.id,
            "partner": {"slug": partner.slug, "name": partner.name, "user_id": self._partners.user_id(partner.slug)},
            "authorization_details": [asked.details.document],
            "agreement": None if current is None else {"version": current.version, "hash": current.hash},
            "redirect_uri": asked.redirect_uri,
            "expires": asked.expires,
            "status": found.status,
            "redirect": None,
        }
        if found.status == DECLINED:
            return View(rendered | {"redirect": self._denied(found)})
        if found.status != GRANTED or found.grant_id is None:
            if current is None:
                raise NoAgreement(asked.partner)
            with refusing():
                check_asked(asked.details, current, self._clock())
            return View(rendered)
        held = grant_store.grant(tx, found.grant_id)
        if held is None:
            raise not_found("there is no such grant")
        return View(rendered | {"status": _PENDING}, self._ledger.entry(tx, held.seq).leaf)

    def _with_code(self, tx: Transaction, found: Request) -> dict[str, Any]:
        if found.redeemed is not None:
            return {"status": _DONE}
        if found.grant_id is None or not self._is_live(tx, found.grant_id):
            return {"status": _DONE, "redirect": self._denied(found)}
        code = requests.code(tx, found, self._clock())
        asked = found.asked
        return {"status": _DONE, "redirect": redirect(asked.redirect_uri, self._issuer, asked.state, code=code)}

    def _denied(self, found: Request) -> str:
        asked = found.asked
        return redirect(asked.redirect_uri, self._issuer, asked.state, error="access_denied")

    def _is_live(self, tx: Transaction, grant_id: str) -> bool:
        held = grant_store.grant(tx, grant_id)
        if held is None:
            return False
        return held.scope(partner_store.agreements(tx, held.grant.partner), self._clock()) is not None
