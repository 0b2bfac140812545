"""What every endpoint for partners answers, by token and by what has become of the grant: the walk's one source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

Answer = tuple[int, str | None]
"""Status, and the problem's type or OAuth error code where it is a refusal."""


class Token(Enum):
    """Whose token a call comes with, and how good it is."""

    NONE = "none"
    PERSONS = "another person's"
    EXPIRED = "expired"
    REVOKED = "given back"
    OTHER_KEY = "with another DPoP key"
    OTHER_PARTNERS = "another partner's"
    OTHER_GRANT = "of another grant"
    THIS_GRANT = "of this grant"
    WHOLE = "client_credentials"


class State(Enum):
    """What has become of the grant."""

    NONE = "none"
    LIVE = "live"
    PAUSED = "paused"
    NARROWED = "narrowed: the room is dropped"
    EXPIRED = "expired"
    REVOKED = "revoked"
    OTHER_PARTNERS = "another partner's"
    OLDER = "under an older agreement"
    NARROWER = "under an older agreement, the newer one allows metadata only"
    ENDED = "agreement ended"


OK: Answer = (200, None)
NO_TOKEN: Answer = (401, "token-missing")
BAD_TOKEN: Answer = (401, "token-invalid")
OAUTH_TOKEN: Answer = (401, "invalid_token")
"""Under /oauth there is one error for both."""
ONE_GRANT: Answer = (403, "token-for-one-grant")

LIVING = (State.LIVE, State.OLDER)
"""The grant gives all that it says."""
OVER = (State.EXPIRED, State.REVOKED, State.ENDED)
"""Nothing is left of the grant, nor of its tokens."""


class About(Enum):
    """What a call is about, and so what decides."""

    PARTNER = "the partner as a whole: no grant matters, and no grant's token is good"
    LISTS = "all grants: answered to every token; shows what this one gives"
    ROOM = "a room under the grant"
    GRANT = "the grant"
    METADATA = "the grant, under the verb that the narrower agreement leaves"
    OPEN = "the grant, as long as it is not over"
    ACT = "what the partner may see and take back whatever has become of the grant: its draft, the grant itself"


@dataclass(frozen=True)
class Row:
    """One endpoint: what it answers where it is given, where it is not, and where only the verb is missing."""

    about: About
    given: Answer = OK
    refused: Answer = (403, "not-granted")
    no_verb: Answer = (403, "verb-not-granted")
    strangers: Answer | None = None
    """For another partner, where it is refused in its own way: the document or the device is not its own."""


INBOX = "/inbox/v1"
NO_GRANT: Answer = (404, "no-such-grant")
NO_DEVICE: Answer = (404, "no-such-device")
NO_DRAFT: Answer = (404, "no-such-draft")
TABLE: dict[str, Row] = {
    f"POST {INBOX}/devices": Row(About.PARTNER, strangers=(403, "bad-signature")),
    f"POST {INBOX}/device-keys": Row(About.PARTNER, strangers=NO_DEVICE),
    f"GET {INBOX}/key-events": Row(About.PARTNER, strangers=NO_DEVICE),
    f"GET {INBOX}/webhooks": Row(About.PARTNER),
    f"POST {INBOX}/webhooks": Row(About.PARTNER, given=(400, "bad-webhook-url")),
    f"DELETE {INBOX}/webhooks/{{webhook_id}}": Row(About.PARTNER, given=(404, "no-such-webhook")),
    f"GET {INBOX}/grants": Row(About.LISTS),
    f"GET {INBOX}/rooms": Row(About.LISTS),
    f"GET {INBOX}/changes": Row(About.LISTS),
    f"GET {INBOX}/rooms/{{room_id}}/messages": Row(About.ROOM, no_verb=(403, "not-granted")),
    f"GET {INBOX}/media/{{media_id}}": Row(About.ROOM, refused=(404, "no-such-file"), no_verb=(404, "no-such-file")),
    f"GET {INBOX}/metadata": Row(About.METADATA, refused=NO_GRANT),
    f"GET {INBOX}/friends": Row(About.GRANT, refused=NO_GRANT),
    f"POST {INBOX}/claim-keys": Row(About.GRANT),
    f"POST {INBOX}/drafts": Row(About.GRANT, strangers=(403, "forbidden")),
    f"GET {INBOX}/drafts/{{draft_id}}": Row(About.ACT, refused=NO_DRAFT),
    "GET /oauth/grants/{grant_id}": Row(About.OPEN, refused=(404, "invalid_request")),
    f"POST {INBOX}/disposals": Row(About.ACT, refused=NO_GRANT, strangers=(403, "forbidden")),
    # What follows changes something, and is called last.
    f"DELETE {INBOX}/drafts/{{draft_id}}": Row(About.ACT, refused=NO_DRAFT),
    f"POST {INBOX}/rooms/{{room_id}}/messages/{{event_id}}/delete": Row(About.ROOM, no_verb=(403, "not-granted")),
    f"POST {INBOX}/devices/{{device_id}}/end": Row(About.PARTNER, strangers=(403, "bad-signature")),
    "DELETE /oauth/grants/{grant_id}": Row(About.ACT, given=(204, None), refused=(404, "invalid_request")),
}


def exists(token: Token, state: State) -> bool:
    """Whether there can be such a token: one of a grant that the partner never had cannot."""
    return token is not Token.THIS_GRANT or state not in (State.NONE, State.OTHER_PARTNERS)


def is_good(token: Token, state: State) -> bool:
    """Whether the token is good for anything. Those of a partner end with its agreement, those of a grant with it."""
    if token in (Token.NONE, Token.PERSONS, Token.EXPIRED, Token.REVOKED, Token.OTHER_KEY):
        return False
    if token is Token.THIS_GRANT and state in OVER:
        return False
    return token is Token.OTHER_PARTNERS or state is not State.ENDED


def expected(endpoint: str, token: Token, state: State) -> Answer:
    """What the endpoint answers."""
    row = TABLE[endpoint]
    if not is_good(token, state):
        return OAUTH_TOKEN if "/oauth/" in endpoint else NO_TOKEN if token is Token.NONE else BAD_TOKEN
    if token is Token.OTHER_PARTNERS and row.strangers is not None:
        return row.strangers
    if row.about is About.PARTNER and token in (Token.THIS_GRANT, Token.OTHER_GRANT):
        return ONE_GRANT
    if row.about in (About.PARTNER, About.LISTS):
        return row.given
    if token not in (Token.THIS_GRANT, Token.WHOLE):
        return row.refused
    return _granted(row, state)


def _granted(row: Row, state: State) -> Answer:
    """For a token that the grant concerns."""
    if state in (State.NONE, State.OTHER_PARTNERS):
        return row.refused
    if row.about is About.ACT:
        return row.given
    if state in LIVING or (row.about is About.OPEN and state not in OVER):
        return row.given
    if state is State.NARROWED:
        return row.refused if row.about is About.ROOM else row.given
    if state is State.NARROWER:
        return row.given if row.about is About.METADATA else row.no_verb
    return row.refused


def shows(endpoint: str, token: Token, state: State) -> bool:
    """Whether a list shows what is under this grant: the grant, the room, or what was said there."""
    if token not in (Token.THIS_GRANT, Token.WHOLE):
        return False
    if state in LIVING:
        return True
    if endpoint == f"GET {INBOX}/grants":
        return state in (State.NARROWED, State.NARROWER)
    return endpoint == f"GET {INBOX}/rooms" and state is State.NARROWER
