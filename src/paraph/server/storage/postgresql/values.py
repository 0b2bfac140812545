"""Values on their way to and from PostgreSQL, with the types that both dialects share.

| Python | to PostgreSQL | comes back from |
|---|---|---|
| str | text | TEXT, VARCHAR, name |
| bytes | binary | BYTEA |
| int | digits; PostgreSQL parses them as the type it expects | SMALLINT, INTEGER, BIGINT, whole NUMERIC |
| bool | 1 or 0, as in SQLite: flags are INTEGER columns | BOOLEAN (of EXISTS and comparisons) |
| float | digits | REAL, DOUBLE PRECISION, NUMERIC with a fraction |
| list, tuple, set | an array, for `= ANY(:names)` | - |

Formats: PostgreSQL documentation, "Message Data Types", and the `*send` functions of its source.
"""

import struct
from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader, Transformer
from psycopg.pq.abc import PGresult
from psycopg.types.string import TextBinaryLoader

from paraph.server.storage.database import Params, Row, StorageError

_TEXT, _BINARY = 0, 1
_NEGATIVE, _SPECIAL = 0x4000, 0xC000


class ValueNotStorable(StorageError):
    """A value that PostgreSQL cannot hold, or of a type that the two dialects do not share."""


def arguments(names: Sequence[str], params: Params) -> tuple[list[Any], list[int]]:
    """The parameters in order (bytes or None), and each one's format; raises KeyError, ValueNotStorable."""
    values: list[Any] = []
    formats: list[int] = []
    for name in names:
        value = params[name]
        kind = type(value)
        if kind is str:
            values.append(_text(value))
            formats.append(_BINARY)
        elif kind is int:
            values.append(b"%d" % value)
            formats.append(_TEXT)
        elif kind is bytes or value is None:
            values.append(value)
            formats.append(_BINARY)
        else:
            raw, form = _unusual(value)
            values.append(raw)
            formats.append(form)
    return values, formats


def _unusual(value: Any) -> tuple[bytes, int]:
    if isinstance(value, str):
        return _text(value), _BINARY
    if isinstance(value, int):
        return b"%d" % value, _TEXT
    if isinstance(value, float):
        return repr(value).encode(), _TEXT
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), _BINARY
    if isinstance(value, list | tuple | set | frozenset):
        return _array(value), _TEXT
    raise ValueNotStorable(f"a parameter cannot be a {type(value).__name__}")


def _text(value: str) -> bytes:
    raw = value.encode()
    if 0 in raw:
        raise ValueNotStorable("PostgreSQL cannot store text with a NUL character")
    return raw


def _array(items: Collection[Any]) -> bytes:
    """An array in PostgreSQL's text form, `{"a","b"}` ("Arrays", section 8.15.6)."""
    return b"{%s}" % b",".join(map(_element, items))


def _element(item: Any) -> bytes:
    if isinstance(item, str):
        return b'"%s"' % _text(item).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    if isinstance(item, bytes):
        return b'"\\\\x%s"' % item.hex().encode()
    if isinstance(item, int):
        return b"%d" % item
    raise ValueNotStorable(f"an array cannot hold a {type(item).__name__}")


class Decoder:
    """Turns the results of one statement into rows, by psycopg's loaders in C: a quarter of what a loop here costs."""

    __slots__ = ("_transformer",)

    def __init__(self, result: PGresult) -> None:
        """For results shaped like `result` (binary); raises ValueNotStorable for a type that SQLite lacks."""
        for column in range(result.nfields):
            if result.ftype(column) not in _KNOWN:
                raise ValueNotStorable(
                    f"a column has PostgreSQL's type {result.ftype(column)}, which SQLite lacks:"
                    " CAST it in the statement"
                )
        self._transformer = Transformer(_Types())
        self._transformer.set_pgresult(result)

    def rows(self, result: PGresult, limit: int | None = None) -> list[Row]:
        """The first `limit` rows (or all)."""
        count = result.ntuples if limit is None else min(limit, result.ntuples)
        if not count:
            return []
        transformer = self._transformer
        transformer.set_pgresult(result, set_loaders=False)
        try:
            return transformer.load_rows(0, count, _row)
        finally:
            transformer.set_pgresult(None, set_loaders=False)  # or the result would live until the next one


class _Numeric(Loader):
    """SUM of a BIGINT is a NUMERIC: base 10,000 digits, the first worth 10,000 ** weight (numeric_send)."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> int | float:
        count, weight, sign, scale = struct.unpack_from(">hhHh", data)
        if sign & _SPECIAL == _SPECIAL:
            raise ValueNotStorable("a NUMERIC is not a finite number")
        digits = struct.unpack_from(f">{count}H", data, 8)
        value = sum(digit * 10_000 ** (weight - index) for index, digit in enumerate(digits))
        return (-1 if sign == _NEGATIVE else 1) * (float(value) if scale else int(value))


class _Nothing(Loader):
    """What a function returns that returns nothing."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> None:
        return None


class _Types:
    """psycopg's loaders, except where a value would come back as a type of its own."""

    connection = None
    adapters = AdaptersMap(psycopg.adapters)


_row = cast("Callable[[Sequence[Any]], Row]", tuple)
_INTEGERS, _TEXTS, _FLOATS, _NUMERIC, _VOID = (20, 21, 23), (19, 25, 705, 1042, 1043), (700, 701), 1700, 2278
_KNOWN = frozenset((16, 17, *_INTEGERS, *_TEXTS, *_FLOATS, _NUMERIC, _VOID))
_Types.adapters.register_loader(_NUMERIC, _Numeric)
_Types.adapters.register_loader(_VOID, _Nothing)
for _oid in _TEXTS:
    _Types.adapters.register_loader(_oid, TextBinaryLoader)
