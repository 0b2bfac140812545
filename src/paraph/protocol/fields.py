"""Constrained field types of the documents: each says the form and bound of one kind of value."""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta

from paraph.protocol import identifiers, limits

VERBS = (
    "metadata",
    "read",
    "read:attachments",
    "write:draft",
    "delete:via-partner",
    "delete:authored",
    "friends",
)
PURPOSE_PATTERN = r"[a-z][a-z0-9_-]{0,63}"
ADVERTISING = "advertising"
"""A purpose of its own: no other one implies it, and nobody grants it by default."""

Verb = Literal[
    "metadata", "read", "read:attachments", "write:draft", "delete:via-partner", "delete:authored", "friends"
]

# msgspec searches for a pattern, so both ends are anchored; `\Z` because `$` would let a last newline through.
UserIdText = Annotated[str, Meta(pattern=rf"^{identifiers.USER_ID_PATTERN}\Z", max_length=255)]
PersonId = Annotated[str, Meta(pattern=rf"^(?!@app-){identifiers.USER_ID_PATTERN}\Z", max_length=255)]
PartnerAddress = Annotated[str, Meta(pattern=rf"^(?=@app-){identifiers.USER_ID_PATTERN}\Z", max_length=255)]
RoomId = Annotated[str, Meta(pattern=rf"^{identifiers.ROOM_ID_PATTERN}\Z", max_length=255)]
DeviceId = Annotated[str, Meta(pattern=rf"^{identifiers.DEVICE_ID_PATTERN}\Z")]
Slug = Annotated[str, Meta(pattern=rf"^{identifiers.SLUG_PATTERN}\Z")]
GrantId = Annotated[str, Meta(pattern=rf"^{identifiers.GRANT_ID_PATTERN}\Z")]
Purpose = Annotated[str, Meta(pattern=rf"^{PURPOSE_PATTERN}\Z")]
Label = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9._-]{0,63}\Z")]
Locale = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}\Z")]

# 32 bytes fill 43 characters with two bits to spare: the last character is one of sixteen.
PublicKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]\Z")]
Hash = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\Z")]
RandomId = Hash

Time = Annotated[int, Meta(ge=0, le=limits.MAX_TIME)]
GrantDays = Annotated[int, Meta(ge=1, le=limits.MAX_GRANT_DAYS)]
RetentionDays = Annotated[int, Meta(ge=0, le=limits.MAX_RETENTION_DAYS)]
NoticeDays = Annotated[int, Meta(ge=0, le=limits.MAX_NOTICE_DAYS)]
Version = Annotated[int, Meta(ge=1, le=limits.MAX_VERSION)]
Count = Annotated[int, Meta(ge=0, le=limits.MAX_TIME)]

# A name is shown inside the consent text: a line break or a change of writing direction in it could make that
# text say something else.
_UNSEEN = r"\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
Name = Annotated[str, Meta(pattern=rf"^[^{_UNSEEN}]+\Z", max_length=limits.MAX_NAME)]
Text = Annotated[str, Meta(pattern=rf"^(?:\n|[^{_UNSEEN}])+\Z", max_length=limits.MAX_TEXT)]

Verbs = Annotated[tuple[Verb, ...], Meta(min_length=1, max_length=len(VERBS))]
Purposes = Annotated[tuple[Purpose, ...], Meta(min_length=1, max_length=limits.MAX_PURPOSES)]
Rooms = Annotated[tuple[RoomId, ...], Meta(min_length=1, max_length=limits.MAX_ROOMS)]
Labels = Annotated[tuple[Label, ...], Meta(max_length=limits.MAX_REPORT_VALUES)]

_SignaturesEach = Annotated[
    dict[str, Annotated[str, Meta(max_length=512)]], Meta(max_length=limits.MAX_SIGNATURES_EACH)
]
Signatures = Annotated[dict[str, _SignaturesEach], Meta(max_length=limits.MAX_SIGNATURE_ENTITIES)]


def once(name: str, values: Iterable[str]) -> None:
    """Raise ValueError if a value stands in the list twice."""
    listed = list(values)
    if len(set(listed)) != len(listed):
        raise ValueError(f"expected each value of `{name}` once")
