"""What a device does for its person towards partners: enrolment, grants, and the fresh view behind each message."""

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paraph.protocol.base64 import b64url
from paraph.protocol.documents import parse
from paraph.protocol.entry import grant_key
from paraph.protocol.grant import Grant
from paraph.protocol.signing import sign
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import GrantView, PartnerAccess, Peer
from paraph.sdk.engine.secrets import LOG_KEY
from paraph.sdk.errors import ConsentRefusedError, NotEnrolledError, SdkError, TrustError
from paraph.sdk.keystore import Records
from paraph.sdk.log.partners import PartnerInfo, Partners, Trust
from paraph.sdk.log.receipts import LedgerEntry
from paraph.sdk.log.trust import Pinned
from paraph.sdk.log.view import INTEGRATION_MS, LogView
from paraph.sdk.person.driver import Driver
from paraph.sdk.person.grants import Grants
from paraph.sdk.person.own_receipts import OwnReceipts
from paraph.sdk.person.standing import GrantState, agreement_for
from paraph.sdk.transport import PARAPH, Transport, path

log = logging.getLogger(__name__)

ENROLLED = "enrolled"
KEY_SENT = "grant-key-sent"
GRANT_KEY = "org.paraph.grant_key"
VIEW_REFRESH_MS = 60_000
# A log that could not be relied upon is asked again soon, yet not with every message.
VIEW_RETRY_MS = 5_000


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """What a person allows. `rooms` None means all her rooms; `until` is milliseconds since 1970.

    `retention_days` is how long the partner promises to keep what it opened. `history` is the time (ms) from which on
    it may open older words as well: those that her enrolled devices wrote themselves, as their own records have it.
    """

    purposes: Sequence[str]
    until: int
    rooms: Sequence[str] | None = None
    verbs: Sequence[str] = ("read",)
    retention_days: int = 0
    history: int | None = None


class Consent:
    """One device's side of its person's consent. `now()` gives milliseconds since 1970."""

    def __init__(
        self,
        transport: Transport,
        records: Records,
        engine: DeviceEngine,
        driver: Driver,
        trust: Trust | None,
        now: Callable[[], int],
    ) -> None:
        """`trust` is what the caller pins; without it the platform's keys are pinned at first use."""
        self._transport = transport
        self._records = records
        self._engine = engine
        self._driver = driver
        self._pinned = Pinned(transport, records, trust)
        self._now = now
        self._loaded: tuple[Grants, Partners, LogView] | None = None
        self._view: GrantView | None = None
        self._version: int | None = None
        self._viewed_at: int | None = None
        self._viewing = asyncio.Lock()

    # Enrolment

    @property
    def log_key_or_none(self) -> bytes | None:
        """The account log key, if this device has it."""
        return self._records.get(LOG_KEY, "self", bytes)

    def adopt_log_key(self, key: bytes) -> None:
        """Take over the account log key of the person's other device."""
        with self._records.step():
            self._records.put(LOG_KEY, "self", key)

    @property
    def enrolled(self) -> bool:
        """Whether the platform has recorded this device."""
        return self._records.get(ENROLLED, "self", dict[str, Any]) is not None

    async def enrol(self) -> LedgerEntry:
        """Enrol this device, with a new account log key unless the person has one already."""
        grants, _, _ = await self._parts()
        if self._engine.identity is None:
            raise NotEnrolledError("only a device that holds the person's identity can enrol")
        if self.log_key_or_none is None:
            self.adopt_log_key(os.urandom(32))
        document = self._enrolment(grants.log_key)
        body = {"enrolment": document, "log_key": b64url(grants.log_key)}
        answer = await self._transport.json("POST", f"{PARAPH}/enrol", body, idempotent=True)
        entry = await grants.confirm(answer.get("entry"))
        if entry.kind != "device" or entry.body.get("enrolment") != document:
            raise TrustError("the platform recorded another enrolment than this device's")
        with self._records.step():
            self._records.put(ENROLLED, "self", document)
        return entry

    def _enrolment(self, log_key: bytes) -> dict[str, Any]:
        """The enrolment document; made once, so that a repetition is the same document."""
        made = self._records.get(ENROLLED, "document", dict[str, Any])
        identity, account = self._engine.identity, self._engine.account
        if made is not None or identity is None:
            return made or {}
        document = {
            "type": "org.paraph.enrolment",
            "user_id": account.user_id,
            "device_id": account.device_id,
            "master_key": identity.master.public_key,
            "curve25519": account.curve25519,
            "ed25519": account.ed25519,
            "log_key_hash": b64url(hashlib.sha256(log_key).digest()),
            "created": self._now(),
        }
        signed = sign(account.signed(document), account.user_id, identity.master.key_id, identity.master.sign)
        with self._records.step():
            self._records.put(ENROLLED, "document", signed)
        return signed

    # The view

    async def fresh_view(self) -> tuple[int | None, GrantView | None]:
        """The grants version to name in clear, and the verified view; (None, None) on a device that is not enrolled.

        The view is at most a minute old. When it cannot be had, it is None and no partner gets keys.
        """
        if not self.enrolled:
            return None, None
        async with self._viewing:
            now = self._now()
            most = VIEW_RETRY_MS if self._view is None else VIEW_REFRESH_MS
            if self._viewed_at is None or not 0 <= now - self._viewed_at < most or self._is_over(now):
                await self._refresh_view(now)
            return self._version, self._view

    def _is_over(self, now: int) -> bool:
        return self._view is not None and not self._view.is_fresh(now, VIEW_REFRESH_MS)

    def forget_view(self) -> None:
        """The next message needs a new view."""
        self._viewed_at = None

    async def _refresh_view(self, now: int) -> None:
        self._view = None
        try:
            grants, _, _ = await self._parts()
            self._version, self._view = await grants.view(now)
            await grants.receipts.look()
        except SdkError as error:
            log.warning("the state of the grants cannot be learnt, no partner gets keys: %s", error)
            return
        self._viewed_at = now
        if self._view is not None:
            await self._send_grant_keys(self._view)

    async def _send_grant_keys(self, view: GrantView) -> None:
        """Give each live partner device the key of its grant, once."""
        lacking = [(a, tuple(p for p in a.devices if not self._has_key(a, p.curve25519))) for a in view.partners]
        lacking = [(access, peers) for access, peers in lacking if peers]
        if not lacking:
            return
        await self._driver.claim(peer for _, peers in lacking for peer in peers)
        with self._records.step():
            for access, peers in lacking:
                key = grant_key(self.log_key_or_none or b"", access.grant_id)
                content = {"grant_id": access.grant_id, "grant_key": b64url(key)}
                for peer in self._engine.send_to_partner(access.grant_id, peers, GRANT_KEY, content):
                    self._records.put(KEY_SENT, f"{access.grant_id}/{peer.curve25519}", True)
        refused = self._driver.refused_shares
        await self._driver.drain()
        if self._driver.refused_shares != refused:
            self._unsend(lacking)

    def _unsend(self, lacking: list[tuple[PartnerAccess, tuple[Peer, ...]]]) -> None:
        """The platform refused keys just queued: they are sent again with the next view, if that still lists them."""
        self.forget_view()
        with self._records.step():
            for access, peers in lacking:
                for peer in peers:
                    self._records.delete(KEY_SENT, f"{access.grant_id}/{peer.curve25519}")

    def _has_key(self, access: PartnerAccess, curve25519: str) -> bool:
        return self._records.get(KEY_SENT, f"{access.grant_id}/{curve25519}", bool) is True

    # Grants

    async def partners(self) -> list[PartnerInfo]:
        """The partners whose public records verify."""
        _, partners, _ = await self._parts()
        return await partners.all()

    async def grants(self) -> list[GrantState]:
        """The person's grants."""
        grants, _, _ = await self._parts()
        return (await grants.states())[1]

    async def entries(self, *, prove: bool) -> list[LedgerEntry]:
        """The person's ledger entries; see `Person.entries`."""
        grants, _, log_view = await self._parts()
        found = await grants.entries()
        for entry in found if prove else ():
            await log_view.prove(entry.leaf, wait_ms=INTEGRATION_MS)
        return found

    async def grant(self, slug: str, terms: GrantTerms, *, agree: Callable[[str], bool] | None) -> GrantState:
        """Make a grant; see `Person.grant`."""
        return (await self.grant_at(f"{PARAPH}/grants", slug, terms, agree=agree))[0]

    async def grant_at(
        self,
        url: str,
        slug: str,
        terms: GrantTerms,
        *,
        agree: Callable[[str], bool] | None,
        check: Callable[[Grant], None] = lambda _grant: None,
    ) -> tuple[GrantState, dict[str, Any]]:
        """Make a grant by posting it to `url`, unless `check` raises; the grant, and all the platform answered."""
        if not self.enrolled:
            raise NotEnrolledError("this device has to enrol before it can grant anything")
        grants, _, log_view = await self._parts()
        partner = await grants.proven_partner(slug)
        document, text = grants.unsigned(self._terms(terms), partner.info, agreement_for(partner, log_view.time))
        check(parse(Grant, document))
        if agree is not None and not agree(text):
            raise ConsentRefusedError("the person did not agree")
        signed = self._engine.account.signed(document)
        answer = await self._transport.json("POST", url, {"grant": signed})
        grant = parse(Grant, signed)
        entry = await grants.confirm(answer.get("entry"), since=grant.from_)
        if entry.kind != "grant" or entry.body.get("grant") != signed:
            raise TrustError("the platform recorded another grant than the one signed")
        self.forget_view()
        await self.fresh_view()
        return GrantState(grant, signed, entry.body["chain"], (), revoked=False, ended=False, live=True), answer

    def _terms(self, terms: GrantTerms) -> dict[str, Any]:
        return {
            "grant_id": "gr_" + b64url(os.urandom(16)),
            "verbs": list(terms.verbs),
            "rooms": "all" if terms.rooms is None else list(terms.rooms),
            "purposes": list(terms.purposes),
            "from": self._now(),
            "until": terms.until,
            "history": terms.history,
            "retention_days": terms.retention_days,
        }

    async def revoke(self, grant_id: str, reason: str | None) -> LedgerEntry:
        """End a grant for good."""
        grants, _, _ = await self._parts()
        grants.give_up(grant_id)
        self.forget_view()
        since = next((s.grant.from_ for s in (await grants.states())[1] if s.grant.grant_id == grant_id), 0)
        body = {} if reason is None else {"reason": reason}
        url = path(PARAPH + "/grants/{}/revoke", grant_id)
        answer = await self._transport.json("POST", url, body, idempotent=True)
        return await self._confirmed(grants, answer, "revoke", grant_id, since)

    async def pause(self, grant_id: str) -> str:
        """Suspend a grant; returns the pause id."""
        pause_id = b64url(os.urandom(32))
        await self.amend(grant_id, {"op": "pause", "pause_id": pause_id})
        return pause_id

    async def amend(self, grant_id: str, change: dict[str, Any]) -> LedgerEntry:
        """Narrow a grant (or take a pause back), signed by this device."""
        grants, _, _ = await self._parts()
        self.forget_view()
        state = next((s for s in (await grants.states())[1] if s.grant.grant_id == grant_id), None)
        if state is None:
            raise TrustError(f"there is no grant {grant_id} of this person")
        amendment = {
            "type": "org.paraph.amendment",
            "grant_id": grant_id,
            "person": self._engine.user_id,
            "device_id": self._engine.device_id,
            "previous": state.tip,
            "change": change,
            "created": self._now(),
        }
        body = {"amendment": self._engine.account.signed(amendment)}
        answer = await self._transport.json("POST", path(PARAPH + "/grants/{}/amendments", grant_id), body)
        return await self._confirmed(grants, answer, "amend", grant_id, state.grant.from_)

    async def _confirmed(
        self, grants: Grants, answer: dict[str, Any], kind: str, grant_id: str, since: int
    ) -> LedgerEntry:
        entry = await grants.confirm(answer.get("entry"), since=since)
        document = entry.body.get("revocation" if kind == "revoke" else "amendment")
        if entry.kind != kind or not isinstance(document, dict) or document.get("grant_id") != grant_id:
            raise TrustError(f"the platform recorded something else than this {kind}")
        return entry

    # Trust

    async def trust(self) -> Trust:
        """The platform's keys and witness policy, as given by the caller or pinned at first use.

        Raises TrustError on a change.
        """
        return await self._pinned.trust()

    async def _parts(self) -> tuple[Grants, Partners, LogView]:
        if self._loaded is None:
            trust = await self.trust()
            server_name = self._engine.user_id.partition(":")[2]
            log_view = LogView(self._transport, self._records, trust.log_vkey, trust.policy, self._now)
            partners = Partners(self._transport, self._records, trust, server_name)
            receipts = OwnReceipts(self._transport, self._records, log_view, self._now)
            grants = Grants(self._transport, self._records, log_view, partners, self._engine, receipts)
            if trust.policy is None:
                return grants, partners, log_view  # the platform may get witnesses yet: then their policy is pinned
            self._loaded = grants, partners, log_view
        return self._loaded
