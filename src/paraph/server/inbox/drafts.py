"""Drafts: what a partner proposes waits for one of the author's devices, which seals it, or declines.

The platform keeps ciphertext. It decides who may leave a draft and under what it may be sealed, lets one device at a
time have it, and records what became of it; the words, and the room until they are said there, it does not know. Each
step is decided and recorded in one write transaction, the sealing in that of the message itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paraph.protocol.documents import parse
from paraph.protocol.draft import WRITE_DRAFT, Draft, read_via, verify_draft
from paraph.protocol.limits import DAY_MS, MAX_DRAFT_RECIPIENTS
from paraph.server.consent.access import LiveGrant
from paraph.server.consent.errors import Conflict, GrantOver, NotEnrolled, bad_document, forbidden, not_found, refusing
from paraph.server.consent.hooks import GrantChange
from paraph.server.consent.service import Consent
from paraph.server.devices.service import Devices
from paraph.server.http import PartnerPrincipal, PersonPrincipal, Problem
from paraph.server.inbox import draft_store as store
from paraph.server.inbox.draft_store import CLAIMED, DECLINED, EXPIRED, QUEUED, SEALED, WITHDRAWN, HeldDraft, Settlement
from paraph.server.inbox.errors import (
    DraftClaimed,
    DraftNotClaimed,
    DraftSettled,
    no_such_device,
    no_such_draft,
    too_many_claims,
    too_many_drafts,
    verb_not_granted,
)
from paraph.server.inbox.receipts import answered
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.service import Ledger
from paraph.server.messenger.model import Event
from paraph.server.storage import Database, Transaction

LEASE_MS = 60_000
"""How long one device has a draft to itself."""
MAX_OPEN_DRAFTS = 100
"""Open drafts under one grant."""
MAX_LISTED = 20
"""Drafts of each grant in one answer to a person: no partner's drafts stand in another's way."""
MAX_CLAIMS_A_DAY = 20
"""One-time keys of one device that are given out under one grant on one day."""
MAX_AHEAD_MS = 300_000
KEPT_MS = 30 * DAY_MS
"""How long after its time a settled draft's status can be asked for."""
SWEEP_AT_ONCE = 100
OVER = frozenset({"revoked", "ended"})
WAITING = "org.paraph.draft_waiting"
"""To-device event that lets the author's devices ask for their drafts. It says which one, and nothing else."""
ALGORITHM = "signed_curve25519"

Note = Callable[[Transaction, str, str, str], None]
"""`note(tx, partner, draft_id, status)`: something has become of a draft."""
IsClosed = Callable[[Transaction, str], bool]


@dataclass(frozen=True, slots=True)
class Told:
    """A draft as its partner is told of it, with the entries about it."""

    held: HeldDraft
    status: str
    entries: tuple[Recorded, ...]


class Drafts:
    """Every draft of every partner. `is_closed(tx, room_id)` asks the messenger; `clock` gives milliseconds."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        devices: Devices,
        consent: Consent,
        is_closed: IsClosed,
        *,
        clock: Callable[[], int],
        note: Note | None = None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._devices = devices
        self._consent = consent
        self._is_closed = is_closed
        self._clock = clock
        self._note = note
        consent.gate.hooks.on_grant.append(self.on_grant)

    # -- partners --

    async def post(self, caller: PartnerPrincipal, document: dict[str, Any]) -> dict[str, Any]:
        """Take in a signed draft; the same one again answers the same. Raises Problem or MatrixError."""
        return self._rendered(await self._database.write(lambda tx: self._post(tx, caller, document)))

    def _post(self, tx: Transaction, caller: PartnerPrincipal, document: dict[str, Any]) -> Told:
        with refusing():
            draft = parse(Draft, document)
        if draft.partner != caller.slug:
            raise forbidden(f"this draft is one of {draft.partner}, not of {caller.slug}")
        before = store.get(tx, draft.draft_id)
        if before is not None:
            if (before.partner, before.hash) != (caller.slug, draft.hash):
                raise Conflict(f"{draft.draft_id} is taken; a new draft has a new id")
            return self._told(tx, before)
        self._ledger.check_fresh(tx)
        live = self._granted(tx, caller, draft.grant_id)
        self._check_document(tx, draft, document)
        enrolled = {shown["device_id"]: shown for shown in self._consent.grants.enrolled_devices(tx, live.person)}
        for recipient in draft.recipients:
            keys = enrolled.get(recipient.device_id)
            if keys is None or list(recipient.content.ciphertext) != [keys["enrolment"]["curve25519"]]:
                raise bad_document(
                    f"{recipient.device_id[:40]!r} is no enrolled device of the author, or has other keys"
                )
        if store.count_open_under(tx, draft.grant_id, self._clock()) >= MAX_OPEN_DRAFTS:
            raise too_many_drafts(MAX_OPEN_DRAFTS)
        recorded = self._record(tx, live.person, caller.slug, draft.grant_id, draft.draft_id, Settlement(QUEUED))
        store.add(tx, draft, live.person, document, recorded.seq)
        news = {recipient.device_id: {"draft_id": draft.draft_id} for recipient in draft.recipients}
        sender = self._consent.partners.user_id(caller.slug)
        self._devices.queue_to_device(tx, sender, WAITING, {live.person: news}, sender_device=draft.device_id)
        return self._told(tx, self._get(tx, draft.draft_id))

    def _check_document(self, tx: Transaction, draft: Draft, document: dict[str, Any]) -> None:
        """It is of now, and a live device of the partner signed and sealed it."""
        keys = self._consent.partners.live_devices(tx, draft.partner).get(draft.device_id)
        if keys is None:
            raise no_such_device(draft.device_id)
        with refusing():
            ed25519 = keys["keys"][f"ed25519:{draft.device_id}"]
            verify_draft(document, server_name=self._consent.server_name, ed25519=ed25519)
        curve25519 = keys["keys"][f"curve25519:{draft.device_id}"]
        if any(recipient.content.sender_key != curve25519 for recipient in draft.recipients):
            raise bad_document("expected every part to be sealed by the device that signs the draft")
        now = self._clock()
        if draft.created > now + MAX_AHEAD_MS or draft.expires <= now:
            raise bad_document("expected a draft that was made by now and has not expired")

    def _granted(self, tx: Transaction, caller: PartnerPrincipal, grant_id: str) -> LiveGrant:
        """The live grant under which the partner may leave drafts; raises Problem."""
        live = self._consent.live.get(tx, grant_id) if caller.grant_id in (None, grant_id) else None
        if live is None or live.held.grant.partner != caller.slug:
            raise Problem(403, "not-granted", f"{grant_id[:40]} is no live grant to you")
        if WRITE_DRAFT not in live.scope.verbs:
            raise verb_not_granted(WRITE_DRAFT)
        return live

    async def told(self, caller: PartnerPrincipal, draft_id: str) -> dict[str, Any]:
        """What has become of a draft, as its partner is answered; raises Problem."""
        return self._rendered(await self._database.read(lambda tx: self._told(tx, self._own(tx, caller, draft_id))))

    async def withdraw(self, caller: PartnerPrincipal, draft_id: str) -> dict[str, Any]:
        """Take an open draft back, unless a device is sealing it; one that is settled stays as it is."""

        def write(tx: Transaction) -> Told:
            held = self._own(tx, caller, draft_id)
            status = held.status(self._clock())
            if status == CLAIMED:
                raise Problem(409, "draft-claimed", "a device of the author is sealing it; ask again in a minute")
            if status == QUEUED:
                held = self._settle(tx, held, Settlement(WITHDRAWN))
            return self._told(tx, held)

        return self._rendered(await self._database.write(write))

    async def claim_keys(
        self, caller: PartnerPrincipal, grant_id: str, device_ids: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """One signed one-time key of each of these enrolled devices of a grant's author, where there is one.

        Raises Problem: no live grant with `write:draft`, or so many keys of a device today that others would lack them.
        """
        if not 1 <= len(set(device_ids)) <= MAX_DRAFT_RECIPIENTS:
            raise bad_document(f"expected 1 to {MAX_DRAFT_RECIPIENTS} devices")

        def write(tx: Transaction) -> dict[str, dict[str, Any]]:
            live, day = self._granted(tx, caller, grant_id), self._clock() // DAY_MS
            enrolled = {shown["device_id"] for shown in self._consent.grants.enrolled_devices(tx, live.person)}
            claimed = {}
            for device_id in sorted(enrolled.intersection(device_ids)):
                if not store.count_key_claim(tx, grant_id, device_id, day, MAX_CLAIMS_A_DAY):
                    raise too_many_claims(device_id, MAX_CLAIMS_A_DAY)
                key = self._devices.claim_key(tx, live.person, device_id, ALGORITHM)
                if key is not None:
                    claimed[device_id] = key
            return claimed

        return await self._database.write(write)

    # -- people --

    async def listed(self, caller: PersonPrincipal) -> list[dict[str, Any]]:
        """The caller's open drafts under live grants, oldest first. What her device is given has reached it."""
        found = await self._database.read(lambda tx: self._open(tx, caller))
        new = [held.draft_id for held in found if not held.reached and held.for_device(caller.device_id)]
        if new:
            await self._database.write(lambda tx: self._reach(tx, new))
        now = self._clock()
        return [
            {
                "draft": held.document,
                "status": held.status(now),
                "claimed_by": held.claimed_by if held.status(now) == CLAIMED else None,
            }
            for held in found
        ]

    def _open(self, tx: Transaction, caller: PersonPrincipal) -> list[HeldDraft]:
        now = self._clock()
        grants = store.grants_with_drafts(tx, caller.user_id, now)
        live = [grant_id for grant_id in grants if self._allows(self._consent.live.get(tx, grant_id))]
        found = [held for grant_id in live for held in store.oldest_under(tx, grant_id, now, MAX_LISTED)]
        return sorted(found, key=lambda held: held.posted_seq)

    def _reach(self, tx: Transaction, draft_ids: Sequence[str]) -> None:
        for draft_id in draft_ids:
            held = store.get(tx, draft_id)
            if held is not None and not held.reached:
                store.reach(tx, draft_id)
                self._tell(tx, held, held.status(self._clock()))

    async def claim(self, caller: PersonPrincipal, draft_id: str) -> dict[str, Any]:
        """Lease a draft to the calling device, so that it can seal it; raises MatrixError."""

        def write(tx: Transaction) -> int:
            held, now = self._hers(tx, caller, draft_id), self._clock()
            self._check_open(held, now)
            if not self._consent.grants.is_enrolled(tx, caller):
                raise NotEnrolled(caller.device_id)
            if not held.for_device(caller.device_id):
                raise forbidden("the draft is not for this device: it was enrolled later, or is another one")
            if not self._allows(self._consent.live.get(tx, held.grant_id)):
                raise GrantOver(held.grant_id, f"lets nobody do {WRITE_DRAFT} now; nothing is sealed under it")
            if not store.claim(tx, draft_id, caller.device_id, now, now + LEASE_MS):
                raise DraftClaimed(held.claimed_until or now)
            if held.status(now) == QUEUED:
                self._tell(tx, held, CLAIMED)
            return now + LEASE_MS

        until = await self._database.write(write)
        return {"draft_id": draft_id, "status": CLAIMED, "until": until}

    async def decline(self, caller: PersonPrincipal, draft_id: str, reason: str | None) -> dict[str, Any]:
        """Decline a draft, for good; again answers the same. The partner is told the reason, where there is one."""

        def write(tx: Transaction) -> Recorded:
            held, now = self._hers(tx, caller, draft_id), self._clock()
            if held.kept_status != DECLINED:
                self._check_open(held, now)
                if held.status(now) == CLAIMED and held.claimed_by != caller.device_id:
                    raise DraftClaimed(held.claimed_until or now)
                held = self._settle(tx, held, Settlement(DECLINED, reason=reason))
            return self._ledger.entry(tx, held.settled_seq or 0)

        recorded = await self._database.write(write)
        return {"draft_id": draft_id, "status": DECLINED, "entry": self._ledger.receipts.answered(recorded)}

    # -- in other rooms' transactions --

    def on_sent(self, tx: Transaction, event: Event, content: dict[str, Any]) -> None:
        """A message says through which partner it came: it is a draft that this device holds, or it is not sent.

        Called in the transaction that sends it. Raises MatrixError, and nothing is sent.
        """
        with refusing():
            via = read_via(content)
        held = None if via is None else store.get(tx, via.draft_id)
        if via is None or held is None or (held.partner, held.person) != (via.partner, event.sender):
            raise forbidden("org.paraph.via names no draft that this partner left for you")
        if event.txn_id != held.draft_id:
            raise forbidden("a draft is sent under its own id as the transaction id")
        now = self._clock()
        self._check_open(held, now)
        if held.status(now) != CLAIMED or held.claimed_by != event.device_id:
            raise DraftNotClaimed(held.draft_id)
        live = self._consent.live.get(tx, held.grant_id)
        if live is None or not self._allows(live) or not live.scope.covers(event.room_id):
            raise GrantOver(held.grant_id, f"does not let {held.partner} leave drafts for {event.room_id} now")
        if self._is_closed(tx, event.room_id):
            raise forbidden(f"{event.room_id} is closed to partners")
        self._settle(tx, held, Settlement(SEALED, room_id=event.room_id, event_id=event.event_id))

    def on_grant(self, tx: Transaction, change: GrantChange) -> None:
        """A grant that is over for good takes with it what waits under it (hook of consent)."""
        if change.what in OVER:
            for draft_id in store.open_under(tx, change.grant_id):
                self._settle(tx, self._get(tx, draft_id), Settlement(EXPIRED))

    # -- time --

    async def expire(self) -> int:
        """Settle drafts whose time is over, and forget those of long ago; how many were settled."""
        now = self._clock()
        if not await self._database.read(lambda tx: store.due(tx, now, 1) or store.has_old(tx, now - KEPT_MS)):
            return 0

        def write(tx: Transaction) -> int:
            found = [self._get(tx, draft_id) for draft_id in store.due(tx, now, SWEEP_AT_ONCE)]
            for held in found:
                self._settle(tx, held, Settlement(EXPIRED))
            store.forget(tx, now - KEPT_MS)
            return len(found)

        return await self._database.write(write)

    # -- inside --

    def _settle(self, tx: Transaction, held: HeldDraft, made: Settlement) -> HeldDraft:
        """End an open draft: its entry, its row, and the news for the partner."""
        recorded = self._record(tx, held.person, held.partner, held.grant_id, held.draft_id, made)
        store.settle(tx, held.draft_id, made, recorded.seq)
        self._tell(tx, held, made.status)
        return self._get(tx, held.draft_id)

    def _record(
        self, tx: Transaction, person: str, partner: str, grant_id: str, draft_id: str, made: Settlement
    ) -> Recorded:
        body = {
            "grant_id": grant_id,
            "draft_id": draft_id,
            "status": made.status,
            "room_id": made.room_id,
            "event_id": made.event_id,
        }
        return self._ledger.record_private(tx, "draft", person, partner, body, grant_id=grant_id)

    def _tell(self, tx: Transaction, held: HeldDraft, status: str) -> None:
        if self._note is not None:
            self._note(tx, held.partner, held.draft_id, status)

    def _allows(self, live: LiveGrant | None) -> bool:
        return live is not None and WRITE_DRAFT in live.scope.verbs

    def _check_open(self, held: HeldDraft, now: int) -> None:
        status = held.status(now)
        if status not in (QUEUED, CLAIMED):
            raise DraftSettled(held.draft_id, status, held.event_id)

    def _get(self, tx: Transaction, draft_id: str) -> HeldDraft:
        held = store.get(tx, draft_id)
        if held is None:
            raise not_found(f"there is no draft {draft_id[:40]!r}")
        return held

    def _hers(self, tx: Transaction, caller: PersonPrincipal, draft_id: str) -> HeldDraft:
        held = store.get(tx, draft_id)
        if held is None or held.person != caller.user_id:
            raise not_found(f"nobody left you a draft {draft_id[:40]!r}")
        return held

    def _own(self, tx: Transaction, caller: PartnerPrincipal, draft_id: str) -> HeldDraft:
        held = store.get(tx, draft_id)
        if held is None or held.partner != caller.slug or caller.grant_id not in (None, held.grant_id):
            raise no_such_draft(draft_id)
        return held

    def _told(self, tx: Transaction, held: HeldDraft) -> Told:
        seqs = [seq for seq in (held.posted_seq, held.settled_seq) if seq is not None]
        return Told(held, held.status(self._clock()), tuple(self._ledger.entry(tx, seq) for seq in seqs))

    def _rendered(self, told: Told) -> dict[str, Any]:
        """The answer of docs/protocol.md section 8, once what it tells is durable."""
        held = told.held
        return {
            "draft_id": held.draft_id,
            "grant_id": held.grant_id,
            "status": told.status,
            "devices_reached": held.reached,
            "created": held.created,
            "expires": held.expires,
            "room_id": held.room_id,
            "event_id": held.event_id,
            "reason": held.reason,
            "entries": [answered(self._ledger.receipts, recorded) for recorded in told.entries],
        }
