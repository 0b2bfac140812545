"""Wrong values: mutators of a tree of members, lists, texts, numbers and bytes, at every place in it."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

from tests.corpus import mutators
from tests.corpus.structure import Mutant, Structure

Variants = Iterator[tuple[str, Any]]
FOREIGN: tuple[Any, ...] = (None, True, False, 0, 1, -1, 1.5, "", "0", [], [[]], {}, {"": None}, "\ud800", "\x00")
"""Values of other types, put wherever a document has one."""


def of_json(structure: Structure) -> Iterator[Mutant]:
    """Every mutant of a JSON document, wrong types, unknown and missing members included."""
    for name, wrong in _tree(structure.honest, typed=False):
        yield Mutant(name, wrong)


def of_values(structure: Structure) -> Iterator[Mutant]:
    """Every mutant of a statement in Python values, whose types the type checker holds: only values are wrong."""
    for name, wrong in _tree(structure.honest, typed=True):
        yield Mutant(name, wrong)


def _tree(value: Any, *, typed: bool) -> Variants:
    """Mutants of the value itself, and of all that is in it."""
    if isinstance(value, dict):
        yield from _members(value, typed=typed)
        for key, below in value.items():
            for name, wrong in _tree(below, typed=typed):
                yield f"{key}.{name}", {**value, key: wrong}
    elif isinstance(value, list | tuple):
        kind = type(value)
        for name, items in _items(list(value)):
            yield name, kind(items)
        for at, below in enumerate(value):
            for name, wrong in _tree(below, typed=typed):
                yield f"{at}.{name}", kind([*value[:at], wrong, *value[at + 1 :]])
    else:
        yield from ((f": {name}", wrong) for name, wrong in _scalar(value))
    if not typed:
        yield from ((f": {wrong!r} in its place", wrong) for wrong in FOREIGN)
        yield from ((": in a list", [value]), (": in an object", {"value": value}))


def _members(members: dict[str, Any], *, typed: bool) -> Variants:
    if not typed:
        for key in members:
            yield f"{key}: dropped", {name: value for name, value in members.items() if name != key}
            for name, other in {"upper case": key.upper(), "BOM": "\ufeff" + key, "NUL": key + "\0"}.items():
                yield f"{key}: renamed, {name}", {(other if n == key else n): v for n, v in members.items()}
        for added in ("unknown", "", "unsigned", "__proto__", "e\u0301"):
            yield f"unknown member {added!r}", {**members, added: {}}
    for one in members:
        for two in members:
            if one < two and type(members[one]) is type(members[two]):
                yield f"{one} and {two} exchanged", {**members, one: members[two], two: members[one]}


def _items(items: list[Any]) -> Variants:
    for at, item in enumerate(items):
        yield f"item {at} dropped", items[:at] + items[at + 1 :]
        yield f"item {at} twice", [*items[:at], item, *items[at:]]
        if at:
            yield f"items {at - 1} and {at} exchanged", [*items[: at - 1], item, items[at - 1], *items[at + 1 :]]
    yield from (
        ("reversed", items[::-1]),
        ("all twice", items * 2),
        ("empty", []),
        ("first at the end", [*items, *items[:1]]),
    )
    if items:
        yield "a thousand items", items[:1] * 1000


def _scalar(value: Any) -> Variants:
    if isinstance(value, bytes):
        yield from mutators.raw(value)
    elif isinstance(value, bool) or value is None:
        yield "turned round", not value
    elif isinstance(value, int):
        near = (0, 1, value - 1, value + 1, value * 2, value // 2, -value, value * 1000, value // 1000)
        for wrong in (*near, *(2**n + d for n in (31, 32, 53, 63, 64) for d in (-1, 0, 1)), 10**30):
            yield f"the number {wrong}", wrong
    else:
        for make in _spellings(value):
            for name, wrong in make(value.encode()):
                yield name, wrong.decode("utf-8", "surrogateescape")


def _spellings(value: str) -> Iterator[Callable[[bytes], Iterator[tuple[str, bytes]]]]:
    """How this text may be misspelled, by what it looks like."""
    if len(value) == 64 and all(c in "0123456789abcdef" for c in value):
        yield mutators.hex_text
    elif len(value) >= 22 and _is_base64(value):
        yield mutators.base64url_text
    else:
        yield mutators.text
    yield mutators.stray


def _is_base64(value: str) -> bool:
    """Whether it is unpadded base64 in either alphabet."""
    plain = value.replace("-", "+").replace("_", "/").encode()
    try:
        return base64.b64encode(base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)).rstrip(b"=") == plain
    except ValueError:
        return False
