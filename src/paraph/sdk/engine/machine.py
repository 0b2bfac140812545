"""The device engine: everything a device decides about keys, without I/O and without a clock of its own.

The driver feeds it sync parts and answers, sends the requests it names, and wraps each call that changes state in
`Records.step()`, so that what a request depends on is on disk before the request leaves.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from paraph.protocol.identifiers import is_partner
from paraph.sdk.engine.account import OlmAccount
from paraph.sdk.engine.cross_signing import Identity, IdentitySeeds
from paraph.sdk.engine.history import HISTORY_KEY, OlderKeys
from paraph.sdk.engine.inbound import InboundSessions
from paraph.sdk.engine.model import (
    ENCRYPTED,
    MEGOLM,
    OLM,
    SIGNED_CURVE25519,
    VIEW_MAX_AGE_MS,
    Decrypted,
    Device,
    DeviceSigningUpload,
    GrantView,
    Json,
    KeysClaim,
    KeyShare,
    KeysQuery,
    KeysUpload,
    OlmEvent,
    Peer,
    Received,
    Request,
    RoomSettings,
    SendToDevice,
    SignaturesUpload,
    SyncPart,
)
from paraph.sdk.engine.olm import OlmPayload, OlmSessions
from paraph.sdk.engine.outbound import OutboundSessions
from paraph.sdk.engine.outbox import MAX_TO_DEVICE, Outbox, key_share
from paraph.sdk.engine.secrets import REQUEST as SECRET_REQUEST
from paraph.sdk.engine.secrets import SEND as SECRET_SEND
from paraph.sdk.engine.secrets import Secrets
from paraph.sdk.engine.trust import Vouching
from paraph.sdk.engine.users import Users
from paraph.sdk.engine.verification import Verifications
from paraph.sdk.engine.verification.model import PREFIX as VERIFICATION
from paraph.sdk.errors import DecryptionError, SharingNeededError
from paraph.sdk.keystore import Records

log = logging.getLogger(__name__)

UNWEDGE_EVERY_MS = 3_600_000
CLAIM_AGAIN_MS = 300_000
WAITING = "waiting"
WEDGED = "wedged"
# What the arrival of a key can cure.
MAY_PASS = frozenset({"unknown-session", "unknown-index", "wrong-owner", "wrong-device", "withheld"})


class Waiting(msgspec.Struct, frozen=True):
    """A room event that could not be opened yet."""

    room_id: str
    event: Json


class Wedged(msgspec.Struct, frozen=True):
    """A peer whose ratchet is lost; `pending` until a new session was made, at most once an hour."""

    user_id: str
    device_id: str
    at: int
    pending: bool


class DeviceEngine:
    """One device. `random(n)` returns n random bytes; every `now` is milliseconds since 1970."""

    def __init__(self, records: Records, random: Callable[[int], bytes]) -> None:
        """Load the device that `create` put into the records."""
        self._records = records
        self.account = OlmAccount(records)
        self.identity = Identity(records, self.account) if Identity.exists(records) else None
        self.users = Users(records)
        self.olm = OlmSessions(records, self.account)
        self.inbound = InboundSessions(records)
        self.outbound = OutboundSessions(records, self.account, self.inbound)
        self.outbox = Outbox(records, random)
        self.history = OlderKeys(records, self.account, self.olm, self.inbound, self.outbound, self.outbox)
        self.secrets = Secrets(
            records, self.account, self.users, self.olm, self.outbox, random, identity=lambda: self.identity
        )
        self.trust = Vouching(records, self.account, self.users, self.secrets, identity=lambda: self.identity)
        ours, theirs, verified = self.trust.ours, self.trust.theirs, self.trust.verified
        self.verifications = Verifications(
            self.user_id, self.device_id, self.outbox, random, ours=ours, theirs=theirs, verified=verified
        )
        self._no_key_until: dict[Peer, int] = {}

    @classmethod
    def create(
        cls,
        records: Records,
        user_id: str,
        device_id: str,
        *,
        random: Callable[[int], bytes],
        identity: IdentitySeeds | None = None,
        identity_published: bool = False,
    ) -> "DeviceEngine":
        """Make a new device, with the person's identity if this device is to hold it."""
        OlmAccount.create(records, user_id, device_id)
        if identity is not None:
            Identity.store(records, identity, keys_uploaded=identity_published)
        engine = cls(records, random)
        engine.users.track([user_id])
        if engine.identity is not None:
            engine.users.pin(user_id, engine.identity.master.public_key)
        return engine

    @property
    def user_id(self) -> str:
        """Whose device this is."""
        return self.account.user_id

    @property
    def device_id(self) -> str:
        """The device's id."""
        return self.account.device_id

    # What the server says

    def receive(self, part: SyncPart, now: int) -> Received:
        """Take in the engine's part of a sync answer."""
        self.users.outdate(part.changed)
        for user_id in part.left:
            self.users.untrack(user_id)
        self.account.top_up(part.one_time_keys, part.fallback_unused)
        events: list[OlmEvent] = []
        late: list[Decrypted] = []
        self.verifications.expire(now)
        for event in part.to_device:
            payload = self._to_device(event, now)
            if payload is None or self._own_affair(payload, now):
                continue
            session_id = self._room_key(payload)
            if session_id is not None:
                late += self._retry(session_id)
            elif not payload.type.startswith(("m.room_key", "m.forwarded_room_key", "m.dummy", HISTORY_KEY)):
                events.append(_olm_event(payload))
        self.secrets.answer(now)
        return Received(tuple(events), tuple(late))

    def outgoing(self) -> list[Request]:
        """What to send now, in order; each is repeated until `answer` or `abandon`. Only between steps."""
        if self._records.dirty:
            raise RuntimeError("commit the step before sending what depends on it")
        first = self.account.upload() or (self.identity.upload() if self.identity else None)
        if first is not None:
            return [first]
        query = self.users.query()
        if query is not None:
            return [query]
        lost = [d.peer for d in map(self._device, self._wedged()) if d is not None]
        lost += [peer for peer in self.secrets.unreached() if peer not in lost]
        claims: list[Request] = [KeysClaim(tuple(lost))] if lost else []
        return claims + list(self.outbox.requests())

    def answer(self, request: Request, response: Json, now: int) -> None:
        """Take in the server's answer to a request."""
        match request:
            case KeysUpload():
                self.account.uploaded()
                counts = response.get("one_time_key_counts")
                count = counts.get(SIGNED_CURVE25519, 0) if isinstance(counts, dict) else None
                self.account.top_up(count if isinstance(count, int) else None, None)
            case DeviceSigningUpload() | SignaturesUpload():
                if self.identity is not None:
                    self.identity.uploaded(request)
                self.users.outdate([self.user_id])
            case KeysQuery():
                own = Device(self.user_id, self.device_id, self.account.curve25519, self.account.ed25519)
                self.users.answered(request, response, own)
                self.trust.listed(request, response)
                self._adopt_identity()
                self.secrets.answer(now)
            case KeysClaim():
                self._claimed(request, response, now)
                self.secrets.answer(now)
            case SendToDevice() | KeyShare():
                self.outbox.done(request.txn_id)

    def abandon(self, request: SendToDevice | KeyShare) -> None:
        """The server refuses this message for good. Who was to get it still counts as having it."""
        self.outbox.done(request.txn_id)

    # Sending

    def recipients(self, settings: RoomSettings, view: GrantView | None, now: int) -> list[tuple[Peer, str | None]]:
        """The devices that may read the next message, each with the grant it reads under (None: a member's).

        Without a fresh view no partner is among them.
        """
        members = {user for user in settings.members if not is_partner(user)} | {self.user_id}
        users = [user for user in map(self.users.get, sorted(members)) if user is not None]
        found: dict[Peer, str | None] = {
            d.peer: None for u in users for d in u.recipients() if d.curve25519 != self.account.curve25519
        }
        if view is not None and view.is_fresh(now, VIEW_MAX_AGE_MS) and not settings.closed:
            for access in view.partners:
                if access.reads and access.covers(settings.room_id) and now < access.until:
                    found.update((p, access.grant_id) for p in access.devices if p not in found)
        return list(found.items())

    def missing_sessions(self, settings: RoomSettings, view: GrantView | None, now: int) -> KeysClaim | None:
        """The claim to make before `share`, or None."""
        return self.claim((peer for peer, _ in self.recipients(settings, view, now)), now)

    def claim(self, peers: Iterable[Peer], now: int) -> KeysClaim | None:
        """The claim for those of `peers` that no Olm session reaches, leaving out who had no key just now."""
        missing = [p for p in peers if not self.olm.has(p) and self._no_key_until.get(p, 0) <= now]
        return KeysClaim(tuple(missing)) if missing else None

    def share(self, settings: RoomSettings, view: GrantView | None, now: int) -> None:
        """Rotate the room's session if due, and queue its key for everyone who may read and lacks it."""
        allowed = self.recipients(settings, view, now)
        if self.outbound.due(settings, (peer for peer, _ in allowed), now):
            self.outbound.begin(settings.room_id, now)
        lacking = self._lacking(settings.room_id, allowed)
        if not lacking:
            return
        room_key = self.outbound.room_key(settings.room_id)
        messages: Json = {}
        shares: dict[str, list[Json]] = {}
        for peer, grant_id in lacking:
            content = self.olm.encrypt(peer, "m.room_key", room_key)
            self.outbound.shared(settings.room_id, peer)
            if grant_id is None:
                messages.setdefault(peer.user_id, {})[peer.device_id] = content
            else:
                shares.setdefault(grant_id, []).append(key_share(peer, content, self._range(settings.room_id)))
        self._queue(messages)
        for grant_id, made in shares.items():
            self.outbox.to_partner(grant_id, tuple(made))

    def encrypt(
        self,
        settings: RoomSettings,
        view: GrantView | None,
        event_type: str,
        content: Json,
        *,
        now: int,
        grants_version: int | None,
    ) -> Json:
        """The encrypted content of a room event. `grants_version` is named in clear by enrolled devices.

        Raises SharingNeededError when the recipients are no longer those of the last `share`.
        """
        allowed = self.recipients(settings, view, now)
        due = self.outbound.due(settings, (peer for peer, _ in allowed), now)
        if due or self._lacking(settings.room_id, allowed):
            raise SharingNeededError("the room's recipients changed since its key was shared")
        encrypted = self.outbound.encrypt(settings.room_id, event_type, content, now)
        if grants_version is not None:
            encrypted["org.paraph.grants"] = grants_version
        return encrypted

    def send_to_partner(self, grant_id: str, peers: Sequence[Peer], event_type: str, content: Json) -> tuple[Peer, ...]:
        """Queue an Olm event (no room key) for partner devices; returns those that an Olm session reaches."""
        reached = tuple(peer for peer in peers if self.olm.has(peer))
        made = tuple(key_share(p, self.olm.encrypt(p, event_type, content), None) for p in reached)
        self.outbox.to_partner(grant_id, made)
        return reached

    # Reading

    def decrypt(self, event: Json, room_id: str) -> Decrypted | DecryptionError:
        """Open a room event, or say why not; what a late key can cure is kept and retried by `receive`."""
        try:
            return self._open(event, room_id)
        except DecryptionError as error:
            if error.code in MAY_PASS and isinstance(event.get("event_id"), str):
                name = f"{event['content'].get('session_id')}/{event['event_id']}"
                self._records.put(WAITING, name, Waiting(room_id, event))
            return error

    def was_taken(self, event: Json) -> bool:
        """Whether this very room event was opened before, or is kept until its key comes."""
        content = event.get("content")
        session_id = content.get("session_id") if isinstance(content, dict) else None
        waiting = self._records.get(WAITING, f"{session_id}/{event.get('event_id')}", Waiting)
        return waiting is not None or self.inbound.was_opened(event)

    def drop_waiting(self, event_ids: Collection[str]) -> None:
        """Within a step: let go of events that wait for their keys."""
        for name in self._records.names(WAITING):
            if name.rpartition("/")[2] in event_ids:
                self._records.delete(WAITING, name)

    # Inside

    def _open(self, event: Json, room_id: str) -> Decrypted:
        opened = self.inbound.open(event, room_id)
        session = opened.session
        device = self.users.device_with_key(session.owner, session.sender_key)
        if device is not None and device.ed25519 != session.ed25519:
            raise DecryptionError("wrong-device", "the session's signing key is not its device's")
        own = session.direct and session.sender_key == self.account.curve25519
        user = self.users.get(session.owner)
        verified = own or (
            user is not None and device is not None and device.owner_signed and not user.blocked and session.direct
        )
        device_id = device.device_id if device is not None else session.device_id
        return Decrypted(
            event,
            room_id,
            opened.type,
            opened.content,
            session.session_id,
            opened.index,
            device_id,
            verified,
            session.direct,
        )

    def _retry(self, session_id: str) -> list[Decrypted]:
        opened = []
        for name, waiting in self._records.items(WAITING, Waiting, f"{session_id}/"):
            try:
                opened.append(self._open(waiting.event, waiting.room_id))
            except DecryptionError as error:
                log.debug("event still closed: %s", error.code)
            else:
                self._records.delete(WAITING, name)
        return sorted(opened, key=lambda one: one.message_index)

    def _to_device(self, event: Json, now: int) -> OlmPayload | None:
        sender, content = event.get("sender"), event.get("content")
        if not isinstance(sender, str) or not isinstance(content, dict):
            return None
        if event.get("type") == "m.room_key.withheld":
            self._withheld(sender, content)
        self._in_clear(str(event.get("type")), sender, content, now)
        if event.get("type") != ENCRYPTED or content.get("algorithm") != OLM:
            return None
        try:
            payload = self.olm.decrypt(sender, content, now)
        except DecryptionError as error:
            log.warning("to-device message from %s refused: %s", sender, error.code)
            if error.code == "olm-undecryptable":
                self._note_wedged(sender, content, now)
            return None
        device = self.users.device_with_key(sender, payload.sender_key)
        if device is not None and device.ed25519 != payload.ed25519:
            log.warning("to-device message from %s refused: signing key is not the device's", sender)
            return None
        return payload

    def _in_clear(self, event_type: str, sender: str, content: Json, now: int) -> None:
        """What devices tell each other unsealed: each such message proves itself, or asks for a sealed answer."""
        if event_type.startswith(VERIFICATION) and not is_partner(sender) and not is_partner(self.user_id):
            self.verifications.receive(event_type, sender, content, now)
        elif event_type == SECRET_REQUEST:
            self.secrets.asked(sender, content, now)

    def _own_affair(self, payload: OlmPayload, now: int) -> bool:
        """Whether a sealed message was one that only the engine needs to see."""
        if payload.type == SECRET_SEND:
            self.secrets.take(payload)
            self._adopt_identity()
            return True
        self._in_clear(payload.type, payload.sender, payload.content, now)
        return payload.type == SECRET_REQUEST or payload.type.startswith(VERIFICATION)

    def _adopt_identity(self) -> None:
        """Hold the person's identity from now on, once another device has given all of it."""
        seeds = self.secrets.seeds() if self.identity is None else None
        if seeds is not None:
            Identity.store(self._records, seeds, keys_uploaded=True)
            self.identity = Identity(self._records, self.account)

    def _room_key(self, payload: OlmPayload) -> str | None:
        """Take in a key sent by its own device; a forwarded one proves nothing about whose it is."""
        if payload.type not in ("m.room_key", HISTORY_KEY) or is_partner(payload.sender):
            return None
        device = self.users.device_with_key(payload.sender, payload.sender_key)
        device_id = device.device_id if device is not None else payload.sender_device
        add = self.inbound.add_key if payload.type == "m.room_key" else self.inbound.add_older_key
        return add(payload.content, payload.sender, payload.sender_key, payload.ed25519, device_id)

    def _withheld(self, sender: str, content: Json) -> None:
        session_id, code, reason = content.get("session_id"), content.get("code"), content.get("reason")
        if content.get("algorithm") == MEGOLM and isinstance(session_id, str) and isinstance(code, str):
            self.inbound.withhold(session_id, sender, f"{code} {reason}" if isinstance(reason, str) else code)

    def _note_wedged(self, sender: str, content: Json, now: int) -> None:
        key = str(content.get("sender_key"))
        device = self.users.device_with_key(sender, key)
        known = self._records.get(WEDGED, key, Wedged)
        if device is not None and (known is None or now - known.at >= UNWEDGE_EVERY_MS):
            self._records.put(WEDGED, key, Wedged(sender, device.device_id, now, True))

    def _wedged(self) -> list[Wedged]:
        return [wedged for _, wedged in self._records.items(WEDGED, Wedged) if wedged.pending]

    def _device(self, wedged: Wedged) -> Device | None:
        user = self.users.get(wedged.user_id)
        return None if user is None else user.device(wedged.device_id)

    def _claimed(self, request: KeysClaim, response: Json, now: int) -> None:
        keys = response.get("one_time_keys")
        for peer in request.peers:
            found = keys.get(peer.user_id, {}).get(peer.device_id, {}) if isinstance(keys, dict) else {}
            offered = list(found.values()) if isinstance(found, dict) else []
            made = bool(offered) and self.olm.establish(peer, offered[0], now)
            wedged = self._records.get(WEDGED, peer.curve25519, Wedged)
            if wedged is not None and wedged.pending:
                self._records.put(WEDGED, peer.curve25519, msgspec.structs.replace(wedged, pending=False))
            if not made:
                self._no_key_until[peer] = now + CLAIM_AGAIN_MS
                self.secrets.give_up(peer)
            elif wedged is not None and wedged.pending:
                self._queue({peer.user_id: {peer.device_id: self.olm.encrypt(peer, "m.dummy", {})}})

    def _lacking(self, room_id: str, allowed: list[tuple[Peer, str | None]]) -> list[tuple[Peer, str | None]]:
        """Who may read, does not have the key yet, and can be reached."""
        session = self.outbound.current(room_id)
        return [
            (peer, grant_id)
            for peer, grant_id in allowed
            if (session is None or not session.has(peer)) and self.olm.has(peer)
        ]

    def _range(self, room_id: str) -> Json:
        session = self.outbound.current(room_id)
        session_id = "" if session is None else session.session_id
        return {"room_id": room_id, "session_id": session_id, "first_index": self.outbound.index(room_id)}

    def _queue(self, messages: Json) -> None:
        flat = [(user, device, content) for user, devices in messages.items() for device, content in devices.items()]
        for start in range(0, len(flat), MAX_TO_DEVICE):
            batch: Json = {}
            for user, device, content in flat[start : start + MAX_TO_DEVICE]:
                batch.setdefault(user, {})[device] = content
            self.outbox.to_people(ENCRYPTED, batch)


def _olm_event(payload: OlmPayload) -> OlmEvent:
    return OlmEvent(payload.sender, payload.sender_key, payload.sender_device, payload.type, payload.content)
