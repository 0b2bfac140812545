"""Writes the pages that are made from the code: docs/settings.md and those in docs/reference.

python -m scripts.reference            write the pages
python -m scripts.reference --check    write nothing; exit 1 and name the pages that are out of date
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from paraph.server.config import Settings, describe
from paraph.server.http import Endpoint
from paraph.server.http.limits import LIMITS
from paraph.server.http.told_limits import limit_name
from scripts.inbox_reference import inbox_page
from scripts.matrix_table import PAGE as MATRIX
from scripts.matrix_table import matrix_page

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ROOT / "docs" / "settings.md"
ENDPOINTS = ROOT / "docs" / "reference" / "endpoints.md"
INBOX = ROOT / "docs" / "reference" / "inbox-api.md"
_MADE = "<!-- Made by `python -m scripts.reference` from the code. Edit the code, not this page. -->\n"
_MADE_OF_DATA = "<!-- Made by `python -m scripts.reference` of docs/matrix.toml. Edit that, not this page. -->\n"

_SETTINGS_INTRO = """
Every setting has a default; `paraph serve` starts with none of them set. A setting is read from `paraph.toml` in the
working directory (or the file given with `--config`), then from its environment variable, then from the command line;
the later wins. An unknown name in the file, or a value that does not fit, stops the start with a message.
`paraph serve --help` lists the settings that are command-line options too.
"""

_SETTINGS_EXAMPLE = """
An example of `paraph.toml`:

```toml
server_name = "chat.example.org"
data = "/var/lib/paraph"
public_url = "https://chat.example.org"
registration = "token"
```

Paraph itself speaks plain HTTP and listens on 127.0.0.1. To serve other machines, put a reverse proxy with TLS in front
and name its address as `public_url`. The proxy must pass paths on undecoded: identifiers may hold `%2F`.
"""

_ENDPOINTS_INTRO = """
This is the whole API: the server answers these endpoints and no others (`404 M_UNRECOGNIZED`), those of Matrix under
`r0` in place of `v3` as well. The formats are in
[protocol.md](../protocol.md) and, for `/_matrix`, in the Matrix Client-Server specification. *Who* is checked before
anything else is read. *Limit* names a row of the table at the end. What partners send and get, with every status and
error, is in [inbox-api.md](inbox-api.md).
"""

_SECTIONS = (
    ("The operator", ("/_paraph/v1/admin/", "/metrics")),
    ("People: what Paraph adds", ("/_paraph/",)),
    ("Partners", ("/inbox/", "/oauth/", "/.well-known/oauth", "/.well-known/paraph")),
    ("The public log", ("/log/",)),
    ("People: the Matrix Client-Server API", ("/_matrix/", "/.well-known/matrix/")),
    ("The log explorer: pages for people", ("/",)),
)


def settings_page() -> str:
    """docs/settings.md."""
    rows = [
        (f"`{row['name']}`", f"`{row['variable']}`", _code(row["default"]), row["choices"], row["meaning"])
        for row in describe()
    ]
    table = _table(("setting", "variable", "default", "choices", "meaning"), rows)
    return f"{_MADE}# Settings\n{_SETTINGS_INTRO}\n{table}{_SETTINGS_EXAMPLE}"


def endpoints_page(endpoints: Sequence[Endpoint]) -> str:
    """docs/reference/endpoints.md for the endpoints of an application."""
    parts = [f"{_MADE}# Endpoints\n{_ENDPOINTS_INTRO}"]
    left = sorted(endpoints, key=lambda endpoint: (endpoint.path, endpoint.method))
    for title, prefixes in _SECTIONS:
        rows = [_row(endpoint) for endpoint in left if endpoint.path.startswith(prefixes)]
        left = [endpoint for endpoint in left if not endpoint.path.startswith(prefixes)]
        if rows:
            parts.append(f"## {title}\n\n{_table(('method', 'path', 'who', 'limit', 'what it does'), rows)}")
    return "\n".join([*parts, _limits()])


def table() -> tuple[Endpoint, ...]:
    """The endpoints of the real application, built on an empty data folder and closed again."""
    return _built()[0]


def openapi() -> dict[str, Any]:
    """The OpenAPI document that the real application serves."""
    return _built()[1]


@cache
def _built() -> tuple[tuple[Endpoint, ...], dict[str, Any]]:
    from paraph.server.app import Server, build

    async def start_and_stop(server: Server) -> None:
        await server.start()
        await server.stop()

    with tempfile.TemporaryDirectory(prefix="paraph-reference-") as data:
        server = build(Settings(data=Path(data)))
        asyncio.run(start_and_stop(server))
        return server.application.endpoints, json.loads(server.published.openapi)


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    return (endpoint.method, f"`{endpoint.path}`", endpoint.access.value, limit_name(endpoint), endpoint.summary)


def _limits() -> str:
    rows = [
        (name, str(limit.burst), f"{limit.per_second:g}", ", ".join(limit.per), limit.meaning)
        for name, limit in LIMITS.items()
    ]
    return (
        "## Limits\n\nThe same for everybody (promise P9), and served as JSON at `/.well-known/paraph/limits`. Beyond"
        " them the answer is `429` with `Retry-After`; partners are told with each answer how they stand.\n\n"
        + _table(("limit", "requests at once", "refilled a second", "one for each", "what counts"), rows)
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_escaped(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "\\<")


def _code(text: str) -> str:
    return f"`{text}`" if text else "(empty)"


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or check them; the exit status."""
    pages = {SETTINGS: settings_page(), ENDPOINTS: endpoints_page(table()), INBOX: _MADE + inbox_page(openapi())}
    pages[MATRIX] = _MADE_OF_DATA + matrix_page()
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run python -m scripts.reference", file=sys.stderr)  # noqa: T201
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
