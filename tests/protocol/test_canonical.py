"""Canonical JSON: one form for every value, and no second reading of any text."""

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from paraph.protocol.canonical import MAX_DEPTH, MAX_INTEGER, decode, decode_canonical, encode
from paraph.protocol.errors import CanonicalJsonError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def naive(value: Any) -> bytes:
    """The same form from the standard library: Python sorts text by code point."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


@given(values)
def test_encode_equals_a_naive_implementation(value: Any) -> None:
    """The fast encoder and the standard library agree byte for byte on every valid value."""
    assert encode(value) == naive(value)


def test_every_code_point_is_escaped_as_matrix_says() -> None:
    """All 1,112,064 code points have the same form as in the independent implementation, one plane at a time."""
    for start in range(0, 0x110000, 0x1000):
        points = [chr(point) for point in range(start, start + 0x1000) if not 0xD800 <= point < 0xE000]
        assert encode(points) == naive(points)


def test_keys_are_sorted_by_code_point_and_not_by_utf16_unit() -> None:
    """A key beyond the basic plane comes after U+FFFF, where JavaScript's own order would put it before."""
    assert encode({"\U00010000": 1, "\uffff": 2, "é": 3, "z": 4, "": 5}) == (
        '{"":5,"z":4,"é":3,"\uffff":2,"\U00010000":1}'.encode()
    )


def test_control_characters_take_the_shortest_escapes() -> None:
    """Seven escapes are two characters; other controls are \\u00xx in lower case; DEL and slash stand as they are."""
    assert encode('\b\t\n\f\r"\\\x1f\x7f/') == b'"\\b\\t\\n\\f\\r\\"\\\\\\u001f\x7f/"'


@given(values)
def test_every_value_comes_back(value: Any) -> None:
    """Both parsers give back what was encoded, and encoding again changes nothing."""
    data = encode(value)
    assert decode(data) == value
    assert decode_canonical(data) == value
    assert encode(decode(data)) == data


@given(values, st.sampled_from([None, 2]), st.booleans())
def test_decode_accepts_other_forms_that_decode_canonical_refuses(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    """Spaces, escapes and member order do not change what a text says, but only one form is canonical."""
    data = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert decode(data) == value
    assert encode(decode(data)) == encode(value)
    assume(data != encode(value))
    with pytest.raises(CanonicalJsonError):
        decode_canonical(data)


@given(st.dictionaries(texts, integers, min_size=1, max_size=4), st.data())
def test_a_duplicate_key_is_refused_at_any_depth(members: dict[str, int], data: st.DataObject) -> None:
    """A key that stands twice, in whatever spelling, makes the text unreadable."""
    key = data.draw(st.sampled_from(sorted(members)))
    spelled = "".join(f"\\u{unit:04x}" for unit in _utf16(key)) if data.draw(st.booleans()) else json.dumps(key)[1:-1]
    text = json.dumps([{"outer": members}])[:-3] + f', "{spelled}": 0' + "}}]"
    for parse in (decode, decode_canonical):
        with pytest.raises(CanonicalJsonError):
            parse(text.encode())


def _utf16(text: str) -> list[int]:
    data = text.encode("utf-16-be")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        10**400,
        "\ud800",
        {"\udfff": 1},
        {1: 2},
        {None: 1},
        {True: 1},
        b"bytes",
        {1, 2},
        object(),
        type("Text", (str,), {})("subclass"),
        type("Number", (int,), {})(1),
        type("Mapping", (dict,), {})(),
    ],
)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"key": [0, v]}])
def test_encode_refuses_what_json_does_not_share(value: Any, wrap: Any) -> None:
    """Floats, large integers, lone surrogates, other keys and other types have no canonical form, at any depth."""
    with pytest.raises(CanonicalJsonError):
        encode(wrap(value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"1.0",
        b"1e2",
        b"-0",
        b"[ -0]",
        b"01",
        b"+1",
        b"9007199254740992",
        b"[ -9007199254740992]",
        b"1" * 5000,
        b"[" + b"9" * 400 + b" ]",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b'"\\ud800"',
        b'["\\udc00 x", 1]',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b'"\x01"',
        b'"\\x41"',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"{}x",
        b"{} {}",
        b"[1,]",
        b"{'a':1}",
        b'{"a":1,}',
        b"{a:1}",
        b"// comment\n1",
        b"\x0b1",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_both_parsers_refuse(data: bytes) -> None:
    """What other parsers might read differently, or not at all, is refused with the protocol's own error."""
    for parse in (decode, decode_canonical):
        with pytest.raises(CanonicalJsonError):
            parse(data)


@settings(max_examples=200)
@given(st.binary(max_size=40) | st.text('{}[]",:0e.-\\u dfalsetrun', max_size=25).map(str.encode))
def test_arbitrary_bytes_give_a_value_or_the_one_error(data: bytes) -> None:
    """Whatever comes in, the parser answers with a value that has a canonical form or with its own error."""
    try:
        value = decode(data)
    except CanonicalJsonError:
        return
    assert decode_canonical(encode(value)) == value


def test_depth_is_bounded_in_both_directions() -> None:
    """64 containers inside one another pass, 65 do not, and a caller may ask for fewer."""
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert encode(decode(deepest)) == deepest
    with pytest.raises(CanonicalJsonError):
        decode(b"[" + deepest + b"]")
    with pytest.raises(CanonicalJsonError):
        encode([decode(deepest)])
    assert decode(b'{"a":[1]}', max_depth=2) == {"a": [1]}
    with pytest.raises(CanonicalJsonError):
        decode(b'{"a":[1]}', max_depth=1)
    with pytest.raises(CanonicalJsonError):
        decode(b'{"a": [1] }', max_depth=1)
