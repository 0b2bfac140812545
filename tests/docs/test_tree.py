"""What is committed can be read by anyone: links lead somewhere, and nothing names the machine it was written on."""

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def committed() -> list[Path]:
    """Every file that git knows or would add, as paths below the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def prose(text: str) -> str:
    """Markdown without its code."""
    return _CODE.sub("``", _FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The fragments that a page's headings answer to, as the usual renderers make them."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """The relative links of `page` that lead nowhere."""
    broken = []
    for link in _LINK.findall(prose(text)):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, fragment = unquote(link).partition("#")
        target = (page.parent / path) if path else page
        found = target.exists() and target.resolve().is_relative_to(ROOT)
        if found and fragment and target.suffix == ".md":
            found = fragment in anchors(target.read_text(encoding="utf-8"))
        if not found:
            broken.append(link)
    return broken


def test_relative_links_resolve() -> None:
    """Every relative link of every Markdown page leads to a file of the tree, and to a heading that is there."""
    pages = [path for path in committed() if path.suffix == ".md"]
    assert len(pages) > 10
    broken = {
        str(page.relative_to(ROOT)): links
        for page in pages
        if (links := broken_links(page, page.read_text(encoding="utf-8")))
    }
    assert broken == {}


@pytest.mark.parametrize(
    "link", ["missing.md", "docs/missing.md", "../outside.md", "README.md#no-such-heading", "#no-such-heading"]
)
def test_broken_links_are_found(link: str) -> None:
    """The check itself notices a missing file, a file outside the tree and a missing heading."""
    assert broken_links(ROOT / "README.md", f"# Here\n\n[a link]({link})\n") == [link]


# Written in pieces, so that this file does not name what it forbids.
FORBIDDEN = {
    "a home directory": re.compile(rb"(?<![\w.])/(?:root|home" + rb"/[a-z_][\w-]*|Users" + rb"/\w+)/"),
    "a working directory": re.compile(rb"(?<![\w.}/])/(?:work|workspace|builds|farm)/[\w.]"),
    "a scratch directory": re.compile(rb"/tmp" + rb"/[\w.]"),
    "a package index": re.compile(rb"--(?:(?:extra-)?index-url|find-links|trusted-host)"),
    "a registry host": re.compile(
        rb"(?:pypi\.org|pythonhosted\.org|registry\.npmjs\.org|registry\.yarnpkg\.com|proxy\.golang\.org)"
    ),
}


def findings(data: bytes) -> list[str]:
    """What a file's bytes name that no committed file may name."""
    return [f"{what}: {match[0].decode()}" for what, form in FORBIDDEN.items() if (match := form.search(data))]


def test_no_file_names_a_machine() -> None:
    """No committed file names a path of the machine it was made on, nor a registry's host."""
    found = {str(path.relative_to(ROOT)): why for path in committed() if (why := findings(path.read_bytes()))}
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        b"see /root" + b"/paraph/notes",
        b"open('/home" + b"/someone/x')",
        b"cd /work" + b"/main",
        b"data = '/tmp" + b"/demo'",
        b"--index" + b"-url https://example.org",
        b"https://files.python" + b"hosted.org/packages",
    ],
)
def test_machine_names_are_found(text: bytes) -> None:
    """The check itself notices each kind."""
    assert findings(text)
