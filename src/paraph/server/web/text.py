"""How values become text on a page. What stands in a record was written by strangers: it is shown, never obeyed."""

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby

from markupsafe import Markup, escape

_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60
_PLAIN = frozenset("\n\t")


def revealed(text: object) -> str:
    """Text in which characters that show nothing, or turn the direction of writing, stand as [U+202E]."""
    return "".join(_revealed(character) if _unseen(character) else character for character in str(text))


def seen(text: object) -> Markup:
    """The same for the body of a page: escaped, kept apart from the writing direction of what is around it."""
    parts = (
        escape(run) if plain else Markup('<span class="unseen">{}</span>').format("".join(map(_revealed, run)))
        for plain, run in _runs(str(text))
    )
    return Markup("<bdi>{}</bdi>").format(Markup("").join(parts))


def _runs(text: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces: (whether it can be shown as it is, piece)."""
    for unseen, run in groupby(text, _unseen):
        yield not unseen, "".join(run)


def _unseen(character: str) -> bool:
    """Control and format characters, line and paragraph separators, lone surrogates."""
    return character not in _PLAIN and unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs")


def _revealed(character: str) -> str:
    return f"[U+{ord(character):04X}]"


def utc(ms: int) -> Markup:
    """A time in milliseconds since 1970 to the second, in UTC."""
    return _time(ms, "")


def instant(ms: int) -> Markup:
    """The same to the millisecond, so that two times that differ never look alike."""
    return _time(ms, f".{ms % 1000:03}")


def _time(ms: int, fraction: str) -> Markup:
    moment = _moment(ms)
    if moment is None:
        return Markup("{} ms").format(ms)
    machine = f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
    shown = f"{moment.day} {moment:%B %Y}, {moment:%H:%M:%S}{fraction} UTC"
    return Markup('<time datetime="{}">{}</time>').format(machine, shown)


def date(ms: int) -> Markup:
    """A time in milliseconds since 1970 as a date of UTC."""
    moment = _moment(ms)
    if moment is None:
        return Markup("{} ms").format(ms)
    return Markup('<time datetime="{}">{}</time>').format(f"{moment:%Y-%m-%d}", f"{moment.day} {moment:%B %Y}")


def _moment(ms: int) -> datetime | None:
    """None where the calendar ends."""
    try:
        return datetime.fromtimestamp(ms // 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def span(seconds: int) -> str:
    """A length of time in words, in its largest unit."""
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= 2 * unit or (unit == _MINUTE and seconds >= unit):
            return _counted(seconds // unit, name)
    return _counted(max(seconds, 0), "second")


def _counted(count: int, name: str) -> str:
    return f"{number(count)} {name}" + ("" if count == 1 else "s")


def number(value: int) -> str:
    """A number with commas between thousands."""
    return f"{value:,}"
