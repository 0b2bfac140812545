"""Numbers and base64 as C2SP writes them: one spelling for each value, everything else refused.

Python's `int()` takes signs, spaces, underscores and other scripts' digits, and its base64 skips what it does not
know; both would let two different texts mean one thing. So each parser writes back what it read and compares.
"""

import base64
import binascii

from paraph.tlog.errors import TlogError

MAX_NUMBER = 2**63 - 1
"""The largest size, index or time; Go's verifiers hold them in an int64."""
_MAX_DIGITS = len(str(MAX_NUMBER))


class MalformedText(TlogError):
    """A number or base64 string that is not in its only allowed spelling."""


def parse_number(text: str, *, limit: int = MAX_NUMBER) -> int:
    """Read a decimal in 0..limit. Raises MalformedText for signs, spaces, leading zeros or anything else."""
    if not 1 <= len(text) <= _MAX_DIGITS or not (text.isascii() and text.isdigit()):
        raise MalformedText(f"expected a decimal number, got {text[:40]!r}")
    value = int(text)
    if str(value) != text:
        raise MalformedText(f"expected a decimal number without leading zeros, got {text!r}")
    if value > limit:
        raise MalformedText(f"expected a number up to {limit}, got {text}")
    return value


def b64(data: bytes) -> str:
    """Write standard padded base64 (RFC 4648, section 4), as notes and checkpoints use."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: str, length: int | None = None) -> bytes:
    """Read standard padded base64 of `length` bytes, if given. Raises MalformedText unless re-encoding gives `text`."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise MalformedText(f"expected base64, got {text[:40]!r}") from error
    if b64(data) != text:
        raise MalformedText(f"expected base64 in its canonical spelling, got {text[:40]!r}")
    if length is not None and len(data) != length:
        raise MalformedText(f"expected {length} bytes of base64, got {len(data)}")
    return data
