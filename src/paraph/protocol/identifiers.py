"""Identifiers: Matrix user, room, event and device ids (Appendices, "Identifier Grammar"), partners and grants.

Each `*_pattern` is the body of a regular expression, shared with the documents' field constraints.
"""

import re
from dataclasses import dataclass

from paraph.protocol.errors import IdentifierError

MAX_IDENTIFIER_BYTES = 255
PARTNER_PREFIX = "app-"
PLATFORM = "platform"
"""Stands in for a slug where a public record concerns the platform itself; no partner may be called so."""

SERVER_NAME_PATTERN = r"(?:[A-Za-z0-9.-]{1,230}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
USER_ID_PATTERN = rf"@[a-z0-9._=/+-]+:{SERVER_NAME_PATTERN}"
ROOM_ID_PATTERN = r"![!-9;-~]+(?::[!-~]+)?"
EVENT_ID_PATTERN = r"\$[!-9;-~]+(?::[!-~]+)?"
DEVICE_ID_PATTERN = r"[!-~]{1,255}"
SLUG_PATTERN = r"(?!platform\Z)[a-z][a-z0-9-]{1,30}[a-z0-9]"
GRANT_ID_PATTERN = r"gr_[A-Za-z0-9_-]{21}[AQgw]"
"""16 bytes fill 22 characters with four bits to spare: only A, Q, g and w end with them at zero."""
DRAFT_ID_PATTERN = r"dr_[A-Za-z0-9_-]{21}[AQgw]"

_server_name = re.compile(SERVER_NAME_PATTERN)
_user_id = re.compile(USER_ID_PATTERN)
_room_id = re.compile(ROOM_ID_PATTERN)
_event_id = re.compile(EVENT_ID_PATTERN)
_device_id = re.compile(DEVICE_ID_PATTERN)
_slug = re.compile(SLUG_PATTERN)
_grant_id = re.compile(GRANT_ID_PATTERN)
_draft_id = re.compile(DRAFT_ID_PATTERN)


@dataclass(frozen=True, slots=True)
class UserId:
    """A Matrix user id in its two parts: `@localpart:server_name`."""

    localpart: str
    server_name: str

    def __str__(self) -> str:
        return f"@{self.localpart}:{self.server_name}"


def parse_user_id(text: str) -> UserId:
    """Parts of a user id, at most 255 bytes, localpart of `a-z0-9._=/+-`; raises IdentifierError."""
    _match(_user_id, text, "a user id like @name:server")
    localpart, _, server_name = text[1:].partition(":")
    return UserId(localpart, server_name)


def check_server_name(text: str) -> str:
    """The server name itself if it is well formed; raises IdentifierError."""
    return _match(_server_name, text, "a server name like example.org:8448")


def check_user_id(text: str) -> str:
    """The user id itself if it is well formed; raises IdentifierError."""
    return _match(_user_id, text, "a user id like @name:server")


def check_room_id(text: str) -> str:
    """The room id itself if it is well formed, with or without a server part; raises IdentifierError."""
    return _match(_room_id, text, "a room id like !opaque:server")


def check_event_id(text: str) -> str:
    """The event id itself if it is well formed; raises IdentifierError."""
    return _match(_event_id, text, "an event id like $opaque")


def check_device_id(text: str) -> str:
    """The device id itself if it is 1 to 255 visible ASCII characters; raises IdentifierError."""
    return _match(_device_id, text, "a device id of visible ASCII characters")


def check_slug(text: str) -> str:
    """The partner slug itself if it is well formed and not `platform`; raises IdentifierError."""
    return _match(_slug, text, "a partner slug of 3 to 32 characters a-z, 0-9 and -")


def check_grant_id(text: str) -> str:
    """The grant id itself if it is `gr_` and base64url of 16 bytes; raises IdentifierError."""
    return _match(_grant_id, text, "a grant id: gr_ and 22 characters of base64url")


def check_draft_id(text: str) -> str:
    """The draft id itself if it is `dr_` and base64url of 16 bytes; raises IdentifierError."""
    return _match(_draft_id, text, "a draft id: dr_ and 22 characters of base64url")


def partner_user_id(slug: str, server_name: str) -> str:
    """The address of a partner's key-holding side; raises IdentifierError."""
    return f"@{PARTNER_PREFIX}{check_slug(slug)}:{check_server_name(server_name)}"


def is_partner(user_id: str) -> bool:
    """Whether the address lies in the range reserved for partners, whether or not such a partner can exist."""
    return user_id.startswith(f"@{PARTNER_PREFIX}")


def slug_of(user_id: str) -> str | None:
    """The slug in a partner's address, or None if this is no partner's address."""
    if not is_partner(user_id) or not _user_id.fullmatch(user_id):
        return None
    slug = parse_user_id(user_id).localpart.removeprefix(PARTNER_PREFIX)
    return slug if _slug.fullmatch(slug) else None


def _match(pattern: re.Pattern[str], text: str, expected: str) -> str:
    if len(text) > MAX_IDENTIFIER_BYTES or not pattern.fullmatch(text):
        raise IdentifierError(f"expected {expected}, found {text[:80]!r}")
    return text
