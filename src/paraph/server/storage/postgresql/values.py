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
from typing import Any

from paraph.server.storage.database import Params, StorageError

_TEXT, _BINARY = 0, 1
_INT = {2: struct.Struct(">h").unpack, 4: struct.Struct(">i").unpack, 8: struct.Struct(">q").unpack}
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


def decoder(oid: int) -> Callable[[bytes], Any]:
    """What turns the binary form of a column of type `oid` (pg_type) into a Python value."""
    found = _DECODERS.get(oid)
    if found is None:
        raise ValueNotStorable(f"a column has PostgreSQL's type {oid}, which SQLite lacks: CAST it in the statement")
    return found


def _integer(raw: bytes) -> int:
    value: int = _INT[len(raw)](raw)[0]
    return value


def _float(raw: bytes) -> float:
    value: float = struct.unpack(">d" if len(raw) == 8 else ">f", raw)[0]
    return value


def _numeric(raw: bytes) -> int | float:
    """SUM of a BIGINT is a NUMERIC: base 10,000 digits, the first worth 10,000 ** weight (numeric_send)."""
    count, weight, sign, scale = struct.unpack_from(">hhHh", raw)
    if sign & _SPECIAL == _SPECIAL:
        raise ValueNotStorable("a NUMERIC is not a finite number")
    digits = struct.unpack_from(f">{count}H", raw, 8)
    value = sum(digit * 10_000 ** (weight - index) for index, digit in enumerate(digits))
    return (-1 if sign == _NEGATIVE else 1) * (float(value) if scale else int(value))


_DECODERS: dict[int, Callable[[bytes], Any]] = {
    16: lambda raw: raw == b"\x01",
    17: bytes,
    **dict.fromkeys((20, 21, 23), _integer),
    **dict.fromkeys((19, 25, 705, 1042, 1043), bytes.decode),
    **dict.fromkeys((700, 701), _float),
    1700: _numeric,
    2278: lambda raw: None,
}
