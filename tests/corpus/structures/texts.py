"""Numbers, base64, hex and tile paths: parsers, each of which must read only what it would write."""

from collections.abc import Callable
from typing import Any

from paraph.audit.errors import MalformedEvidence
from paraph.audit.statement import hex_of
from paraph.protocol import base64 as protocol_base64
from paraph.protocol.canonical import decode_canonical, encode
from paraph.protocol.errors import Base64Error, CanonicalJsonError
from paraph.tlog import text, tiles
from paraph.tlog.text import MalformedText
from paraph.tlog.tiles import MalformedPath
from tests.corpus.layout import Piece, layout
from tests.corpus.mutators import of_bytes
from tests.corpus.structure import Kind, Structure

DATA = bytes(range(200, 232))


def parser(
    name: str, read: Callable[[str], Any], write: Callable[[Any], str], error: type[Exception], *pieces: Piece
) -> Structure:
    """A parser of text, given whatever Python makes of the bytes: undecodable ones become lone surrogates."""
    honest, fields = layout(*pieces)
    return Structure(
        name,
        honest,
        lambda data: read(data.decode("utf-8", "surrogateescape")),
        (error,),
        of_bytes,
        fields,
        other=lambda meaning, data: write(meaning).encode() == data,
    )


def path(name: str, *pieces: Piece) -> Structure:
    """A tile's path."""
    return parser(name, tiles.parse_path, lambda tile: str(tile.path), MalformedPath, *pieces)


CANONICAL = layout(
    '{"a":', ("integer", Kind.NUMBER, "1700000000000"), ',"b":[true,null,"', ("text", Kind.TEXT, "Käse"),
    '",{}],"', ("key", Kind.TEXT, "kö"), '":-7}',
)  # fmt: skip

STRUCTURES = (
    parser("number", text.parse_number, str, MalformedText, ("number", Kind.NUMBER, "1700000042")),
    parser("number zero", text.parse_number, str, MalformedText, ("number", Kind.NUMBER, "0")),
    parser("largest number", text.parse_number, str, MalformedText, ("number", Kind.NUMBER, str(2**63 - 1))),
    *(
        parser(f"base64 of {n}", text.unb64, text.b64, MalformedText, ("base64", Kind.BASE64, text.b64(DATA[:n])))
        for n in (30, 31, 32)
    ),
    *(
        parser(f"unpadded base64 of {n}", unread, write, Base64Error, ("base64", Kind.BASE64URL, write(DATA[:n])))
        for n in (30, 31, 32)
        for unread, write in (
            (protocol_base64.unb64, protocol_base64.b64),
            (protocol_base64.unb64url, protocol_base64.b64url),
        )
    ),
    parser("hex", lambda t: hex_of(t, "a key"), bytes.hex, MalformedEvidence, ("hex", Kind.HEX, DATA.hex())),
    path("tile path", "tile/", ("level", Kind.NUMBER, "3"), "/x001/x234/", ("index", Kind.TEXT, "067")),
    path("partial tile path", "tile/0/x001/067.p/", ("width", Kind.NUMBER, "17")),
    path("entry bundle path", "tile/entries/", ("index", Kind.TEXT, "000"), ".p/", ("width", Kind.NUMBER, "255")),
    Structure(
        "canonical JSON",
        CANONICAL[0],
        decode_canonical,
        (CanonicalJsonError,),
        of_bytes,
        CANONICAL[1],
        other=lambda meaning, data: bool(encode(meaning) == data),
        forged={
            "duplicate key": b'{"a":1,"a":1}',
            "duplicate key, spelled otherwise": b'{"a":1,"\\u0061":2}',
            "keys out of order": b'{"b":1,"a":1}',
            "float": b'{"a":1.0}',
            "negative zero": b"-0",
            "beyond 2^53": b"9007199254740992",
            "deep": b"[" * 5000 + b"]" * 5000,
            "escape where none is needed": b'"\\/"',
            "upper-case escape": b'"\\u001F"',
            "lone surrogate": b'"\\ud800"',
            "surrogate in UTF-8": b'"\xed\xa0\x80"',
            "overlong UTF-8": b'"\xc0\xaf"',
            "byte order mark": b"\xef\xbb\xbf{}",
            "comment": b"{}/**/",
            "two values": b"{}{}",
            "NaN": b"NaN",
        },
    ),
)
