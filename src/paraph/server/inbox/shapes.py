"""What the Inbox API answers, as types: the OpenAPI document is made from them, and nothing is parsed with them.

Signed documents have the shapes of `paraph.protocol`; what docs/protocol.md names `E`, `D` and `C` is `AccessEntry`,
`DraftStatus` and `Change` here. Times are milliseconds since 1970-01-01 UTC.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from paraph.protocol.disposal import Disposal
from paraph.protocol.draft import Draft
from paraph.protocol.enrolment import Enrolment
from paraph.protocol.fields import DeviceId, GrantId, PersonId, Purpose, RoomId, Slug, Time
from paraph.protocol.grant import Amendment, Grant
from paraph.protocol.partner_device import PartnerDevice, PartnerDeviceEnded
from paraph.protocol.receipt import Receipt
from paraph.server.outgoing.target import MAX_URL

EventId = Annotated[str, Meta(pattern=r"^\$[!-~]{1,254}\Z", description="an event's id")]
Opaque = Annotated[str, Meta(max_length=1024, description="to be handed back as it is; its text means nothing")]
Opening = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z", description="32 bytes, base64url")]
Status = Literal["queued", "claimed", "sealed", "declined", "expired", "withdrawn"]


class Record(Struct, frozen=True):
    """A public record, as it stands in the log."""

    kind: str
    partner: Slug | Literal["platform"]
    ts: Time
    document: dict[str, Any]


class Recorded(Struct, frozen=True):
    """What was recorded."""

    record: Record


class EntryBody(Struct, frozen=True):
    """A private entry (docs/protocol.md section 3); `body` is by kind."""

    kind: str
    person: PersonId
    partner: Slug | None
    day: Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
    ts: Time
    body: dict[str, Any]


class AccessEntry(Struct, frozen=True):
    """An entry about the partner with its openings and the platform's promise to log it (`E`)."""

    entry: EntryBody
    o1: Opening
    o2: Opening
    label: Opening
    week: Annotated[int, Meta(ge=0, le=65_534, description="ISO weeks since the one that holds 1970-01-01")]
    receipt: Receipt


class DeviceToPublish(Struct, frozen=True):
    """A device, signed by the partner's master key and by itself."""

    device: PartnerDevice


class DeviceToEnd(Struct, frozen=True):
    """The end of a device, signed by the partner's master key."""

    ending: PartnerDeviceEnded


class KeysToPublish(Struct, frozen=True):
    """Keys that the device signed, in the shapes of the Matrix specification (`POST /keys/upload`)."""

    device_id: DeviceId
    one_time_keys: dict[str, Any] = {}
    fallback_keys: dict[str, Any] = {}


class KeyCounts(Struct, frozen=True):
    """One-time keys that are left, by algorithm, and algorithms whose fallback key was not used."""

    one_time_key_counts: dict[str, Annotated[int, Meta(ge=0)]]
    unused_fallback_key_types: list[str]


class KeyEvent(Struct, frozen=True):
    """An Olm-encrypted event from a device of an author."""

    sender: PersonId
    sender_device: str | None
    content: dict[str, Any]


class KeyEvents(Struct, frozen=True):
    """Key events in their order; those up to a `since` are deleted when it is used."""

    events: list[KeyEvent]
    next: Opaque


class HeldAmendment(Struct, frozen=True):
    """An amendment, and the keys that vouch for the device that signed it."""

    amendment: Amendment
    chain: dict[str, Any]


class EnrolledDevice(Struct, frozen=True):
    """An enrolled device of the author, and the keys that vouch for it."""

    device_id: DeviceId
    enrolment: Enrolment
    chain: dict[str, Any]


class LiveGrant(Struct, frozen=True):
    """A grant that gives something now, with all that narrowed it and the author's enrolled devices."""

    grant: Grant
    chain: dict[str, Any]
    amendments: list[HeldAmendment]
    live: Literal[True]
    devices: list[EnrolledDevice]


class Grants(Struct, frozen=True):
    """Live grants."""

    grants: list[LiveGrant]


class GrantedRoom(Struct, frozen=True):
    """A room, and the live grants that cover it."""

    room_id: RoomId
    grants: list[GrantId]


class Rooms(Struct, frozen=True):
    """Rooms in which something is granted."""

    rooms: list[GrantedRoom]


class Message(Struct, frozen=True):
    """An encrypted event of the author's."""

    type: Literal["m.room.encrypted"]
    sender: PersonId
    event_id: EventId
    room_id: RoomId
    origin_server_ts: Time
    content: dict[str, Any]


class Messages(Struct, frozen=True):
    """Messages of one room; one access entry for each author in it."""

    messages: list[Message]
    next: Opaque
    accesses: list[AccessEntry]


class MessageChange(Struct, frozen=True, tag_field="kind", tag="message"):
    """A message; `older` for one from before the grant."""

    grant_id: GrantId
    event: Message
    older: bool | UnsetType = UNSET


class GrantChange(Struct, frozen=True, tag_field="kind", tag="grant"):
    """What became of a grant."""

    grant_id: GrantId
    person: PersonId
    what: Literal["made", "amended", "paused", "resumed", "revoked", "ended", "expired", "closed", "reopened"]
    change: dict[str, Any] | UnsetType = UNSET
    room_id: RoomId | UnsetType = UNSET
    grant: LiveGrant | UnsetType = UNSET


class DevicesChange(Struct, frozen=True, tag_field="kind", tag="devices"):
    """The author's enrolled devices are others now."""

    grant_id: GrantId
    person: PersonId
    grant: LiveGrant | UnsetType = UNSET


class DraftChange(Struct, frozen=True, tag_field="kind", tag="draft"):
    """Something has become of a draft."""

    grant_id: GrantId
    draft_id: str
    status: Status


class WithheldChange(Struct, frozen=True, tag_field="kind", tag="withheld"):
    """Something stood in the stream that the grant does not give now."""

    grant_id: GrantId
    room_id: RoomId | None
    why: Literal["not-granted", "closed", "redacted"]
    since: Opaque | UnsetType = UNSET


Change = MessageChange | GrantChange | DevicesChange | DraftChange | WithheldChange


class Changes(Struct, frozen=True):
    """What is new; `more` says that there is more at once."""

    changes: list[Change]
    state: Opaque
    more: bool
    accesses: list[AccessEntry]


class DraftToLeave(Struct, frozen=True):
    """A draft, signed by a device of the partner and sealed for each of the author's enrolled devices."""

    draft: Draft


class DraftStatus(Struct, frozen=True):
    """What has become of a draft (`D`); room and event are null unless it was sealed."""

    draft_id: str
    grant_id: GrantId
    status: Status
    devices_reached: Annotated[bool, Meta(description="false while no device of the author has fetched it")]
    created: Time
    expires: Time
    room_id: RoomId | None
    event_id: EventId | None
    reason: str | None
    entries: list[AccessEntry]


class KeysToClaim(Struct, frozen=True):
    """Enrolled devices of a grant's author."""

    grant_id: GrantId
    devices: Annotated[list[DeviceId], Meta(min_length=1)]


class ClaimedKeys(Struct, frozen=True):
    """For each device that has one, a signed one-time key by its id."""

    one_time_keys: dict[DeviceId, dict[str, Any]]


class MessageToDelete(Struct, frozen=True):
    """For which purpose, and a reason for the author's record."""

    purpose: Purpose
    reason: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class Deleted(Struct, frozen=True):
    """The redaction, and its entry."""

    redaction_id: EventId
    entry: AccessEntry


class DisposalToRecord(Struct, frozen=True):
    """A confirmation, signed by a live device of the partner."""

    disposal: Disposal


class RecordedDisposal(Struct, frozen=True):
    """The confirmation's entry."""

    entry: AccessEntry


Handle = Annotated[str, Meta(pattern=r"^h_[A-Za-z0-9_-]{22}\Z", description="a person, for this partner alone")]


class Conversation(Struct, frozen=True):
    """When a room was made and went on, how many are in it, and handles of those who are not the author."""

    room_id: RoomId
    created: Time
    last_message: Time | None
    members: Annotated[int, Meta(ge=0)]
    correspondents: list[Handle]


class Conversations(Struct, frozen=True):
    """An author's conversations; `next` is null at the end."""

    rooms: list[Conversation]
    next: Opaque | None
    access: AccessEntry


class Friends(Struct, frozen=True):
    """An author's friends who accepted to be listed; `next` is null at the end."""

    friends: list[Handle]
    next: Opaque | None
    access: AccessEntry


class EndpointToTell(Struct, frozen=True):
    """Where to send calls: https, of a host all of whose addresses are public."""

    url: Annotated[str, Meta(max_length=MAX_URL)]


class Webhook(Struct, frozen=True):
    """An endpoint that is told that something changed; `failures` in a row, and when the next attempt is due."""

    webhook_id: Annotated[str, Meta(pattern=r"^wh_[A-Za-z0-9_-]+\Z")]
    url: str
    created: Time
    status: Literal["active", "failing", "gone", "unreachable"]
    failures: Annotated[int, Meta(ge=0)]
    next_attempt: Time | None


class RegisteredWebhook(Struct, frozen=True):
    """The webhook."""

    webhook: Webhook


class Webhooks(Struct, frozen=True):
    """All webhooks of the partner."""

    webhooks: list[Webhook]


class RowOfLimits(Struct, frozen=True):
    """A token bucket; `per` says of whom or what there is one each."""

    requests_at_once: Annotated[int, Meta(gt=0)]
    refilled_per_second: Annotated[float, Meta(gt=0)]
    per: list[Literal["partner", "grant", "account", "device", "address"]]
    meaning: str


class Bound(Struct, frozen=True):
    """A bound on size, number or time."""

    value: int
    unit: Literal["milliseconds", "bytes", "count"]
    meaning: str


class Limits(Struct, frozen=True):
    """The limits of this platform, the same for every partner."""

    enforced: bool
    applies_to: str
    requests: dict[str, RowOfLimits]
    bounds: dict[str, Bound]


class AboutProblem(Struct, frozen=True):
    """A problem type: `type` is what a problem of it has as its own."""

    slug: str
    type: str
    status: int
    title: str
    meaning: str


class AboutProblems(Struct, frozen=True):
    """All problem types."""

    problems: list[AboutProblem]
