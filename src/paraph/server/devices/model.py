"""What comes in and goes out: request bodies, a device, a waiting message, this room's part of a sync."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

Document = dict[str, Any]
"""A JSON object that somebody signed; kept whole, since the signature covers members that we do not know."""


class KeysUpload(Struct, frozen=True):
    """The body of POST /keys/upload."""

    device_keys: Document | None = None
    one_time_keys: Document | None = None
    fallback_keys: Document | None = None


class KeysQuery(Struct, frozen=True):
    """The body of POST /keys/query: per user the devices asked for; an empty list means all."""

    device_keys: dict[str, list[str]]


class KeysClaim(Struct, frozen=True):
    """The body of POST /keys/claim: per user and device the algorithm."""

    one_time_keys: dict[str, dict[str, str]]


class SigningUpload(Struct, frozen=True):
    """The body of POST /keys/device_signing/upload."""

    master_key: Document | None = None
    self_signing_key: Document | None = None
    user_signing_key: Document | None = None
    auth: Document | None = None


class ToDeviceBody(Struct, frozen=True):
    """The body of PUT /sendToDevice: per user and device (or `*`) the content."""

    messages: dict[str, dict[str, Document]]


class DeviceUpdate(Struct, frozen=True):
    """The body of PUT /devices/{id}; a name that is not given stays as it is."""

    display_name: str | UnsetType | None = UNSET


class DeviceDeletion(Struct, frozen=True):
    """The body of DELETE /devices/{id}."""

    auth: Document | None = None


class DevicesDeletion(Struct, frozen=True):
    """The body of POST /delete_devices."""

    devices: list[str]
    auth: Document | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a person; `device_keys` is None until it has uploaded them."""

    device_id: str
    display_name: str | None
    device_keys: Document | None


@dataclass(frozen=True, slots=True)
class CrossSigningKey:
    """A cross-signing key: its Ed25519 public key (unpadded base64) and the object it stands in."""

    public_key: str
    document: Document


@dataclass(frozen=True, slots=True)
class CrossSigning:
    """A person's cross-signing identity, as far as it exists; the documents carry the owner's own signatures."""

    master: CrossSigningKey | None = None
    self_signing: CrossSigningKey | None = None
    user_signing: CrossSigningKey | None = None

    def get(self, usage: str) -> CrossSigningKey | None:
        """The key of one usage: `master`, `self_signing` or `user_signing`."""
        found: CrossSigningKey | None = getattr(self, usage)
        return found


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """How many one-time keys are left per algorithm, and of which algorithms the fallback key is unused."""

    one_time: dict[str, int]
    unused_fallback: list[str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits for a device. `content` is JSON text as it goes out."""

    position: int
    sender: str
    sender_device: str | None
    type: str
    content: msgspec.Raw

    def event(self) -> dict[str, Any]:
        """The to-device event of a sync."""
        return {"sender": self.sender, "type": self.type, "content": self.content}


@dataclass(frozen=True, slots=True)
class DevicesSyncPart:
    """What a sync says about devices, for one device and the window (since, upto].

    `to_device_upto` is how far `to_device` reaches: `upto`, unless a limit cut it short; only up to there may the next
    sync token acknowledge. So is `lists_upto` for `changed` and `left`.
    """

    to_device: list[dict[str, Any]]
    changed: list[str]
    left: list[str]
    one_time_key_counts: dict[str, int]
    unused_fallback_key_types: list[str]
    to_device_upto: int
    lists_upto: int

    @property
    def has_news(self) -> bool:
        """Whether a long poll should return because of this part."""
        return bool(self.to_device or self.changed or self.left)


@dataclass(frozen=True, slots=True)
class QueueEnds:
    """Positions of the oldest and newest message that wait for a device; None where nothing waits."""

    oldest: int | None = None
    newest: int | None = None


@dataclass(slots=True)
class Failures:
    """What went wrong in a request that may succeed in part: user -> key -> {errcode, error}."""

    found: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    def add(self, user_id: str, key_id: str, errcode: str, error: str) -> None:
        """Note one failure."""
        self.found.setdefault(user_id, {})[key_id] = {"errcode": errcode, "error": error}
