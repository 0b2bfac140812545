"""How values become text: escaped, with nothing hidden in it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.server.web.text import date, instant, revealed, seen, span, utc


@given(st.text())
def test_nothing_hidden_and_no_markup_gets_through(text: str) -> None:
    """Between the marks of our own there is no markup, and no character that shows nothing."""
    inner = str(seen(text)).removeprefix("<bdi>").removesuffix("</bdi>")
    bare = inner.replace('<span class="unseen">', "").replace("</span>", "")
    assert not set("<>\"'") & set(bare)
    for shown in (bare, revealed(text)):
        assert all(unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp", "Cs") or c in "\n\t" for c in shown)


def test_what_is_hidden_is_named() -> None:
    """By its code point, where it stands."""
    assert revealed("a\u202eb\x00") == "a[U+202E]b[U+0000]"
    assert str(seen("a\u202eb")) == '<bdi>a<span class="unseen">[U+202E]</span>b</bdi>'
    assert revealed("two\nlines\tand an é") == "two\nlines\tand an é"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (7_199, "119 minutes"),
        (7_200, "2 hours"),
        (172_800, "2 days"),
        (864_000_000, "10,000 days"),
        (-5, "0 seconds"),
    ],
)
def test_a_length_of_time(seconds: int, words: str) -> None:
    """In the largest unit of which there are two, in words."""
    assert span(seconds) == words


def test_times_are_in_utc_and_machines_can_read_them() -> None:
    """To the second, to the millisecond, as a date; beyond the calendar, as the number they are."""
    assert str(utc(1_760_000_000_123)) == '<time datetime="2025-10-09T08:53:20Z">9 October 2025, 08:53:20 UTC</time>'
    assert "08:53:20.123 UTC" in str(instant(1_760_000_000_123))
    assert str(date(0)) == '<time datetime="1970-01-01">1 January 1970</time>'
    for shown in (utc, instant, date):
        assert str(shown(2**53 - 1)) == f"{2**53 - 1} ms"
