"""Keys on their way to a partner: recorded and queued in one transaction, so that no share is without its record."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from paraph.server.consent import grant_store as store
from paraph.server.consent.errors import GrantOver, NotEnrolled, bad_document, forbidden
from paraph.server.consent.grants import Grants
from paraph.server.consent.partners import Partners
from paraph.server.consent.ports import Rooms
from paraph.server.devices.service import Devices
from paraph.server.http import PersonPrincipal
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Transaction

OLM = "m.olm.v1.curve25519-aes-sha2"
MAX_SHARES = 100
MAX_TXN_ID = 255
MAX_INDEX = 2**32 - 1
"""Megolm counts messages in 32 bits."""


class SharedSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which of the author's Megolm sessions was shared, and from which message on."""

    room_id: str
    session_id: str
    first_index: int


class _Ciphertext(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: int
    body: str


class OlmContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of an Olm-encrypted to-device event (Client-Server API, "m.room.encrypted")."""

    algorithm: str
    sender_key: str
    ciphertext: dict[str, _Ciphertext]


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One Olm message for one partner device; `session` is None when it carries the grant key alone."""

    device_id: str
    content: OlmContent
    session: SharedSession | None


class KeyShares:
    """Takes keys from a person's enrolled device to a partner's live devices, under a live grant."""

    def __init__(
        self,
        ledger: Ledger,
        devices: Devices,
        rooms: Rooms,
        partners: Partners,
        grants: Grants,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._devices = devices
        self._rooms = rooms
        self._partners = partners
        self._grants = grants
        self._clock = clock

    def share(
        self, tx: Transaction, caller: PersonPrincipal, grant_id: str, txn_id: str, shares: Sequence[Share]
    ) -> list[Recorded]:
        """Record and queue the shares; the same transaction id of the same device again answers the same."""
        if not 1 <= len(txn_id) <= MAX_TXN_ID:
            raise bad_document(f"a transaction id has 1 to {MAX_TXN_ID} characters")
        held = self._grants.own(tx, caller.user_id, grant_id)
        before = store.key_share(tx, caller.user_id, caller.device_id, grant_id, txn_id)
        if before is not None:
            return [self._ledger.entry(tx, seq) for seq in before]
        if not 1 <= len(shares) <= MAX_SHARES:
            raise bad_document(f"expected 1 to {MAX_SHARES} shares, found {len(shares)}")
        slug = held.grant.partner
        scope = held.scope(self._partners.agreements(tx, slug), self._clock())
        if scope is None:
            raise GrantOver(grant_id, "gives nobody anything now; no keys are taken")
        if "read" not in scope.verbs and any(share.session is not None for share in shares):
            raise GrantOver(grant_id, "lets nobody read now; no room keys are taken")
        sender_key = self._sender_key(tx, caller)
        live = self._partners.live_devices(tx, slug)
        for share in shares:
            _check_content(share, sender_key, live.get(share.device_id))
            if share.session is not None:
                self._check_session(tx, share.session, scope.covers(share.session.room_id))
        recorded = [self._record(tx, caller, slug, grant_id, share) for share in shares]
        store.add_key_share(tx, caller.user_id, caller.device_id, grant_id, txn_id, [entry.seq for entry in recorded])
        return recorded

    def _sender_key(self, tx: Transaction, caller: PersonPrincipal) -> str:
        enrolment = store.enrolment(tx, caller.user_id, caller.device_id)
        if enrolment is None:
            raise NotEnrolled(caller.device_id)
        return str(enrolment[1]["curve25519"])

    def _check_session(self, tx: Transaction, session: SharedSession, covered: bool) -> None:
        if not 0 <= session.first_index <= MAX_INDEX or not 1 <= len(session.session_id) <= 255:
            raise bad_document("expected a session id of 1 to 255 characters and a first index of 32 bits")
        if not covered:
            raise forbidden(f"the grant does not cover {session.room_id}")
        if self._rooms.is_closed(tx, session.room_id):
            raise forbidden(f"{session.room_id} is closed to partners")

    def _record(self, tx: Transaction, caller: PersonPrincipal, slug: str, grant_id: str, share: Share) -> Recorded:
        body: dict[str, Any] = {
            "grant_id": grant_id,
            "device_id": caller.device_id,
            "partner_device_id": share.device_id,
            "session": None if share.session is None else msgspec.to_builtins(share.session),
        }
        recorded = self._ledger.record_private(tx, "key-share", caller.user_id, slug, body)
        content = msgspec.to_builtins(share.content)
        messages = {self._partners.user_id(slug): {share.device_id: content}}
        self._devices.queue_to_device(tx, caller.user_id, "m.room.encrypted", messages, sender_device=caller.device_id)
        return recorded


def _check_content(share: Share, sender_key: str, device_keys: dict[str, Any] | None) -> None:
    """The message goes to that device and no other, from the key that the caller enrolled."""
    if device_keys is None:
        raise forbidden(f"the partner has no live device {share.device_id[:40]!r}")
    if share.content.algorithm != OLM or share.content.sender_key != sender_key:
        raise bad_document(f"expected {OLM} content with the calling device's own sender_key")
    if list(share.content.ciphertext) != [device_keys["keys"][f"curve25519:{share.device_id}"]]:
        raise bad_document(f"expected one ciphertext, for the identity key of {share.device_id}")
