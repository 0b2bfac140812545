"""Canonical JSON as the Matrix specification defines it (Appendices, "Canonical JSON"), and strict parsing.

Every value has one byte form: UTF-8, keys sorted by code point, no spaces, the shortest escapes, integers
within ±(2^53-1), no floats. Signatures and hashes are made over that form, so anything that two parsers could
read differently (duplicate keys, lone surrogates, floats, negative zero) is refused, not repaired.

msgspec's deterministic order sorts keys by their UTF-8 bytes, which is code point order, and writes the
shortest escapes; `tests/protocol/test_canonical.py` holds it to that for every code point.
"""

import json
from typing import Any, NoReturn

import msgspec

from paraph.protocol.errors import CanonicalJsonError

__all__ = ["MAX_DEPTH", "MAX_INTEGER", "CanonicalJsonError", "decode", "decode_canonical", "encode"]

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 64

_sorted_encoder = msgspec.json.Encoder(order="deterministic")
_plain_encoder = msgspec.json.Encoder()
_plain_decoder = msgspec.json.Decoder()


def encode(value: object) -> bytes:
    """Canonical JSON of a tree of dict, list or tuple, str, int, bool and None, at most 64 containers deep.

    Raises CanonicalJsonError for floats, integers beyond ±(2^53-1), lone surrogates, keys that are not `str`
    and any other type (subclasses included, since their JSON form is not theirs to choose).
    """
    _check(value, MAX_DEPTH)
    try:
        return _sorted_encoder.encode(value)
    except UnicodeEncodeError as error:
        raise CanonicalJsonError("expected Unicode text, found a lone surrogate") from error


def decode(data: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON strictly; members may stand in any order and spaces are allowed.

    Raises CanonicalJsonError for what `encode` could not have meant: duplicate keys, floats, `-0`, integers
    beyond ±(2^53-1), NaN, lone surrogates, a byte order mark, bytes that are not UTF-8, trailing bytes, and
    more than `max_depth` containers inside one another.
    """
    try:
        # Compact JSON that comes back byte for byte had neither duplicate keys nor a second reading: this
        # spares the slow parser for what most clients send. The walk below refuses floats either way.
        value = _plain_decoder.decode(data)
        if _plain_encoder.encode(value) != data:
            value = _decode_slowly(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise CanonicalJsonError(f"expected JSON: {error}") from error
    _check(value, max_depth)
    return value


def decode_canonical(data: bytes) -> Any:
    """Parse JSON that must already be in canonical form, byte for byte; raises CanonicalJsonError if not."""
    try:
        value = _plain_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise CanonicalJsonError(f"expected canonical JSON: {error}") from error
    if encode(value) != data:
        raise CanonicalJsonError("expected canonical JSON: the bytes are another form of the same value")
    return value


def _check(value: object, depth: int) -> None:
    """Refuse what msgspec would encode but canonical JSON does not know.

    One call per container and none per scalar: this walk is on the path of every message the server stores.
    """
    kind = type(value)
    if kind is dict:
        members: Any = value.values()  # type: ignore[attr-defined]
        for key in value:  # type: ignore[attr-defined]
            if type(key) is not str:
                raise CanonicalJsonError(f"expected text as key, found {type(key).__name__}")
    elif kind is list or kind is tuple:
        members = value
    else:
        members = (value,)
        depth += 1
    if depth <= 0:
        raise CanonicalJsonError("expected fewer containers inside one another")
    for member in members:
        kind = type(member)
        if kind is str or member is None or member is True or member is False:
            continue
        if kind is int:
            if not -MAX_INTEGER <= member <= MAX_INTEGER:
                raise CanonicalJsonError("expected integers within ±(2^53-1)")
        elif kind is dict or kind is list or kind is tuple:
            _check(member, depth - 1)
        else:
            raise CanonicalJsonError(f"expected text, integer, boolean, null, list or object, not {kind.__name__}")


def _decode_slowly(data: bytes) -> Any:
    try:
        value = _strict_decoder.decode(data.decode("utf-8"))
        _plain_encoder.encode(value)  # refuses lone surrogates, which the standard library lets through
    except ValueError as error:
        raise CanonicalJsonError(f"expected JSON: {error}") from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise CanonicalJsonError("expected each key once in an object")
    return members


def _integer(digits: str) -> int:
    if digits == "-0" or len(digits) > 17:
        raise CanonicalJsonError("expected an integer within ±(2^53-1) and no negative zero")
    return int(digits)


def _refuse_number(text: str) -> NoReturn:
    raise CanonicalJsonError(f"expected an integer, found {text[:32]}")


_strict_decoder = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=_integer,
    parse_float=_refuse_number,
    parse_constant=_refuse_number,
)
