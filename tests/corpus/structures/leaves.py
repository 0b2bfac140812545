"""The three forms of a log leaf, and what an entry's commitment opens to."""

from typing import Any

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import (
    PrivateLeaf,
    PublicLeaf,
    check_entry,
    commitment,
    entry,
    epoch_leaf,
    parse_leaf,
    private_leaf,
    public_leaf,
)
from paraph.protocol.errors import CanonicalJsonError, EntryError, LeafError
from tests.corpus.honest import LABEL, REPORT, SAME, TIME, WEEK
from tests.corpus.layout import layout
from tests.corpus.mutators import of_bytes
from tests.corpus.structure import Kind, Structure
from tests.corpus.trees import of_json

PRIVATE = layout(
    ("form", Kind.RAW, b"\x01"),
    ("week", Kind.RAW, WEEK.to_bytes(2, "big")),
    ("label", Kind.RAW, LABEL),
    ("commitment", Kind.RAW, SAME[0][35:]),
)
EPOCH = layout(
    ("form", Kind.RAW, b"\x02"), '{"map_root":"', ("map root", Kind.BASE64URL, b64url(LABEL)),
    '","n":', ("n", Kind.NUMBER, "7"), ',"prev_size":', ("prev_size", Kind.NUMBER, "600"),
    ',"time":', ("time", Kind.NUMBER, str(TIME)), "}",
)  # fmt: skip
PUBLIC = layout(
    ("form", Kind.RAW, b"\x00"),
    '{"document":{"rows":[1,2],"text":"', ("text", Kind.TEXT, "käse"), '","type":"org.paraph.report"},"kind":"',
    ("kind", Kind.TEXT, "report"), '","partner":"', ("partner", Kind.TEXT, "film-club"), '","ts":',
    ("ts", Kind.NUMBER, str(TIME - 70_000)), "}",
)  # fmt: skip
assert PUBLIC[0] == REPORT
assert epoch_leaf(7, 600, b64url(LABEL), TIME) == EPOCH[0]


def written(leaf: Any) -> bytes:
    """A parsed leaf's bytes."""
    if isinstance(leaf, PrivateLeaf):
        return private_leaf(leaf.week, leaf.label, leaf.commitment)
    if isinstance(leaf, PublicLeaf):
        return public_leaf(leaf.kind, leaf.partner, leaf.ts, leaf.document)
    return epoch_leaf(leaf.n, leaf.prev_size, leaf.map_root, leaf.time)


def leaf(name: str, honest: tuple[bytes, Any]) -> Structure:
    """A leaf as a parser: whatever is read has exactly these bytes."""
    return Structure(
        name, honest[0], parse_leaf, (LeafError,), of_bytes, honest[1],
        other=lambda meaning, data: written(meaning) == data,
    )  # fmt: skip


_O1, _O2 = bytes(range(32)), bytes(range(32, 64))
_BODY = {"grant_id": "gr_" + b64url(bytes(16)), "device_id": "D", "partner_device_id": "P", "session": "s"}
_ENTRY = entry("key-share", "@author:example.org", "film-club", TIME, _BODY)
_COMMITTED = commitment(_ENTRY, _O1, _O2)


def _opens(values: Any) -> object:
    """Whether an entry and its openings are what a leaf's commitment commits to."""
    check_entry(values["entry"])
    found = commitment(values["entry"], bytes.fromhex(values["o1"]), bytes.fromhex(values["o2"]))
    if found != _COMMITTED:
        raise EntryError("the commitment is another one")
    return None


STRUCTURES = (
    leaf("private leaf", PRIVATE),
    leaf("epoch leaf", EPOCH),
    leaf("public leaf", PUBLIC),
    Structure("entry", _ENTRY, lambda value: _opens({"entry": value, "o1": _O1.hex(), "o2": _O2.hex()}),
              (EntryError, CanonicalJsonError), of_json),
)  # fmt: skip
