"""A room's SQL: named statements in `.sql` files beside the room, read by aiosql, handed out as text.

`queries.sql` holds what both dialects share; `queries_<dialect>.sql` holds what differs, and wins.
"""

from importlib import resources
from typing import Any

import aiosql


class Sql:
    """The named statements of one room; `sql.name` is the statement's text with `:name` parameters."""

    def __init__(self, statements: dict[str, str]) -> None:
        self.__dict__.update(statements)

    def __getattr__(self, name: str) -> str:
        raise AttributeError(f"no SQL statement is named {name!r}")


def load(package: str, dialect: str | None = None) -> Sql:
    """Read `queries.sql` of `package` and, where its statements differ between dialects, `queries_<dialect>.sql`."""
    statements: dict[str, str] = {}
    for file in ("queries.sql", f"queries_{dialect}.sql"):
        resource = resources.files(package) / file
        if resource.is_file():
            statements |= _parse(resource.read_text(encoding="utf-8"))
    return Sql(statements)


def _parse(text: str) -> dict[str, str]:
    queries: Any = aiosql.from_str(text, "sqlite3", mandatory_parameters=False)
    return {name: getattr(queries, name).sql for name in queries.available_queries if not name.endswith("_cursor")}
