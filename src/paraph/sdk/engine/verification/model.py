"""The words that two verifying devices exchange, and the stages they go through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from paraph.sdk.engine.model import Json

SAS = "m.sas.v1"
PREFIX = "m.key.verification."
REQUEST = PREFIX + "request"
REFERENCE = "m.reference"

# A request counts for ten minutes, and from a clock that runs at most five minutes ahead (Matrix).
LIFETIME_MS = 600_000
AHEAD_MS = 300_000


class Phase(IntEnum):
    """How far a verification has come; CANCELLED and DONE are ends."""

    REQUESTED = 1
    READY = 2
    STARTED = 3
    ACCEPTED = 4
    SHOWN = 5
    DONE = 6
    CANCELLED = 7


class CancelCode(Enum):
    """Why a verification ended before its time (Matrix, `m.key.verification.cancel`)."""

    USER = "m.user"
    TIMEOUT = "m.timeout"
    UNKNOWN_TRANSACTION = "m.unknown_transaction"
    UNKNOWN_METHOD = "m.unknown_method"
    UNEXPECTED_MESSAGE = "m.unexpected_message"
    KEY_MISMATCH = "m.key_mismatch"
    INVALID_MESSAGE = "m.invalid_message"
    ACCEPTED = "m.accepted"
    MISMATCHED_COMMITMENT = "m.mismatched_commitment"
    MISMATCHED_SAS = "m.mismatched_sas"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The end of a verification: a code (one of CancelCode, or the other side's own), words, and who said it."""

    code: str
    reason: str
    by_us: bool


@dataclass(frozen=True, slots=True)
class ShortCode:
    """What both people compare: seven emoji with their names, and three numbers of four digits."""

    emoji: tuple[tuple[str, str], ...]
    decimals: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two devices, and the public keys (by key id) that are to be vouched for."""

    user_id: str
    device_id: str
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """One message of a verification that is to go out: `kind` without its prefix."""

    kind: str
    content: Json


@dataclass(frozen=True, slots=True)
class RoomNote:
    """The same, for a verification that is held in a room."""

    room_id: str
    event_type: str
    content: Json


class BrokenRuleError(Exception):
    """The other side said something that ends the verification."""

    def __init__(self, code: CancelCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
