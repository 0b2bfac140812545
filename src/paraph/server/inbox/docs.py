"""What the OpenAPI document says of the Inbox API's endpoints, by method and path.

To document an endpoint, add it here (or give its `Endpoint` a `doc`), with a type for each answer from `shapes`.
"""

from typing import Annotated

from msgspec import Meta

from paraph.protocol.fields import DeviceId, GrantId, PersonId, Purpose
from paraph.server.http.doc import Answer, Doc, Parameter
from paraph.server.inbox import shapes
from paraph.server.inbox.http import API, MAX_EVENTS, MAX_TIMEOUT_MS
from paraph.server.inbox.people.service import MAX_FRIENDS, MAX_ROOMS
from paraph.server.inbox.published import LIMITS, OPENAPI
from paraph.server.inbox.serving import MAX_MESSAGES

READING, KEYS, DRAFTS, DELETING = "Reading", "Devices and keys", "Drafts", "Deleting"
WEBHOOKS, ABOUT = "Webhooks", "About this API"

PURPOSE = Parameter("purpose", Purpose, "the granted purpose that this access is for; it is recorded", required=True)
LIMIT = Parameter(
    "limit", Annotated[int, Meta(ge=1, le=MAX_MESSAGES)], "the most to answer with, 100 if not given; more is cut down"
)
TIMEOUT = Parameter(
    "timeout",
    Annotated[int, Meta(ge=0, le=MAX_TIMEOUT_MS)],
    "milliseconds to wait for something, 0 if not given; more is cut down",
)
READ_ERRORS = ("not-granted", "purpose-not-granted", "room-closed", "bad-state", "log-not-fresh", "log-stopped")
LOOK_ERRORS = (
    "no-such-grant",
    "verb-not-granted",
    "purpose-not-granted",
    "bad-state",
    "log-not-fresh",
    "log-stopped",
)
WHOLE = ("token-for-one-grant",)
DOCUMENT = ("bad-document", "bad-signature", "forbidden", "conflict", "log-stopped")

GRANT = Parameter("grant_id", GrantId, "the grant to ask under; by default that of the token")


def _since(most: int) -> tuple[Parameter, Parameter]:
    return (
        Parameter("since", shapes.Opaque, "`next` of the answer before"),
        Parameter("limit", Annotated[int, Meta(ge=1, le=most)], "the most to answer with; all that fits if not given"),
    )


DOCS: dict[tuple[str, str], Doc] = {
    ("GET", LIMITS): Doc(
        ABOUT,
        {200: Answer("The limits", shapes.Limits)},
        "How often anything may be asked, and the bounds on sizes, numbers and times. The SHA-256 of this answer stands"
        " in the platform's public record.",
    ),
    ("GET", OPENAPI): Doc(
        ABOUT,
        {200: Answer("The document", {"type": "object", "required": ["openapi", "info", "paths"]})},
        "The SHA-256 of this answer stands in the platform's public record.",
    ),
    ("GET", f"{API}/problems"): Doc(ABOUT, {200: Answer("All of them", shapes.AboutProblems)}),
    ("GET", f"{API}/problems/{{slug}}"): Doc(
        ABOUT,
        {200: Answer("The type", shapes.AboutProblem)},
        "Where `about` of a problem leads.",
        errors=("not-found",),
    ),
    ("POST", f"{API}/devices"): Doc(
        KEYS,
        {200: Answer("Its public record; the same device again: the same record", shapes.Recorded)},
        "A device holds the keys that authors' devices share with. It counts once its record is in the log.",
        body=shapes.DeviceToPublish,
        errors=(*WHOLE, *DOCUMENT),
    ),
    ("POST", f"{API}/devices/{{device_id}}/end"): Doc(
        KEYS,
        {200: Answer("The public record of its end", shapes.Recorded)},
        "Authors' devices share nothing with it from then on.",
        body=shapes.DeviceToEnd,
        errors=(*WHOLE, *DOCUMENT, "not-found"),
    ),
    ("POST", f"{API}/device-keys"): Doc(
        KEYS,
        {200: Answer("What is left", shapes.KeyCounts)},
        "Authors' devices claim them to send the keys of messages.",
        body=shapes.KeysToPublish,
        errors=(*WHOLE, "no-such-device", "invalid-signature"),
    ),
    ("GET", f"{API}/key-events"): Doc(
        KEYS,
        {200: Answer("Key events", shapes.KeyEvents)},
        "What authors' devices sent to a device of the partner: session keys, and the keys of grants.",
        query=(
            Parameter("device_id", DeviceId, "a live device of the partner", required=True),
            Parameter("since", shapes.Opaque, "`next` of the answer before: events up to there are deleted"),
            Parameter("limit", Annotated[int, Meta(ge=1, le=MAX_EVENTS)], "the most to answer with, 100 if not given"),
            TIMEOUT,
        ),
        errors=(*WHOLE, "no-such-device", "bad-state"),
    ),
    ("GET", f"{API}/grants"): Doc(
        READING,
        {200: Answer("Live grants", shapes.Grants)},
        "All of them, the one named, or those of one person.",
        query=(
            Parameter("grant_id", GrantId, "only this one"),
            Parameter("person", PersonId, "only this person's"),
        ),
    ),
    ("GET", f"{API}/rooms"): Doc(
        READING,
        {200: Answer("Rooms", shapes.Rooms)},
        "Rooms that are open to the partner, with the grants that cover them.",
    ),
    ("GET", f"{API}/rooms/{{room_id}}/messages"): Doc(
        READING,
        {200: Answer("Messages, oldest first, each access recorded", shapes.Messages)},
        "The answer leaves once its access entries are durable. `/changes` gives the same for all rooms, in one order.",
        query=(
            PURPOSE,
            Parameter("since", shapes.Opaque, "`next` of the answer before in this room, or a change's `since`"),
            LIMIT,
        ),
        errors=READ_ERRORS,
    ),
    ("GET", f"{API}/changes"): Doc(
        READING,
        {200: Answer("Changes, in the order in which they happened", shapes.Changes)},
        "What is new under all grants (with a token for one grant: under that one). Ask again at once with `state`"
        " while `more` is true; a state lives as long as the grants. What may be read is decided anew each time.",
        query=(
            PURPOSE,
            Parameter("state", shapes.Opaque, "`state` of the answer before; without it, from the beginning"),
            LIMIT,
            TIMEOUT,
        ),
        errors=("bad-state", "log-not-fresh", "log-stopped"),
    ),
    ("GET", f"{API}/media/{{media_id}}"): Doc(
        READING,
        {
            200: Answer(
                "The encrypted bytes",
                {"type": "string", "format": "binary"},
                "application/octet-stream",
                {"Paraph-Access": "base64url of the JSON of the access entry, with its receipt"},
            )
        },
        "Needs `read:attachments`. The key is inside the message that names the file.",
        query=(PURPOSE,),
        errors=("no-such-file", "room-closed", "purpose-not-granted", "log-not-fresh", "log-stopped"),
    ),
    ("GET", f"{API}/metadata"): Doc(
        READING,
        {200: Answer("Conversations, by room id", shapes.Conversations)},
        "Needs `metadata`. Recorded even where it lists nothing.",
        query=(GRANT, PURPOSE, *_since(MAX_ROOMS)),
        errors=LOOK_ERRORS,
    ),
    ("GET", f"{API}/friends"): Doc(
        READING,
        {200: Answer("Handles, in their order", shapes.Friends)},
        "Needs `friends`: those who are alone with the author in a room, and let themselves be listed.",
        query=(GRANT, PURPOSE, *_since(MAX_FRIENDS)),
        errors=LOOK_ERRORS,
    ),
    ("POST", f"{API}/drafts"): Doc(
        DRAFTS,
        {200: Answer("The draft as it stands; the same document again: the same draft", shapes.DraftStatus)},
        "A device of the author seals it, or declines. Needs `write:draft`. Where it is for and what it says only her"
        " devices know.",
        body=shapes.DraftToLeave,
        errors=(
            *DOCUMENT,
            "not-granted",
            "verb-not-granted",
            "no-such-device",
            "too-many-drafts",
            "log-not-fresh",
        ),
    ),
    ("GET", f"{API}/drafts/{{draft_id}}"): Doc(
        DRAFTS, {200: Answer("The draft as it stands", shapes.DraftStatus)}, errors=("no-such-draft",)
    ),
    ("DELETE", f"{API}/drafts/{{draft_id}}"): Doc(
        DRAFTS,
        {200: Answer("The draft, withdrawn if it was open; else as it was settled", shapes.DraftStatus)},
        errors=("no-such-draft", "draft-claimed", "log-stopped"),
    ),
    ("POST", f"{API}/claim-keys"): Doc(
        DRAFTS,
        {200: Answer("A key for each device that has one", shapes.ClaimedKeys)},
        "To seal a draft for a device for the first time. Needs `write:draft`.",
        body=shapes.KeysToClaim,
        errors=("not-granted", "verb-not-granted", "bad-document", "too-many-claims"),
    ),
    ("POST", f"{API}/rooms/{{room_id}}/messages/{{event_id}}/delete"): Doc(
        DELETING,
        {200: Answer("The redaction; again: the same answer", shapes.Deleted)},
        "What came through the partner under `delete:via-partner`, anything of the author's under `delete:authored`.",
        body=shapes.MessageToDelete,
        errors=("not-granted", "purpose-not-granted", "room-closed", "no-such-message", "log-not-fresh", "log-stopped"),
    ),
    ("POST", f"{API}/disposals"): Doc(
        DELETING,
        {200: Answer("Its entry; the same document again: the same entry", shapes.RecordedDisposal)},
        "The partner's word that what it opened under the grant before a time is deleted. It becomes a record of the"
        " person's, who is shown what should have been confirmed and was not. Good after the grant's end, too.",
        body=shapes.DisposalToRecord,
        errors=(*DOCUMENT, "no-such-grant", "no-such-device"),
    ),
    ("POST", f"{API}/webhooks"): Doc(
        WEBHOOKS,
        {200: Answer("The webhook; the same address again begins anew", shapes.RegisteredWebhook)},
        "The endpoint is called at once with a challenge, and must answer it with a signature by the client key. From"
        " then on it is told that something changed, and never what: that is in `/changes`.",
        body=shapes.EndpointToTell,
        errors=(*WHOLE, "bad-webhook-url", "webhook-not-verified", "too-many-webhooks"),
    ),
    ("GET", f"{API}/webhooks"): Doc(WEBHOOKS, {200: Answer("All of them", shapes.Webhooks)}, errors=WHOLE),
    ("DELETE", f"{API}/webhooks/{{webhook_id}}"): Doc(
        WEBHOOKS, {204: Answer("It is told nothing any more")}, errors=(*WHOLE, "no-such-webhook")
    ),
}
