"""Views as HTML, and the headers that all answers of the explorer carry."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from importlib import resources
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from paraph.protocol.canonical import encode
from paraph.server.http import ApiError, Reply, Request
from paraph.server.web import text, words
from paraph.server.web.explorer import ROOT, Explorer

HTML, JSON, CSS = b"text/html; charset=utf-8", b"application/json", b"text/css; charset=utf-8"
IMMUTABLE = (b"cache-control", b"public, max-age=31536000, immutable")
REVALIDATE = (b"cache-control", b"no-cache")
POLICY = b"; ".join(
    [
        b"default-src 'none'",
        b"style-src 'self'",
        b"img-src 'self' data:",
        b"form-action 'self'",
        b"frame-ancestors 'none'",
        b"base-uri 'none'",
    ]
)
"""Content-Security-Policy (CSP level 3): no script at all, nothing from elsewhere."""
GUARDS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Renderer:
    """Makes answers; the templates are read from the package once, when they are first needed."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        self.style = (resources.files(__package__) / "static" / "style.css").read_bytes()
        self.style_name = f"style-{hashlib.sha256(self.style).hexdigest()[:16]}.css"
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "seen": text.seen,
            "revealed": text.revealed,
            "utc": text.utc,
            "instant": text.instant,
            "date": text.date,
            "span": text.span,
            "number": text.number,
            "field": words.field,
            "way": words.path,
            "pretty": pretty,
        }
        self._environment.globals |= {
            "root": ROOT,
            "kinds": words.KINDS,
            "counted": words.COUNTED,
            "states": words.STATES,
            "verbs": words.VERBS,
            "times": words.TIMES,
            "style_url": f"{ROOT}/static/{self.style_name}",
        }

    def page(self, request: Request, template: str, view: Mapping[str, Any], json_url: str) -> Reply:
        """A view as a page."""
        return tagged(request, self._html(template, {**view, "json_url": json_url}).encode(), HTML)

    def error(self, error: ApiError) -> Reply:
        """An error as a page, under its own status."""
        unknown = error.status == HTTPStatus.NOT_FOUND and error.code == "M_UNRECOGNIZED"
        message = "nothing stands at this address" if unknown else error.message
        view = {"status": error.status, "message": message, "json_url": None}
        return Reply(error.status, self._html("error.html", view).encode(), HTML, (*GUARDS, *error.headers))

    def _html(self, template: str, view: Mapping[str, Any]) -> str:
        site = {"name": self._explorer.server_name, "now": self._explorer.clock()}
        return self._environment.get_template(template).render(view, site=site)


def json(request: Request, view: Mapping[str, Any]) -> Reply:
    """A view as JSON."""
    return tagged(request, msgspec.json.encode(view), JSON)


def tagged(request: Request, body: bytes, content_type: bytes, *more: tuple[bytes, bytes]) -> Reply:
    """An answer that is asked for anew each time, and not sent again where it is the same (RFC 9110 section 8.8.3)."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = (REVALIDATE, (b"etag", tag.encode()), *GUARDS, *more)
    known = request.header(b"if-none-match") or ""
    if tag in (part.strip().removeprefix("W/") for part in known.split(",")):
        return Reply(304, b"", content_type, headers)
    return Reply(200, body, content_type, headers)


def pretty(value: object) -> str:
    """JSON as people read it, in the order of its canonical form."""
    return msgspec.json.format(encode(value), indent=2).decode()
