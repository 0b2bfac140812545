"""From `:name` parameters, which rooms write, to the numbered ones (`$1`) that PostgreSQL's protocol knows.

SQL is cut into tokens, so that a colon inside a literal, a comment, a quoted name or a `::cast` is left alone. What
cannot be told apart for certain is refused. Tokens: PostgreSQL documentation, chapter 4.1 (lexical structure).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from paraph.server.storage.database import StorageError

_TOKEN = re.compile(
    r"""
      (?P<blank>   \s+ | --[^\n]* | /\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/ )
    | (?P<literal> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" )
    | (?P<dollar>  \$(?P<tag>[A-Za-z_]\w*|)\$.*?\$(?P=tag)\$ )
    | (?P<cast>    :: )
    | :(?P<name>   [A-Za-z_]\w* )
    | (?P<word>    [^\W\d][\w$]* )
    | (?P<other>   \d[\w.]* | (?!/\*)[^\s\w:'"$] )
    """,
    re.VERBOSE | re.DOTALL,
)
_READING = ("SELECT", "VALUES", "SHOW")


class SqlError(StorageError):
    """A statement's text cannot be translated for certain."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as PostgreSQL reads it. `$1` stands for `names[0]`; `reads`: it certainly writes nothing."""

    text: str
    names: tuple[str, ...]
    reads: bool


@lru_cache(maxsize=4096)
def translate(sql: str) -> Statement:
    """Number the `:name` parameters of `sql`, equal names alike.

    Raises SqlError for a colon that is neither parameter nor cast (an array slice: cast its bounds apart), for `$1`,
    for a literal, comment or name that does not end, and for nested comments.
    """
    parts: list[str] = []
    numbers: dict[str, int] = {}
    first = ""
    at = 0
    while at < len(sql):
        token = _TOKEN.match(sql, at)
        if token is None:
            raise SqlError(f"cannot read {sql[at : at + 20]!r} at character {at} of {sql[:80]!r}")
        name = token["name"]
        if name is not None:
            parts.append(f"${numbers.setdefault(name, len(numbers) + 1)}")
        elif token["blank"] is None:
            parts.append(token[0])
            first = first or token[0]
        else:
            parts.append(" ")
        at = token.end()
    return Statement("".join(parts).strip(), tuple(numbers), first.upper() in _READING)
