"""The tokens of sync: `s<position>`, with more behind a `_` that only the maker of the token looks at.

Whatever pages through a room takes all of them and looks at the position alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from paraph.server.messenger.errors import invalid

_TOKEN = re.compile(r"s([0-9]{1,18})(?:_([0-9A-Za-z.]{1,80}))?")


@dataclass(frozen=True, slots=True)
class Token:
    """How far a device has got: in rooms, in its own messages and in device lists, which may come in parts."""

    position: int
    to_device: int
    lists: int

    @classmethod
    def parse(cls, text: str) -> Token:
        """Raises M_INVALID_PARAM."""
        position, rest = split(text)
        if rest is None:
            return cls(position, position, position)
        parts = rest.split(".")
        if len(parts) > 2 or not all(part.isdigit() and len(part) <= 18 for part in parts):
            raise _unknown(text)
        return cls(position, int(parts[0]), int(parts[1]) if len(parts) == 2 else position)

    @property
    def behind(self) -> int:
        """How far the device has got in everything."""
        return min(self.position, self.to_device, self.lists)

    def __str__(self) -> str:
        """As clients get it."""
        if self.lists != self.position:
            return f"s{self.position}_{self.to_device}.{self.lists}"
        return f"s{self.position}" if self.to_device == self.position else f"s{self.position}_{self.to_device}"


def split(text: str) -> tuple[int, str | None]:
    """The position of a token, and what stands behind it; raises M_INVALID_PARAM."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise _unknown(text)
    return int(found[1]), found[2]


def _unknown(text: str) -> Exception:
    return invalid(f"{text[:40]!r} is no token of this server")
