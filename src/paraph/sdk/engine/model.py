"""What goes into and comes out of the device engine: requests for the driver to send, and the engine's records."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

OLM = "m.olm.v1.curve25519-aes-sha2"
MEGOLM = "m.megolm.v1.aes-sha2"
ENCRYPTED = "m.room.encrypted"
RELATION = "m.relates_to"
SIGNED_CURVE25519 = "signed_curve25519"

VIEW_MAX_AGE_MS = 120_000

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeysUpload:
    """POST `/keys/upload`: the device's identity keys (once) and fresh one-time and fallback keys."""

    device_keys: Json | None
    one_time_keys: Json
    fallback_keys: Json


@dataclass(frozen=True, slots=True)
class KeysQuery:
    """POST `/keys/query` for these users; `marks` says how outdated each was when asked."""

    users: tuple[str, ...]
    marks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeysClaim:
    """POST `/keys/claim`: one signed one-time key of each device."""

    peers: tuple["Peer", ...]


@dataclass(frozen=True, slots=True)
class SendToDevice:
    """PUT `/sendToDevice/{event_type}/{txn_id}`; `messages` is user id -> device id -> content."""

    txn_id: str
    event_type: str
    messages: Json


@dataclass(frozen=True, slots=True)
class KeyShare:
    """PUT `/_paraph/v1/grants/{grant_id}/key-shares/{txn_id}`: keys for a partner's devices, with their records."""

    txn_id: str
    grant_id: str
    shares: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class DeviceSigningUpload:
    """POST `/keys/device_signing/upload`: the public cross-signing keys."""

    master_key: Json
    self_signing_key: Json
    user_signing_key: Json


@dataclass(frozen=True, slots=True)
class SignaturesUpload:
    """POST `/keys/signatures/upload`: user id -> device id -> signed object."""

    signatures: Json


Request = KeysUpload | KeysQuery | KeysClaim | SendToDevice | KeyShare | DeviceSigningUpload | SignaturesUpload


@dataclass(frozen=True, slots=True)
class Peer:
    """A device that Olm messages can be sent to: its owner, id and identity keys (unpadded base64)."""

    user_id: str
    device_id: str
    curve25519: str
    ed25519: str


@dataclass(frozen=True, slots=True)
class PartnerAccess:
    """One live grant as recipients: which partner devices may get keys in which rooms (None: all but `excluded`).

    `until` is by this device's own clock. Without the verb `read` they get no room keys. From `history` on (ms; None:
    not at all) they may open what was written before the grant `began`.
    """

    grant_id: str
    user_id: str
    rooms: frozenset[str] | None
    until: int
    devices: tuple[Peer, ...]
    excluded: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset(("read",))
    history: int | None = None
    began: int = 0

    @property
    def reads(self) -> bool:
        """Whether the partner may open anything."""
        return "read" in self.verbs

    def covers(self, room_id: str) -> bool:
        """Whether the grant covers this room."""
        return room_id not in self.excluded and (self.rooms is None or room_id in self.rooms)


@dataclass(frozen=True, slots=True)
class GrantView:
    """What a person's device has verified about its person's grants, at time `at` (milliseconds).

    `version` is the platform's count of grant states. A view older than `VIEW_MAX_AGE` counts as none, as does one from
    `expires` on (milliseconds, by this device's clock): then the tree it was proven under is too old.
    """

    version: int
    at: int
    partners: tuple[PartnerAccess, ...] = ()
    expires: int | None = None

    def is_fresh(self, now: int, max_age: int) -> bool:
        """Whether the view counts at `now`, being at most `max_age` old (milliseconds)."""
        return abs(now - self.at) <= max_age and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """Who is in a room and how its key rotates. `members` are joined and invited users; periods in milliseconds.

    `closed` says that a member closed the room to partners.
    """

    room_id: str
    members: frozenset[str]
    rotation_ms: int | None = None
    rotation_messages: int | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class SyncPart:
    """What of a `/sync` answer concerns the engine. None for a count or type list that was absent."""

    to_device: tuple[Json, ...] = ()
    changed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    one_time_keys: int | None = None
    fallback_unused: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Decrypted:
    """An opened room event. `sender_verified`: the device that wrote it is signed by its owner's pinned identity.

    `direct`: the session's key came straight from that device, not from an import.
    """

    event: Json
    room_id: str
    type: str
    content: Json
    session_id: str
    message_index: int
    sender_device: str | None
    sender_verified: bool
    direct: bool


@dataclass(frozen=True, slots=True)
class OlmEvent:
    """An opened and checked to-device event of a type the engine does not use itself."""

    sender: str
    sender_key: str
    sender_device: str | None
    type: str
    content: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """What a sync part brought: further Olm events, and room events that can be opened only now."""

    events: tuple[OlmEvent, ...] = ()
    late: tuple[Decrypted, ...] = ()


class Device(msgspec.Struct, frozen=True, omit_defaults=True):
    """A known device of a user. `changed`: it came back with other keys under the same id, and is refused."""

    user_id: str
    device_id: str
    curve25519: str
    ed25519: str
    owner_signed: bool = False
    accepted: bool = False
    changed: bool = False
    gone: bool = False

    @property
    def peer(self) -> Peer:
        """The device as the addressee of an Olm message."""
        return Peer(self.user_id, self.device_id, self.curve25519, self.ed25519)


class User(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tracked user. `master` is pinned; `offered` is what the server shows instead ("" for none at all).

    `verified`: this person or one of her devices compared codes with them under that master key. `self_signing` and
    `user_signing` are the public keys that the master key vouches for; the latter is only shown to its owner.
    `outdated` is 0 while the device list is current, else a mark that grows with every notice of change.
    """

    user_id: str
    master: str | None = None
    offered: str | None = None
    outdated: int = 1
    seen: bool = False
    tracked: bool = True
    devices: tuple[Device, ...] = ()
    verified: bool = False
    self_signing: str | None = None
    user_signing: str | None = None

    @property
    def blocked(self) -> bool:
        """Whether the server shows another identity than the pinned one."""
        return self.offered is not None

    def device(self, device_id: str) -> Device | None:
        """The device of that id, gone ones included."""
        return next((d for d in self.devices if d.device_id == device_id), None)

    def recipients(self) -> tuple[Device, ...]:
        """The devices that may receive keys under the rule of the house."""
        if self.blocked:
            return ()
        usable = (d for d in self.devices if not d.gone and not d.changed)
        if self.master is not None:
            return tuple(d for d in usable if d.owner_signed)
        return tuple(d for d in usable if d.accepted)
