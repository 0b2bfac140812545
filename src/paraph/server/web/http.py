"""The explorer over HTTP: each page, the same with `.json` behind it, and the files that prove a record."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from paraph.protocol.base64 import unb64url
from paraph.protocol.entry import PUBLIC_KINDS
from paraph.protocol.errors import ProtocolError
from paraph.protocol.identifiers import PLATFORM, check_slug
from paraph.protocol.limits import MAX_VERSION
from paraph.server.http import Access, ApiError, Endpoint, Reply, Request
from paraph.server.web import pages_log, pages_partners, pages_platform
from paraph.server.web.explorer import ROOT, Explorer, not_found
from paraph.server.web.render import CSS, GUARDS, IMMUTABLE, Renderer, json, tagged
from paraph.tlog.text import MAX_NUMBER, MalformedText, parse_number

TEXT, BINARY = b"text/plain; charset=utf-8", b"application/octet-stream"
_HASH = re.compile(r"[0-9a-f]{64}")
LIMIT = "pages"
View = Callable[[Request], Awaitable[dict[str, Any]]]


def endpoints(explorer: Explorer, renderer: Renderer) -> list[Endpoint]:
    """The endpoints of this room."""
    pages = Pages(explorer, renderer)
    return [
        _get("/", pages.home, "Leads to the log explorer"),
        *pages.both("", "start.html", pages.start, "The log explorer: what this log is, and its newest checkpoint"),
        *pages.both("/partners", "partners.html", pages.partners, "The public register of partners"),
        *pages.both("/platform", "platform.html", pages.platform, "Builds, limits and acts of the operator"),
        *pages.both("/witnesses", "witnesses.html", pages.witnesses, "The witnesses and their newest cosignatures"),
        *pages.both("/records", "records.html", pages.records, "Public records, newest first"),
        _get(f"{ROOT}/partners/{{slug}}", pages.partner, "One partner; `.json` behind it gives JSON"),
        _get(
            f"{ROOT}/partners/{{slug}}/agreements/{{version}}",
            pages.agreement,
            "A version of an agreement and what it changed; `.json` behind it gives JSON",
        ),
        _get(
            f"{ROOT}/records/{{hash}}",
            pages.record,
            "A record by its leaf hash; `.json`, `.leaf` and `.tlog-proof` (C2SP) behind it give the same as files",
        ),
        _get(f"{ROOT}/leaves/{{index}}", pages.leaf, "A record by its number in the log, in the same forms"),
        _get(f"{ROOT}/find", pages.find, "Leads to the record with this number or leaf hash"),
        _get(f"{ROOT}/log.policy", pages.policy, "The witness policy (C2SP tlog-policy)"),
        _get(f"{ROOT}/static/{{name}}", pages.style, "The style sheet, under a name made from its content"),
    ]


def _get(path: str, handler: Callable[[Request], Awaitable[Reply]], summary: str) -> Endpoint:
    return Endpoint("GET", path, Access.PUBLIC, handler, summary, LIMIT)


def error_page(renderer: Renderer, error: ApiError, raw_path: str) -> Reply | None:
    """An error as people read it, where a page was asked for; None elsewhere."""
    is_page = raw_path == ROOT or raw_path.startswith(f"{ROOT}/")
    return renderer.error(error) if is_page and not raw_path.endswith(".json") else None


class Pages:
    """Parse, ask the explorer, render."""

    def __init__(self, explorer: Explorer, renderer: Renderer) -> None:
        self._explorer = explorer
        self._renderer = renderer

    def both(self, path: str, template: str, view: View, summary: str) -> list[Endpoint]:
        """A page and its twin in JSON."""

        async def page(request: Request) -> Reply:
            return self._page(request, template, await view(request), f"{ROOT}{path}.json{_query(request)}")

        async def twin(request: Request) -> Reply:
            return json(request, await view(request))

        return [
            _get(f"{ROOT}{path}", page, summary),
            _get(f"{ROOT}{path}.json", twin, f"{summary}, in JSON"),
        ]

    def _page(self, request: Request, template: str, view: Mapping[str, Any], json_url: str) -> Reply:
        return self._renderer.page(request, template, view, json_url)

    def _either(self, request: Request, form: str, template: str, view: dict[str, Any], path: str) -> Reply:
        if form == "json":
            return json(request, view)
        return self._page(request, template, view, f"{ROOT}{path}.json")

    async def home(self, _request: Request) -> Reply:
        """To the start page."""
        return _redirect(ROOT)

    async def start(self, _request: Request) -> dict[str, Any]:
        """The start page."""
        return await pages_log.start(self._explorer)

    async def partners(self, request: Request) -> dict[str, Any]:
        """The register."""
        return await pages_partners.partners(self._explorer, request.query().get("after", ""))

    async def platform(self, request: Request) -> dict[str, Any]:
        """The platform."""
        return await pages_platform.platform(self._explorer, request.query().get("before"))

    async def witnesses(self, _request: Request) -> dict[str, Any]:
        """The witnesses."""
        return await pages_log.witnesses(self._explorer)

    async def records(self, request: Request) -> dict[str, Any]:
        """Records, of all or of one subject."""
        query = request.query()
        about, kind = query.get("about"), query.get("kind")
        if about is not None:
            _check_subject(about)
        if kind is not None and (kind not in PUBLIC_KINDS or about is None):
            raise not_found("a list can show one kind of record about one partner or about the platform")
        return await pages_log.records(self._explorer, about, kind, query.get("before"))

    async def partner(self, request: Request) -> Reply:
        """One partner."""
        slug, form = _formed(request.params["slug"], ("json",))
        view = await pages_partners.partner(self._explorer, slug)
        return self._either(request, form, "partner.html", view, f"/partners/{slug}")

    async def agreement(self, request: Request) -> Reply:
        """One version of an agreement."""
        slug = request.params["slug"]
        text, form = _formed(request.params["version"], ("json",))
        version = _number(text, MAX_VERSION)
        view = await pages_partners.agreement(self._explorer, slug, version)
        return self._either(request, form, "agreement.html", view, f"/partners/{slug}/agreements/{version}")

    async def record(self, request: Request) -> Reply:
        """One record by its leaf hash."""
        text, form = _formed(request.params["hash"], ("json", "leaf", "tlog-proof"))
        if not _HASH.fullmatch(text):
            raise not_found("a record is named by its leaf hash: 64 lower-case hex digits")
        return await self._record(request, await pages_log.by_hash(self._explorer, bytes.fromhex(text)), form)

    async def leaf(self, request: Request) -> Reply:
        """One record by its number in the log."""
        text, form = _formed(request.params["index"], ("json", "leaf", "tlog-proof"))
        view = await pages_log.by_index(self._explorer, _number(text, MAX_NUMBER))
        return await self._record(request, view, form)

    async def _record(self, request: Request, found: pages_log.Found, form: str) -> Reply:
        if form == "leaf":
            name = (b"content-disposition", f'attachment; filename="{found.file}.leaf"'.encode())
            return Reply(200, found.leaf, BINARY, (IMMUTABLE, *GUARDS, name))
        if form == "tlog-proof":
            bundle = await pages_log.bundle(self._explorer, found)
            name = (b"content-disposition", f'attachment; filename="{found.file}.tlog-proof"'.encode())
            return tagged(request, bundle, BINARY, name)
        return self._either(request, form, "record.html", found.view, found.path)

    async def find(self, request: Request) -> Reply:
        """From a number, or a leaf hash in hex or base64url (as receipts name it), to the record's page."""
        text = request.query().get("q", "").strip()
        if _HASH.fullmatch(text.lower()):
            return _redirect(f"{ROOT}/records/{text.lower()}")
        if text.isascii() and text.isdigit():
            return _redirect(f"{ROOT}/leaves/{_number(text, MAX_NUMBER)}")
        try:
            return _redirect(f"{ROOT}/records/{unb64url(text, 32).hex()}")
        except ProtocolError:
            raise not_found("expected the number of a record, or its leaf hash in hex or base64url") from None

    async def policy(self, request: Request) -> Reply:
        """The text of the witness policy."""
        if self._explorer.policy_text is None:
            raise not_found("this log has no witnesses, and so no policy")
        return tagged(request, self._explorer.policy_text.encode(), TEXT)

    async def style(self, request: Request) -> Reply:
        """The style sheet; another name is another content."""
        if request.params["name"] != self._renderer.style_name:
            raise not_found("there is no such file")
        return Reply(200, self._renderer.style, CSS, (IMMUTABLE, *GUARDS))


def _redirect(url: str) -> Reply:
    return Reply(303, b"", TEXT, ((b"location", url.encode()), *GUARDS))


def _query(request: Request) -> str:
    """The query of a page as its twin needs it, written anew."""
    pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in request.query_pairs())
    return f"?{pairs}" if pairs else ""


def _formed(text: str, forms: tuple[str, ...]) -> tuple[str, str]:
    """A name and the form behind its dot, empty for the page."""
    name, _, form = text.partition(".")
    if form not in ("", *forms) or text.endswith("."):
        raise not_found("there is no such form of this page")
    return name, form


def _number(text: str, highest: int) -> int:
    try:
        return parse_number(text, limit=highest)
    except MalformedText as error:
        raise not_found(str(error)) from None


def _check_subject(about: str) -> None:
    try:
        if about != PLATFORM:
            check_slug(about)
    except ProtocolError as error:
        raise not_found(str(error)) from None
