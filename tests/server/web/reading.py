"""A strict reader of the explorer's pages: what a browser would repair, this refuses."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})
FOREIGN_VOID = frozenset({"path", "rect"})


@dataclass
class Page:
    """What stands on a page."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    headings: list[int] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    text: str = ""

    def count(self, tag: str) -> int:
        """How often an element stands there."""
        return sum(name == tag for name, _ in self.tags)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each such element."""
        return [attributes for name, attributes in self.tags if name == tag]


class Reader(HTMLParser):
    """Reads one page; AssertionError for tags that are not closed in order, and the like."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute stands twice in {tag}"
        assert not any(name.startswith("on") or name == "style" for name in names), f"{tag} has {names}"
        assert tag not in ("script", "style", "iframe", "object", "base"), tag
        attributes = dict(attrs)
        self.page.tags.append((tag, attributes))
        if identifier := attributes.get("id"):
            self.page.ids.append(identifier)
        if tag in ("a", "link") and (href := attributes.get("href")):
            self.page.links.append(href)
        if tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self.page.headings.append(int(tag[1]))
        if tag == "p":
            assert "p" not in self._open, "a paragraph in a paragraph"
        if tag in ("dl", "ul", "ol", "table", "section", "pre", "div") and "p" in self._open:
            raise AssertionError(f"{tag} in a paragraph")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID | FOREIGN_VOID, f"{tag} closes itself"
        self.page.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> where {self._open[-1]} is open"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if "title" not in self._open:
            self.page.text += data

    def finish(self) -> Page:
        """The page, once everything is closed."""
        self.close()
        assert self._open == []
        return self.page


def read(html: str) -> Page:
    """Read a page strictly, and hold it against what every page has to have."""
    assert html.startswith("<!DOCTYPE html>\n<html lang=")
    reader = Reader()
    reader.feed(html)
    page = reader.finish()
    _check_outline(page)
    _check_tables(page)
    return page


def _check_outline(page: Page) -> None:
    assert page.headings.count(1) == 1
    assert page.headings[0] == 1
    for before, after in zip(page.headings, page.headings[1:], strict=False):
        assert after <= before + 1, f"h{after} follows h{before}"
    assert len(set(page.ids)) == len(page.ids)
    for landmark in ("header", "main", "footer", "title"):
        assert page.count(landmark) == 1, landmark
    labels = [
        attributes["aria-labelledby"] for _, attributes in page.tags if attributes.get("aria-labelledby") is not None
    ]
    assert set(labels) <= set(page.ids)
    assert page.links[0] != "#content"
    assert "#content" in page.links
    assert all(attributes.get("aria-label") for attributes in page.attributes("nav"))


def _check_tables(page: Page) -> None:
    assert page.count("caption") == page.count("table") == page.count("thead")
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.attributes("th"))
    assert all(attributes.get("datetime") for attributes in page.attributes("time"))
    inputs = {attributes.get("id") for attributes in page.attributes("input")}
    assert inputs == {attributes.get("for") for attributes in page.attributes("label")}
