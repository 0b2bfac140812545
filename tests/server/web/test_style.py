"""The style sheet: colours that can be read by everybody, and nothing from elsewhere."""

import re
from importlib import resources

import pytest

STYLE = (resources.files("paraph.server.web") / "static" / "style.css").read_text(encoding="utf-8")
PAIRS = [
    *((ink, "paper") for ink in ("ink", "quiet", "accent", "good", "bad", "focus")),
    *((ink, "raised") for ink in ("ink", "quiet", "accent")),
    *((ink, "code-back") for ink in ("ink", "quiet", "accent")),
    ("accent-ink", "accent"),
    ("good", "good-back"),
    ("bad", "bad-back"),
    ("wait", "wait-back"),
    ("ink", "wait-back"),
]
"""What stands on what."""


def themes() -> list[dict[str, str]]:
    """The colours of the light and of the dark theme, by name."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    return [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks][:2]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_stands_out(theme: int) -> None:
    """At least 4.5 to 1 (WCAG 2.2, success criterion 1.4.3, level AA), for every pair and in both themes."""
    colours = themes()[theme]
    for ink, ground in PAIRS:
        lighter, darker = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ink, ground)


def test_both_themes_name_every_colour() -> None:
    """A colour that only one of them has would be the other's by mistake."""
    light, dark = themes()
    assert light.keys() == dark.keys()
    assert len(light) == 15


def test_nothing_comes_from_elsewhere() -> None:
    """No import, no font, no picture; there is a style for paper, for small screens and for forced colours."""
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    for wanted in ("prefers-color-scheme: dark", "@media print", "max-width", "forced-colors", ":focus-visible"):
        assert wanted in STYLE
