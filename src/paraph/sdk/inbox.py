"""What a partner verifies: whose devices speak for an author, and that each answer comes with its access entries."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from paraph.protocol.base64 import unb64url
from paraph.protocol.chain import verify_device_keys
from paraph.protocol.enrolment import key_hash, verify_enrolment
from paraph.protocol.entry import access_label
from paraph.protocol.errors import ProtocolError
from paraph.protocol.grant import Grant, verify_grant
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import Device, OlmEvent
from paraph.sdk.errors import IdentityChangedError, ReceiptError, SdkError, TrustError
from paraph.sdk.keystore import Records
from paraph.sdk.receipts import LedgerEntry, read_entry

log = logging.getLogger(__name__)

AUTHOR = "author-master"
GRANT = "grant"
GRANT_KEY = "grant-key"
ACCESS = "access"


class HeldGrant(msgspec.Struct, frozen=True):
    """A grant that this partner holds (or held), as far as it matters for answers."""

    grant_id: str
    person: str
    key_hash: str


class GrantBook:
    """The grants a partner has been shown, with their authors' devices, all chained to pinned master keys."""

    def __init__(self, records: Records, engine: DeviceEngine, slug: str) -> None:
        self._records = records
        self._engine = engine
        self._slug = slug

    def take_in(self, listed: Sequence[Mapping[str, Any]]) -> list[Grant]:
        """Adopt those grants of `GET /inbox/v1/grants` that verify, with their authors' devices.

        The others are left out: what one author's grant or device looks like must not cost all other authors' words.
        """
        grants = []
        for item in listed:
            try:
                grants.append(self._grant(item))
            except (ProtocolError, SdkError, KeyError, TypeError, AttributeError) as error:
                log.warning("a grant does not check and is left out: %s", error)
        return grants

    def take_key(self, event: OlmEvent) -> str | None:
        """Keep a grant key if the grant's own author sent it from one of her devices; the grant id, or None."""
        grant_id, key = event.content.get("grant_id"), event.content.get("grant_key")
        held = self._records.get(GRANT, grant_id, HeldGrant) if isinstance(grant_id, str) else None
        device = self._engine.users.device_with_key(event.sender, event.sender_key)
        if held is None or device is None or held.person != event.sender or not isinstance(key, str):
            return None
        try:
            if key_hash(unb64url(key, 32)) != held.key_hash:
                return None
        except ProtocolError:
            return None
        self._records.put(GRANT_KEY, held.grant_id, key)
        return held.grant_id

    def knows(self, rendered: Sequence[Any]) -> bool:
        """Whether every grant that these access entries name has been shown and verified before."""
        try:
            named = [item["entry"]["body"]["grant_id"] for item in rendered]
        except (KeyError, TypeError) as error:
            raise ReceiptError(f"not an access entry: {error}") from error
        return all(isinstance(name, str) and self._records.get(GRANT, name, HeldGrant) is not None for name in named)

    def check_answer(
        self, room_id: str, purpose: str, events: Sequence[Mapping[str, Any]], rendered: Sequence[Any]
    ) -> tuple[LedgerEntry, ...]:
        """Check that the access entries say exactly what was served, to whom, for what. Raises ReceiptError."""
        served: dict[str, list[str]] = {}
        for event in events:
            served.setdefault(str(event.get("sender")), []).append(str(event.get("event_id")))
        entries = tuple(self._access(item) for item in rendered)
        for entry in entries:
            if (entry.body["room_id"], entry.body["purpose"]) != (room_id, purpose):
                raise ReceiptError("an access entry names another room or purpose than was asked for")
            if served.pop(entry.person, None) != entry.body["event_ids"]:
                raise ReceiptError("an access entry does not list exactly the events that were served")
        if served:
            raise ReceiptError(f"no access entry for what was served of {sorted(served)}")
        self._take_once(entries)
        return entries

    def _take_once(self, entries: Sequence[LedgerEntry]) -> None:
        """Each answer has entries of its own: one that was shown before records no second read."""
        names = [entry.leaf.hex() for entry in entries]
        if any(self._records.get(ACCESS, name, bool) for name in names):
            raise ReceiptError("an access entry was shown with an earlier answer")
        for name in names:
            self._records.put(ACCESS, name, True)

    def _access(self, rendered: Any) -> LedgerEntry:
        entry = read_entry(rendered)
        if (entry.kind, entry.partner) != ("access", self._slug):
            raise ReceiptError("the answer carries an entry that is no access of this partner")
        held = self._records.get(GRANT, entry.body["grant_id"], HeldGrant)
        if held is None or held.person != entry.person:
            raise ReceiptError("an access entry names a grant that this partner does not hold from that person")
        key = self._records.get(GRANT_KEY, held.grant_id, str)
        if key is not None:
            label = access_label(unb64url(key, 32), rendered["week"])
            read_entry(rendered, label=label)
        return entry

    def _grant(self, item: Mapping[str, Any]) -> Grant:
        person = item["grant"]["person"]
        pinned = self._records.get(AUTHOR, person, str)
        master = item["grant"]["master_key"] if pinned is None else pinned
        if item["grant"]["master_key"] != master:
            raise IdentityChangedError(f"{person} grants under another identity than before")
        grant = verify_grant(item["grant"], item["chain"], master_key=master)
        if grant.partner != self._slug:
            raise TrustError(f"the platform shows a grant to {grant.partner}")
        devices = [device for shown in item["devices"] if (device := _device_or_none(shown, person, master))]
        self._records.put(AUTHOR, person, master)
        self._records.put(GRANT, grant.grant_id, HeldGrant(grant.grant_id, person, grant.grant_key_hash))
        self._engine.users.vouch(person, master, devices)
        return grant


def _device_or_none(shown: Mapping[str, Any], person: str, master: str) -> Device | None:
    try:
        return _device(shown, person, master)
    except (ProtocolError, TrustError, KeyError, TypeError, AttributeError) as error:
        log.warning("a device of %s does not check and is left out: %s", person, error)
        return None


def _device(shown: Mapping[str, Any], person: str, master: str) -> Device:
    """An enrolled device: its enrolment under the author's master key, and the chain from its keys to that key."""
    enrolment = verify_enrolment(shown["enrolment"], master_key=master)
    chain = shown["chain"]
    keys = verify_device_keys(chain["device_keys"], chain["self_signing_key"], person=person, master_key=master)
    enrolled = (enrolment.user_id, enrolment.device_id, enrolment.curve25519, enrolment.ed25519)
    if enrolled != (person, keys.device_id, keys.curve25519, keys.ed25519):
        raise TrustError(f"an enrolment of {person} is not that of the device it is shown with")
    return Device(person, keys.device_id, keys.curve25519, keys.ed25519, owner_signed=True, accepted=True)
