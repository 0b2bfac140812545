"""What a partner verifies: whose devices speak for an author, and that each answer comes with entries and receipts."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from paraph.protocol.base64 import unb64url
from paraph.protocol.chain import verify_device_keys
from paraph.protocol.enrolment import key_hash, verify_enrolment
from paraph.protocol.entry import access_label
from paraph.protocol.errors import ProtocolError
from paraph.protocol.grant import DropRooms, Grant, Shorten, verify_amendment, verify_grant
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import Device, OlmEvent
from paraph.sdk.errors import IdentityChangedError, ReceiptError, SdkError, TrustError
from paraph.sdk.keystore import Records
from paraph.sdk.log.receipts import LedgerEntry, ReceiptKey, check_receipt, read_entry

log = logging.getLogger(__name__)

AUTHOR = "author-master"
GRANT = "held-grant"
GRANT_KEY = "grant-key"
ACCESS = "access-shown"
HELD = "held-messages"
EARLY = "early-grant-key"
MAX_EARLY = 200
"""Keys of one author that are kept until their grants are shown; as many grants as she may have open."""
MAX_GRANT_ID = 64
KEY_LENGTH = 43
MAX_HELD = 200
"""Answers kept closed for one grant whose key has not come; beyond it the oldest go."""
MAX_SKEW_MS = 60_000
"""By how much the platform's clock may differ from this partner's."""


class HeldGrant(msgspec.Struct, frozen=True):
    """A grant that this partner holds (or held), as far as it matters for answers: as its amendments leave it.

    `rooms` None: all but the `excluded`. Times are milliseconds; `retention_days` None: not shown by this version yet.
    """

    grant_id: str
    person: str
    key_hash: str
    purposes: tuple[str, ...]
    rooms: tuple[str, ...] | None
    excluded: tuple[str, ...]
    from_: int
    until: int
    verbs: tuple[str, ...] = ()
    retention_days: int | None = None

    def covers(self, room_id: str) -> bool:
        """Whether something may be read in this room."""
        return room_id not in self.excluded and (self.rooms is None or room_id in self.rooms)


class Unlabelled(msgspec.Struct, frozen=True):
    """What an author's entry let through before her grant key came: its label, to be checked, and the messages."""

    room_id: str
    week: int
    label: bytes
    events: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: room (None: all of them), purpose, and when the request left and the answer came (ms)."""

    room_id: str | None
    purpose: str
    sent: int
    answered: int


@dataclass(frozen=True, slots=True)
class Look:
    """What was asked for besides messages: under which verb, for which purpose, about which rooms; times as `Asked`."""

    verb: str
    purpose: str
    rooms: tuple[str, ...]
    sent: int
    answered: int


@dataclass(frozen=True, slots=True)
class Checked:
    """One author's entry and receipt, checked. `labelled`: her grant key has come, and the label is the right one."""

    entry: LedgerEntry
    receipt: dict[str, Any]
    week: int
    label: bytes
    labelled: bool


class GrantBook:
    """The grants a partner has been shown, with their authors' devices, all chained to pinned master keys."""

    def __init__(self, records: Records, engine: DeviceEngine, slug: str) -> None:
        self._records = records
        self._engine = engine
        self._slug = slug

    @property
    def slug(self) -> str:
        """The partner's slug."""
        return self._slug

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
        device = self._engine.users.device_with_key(event.sender, event.sender_key)
        if device is None or not isinstance(grant_id, str) or not isinstance(key, str) or len(key) != KEY_LENGTH:
            return None
        held = self.held(grant_id)
        if held is None:  # a key may come before its grant
            self._hold_key(event.sender, grant_id, key)
            return None
        return grant_id if held.person == event.sender and self._adopt_key(held, key) else None

    def _adopt_key(self, held: HeldGrant, key: str) -> bool:
        try:
            fits = key_hash(unb64url(key, 32)) == held.key_hash
        except ProtocolError:
            return False
        if fits:
            self._records.put(GRANT_KEY, held.grant_id, key)
        return fits

    def _hold_key(self, sender: str, grant_id: str, key: str) -> None:
        if len(grant_id) <= MAX_GRANT_ID and len(self._records.items(EARLY, str, f"{sender}/")) < MAX_EARLY:
            self._records.put(EARLY, f"{sender}/{grant_id}", key)

    def strangers(self, events: Sequence[Mapping[str, Any]]) -> list[str]:
        """The senders of these key events of whom this partner does not know the sending device."""
        found: dict[str, None] = {}
        for event in events:
            sender, content = str(event["sender"]), event["content"]
            key = content.get("sender_key") if isinstance(content, Mapping) else None
            if self._engine.users.device_with_key(sender, str(key)) is None:
                found[sender] = None
        return list(found)

    def held(self, grant_id: str) -> HeldGrant | None:
        """A grant that was shown and verified, as its amendments left it."""
        return self._records.get(GRANT, grant_id, HeldGrant)

    def check_act(self, rendered: Any, kind: str, said: Mapping[str, Any], key: ReceiptKey) -> LedgerEntry:
        """Check the entry and receipt of an act of this partner's under a grant: of this kind, with these members.

        Its label is checked once the grant's key has come. Raises ReceiptError; OtherKeyError as `check_answer`.
        """
        entry = read_entry(rendered)
        held = self.held(str(entry.body.get("grant_id")))
        if (entry.kind, entry.partner) != (kind, self._slug) or held is None or held.person != entry.person:
            raise ReceiptError(f"the answer carries an entry that is no {kind} under a grant that this partner holds")
        if any(entry.body.get(name) != value for name, value in said.items()):
            raise ReceiptError(f"the entry does not say what was asked for: {sorted(said)}")
        known = self._records.get(GRANT_KEY, held.grant_id, str)
        if known is not None:
            read_entry(rendered, label=access_label(unb64url(known, 32), rendered["week"]))
        check_receipt(rendered, entry, key)
        return entry

    def check_look(self, rendered: Any, look: Look, said: Mapping[str, Any], key: ReceiptKey) -> LedgerEntry:
        """Check the entry and receipt of one answer besides messages, which lists exactly what `said` lists.

        Its grant's key must have come: what it gives is not held back until the label can be checked. Raises
        ReceiptError; OtherKeyError as `check_answer`.
        """
        entry = self.check_act(rendered, "access", {"purpose": look.purpose, **said}, key)
        held = self.held(entry.body["grant_id"])
        if held is None or self._records.get(GRANT_KEY, held.grant_id, str) is None:
            raise ReceiptError("the author's grant key has not come: her receipt cannot be checked")
        if look.verb not in held.verbs or look.purpose not in held.purposes or not all(map(held.covers, look.rooms)):
            raise ReceiptError("an access entry names a grant that does not allow this")
        self._check_time(entry, held, look.sent, look.answered)
        if self._records.get(ACCESS, _name(entry), bool):
            raise ReceiptError("an access entry was shown with an earlier answer")
        return entry

    def note_shown(self, entry: LedgerEntry) -> None:
        """An entry that was shown with one answer is good for no other."""
        self._records.put(ACCESS, _name(entry), True)

    def unknown(self, rendered: Sequence[Any]) -> list[str]:
        """Those grants that these access entries name and that were not shown and verified before."""
        try:
            named = {str(item["entry"]["body"]["grant_id"]): None for item in rendered}
        except (KeyError, TypeError) as error:
            raise ReceiptError(f"not an access entry: {error}") from error
        return [name for name in named if self.held(name) is None]

    def check_answer(
        self, asked: Asked, events: Sequence[Any], rendered: Sequence[Any], key: ReceiptKey
    ) -> tuple[Checked, ...]:
        """Check that entries and receipts say exactly what was served, to whom, for what. Changes nothing.

        Raises ReceiptError; OtherKeyError where a receipt's signature is by another key than `key`.
        """
        served: dict[tuple[str, ...], list[str]] = {}
        for event in events:
            if not isinstance(event, dict):
                raise ReceiptError("the answer holds something that is no event")
            served.setdefault((str(event.get("sender")),), []).append(str(event.get("event_id")))
        return self._check(asked, served, rendered, key, lambda entry: (entry.person,))

    def check_changes(
        self, asked: Asked, messages: Sequence[Any], rendered: Sequence[Any], key: ReceiptKey
    ) -> tuple[Checked, ...]:
        """The same for the messages of a stream, `{grant_id, event}`: an entry for each author, room and grant."""
        served: dict[tuple[str, ...], list[str]] = {}
        for message in messages:
            event = message.get("event")
            if not isinstance(event, dict):
                raise ReceiptError("the answer holds something that is no event")
            name = (str(event.get("sender")), str(event.get("room_id")), str(message.get("grant_id")))
            served.setdefault(name, []).append(str(event.get("event_id")))
        name_of = lambda entry: (entry.person, entry.body["room_id"], entry.body["grant_id"])  # noqa: E731
        return self._check(asked, served, rendered, key, name_of)

    def _check(
        self,
        asked: Asked,
        served: dict[tuple[str, ...], list[str]],
        rendered: Sequence[Any],
        key: ReceiptKey,
        name_of: Callable[[LedgerEntry], tuple[str, ...]],
    ) -> tuple[Checked, ...]:
        """Hold each entry against the event ids that were served under its name."""
        checked = tuple(self._access(item, asked, key) for item in rendered)
        for found in checked:
            if served.pop(name_of(found.entry), None) != found.entry.body["event_ids"]:
                raise ReceiptError("an access entry does not list exactly the events that were served")
        if served:
            raise ReceiptError(f"no access entry for what was served of {sorted(served)}")
        if any(self._records.get(ACCESS, _name(found.entry), bool) for found in checked):
            raise ReceiptError("an access entry was shown with an earlier answer")
        return checked

    def take(self, checked: Sequence[Checked]) -> None:
        """Each answer has entries of its own: one that was shown before records no second read."""
        for found in checked:
            self._records.put(ACCESS, _name(found.entry), True)

    def forget(self, before: int) -> None:
        """Forget which entries of a time before this one (ms) were shown: their time alone gives them away."""
        for name, _ in self._records.items(ACCESS, bool):
            if int(name.partition("/")[0]) < before:
                self._records.delete(ACCESS, name)

    def hold(self, found: Checked, events: Sequence[dict[str, Any]], *, most: int | None = MAX_HELD) -> None:
        """Keep messages closed until the grant key shows whether their entry's label is the right one.

        At most `most` answers of a grant; the oldest go, since they can be asked for again.
        """
        prefix, room_id = f"{found.entry.body['grant_id']}/", found.entry.body["room_id"]
        held = [] if most is None else self._records.items(HELD, Unlabelled, prefix)
        for name, _ in held[: max(0, len(held) - (most or 0) + 1)]:
            self._records.delete(HELD, name)
        self._records.put(
            HELD, prefix + _name(found.entry), Unlabelled(room_id, found.week, found.label, tuple(events))
        )

    def release(self, grant_id: str) -> list[tuple[Unlabelled, bool]]:
        """What was held for a grant whose key has come, each with whether its entry stands under the right label."""
        key = unb64url(self._records.get(GRANT_KEY, grant_id, str) or "", 32)
        released = []
        for name, held in self._records.items(HELD, Unlabelled, f"{grant_id}/"):
            released.append((held, access_label(key, held.week) == held.label))
            self._records.delete(HELD, name)
        return released

    def _access(self, rendered: Any, asked: Asked, key: ReceiptKey) -> Checked:
        entry = read_entry(rendered)
        if (entry.kind, entry.partner) != ("access", self._slug):
            raise ReceiptError("the answer carries an entry that is no access of this partner")
        room_id = entry.body["room_id"]
        if room_id != (asked.room_id or room_id) or entry.body["purpose"] != asked.purpose:
            raise ReceiptError("an access entry names another room or purpose than was asked for")
        held = self._held(entry, asked)
        known = self._records.get(GRANT_KEY, held.grant_id, str)
        if known is not None:
            read_entry(rendered, label=access_label(unb64url(known, 32), rendered["week"]))
        check_receipt(rendered, entry, key)
        label = unb64url(rendered["label"], 32)
        return Checked(entry, rendered["receipt"], rendered["week"], label, known is not None)

    def _held(self, entry: LedgerEntry, asked: Asked) -> HeldGrant:
        """The grant that an entry names, if it is one of that person and lets this be read at that time."""
        name = entry.body["grant_id"]
        held = self._records.get(GRANT, name, HeldGrant) if isinstance(name, str) else None
        if held is None or held.person != entry.person:
            raise ReceiptError("an access entry names a grant that this partner does not hold from that person")
        if not held.covers(str(entry.body["room_id"])) or asked.purpose not in held.purposes:
            raise ReceiptError("an access entry names a grant that does not cover this room and purpose")
        self._check_time(entry, held, asked.sent, asked.answered)
        return held

    def _check_time(self, entry: LedgerEntry, held: HeldGrant, sent: int, answered: int) -> None:
        if not held.from_ <= entry.ts < held.until:
            raise ReceiptError("an access entry is of a time outside the grant that it names")
        if not sent - MAX_SKEW_MS <= entry.ts <= answered + MAX_SKEW_MS:
            raise ReceiptError("an access entry is not of the time of this answer, by this partner's clock")

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
        held = _narrowed(grant, item["amendments"], master)
        self._records.put(GRANT, grant.grant_id, held)
        early = self._records.get(EARLY, f"{person}/{grant.grant_id}", str)
        if early is not None:
            self._adopt_key(held, early)
            self._records.delete(EARLY, f"{person}/{grant.grant_id}")
        self._engine.users.vouch(person, master, devices)
        return grant


def _name(entry: LedgerEntry) -> str:
    """An entry's name in the store: by time, and by its leaf."""
    return f"{entry.ts:016d}/{entry.leaf.hex()}"


def _narrowed(grant: Grant, amendments: Sequence[Mapping[str, Any]], master: str) -> HeldGrant:
    """The grant as these amendments leave it, each signed under the author's master key. Raises ProtocolError."""
    excluded, until = set[str](), grant.until
    for item in amendments:
        change = verify_amendment(item["amendment"], item["chain"], grant=grant, master_key=master).change
        if isinstance(change, DropRooms):
            excluded.update(change.rooms)
        elif isinstance(change, Shorten):
            until = min(until, change.until)
    rooms = None if grant.rooms == "all" else tuple(grant.rooms)
    return HeldGrant(
        grant.grant_id,
        grant.person,
        grant.grant_key_hash,
        tuple(grant.purposes),
        rooms,
        tuple(sorted(excluded)),
        grant.from_,
        until,
        tuple(grant.verbs),
        grant.retention_days,
    )


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
