"""What is known of a file."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

OCTETS = "application/octet-stream"
"""What encrypted attachments are uploaded as: the server cannot know more (Matrix, "Sending encrypted attachments")."""
MAX_NAME = 255
_CONTENT_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:;[ !-~]*)?")


@dataclass(frozen=True, slots=True)
class Incoming:
    """An upload: its bytes as they come, and what the uploader says of them.

    `length`: how many bytes were announced. `room_id`: the room it is for, which makes it an attachment that partners
    may be given under a grant for that room.
    """

    chunks: AsyncIterator[bytes]
    length: int | None = None
    content_type: str = OCTETS
    file_name: str | None = None
    room_id: str | None = None


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A row of the table. Times are in ms; `position` is where it stands in the server's one order once complete."""

    media_id: str
    owner: str
    device_id: str
    ts: int
    expires: int
    uploading_until: int | None
    size: int | None
    content_type: str | None
    file_name: str | None
    room_id: str | None
    position: int | None

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return self.size is not None


def checked_content_type(text: str | None) -> str:
    """A content type that may stand in a header as it is; anything else is just bytes."""
    if text is None or len(text) > MAX_NAME or not _CONTENT_TYPE.fullmatch(text):
        return OCTETS
    return text


def checked_name(text: str | None) -> str | None:
    """A file name without control characters and folders, or None."""
    if text is None:
        return None
    name = "".join(character for character in text if character.isprintable()).replace("\\", "/").rpartition("/")[2]
    return name[:MAX_NAME] or None
