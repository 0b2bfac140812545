"""A person's grants as her device sees them: making one, and the verified view that decides who gets keys.

The view is fail-closed: a partner is in it only after its grant, its agreement and its device have been verified and
proven to be in a log whose newest epoch is young; whatever fails leaves that partner out, and a log that cannot be
relied upon leaves all of them out.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paraph.protocol.agreement import Agreement
from paraph.protocol.consent import TEMPLATE, render, text_hash
from paraph.protocol.documents import parse
from paraph.protocol.enrolment import key_hash
from paraph.protocol.entry import grant_key
from paraph.protocol.errors import ProtocolError
from paraph.protocol.grant import Amendment, Grant, verify_amendment, verify_grant
from paraph.protocol.scope import Scope, check_within, effective_scope
from paraph.protocol.signing import document_hash
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import GrantView, PartnerAccess
from paraph.sdk.errors import (
    LogError,
    NotEnrolledError,
    SdkError,
    TransportError,
    TrustError,
)
from paraph.sdk.keystore import Records
from paraph.sdk.logview import INTEGRATION_MS, LogView
from paraph.sdk.partners import PartnerInfo, Partners
from paraph.sdk.receipts import LedgerEntry, read_entry, read_own_entry
from paraph.sdk.transport import PARAPH, Transport

log = logging.getLogger(__name__)

LOG_KEY = "log-key"
LOGGED = "grant-logged"
READ = "read"


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


class Grants:
    """The grants of one person, read and made by one of her devices."""

    def __init__(
        self, transport: Transport, records: Records, log_view: LogView, partners: Partners, engine: DeviceEngine
    ) -> None:
        self._transport = transport
        self._records = records
        self._log = log_view
        self._partners = partners
        self._engine = engine

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
                states.append(self._state(listed))
            except (ProtocolError, KeyError, TypeError) as error:
                log.warning("a grant does not check and is left out: %s", error)
        return version, states

    async def view(self, now: int) -> tuple[int, GrantView | None]:
        """The platform's version of the grants, and the verified view, or None when the log is not to be relied on."""
        version, states = await self.states()
        active = [s for s in states if s.live and not s.revoked and not s.ended]
        if not active:
            return version, GrantView(version, now)
        try:
            await self._log.refresh()
        except SdkError as error:
            log.warning("no partner gets keys: %s", error)
            return version, None
        # A clock that runs behind the witnesses' must not let a grant outlive its `until`.
        behind = self._log.time - now
        found = [await self._access_or_none(state, now, behind) for state in active]
        return version, GrantView(version, now, tuple(a for a in found if a is not None))

    async def confirm(self, rendered: Any) -> LedgerEntry:
        """Check an entry the platform answered with, and that it is in the log. Raises ReceiptError, LogError."""
        key = self._records.get(LOG_KEY, "self", bytes)
        # A device that never enrolled may end a grant too; it cannot check the label then.
        entry = read_entry(rendered) if key is None else read_own_entry(rendered, key)
        await self._log.prove(entry.leaf, wait_ms=INTEGRATION_MS)
        return entry

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

    def note_logged(self, grant: Grant) -> None:
        """Remember that the grant's entry was proven to be in the log."""
        with self._records.step():
            self._records.put(LOGGED, grant.grant_id, grant.hash)

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

    def _state(self, listed: dict[str, Any]) -> GrantState:
        grant = verify_grant(listed["grant"], listed["chain"], master_key=self.master_key)
        if grant.person != self._engine.user_id:
            raise ProtocolError("the grant is another person's")
        amendments = tuple(_amendment(item, grant, self.master_key) for item in listed["amendments"])
        revoked, ended = listed["revocation"] is not None, listed["ended"] is not None
        live = listed["live"] is True
        return GrantState(grant, listed["grant"], listed["chain"], amendments, revoked, ended, live)

    async def _access_or_none(self, state: GrantState, now: int, behind: int) -> PartnerAccess | None:
        try:
            return await self._access(state, now + behind, behind)
        except (SdkError, ProtocolError) as error:
            log.warning("partner %s gets no keys: %s", state.grant.partner, error)
            return None

    async def _access(self, state: GrantState, at: int, behind: int) -> PartnerAccess | None:
        grant = state.grant
        info = await self._partners.get(grant.partner)
        self._partners.pin(info)
        scope = await self._scope(state, info, at)
        if scope is None or READ not in scope.verbs:
            return None
        await self._prove_grant(grant, state.document)
        devices = await self._partners.live_devices(info, at)
        until = scope.until - behind
        return PartnerAccess(grant.grant_id, info.user_id, scope.rooms, until, devices, scope.excluded)

    async def _scope(self, state: GrantState, info: PartnerInfo, at: int) -> Scope | None:
        own, current = info.agreement(state.grant.agreement.hash), info.in_force(at)
        if own is None:
            raise TrustError("the platform does not show the agreement that the grant names")
        for agreement in {own.hash: own} | ({} if current is None else {current.hash: current}):
            await self._log.prove(info.leaves[agreement])
        amendments = [parse(Amendment, document) for document in state.amendments]
        ended = state.ended or own.hash in info.ended
        return effective_scope(state.grant, amendments, own, current, at=at, revoked=state.revoked, ended=ended)

    async def _prove_grant(self, grant: Grant, document: Mapping[str, Any]) -> None:
        """The grant's entry is in the log: as this device saw when it made it, or found among the entries."""
        if self._records.get(LOGGED, grant.grant_id, str) == grant.hash:
            return
        for entry in await self.entries():
            if entry.kind == "grant" and entry.body.get("grant") == document:
                await self._log.prove(entry.leaf)
                self.note_logged(grant)
                return
        raise LogError("the grant is not among the person's ledger entries")


def _amendment(item: Mapping[str, Any], grant: Grant, master_key: str) -> dict[str, Any]:
    verify_amendment(item["amendment"], item["chain"], grant=grant, master_key=master_key)
    return dict(item["amendment"])
