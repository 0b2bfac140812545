"""A person's grants as her device sees them: making one, and the verified view that decides who gets keys.

The view is fail-closed: whatever fails leaves that partner out, and a log that cannot be relied upon leaves all of them
out. What a view costs is in docs/adr/0012-no-record-no-key.md.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from paraph.protocol.agreement import Agreement
from paraph.protocol.consent import TEMPLATE, render, text_hash
from paraph.protocol.documents import parse
from paraph.protocol.enrolment import key_hash
from paraph.protocol.entry import grant_key, week_of
from paraph.protocol.errors import ProtocolError
from paraph.protocol.grant import Grant
from paraph.protocol.limits import DAY_MS, MERGE_DELAY_MS
from paraph.protocol.map_key import public_map_key
from paraph.protocol.scope import check_within
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import GrantView, PartnerAccess
from paraph.sdk.engine.secrets import LOG_KEY
from paraph.sdk.errors import HiddenRecordsError, LogError, NotEnrolledError, SdkError, TransportError
from paraph.sdk.keystore import Records
from paraph.sdk.log.partners import PartnerInfo, Partners, ProvenPartner, dated, proven
from paraph.sdk.log.receipts import LedgerEntry, read_entry, read_own_entry
from paraph.sdk.log.statements import Statements
from paraph.sdk.log.view import INTEGRATION_MS, MAX_AGE, LogView
from paraph.sdk.person.ledger import Account, OwnLedger
from paraph.sdk.person.own_receipts import OwnReceipts
from paraph.sdk.person.standing import GrantState, Holder, Standing, read_state
from paraph.sdk.transport import PARAPH, Transport

log = logging.getLogger(__name__)

GIVEN_UP = "grant-given-up"
TREES = 3
"""Trees that a view is begun under, when the platform gives up the map of one before it is asked."""
EARLY_MS = DAY_MS
"""How far the clocks of a person's devices and the platform may be apart, where a week is named by one of them."""


class Grants:
    """The grants of one person, read and made by one of her devices."""

    def __init__(
        self,
        transport: Transport,
        records: Records,
        log_view: LogView,
        partners: Partners,
        engine: DeviceEngine,
        receipts: OwnReceipts,
    ) -> None:
        self._transport = transport
        self._records = records
        self._log = log_view
        self._partners = partners
        self._engine = engine
        self.receipts = receipts
        self._ledger = OwnLedger(transport, records)

    @property
    def log_key(self) -> bytes:
        """The account log key k. Raises NotEnrolledError."""
        key = self._records.get(LOG_KEY, "self", bytes)
        if key is None:
            raise NotEnrolledError("this device is not enrolled")
        return key

    @property
    def master_key(self) -> str:
        """The person's own master key, as this device has it or pinned it. Raises NotEnrolledError."""
        user = self._engine.users.get(self._engine.user_id)
        if user is None or user.master is None:
            raise NotEnrolledError("this device knows no identity of its person")
        return user.master

    async def states(self) -> tuple[int, list[GrantState]]:
        """The platform's version and every grant whose signature chain leads to the person's own master key."""
        answer = await self._transport.json("GET", f"{PARAPH}/grants")
        version = answer.get("version")
        if not isinstance(version, int):
            raise TransportError("the platform names no version of the grants")
        states = []
        for listed in answer.get("grants", []):
            try:
                states.append(read_state(listed, person=self._engine.user_id, master_key=self.master_key))
            except (ProtocolError, KeyError, TypeError) as error:
                log.warning("a grant does not check and is left out: %s", error)
        return version, states

    async def view(self, now: int) -> tuple[int, GrantView | None]:
        """The platform's version of the grants, and the verified view, or None when the log is not to be relied on."""
        version, states = await self.states()
        active = [s for s in states if s.live and not (s.revoked or s.ended or self._gave_up(s.grant.grant_id))]
        if not active:
            return version, GrantView(version, now)
        try:
            standing, quorum = await self._standing(version, active)
        except SdkError as error:
            log.warning("no partner gets keys: %s", error)
            return version, None
        # A clock that runs behind the witnesses' must not let a grant outlive its `until`.
        behind = max(0, self._log.time - now)
        found = [self._access_or_none(standing, state, now, behind) for state in active]
        expires = 1000 * (quorum + MAX_AGE) - behind
        return version, GrantView(version, now, tuple(a for a in found if a is not None), expires)

    async def proven_partner(self, slug: str) -> ProvenPartner:
        """The partner, with all that the log has about it. Raises LogError, TrustError, IdentityChangedError.

        An agreement that was published a moment ago is waited for.
        """
        current = (await self._partners.get(slug)).newest_leaf
        if current is not None:
            await self._log.prove_hash(current, wait_ms=INTEGRATION_MS)
        await self._log.refresh()
        info = await self._partners.get(slug)
        statements = await self._log.statements([info.map_key])
        found = proven(info, statements)
        self._partners.pin(info)
        return await dated(found, statements, self._transport, self._records)

    async def confirm(self, rendered: Any, *, since: int = 0) -> LedgerEntry:
        """Check an entry the platform answered with, and that it is in the log under its own time.

        An entry before `since` (ms), or after the epoch that has it, would lie in a week where nobody looks for it.
        Of one that is not in the log within ten seconds the receipt is kept. Raises ReceiptError, LogError.
        """
        key = self._records.get(LOG_KEY, "self", bytes)
        # A device that never enrolled may end a grant too; it cannot check the label then.
        entry = read_entry(rendered) if key is None else read_own_entry(rendered, key)
        try:
            await self._log.prove(entry.leaf, wait_ms=INTEGRATION_MS)
        except LogError:
            await self.receipts.keep(rendered, entry)
            raise
        seen = self._log.seen
        if seen is None or entry.ts > seen.time + MERGE_DELAY_MS or week_of(entry.ts) < self._week_before(since):
            raise LogError("the entry is recorded under another time than now")
        return entry

    def give_up(self, grant_id: str) -> None:
        """This device shares nothing more under the grant, whatever the platform says of it."""
        with self._records.step():
            self._records.put(GIVEN_UP, grant_id, True)

    async def entries(self) -> list[LedgerEntry]:
        """All ledger entries of the person, oldest first, each under its right label. Raises ReceiptError."""
        found: list[LedgerEntry] = []
        start = 0
        while True:
            params = {"from": start, "limit": 100}
            answer = await self._transport.json("GET", f"{PARAPH}/entries", params=params)
            page = [read_own_entry(rendered, self.log_key) for rendered in answer.get("entries", [])]
            found += page
            if not page or answer.get("next") in (None, start):
                return found
            start = answer["next"]

    def unsigned(self, terms: Mapping[str, Any], info: PartnerInfo, agreement: Agreement) -> tuple[dict[str, Any], str]:
        """A grant ready to be signed by this device, and the text the person is to be shown for it.

        `terms` gives grant_id, verbs, rooms, purposes, from, until, history and retention_days. Raises ProtocolError
        for terms beyond the agreement.
        """
        document: dict[str, Any] = {
            "type": "org.paraph.grant",
            "person": self._engine.user_id,
            "device_id": self._engine.device_id,
            "master_key": self.master_key,
            "partner": info.slug,
            "agreement": {"version": agreement.version, "hash": agreement.hash},
            "grant_key_hash": key_hash(grant_key(self.log_key, terms["grant_id"])),
            **terms,
        }
        text = render(TEMPLATE, document, agreement)
        consent = {"template": TEMPLATE.template, "locale": TEMPLATE.locale, "text_hash": text_hash(text)}
        document["consent"] = consent
        check_within(parse(Grant, document), agreement)
        return document, text

    async def _standing(self, version: int, active: Sequence[GrantState]) -> tuple[Standing, int]:
        """What the log has about this account and these grants' partners, and when a quorum cosigned that (seconds).

        First the tree, then its map and the lists: so whatever is in the tree was recorded before the lists were made.
        Raises SdkError.
        """
        slugs = sorted({state.grant.partner for state in active})
        for _ in range(TREES):
            tree = await self._log.refresh()
            weeks = self._ledger.keys(self.log_key, min(map(self._began, active)) - EARLY_MS, self._log.time)
            keys = [*weeks.values(), *map(public_map_key, slugs)]
            statements, _ = await asyncio.gather(self._log.statements(keys), self._ledger.fetch(self.log_key))
            if statements.tree.size == tree.size:
                account = await self._account(weeks, statements)
                partners = await asyncio.gather(*(self._partner(slug, version, statements) for slug in slugs))
                found = {partner.info.slug: partner for partner in partners if partner is not None}
                return Standing(Holder(self.master_key, self.log_key), account, found), tree.cosigned.time
        raise LogError("the platform keeps the map of its newest tree for too short a time")

    async def _account(self, weeks: Mapping[int, bytes], statements: Statements) -> Account:
        """The account under this tree, with the enrolments of the weeks before."""
        try:
            account = self._ledger.check(weeks, statements)
        except HiddenRecordsError as error:
            # Perhaps an entry was left out when this device asked before: it asks for all of them, once.
            log.warning("%s; all entries are fetched again", error)
            await self._ledger.fetch(self.log_key, again=True)
            account = self._ledger.check(weeks, statements)
        before = [entry.leaf for entry, _ in account.of("device") if entry.leaf not in account.logged]
        found = {leaf for leaf in before if await self._is_logged(leaf)}
        return replace(account, logged=account.logged | found)

    async def _is_logged(self, leaf: bytes) -> bool:
        try:
            await self._log.prove_hash(leaf)
        except LogError as error:
            log.warning("an enrolment is not proven: %s", error)
            return False
        return True

    async def _partner(self, slug: str, version: int, statements: Statements) -> ProvenPartner | None:
        try:
            leaves = statements.leaves(public_map_key(slug))
            partner = proven(await self._partners.current(slug, version, leaves), statements)
            self._partners.pin(partner.info)
            partner = await dated(partner, statements, self._transport, self._records)
        except SdkError as error:
            log.warning("partner %s gets no keys: %s", slug, error)
            return None
        return partner

    def _began(self, state: GrantState) -> int:
        """The earliest time (ms) at which something could have ended or narrowed the grant."""
        entry = self._ledger.grant_entry(state.document)
        return state.grant.from_ if entry is None else min(state.grant.from_, entry.ts)

    def _week_before(self, since: int) -> int:
        return week_of(max(since - EARLY_MS, 0))

    def _access_or_none(self, standing: Standing, state: GrantState, now: int, behind: int) -> PartnerAccess | None:
        try:
            return standing.access(state, now + behind, behind)
        except (SdkError, ProtocolError) as error:
            log.warning("partner %s gets no keys: %s", state.grant.partner, error)
            return None

    def _gave_up(self, grant_id: str) -> bool:
        return self._records.get(GIVEN_UP, grant_id, bool) is True
