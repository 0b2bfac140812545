"""Drafts: what a partner proposes that a person say, sealed for her devices (docs/protocol.md §2).

The document names whose grant and which devices, and carries one Olm message for each device. Where the draft is to go
and what it says stands inside, as `DraftBody`: only the author's own devices ever know.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from paraph.protocol import limits
from paraph.protocol.base64 import b64url
from paraph.protocol.canonical import encode
from paraph.protocol.documents import Document, Part, parse
from paraph.protocol.errors import DocumentError
from paraph.protocol.fields import DeviceId, GrantId, PublicKey, RoomId, Slug, Time, once
from paraph.protocol.identifiers import DRAFT_ID_PATTERN, EVENT_ID_PATTERN, partner_user_id
from paraph.protocol.signing import verify

TYPE = "org.paraph.draft"
"""Of the document, and of the Olm event inside it."""
VIA = "org.paraph.via"
"""Member of an event's content: through which partner it came."""
WRITE_DRAFT = "write:draft"

DraftId = Annotated[str, Meta(pattern=rf"^{DRAFT_ID_PATTERN}\Z")]
EventId = Annotated[str, Meta(pattern=rf"^{EVENT_ID_PATTERN}\Z", max_length=255)]


class OlmMessage(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One Olm message: 0 begins a session, 1 goes on with one."""

    type: Literal[0, 1]
    body: Annotated[str, Meta(min_length=1, max_length=limits.MAX_DRAFT_CIPHERTEXT)]


class OlmContent(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Content of an Olm-encrypted event for one device, by the device's Curve25519 key (Matrix, `m.room.encrypted`)."""

    algorithm: Literal["m.olm.v1.curve25519-aes-sha2"]
    sender_key: PublicKey
    ciphertext: Annotated[dict[PublicKey, OlmMessage], Meta(min_length=1, max_length=1)]


class Recipient(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of the author's devices, and what is for it alone."""

    device_id: DeviceId
    content: OlmContent


Recipients = Annotated[tuple[Recipient, ...], Meta(min_length=1, max_length=limits.MAX_DRAFT_RECIPIENTS)]


class Draft(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A draft under a grant, signed by a device of the partner."""

    type: Literal["org.paraph.draft"]
    draft_id: DraftId
    grant_id: GrantId
    partner: Slug
    device_id: DeviceId
    created: Time
    expires: Time
    recipients: Recipients

    def __post_init__(self) -> None:
        once("recipients", (recipient.device_id for recipient in self.recipients))
        if not 0 < self.expires - self.created <= limits.MAX_DRAFT_DAYS * limits.DAY_MS:
            raise ValueError(f"expected `expires` after `created` by at most {limits.MAX_DRAFT_DAYS} days")

    def for_device(self, device_id: str) -> OlmContent | None:
        """What is for this device of the author."""
        return next((found.content for found in self.recipients if found.device_id == device_id), None)


class InReplyTo(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The event that a message answers."""

    event_id: EventId


class Relation(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A draft may answer a message. It is no edit and no reaction."""

    in_reply_to: InReplyTo = msgspec.field(name="m.in_reply_to")


class DraftMessage(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `m.room.message` content that is proposed: what a person is shown is all that there is.

    So there is no `formatted_body`, which clients would show in the place of `body`.
    """

    msgtype: Literal["m.text", "m.notice", "m.emote"]
    body: Annotated[str, Meta(min_length=1, max_length=limits.MAX_DRAFT_BODY)]
    relates_to: Relation | msgspec.UnsetType = msgspec.field(name="m.relates_to", default=msgspec.UNSET)


class DraftBody(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What only the author's devices read: where the draft is to go, and what it says."""

    draft_id: DraftId
    room_id: RoomId
    content: DraftMessage


def verify_draft(document: Mapping[str, Any], *, server_name: str, ed25519: str) -> Draft:
    """Check that the partner's device with this key (unpadded base64) signed the draft; raises ProtocolError.

    Whether that device is a live one, and what the grant allows, is checked apart.
    """
    draft = parse(Draft, document)
    verify(document, partner_user_id(draft.partner, server_name), f"ed25519:{draft.device_id}", ed25519)
    return draft


class Via(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`org.paraph.via` of a sealed draft's event, in clear: the partner, and the draft it left."""

    partner: Slug
    draft_id: DraftId


def via_hash(via: Mapping[str, Any]) -> str:
    """What the plaintext says of `via`: base64url(SHA-256(canonical JSON)).

    Other partners who may open the message learn from it that some partner proposed it, and not which.
    """
    return b64url(hashlib.sha256(encode(dict(via))).digest())


def read_via(content: Mapping[str, Any]) -> Via | None:
    """What an event's cleartext content says of where it came from; None if it says nothing. Raises DocumentError."""
    if VIA not in content:
        return None
    if not isinstance(content[VIA], Mapping):
        raise DocumentError(f"expected {VIA} to be an object with partner and draft_id")
    return parse(Via, content[VIA])
