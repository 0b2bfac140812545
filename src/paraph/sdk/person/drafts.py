"""Drafts on the author's device: what partners propose, opened and checked here, and sealed by this device alone.

A draft counts only if a partner's device made it that the verified view of the grants has, just as for keys. It is a
proposal until the person, or a rule that she set on this device, seals it: then it is an ordinary message of hers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from paraph.protocol.documents import parse, to_document
from paraph.protocol.draft import TYPE, VIA, WRITE_DRAFT, DraftBody, verify_draft, via_hash
from paraph.protocol.draft import Draft as Document
from paraph.protocol.entry import day_of
from paraph.protocol.errors import ProtocolError
from paraph.protocol.identifiers import slug_of
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import GrantView, Json, PartnerAccess, Peer
from paraph.sdk.engine.olm import OlmPayload
from paraph.sdk.errors import DraftError, MatrixError, SdkError
from paraph.sdk.keystore import Records
from paraph.sdk.person.consent import Consent
from paraph.sdk.transport import PARAPH, Transport, path

log = logging.getLogger(__name__)

OPENED = "draft"
SEALED = "draft-sealed"
RULES = "draft-rule"
USED = "draft-rule-used"
DUE = "drafts-due"
WAITING = "org.paraph.draft_waiting"
"""To-device event: it is time to ask for drafts."""
SETTLED = "ORG_PARAPH_DRAFT_SETTLED"
CLAIMED = "ORG_PARAPH_DRAFT_CLAIMED"
NOT_CLAIMED = "ORG_PARAPH_DRAFT_NOT_CLAIMED"
TOO_MANY, SERVER_ERROR = 429, 500
MAX_AHEAD_MS = 300_000


class OpenedDraft(msgspec.Struct, frozen=True):
    """A draft that was opened once: who made it, and what it says. `fault` says why it counts as not there."""

    draft_id: str
    grant_id: str
    partner: str
    signer: str
    created: int
    expires: int
    room_id: str = ""
    content: dict[str, Any] = {}
    fault: str = ""


class DraftRule(msgspec.Struct, frozen=True):
    """Drafts of a partner for these rooms are sealed without asking, up to so many on a day (UTC) by this device.

    Rooms are named by id, never by the handles that a partner knows people by.
    """

    partner: str
    rooms: tuple[str, ...]
    per_day: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft that may be sealed now. `content` is the whole message; times are milliseconds.

    `held` says that another device of the person is sealing it at this moment.
    """

    draft_id: str
    grant_id: str
    partner: str
    room_id: str
    content: dict[str, Any] = field(repr=False)
    created: int
    expires: int
    held: bool = False

    @property
    def body(self) -> str:
        """The words."""
        return str(self.content["body"])


class Send(Protocol):
    """How a message is sent: `Messenger.send`."""

    def __call__(self, room_id: str, event_type: str, content: Json, *, txn_id: str, via: Json) -> Awaitable[str]:
        """Send under a transaction id, saying in clear through whom it came; gives the event id."""
        ...


class Drafts:
    """The drafts that partners left for one device's person. `in_room(room_id)` says whether she is in a room."""

    def __init__(
        self,
        transport: Transport,
        records: Records,
        engine: DeviceEngine,
        consent: Consent,
        send: Send,
        in_room: Callable[[str], bool],
        now: Callable[[], int],
    ) -> None:
        """Put the parts together; `Messenger` does."""
        self._transport = transport
        self._records = records
        self._engine = engine
        self._consent = consent
        self._send = send
        self._in_room = in_room
        self._now = now
        self._sealing = asyncio.Lock()

    # What waits

    async def waiting(self) -> list[Draft]:
        """The drafts that may be sealed now, oldest first. What does not check is left out.

        Without a verified view of the grants that is none. Raises MatrixError, TransportError.
        """
        return await self._look() or []

    async def _look(self) -> list[Draft] | None:
        """As `waiting`; None where there is no view."""
        _, view = await self._consent.fresh_view()
        if view is None:
            return None
        if not any(WRITE_DRAFT in access.verbs for access in view.partners):
            return []
        answer = await self._transport.json("GET", f"{PARAPH}/drafts")
        found = []
        for listed in answer.get("drafts", []):
            try:
                opened = self._taken(listed["draft"], view)
                self._check(opened, view)
            except (ProtocolError, SdkError, KeyError, TypeError, AttributeError) as error:
                log.warning("a draft does not check and is left out: %s", error)
                continue
            if self._records.get(SEALED, opened.draft_id, str) is None:
                held = listed.get("claimed_by") not in (None, self._engine.device_id)
                found.append(_shown(opened, held=held))
        return found

    # What a person does

    async def seal(self, draft_id: str) -> str:
        """Send a draft as this person's message; returns the event id, also where a device of hers has sealed it.

        Raises DraftError: not there, over, or no longer within its grant; and what `send` and the platform raise.
        """
        async with self._sealing:
            known = self._records.get(SEALED, draft_id, str)
            if known is not None:
                return known
            opened = self._records.get(OPENED, draft_id, OpenedDraft)
            if opened is None:
                await self.waiting()
                opened = self._records.get(OPENED, draft_id, OpenedDraft)
            _, view = await self._consent.fresh_view()
            if opened is None or view is None:
                raise DraftError(f"there is no draft {draft_id} that checks, or the log cannot be relied upon now")
            self._check(opened, view)
            try:
                event_id = await self._claimed(opened) or await self._sent(opened)
            except MatrixError as error:
                if error.errcode != NOT_CLAIMED:
                    raise
                # This device was slow, and the claim had run out.
                event_id = await self._claimed(opened) or await self._sent(opened)
            self.note_sealed(draft_id, event_id)
            return event_id

    async def decline(self, draft_id: str, reason: str | None = None) -> None:
        """Decline a draft for good; the partner is told the reason."""
        body = {} if reason is None else {"reason": reason}
        url = path(PARAPH + "/drafts/{}/decline", draft_id)
        await self._transport.json("POST", url, body, idempotent=True)
        with self._records.step():
            self._records.delete(OPENED, draft_id)

    # Rules

    def rules(self) -> list[DraftRule]:
        """The rules on this device, one for each partner."""
        return [rule for _, rule in self._records.items(RULES, DraftRule)]

    def set_rule(self, rule: DraftRule) -> None:
        """Let this device seal by itself what fits the rule, in place of an earlier rule for the partner."""
        if rule.per_day < 1 or not rule.rooms or not all(room.startswith("!") for room in rule.rooms):
            raise DraftError("a rule names rooms by their ids, and at least one draft a day")
        with self._records.step():
            self._records.put(RULES, rule.partner, rule)

    def remove_rule(self, partner: str) -> None:
        """From now on the person decides about this partner's drafts."""
        with self._records.step():
            self._records.delete(RULES, partner)

    async def apply_rules(self) -> bool:
        """Seal what waits and fits a rule; what is beyond a day's number waits for the person.

        Whether that is done with: not without a view, and not while another device holds one of these drafts, since it
        may never seal it.
        """
        found = await self._look()
        if found is None:
            return False
        done = True
        for draft in found:
            if self._fits(draft):
                done = await self._seal_by_rule(draft) and done
        return done

    async def _seal_by_rule(self, draft: Draft) -> bool:
        if draft.held:
            return False
        try:
            await self.seal(draft.draft_id)
        except DraftError as error:
            log.warning("a draft is not sealed by the rule for %s: %s", draft.partner, error)
        except MatrixError as error:
            log.warning("a draft is not sealed by the rule for %s: %s", draft.partner, error)
            return (
                error.errcode not in (CLAIMED, NOT_CLAIMED) and error.status != TOO_MANY and error.status < SERVER_ERROR
            )
        return True

    # For the messenger

    def hear(self, events: list[Any]) -> None:
        """To-device events of a sync, within its step: perhaps it is time to look."""
        if any(isinstance(event, dict) and event.get("type") == WAITING for event in events):
            self._records.put(DUE, "self", True)

    async def follow(self) -> None:
        """After a sync: apply the rules, if something new waits. What fails is tried again after the next one."""
        if self._records.get(DUE, "self", bool) is None:
            return
        try:
            done = await self.apply_rules()
        except SdkError as error:
            log.warning("drafts cannot be looked at now: %s", error)
            return
        if done:
            with self._records.step():
                self._records.delete(DUE, "self")

    def note_sealed(self, draft_id: str, event_id: str) -> None:
        """The draft is a message in its room now, sent by whichever device: this one will not send it."""
        if self._records.get(SEALED, draft_id, str) is None:
            with self._records.step():
                self._records.put(SEALED, draft_id, event_id)
                self._records.delete(OPENED, draft_id)

    # Inside

    def _taken(self, document: Json, view: GrantView) -> OpenedDraft:
        """The draft, opened now or before: an Olm message opens once. Raises ProtocolError, DraftError."""
        draft = parse(Document, document)
        known = self._records.get(OPENED, draft.draft_id, OpenedDraft)
        if known is not None:
            if known.grant_id != draft.grant_id or known.expires != draft.expires:
                raise DraftError(f"{draft.draft_id} is shown in two forms")
            return known
        peer = self._signer(draft.grant_id, draft.device_id, view)
        verify_draft(document, server_name=peer.user_id.partition(":")[2], ed25519=peer.ed25519)
        if slug_of(peer.user_id) != draft.partner:
            raise DraftError("the draft is under another partner's grant")
        content = draft.for_device(self._engine.device_id)
        if content is None:
            raise DraftError("the draft is not for this device")
        opened = OpenedDraft(draft.draft_id, draft.grant_id, draft.partner, peer.ed25519, draft.created, draft.expires)
        with self._records.step():
            try:
                payload = self._engine.olm.decrypt(peer.user_id, to_document(content), self._now())
                body = _body(payload, peer, draft.draft_id)
                opened = msgspec.structs.replace(opened, room_id=body.room_id, content=to_document(body.content))
            except (ProtocolError, SdkError) as error:
                opened = msgspec.structs.replace(opened, fault=str(error)[:200])
            self._records.put(OPENED, draft.draft_id, opened)
        return opened

    def _signer(self, grant_id: str, device_id: str, view: GrantView) -> Peer:
        devices = self._access(grant_id, view).devices
        peer = next((found for found in devices if found.device_id == device_id), None)
        if peer is None:
            raise DraftError(f"device {device_id[:40]} is no live device of the partner in the log")
        return peer

    def _access(self, grant_id: str, view: GrantView) -> PartnerAccess:
        access = next((found for found in view.partners if found.grant_id == grant_id), None)
        if access is None or WRITE_DRAFT not in access.verbs or self._now() >= access.until:
            raise DraftError(f"{grant_id} does not let anybody leave drafts now")
        return access

    def _check(self, opened: OpenedDraft, view: GrantView) -> None:
        """Whether it may be sealed under this view. Raises DraftError."""
        if opened.fault:
            raise DraftError(opened.fault)
        access = self._access(opened.grant_id, view)
        if opened.signer not in {peer.ed25519 for peer in access.devices}:
            raise DraftError("the device that signed the draft is no live device of the partner any more")
        if not opened.created - MAX_AHEAD_MS <= self._now() < opened.expires:
            raise DraftError(f"{opened.draft_id} has expired")
        if not access.covers(opened.room_id) or not self._in_room(opened.room_id):
            raise DraftError(f"{opened.draft_id} is for a room that the grant does not cover")

    async def _claimed(self, opened: OpenedDraft) -> str | None:
        """Claim the draft; the event id if a device has sealed it already. Raises DraftError if it is over."""
        try:
            await self._transport.json("POST", path(PARAPH + "/drafts/{}/claim", opened.draft_id), {}, idempotent=True)
        except MatrixError as error:
            if error.errcode != SETTLED:
                raise
            event_id = error.body.get("event_id")
            if error.body.get("status") != "sealed" or not isinstance(event_id, str):
                raise DraftError(f"{opened.draft_id} is {error.body.get('status')}") from error
            return event_id
        return None

    async def _sent(self, opened: OpenedDraft) -> str:
        via = {"partner": opened.partner, "draft_id": opened.draft_id}
        content = {**opened.content, VIA: {"hash": via_hash(via)}}
        return await self._send(opened.room_id, "m.room.message", content, txn_id=opened.draft_id, via=via)

    def _fits(self, draft: Draft) -> bool:
        """Whether a rule lets this device seal the draft today; if so, it is counted before anything is sent."""
        rule = self._records.get(RULES, draft.partner, DraftRule)
        if rule is None or draft.room_id not in rule.rooms:
            return False
        name = f"{draft.partner}/{day_of(self._now())}"
        used = self._records.get(USED, name, list[str]) or []
        if draft.draft_id in used:
            return True
        if len(used) >= rule.per_day:
            return False
        with self._records.step():
            for old, _ in self._records.items(USED, list[str], f"{draft.partner}/"):
                if old < name:
                    self._records.delete(USED, old)
            self._records.put(USED, name, [*used, draft.draft_id])
        return True


def _body(payload: OlmPayload, peer: Peer, draft_id: str) -> DraftBody:
    """What the Olm message says, if the device that signed the draft made it for this draft. Raises DraftError."""
    if (payload.sender_key, payload.ed25519) != (peer.curve25519, peer.ed25519) or payload.type != TYPE:
        raise DraftError("the draft was sealed by another device than signed it, or is none")
    body = parse(DraftBody, payload.content)
    if body.draft_id != draft_id:
        raise DraftError("the words belong to another draft")
    return body


def _shown(opened: OpenedDraft, *, held: bool) -> Draft:
    return Draft(
        opened.draft_id,
        opened.grant_id,
        opened.partner,
        opened.room_id,
        opened.content,
        opened.created,
        opened.expires,
        held,
    )
