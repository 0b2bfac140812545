"""Glob patterns (appendices, "Glob-style matching"), in time that grows with the text and no faster.

A pattern is somebody's own choice and is held against what others write, so it never becomes a regular expression with
a star in it: between stars stand pieces of a fixed length, and the first place where each fits is as good as any.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_PATTERN = 255
"""Characters of a pattern."""
MAX_TEXT = 8_192
"""Characters of a text that a pattern with a `?` is held against; without one, the whole text is."""
_WORD = re.compile("[A-Za-z0-9_]")


class _Piece:
    """Text without stars, lower case; `?` is any character."""

    def __init__(self, text: str) -> None:
        self.length = len(text)
        self._text = text
        self._pattern: re.Pattern[str] | None = None
        if "?" in text:
            self._pattern = re.compile("".join("." if char == "?" else re.escape(char) for char in text), re.DOTALL)

    def fits(self, text: str, at: int) -> bool:
        """Whether it stands at this place."""
        if self._pattern is not None:
            return self._pattern.match(text, at) is not None
        return text.startswith(self._text, at)

    def find(self, text: str, at: int) -> int:
        """The first place from `at` on where it stands, or -1."""
        if self._pattern is None:
            return text.find(self._text, at)
        found = self._pattern.search(text, at)
        return -1 if found is None else found.start()


def matcher(pattern: str, *, words: bool = False) -> Callable[[str], bool]:
    """Whether a text is as `pattern` says: all of it or, with `words`, a part from one word boundary to another."""
    pieces = [_Piece(piece) for piece in pattern[:MAX_PATTERN].lower().split("*")]
    shortened = MAX_TEXT if "?" in pattern else None
    matches = _part if words else _whole
    return lambda text: matches(pieces, text[:shortened].lower())


def _whole(pieces: list[_Piece], text: str) -> bool:
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return len(text) == first.length and first.fits(text, 0)
    at, end = first.length, len(text) - last.length
    if not first.fits(text, 0):
        return False
    for piece in pieces[1:-1]:
        found = piece.find(text, at)
        if found < 0:
            return False
        at = found + piece.length
    return at <= end and last.fits(text, end)


def _part(pieces: list[_Piece], text: str) -> bool:
    at, last = 0, len(pieces) - 1
    for index, piece in enumerate(pieces):
        found = _find_at_boundary(
            piece, text, at, begins=index == 0, ends=index == last and (piece.length > 0 or last == 0)
        )
        if found < 0:
            return False
        at = found + piece.length
    return True


def _find_at_boundary(piece: _Piece, text: str, at: int, *, begins: bool, ends: bool) -> int:
    while (found := piece.find(text, at)) >= 0:
        after = found + piece.length
        if not (begins and found and _WORD.match(text, found - 1)) and not (ends and _WORD.match(text, after)):
            return found
        at = found + 1
    return -1
