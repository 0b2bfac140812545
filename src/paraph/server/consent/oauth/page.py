"""The authorization endpoint's page: who asks for what, and how to answer. It has no button.

Consent is a signature by one of the person's devices, and this page holds no keys; nor is it ever given the answer. No
script, nothing from elsewhere, and nobody may frame it.
"""

import base64
import hashlib
import shlex
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from paraph.protocol.authorization import InboxDetails
from paraph.protocol.consent import TEMPLATE
from paraph.server.consent.model import Partner
from paraph.server.http import Reply

HTML = b"text/html; charset=utf-8"


class Pages:
    """Renders the two pages; templates and style are read from the package once."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._style = (resources.files(__package__) / "templates" / "style.css").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'none'; frame-ancestors 'none'"
        self._guards = (
            (b"content-security-policy", f"{policy}; base-uri 'none'".encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            # The address of this page is what a person answers by: it goes nowhere else.
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
        )

    def asked(self, partner: Partner, details: InboxDetails, version: int, link: str, expires: int) -> Reply:
        """Who asks for what."""
        return self._page(
            200,
            "authorize.html",
            name=partner.name,
            slug=partner.slug,
            verbs=[TEMPLATE.verbs[verb] for verb in details.verbs],
            details=details,
            begin=None if details.from_ is None else _day(details.from_),
            end=_day(details.until),
            back=None if details.history is None else _day(details.history),
            version=version,
            command=f"paraph consent {shlex.quote(link)} --store your.store",
            deadline=datetime.fromtimestamp(expires / 1000, UTC).strftime("%H:%M UTC"),
        )

    def refused(self, status: int, message: str) -> Reply:
        """Why nothing is shown. Nothing of it goes back to a client: who called is not known, or not to be believed."""
        return self._page(status, "refused.html", message=message)

    def _page(self, status: int, template: str, **values: Any) -> Reply:
        text = self._environment.get_template(template).render(style=self._style, **values)
        return Reply(status, text.encode(), HTML, self._guards)


def _day(at: int) -> str:
    """A time in milliseconds as a day of UTC, beyond the calendar's end as its last day."""
    try:
        return datetime.fromtimestamp(at / 1000, UTC).strftime("%-d %B %Y, %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "the end of the calendar"
