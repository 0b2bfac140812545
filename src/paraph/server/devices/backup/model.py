"""What comes in and goes out (Client-Server API v1.19, "Server-side key backups")."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

MAX_INTEGER = 2**53 - 1
MAX_ALGORITHM = 255
Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class Configuration(Struct, frozen=True):
    """The body of POST and PUT /room_keys/version. What `auth_data` is only the algorithm says; it is kept whole."""

    algorithm: Annotated[str, Meta(min_length=1, max_length=MAX_ALGORITHM)]
    auth_data: Any
    version: str | None = None


class BackedUpKey(Struct, frozen=True):
    """One message key: `session_data` is its ciphertext, the rest tells the better of two keys apart."""

    first_message_index: Count
    forwarded_count: Count
    is_verified: bool
    session_data: Any

    def is_better_than(self, other: "BackedUpKey") -> bool:
        """Whether this one replaces `other`: verified, else reaching further back, else passed on less often."""
        return self._rank() < other._rank()

    def _rank(self) -> tuple[bool, int, int]:
        return (not self.is_verified, self.first_message_index, self.forwarded_count)


class RoomKeys(Struct, frozen=True):
    """The keys of one room, by session id."""

    sessions: dict[str, BackedUpKey]


class Keys(Struct, frozen=True):
    """Keys by room id."""

    rooms: dict[str, RoomKeys]


@dataclass(frozen=True, slots=True)
class Place:
    """What a request is about: all keys, those of a room, or one."""

    room_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A backup: `keys` are in it, of `size` characters, which changed `changes` times."""

    version: int
    algorithm: str
    auth_data: msgspec.Raw
    keys: int
    changes: int
    size: int

    def shown(self) -> dict[str, Any]:
        """As GET /room_keys/version shows it."""
        described = {"algorithm": self.algorithm, "auth_data": self.auth_data, "version": str(self.version)}
        return described | self.counted()

    def counted(self) -> dict[str, Any]:
        """As every answer to a change shows it."""
        return {"count": self.keys, "etag": str(self.changes)}
