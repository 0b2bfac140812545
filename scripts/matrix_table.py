"""docs/matrix.md: the conformance table of the Matrix Client-Server API, made of docs/matrix.toml."""

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from paraph.server.http import Endpoint
from paraph.server.http.routing import Router

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "docs" / "matrix.toml"
PAGE = ROOT / "docs" / "matrix.md"
OURS = ("/_matrix/", "/.well-known/matrix/")
"""What the table speaks of."""

_INTRO = """
What this platform serves of the [Matrix Client-Server API v1.19](https://spec.matrix.org/v1.19/client-server-api/),
endpoint by endpoint, with a test that proves it; and what it does not serve, and why. {served} endpoints are served,
{left} are not. There is one server and no federation.

The page is made of [matrix.toml](matrix.toml). A test fails where the application answers an endpoint that has no row,
where a row claims one that the application does not answer, and where a named test does not exist. Bodies, answers and
errors are those of the specification; what Paraph asks for beyond it is in [protocol.md](protocol.md). Paths are
answered as well with `r0` in place of `v3`, as older clients write them. Access and limits are in
[reference/endpoints.md](reference/endpoints.md).
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint of the specification: `test` proves that it is served, or `why` says why it is not."""

    method: str
    path: str
    test: str = ""
    why: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Endpoints that belong together."""

    title: str
    rows: tuple[Row, ...]


@cache
def sections() -> tuple[Section, ...]:
    """The table."""
    found = tomllib.loads(DATA.read_text(encoding="utf-8"))["section"]
    return tuple(Section(one["title"], tuple(Row(**row) for row in one["endpoints"])) for one in found)


def rows() -> list[Row]:
    """Every row of the table."""
    return [row for section in sections() for row in section.rows]


def matrix_page() -> str:
    """docs/matrix.md, without its first line."""
    served = sum(1 for row in rows() if row.test)
    parts = [f"# Matrix\n{_INTRO.format(served=served, left=len(rows()) - served)}"]
    for section in sections():
        lines = [f"| {row.method} | `{row.path}` | {_proof(row)} | {row.why or row.note} |\n" for row in section.rows]
        head = "| method | path | served, proven by | what to know |\n| --- | --- | --- | --- |\n"
        parts.append(f"## {section.title}\n\n{head}{''.join(lines)}")
    return "\n".join(parts)


def _proof(row: Row) -> str:
    if not row.test:
        return "**not served**"
    file, _, name = row.test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../tests/{file})"


def faults(endpoints: Sequence[Endpoint], table: Iterable[Row] | None = None) -> list[str]:
    """What is wrong with the table: one sentence each."""
    table = rows() if table is None else list(table)
    ours = [endpoint for endpoint in endpoints if endpoint.path.startswith(OURS)]
    router, answered = Router(ours), set[tuple[str, str]]()
    said = [one for row in table for one in _said_wrongly(row)]
    for row in table:
        match = router.match(row.method, re.sub(r"\{(\w+)\}", r"\1", row.path))
        if isinstance(match, frozenset):
            said += [f"{row.method} {row.path} is not answered, and the table names a test"] if row.test else []
            continue
        answered.add((match[0].method, match[0].path))
        said += [] if row.test else [f"{row.method} {row.path} is answered, and the table says that it is not served"]
    said += [f"{one.method} {one.path} has no row" for one in ours if (one.method, one.path) not in answered]
    return said


def _said_wrongly(row: Row) -> list[str]:
    where = f"{row.method} {row.path}"
    if bool(row.test) == bool(row.why):
        return [f"{where}: expected a test, or why it is not served"]
    file, _, name = row.test.partition("::")
    path = ROOT / "tests" / file
    if row.test and not (path.is_file() and re.search(rf"def {name}\(", path.read_text(encoding="utf-8"))):
        return [f"{where}: there is no test {row.test}"]
    return []
