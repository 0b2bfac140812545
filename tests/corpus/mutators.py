"""Wrong bytes: mutators of one field by its kind, and of the whole. Nothing is random, so each run has the same cases.

Python's traps are all here: `int()` takes signs, spaces, underscores and other scripts' digits; base64 skips what it
does not know and ignores the bits that padding leaves over; `bytes.fromhex` takes spaces; `splitlines` splits at more
than newlines.
"""

import base64
import unicodedata
from collections.abc import Callable, Iterator

from tests.corpus.structure import Kind, Mutant, Structure

EVERY_BIT = 256
"""Up to so many bytes each bit is turned; beyond, one bit of each byte, the position taking turns."""
_CUTS = 600
"""Up to so many bytes every truncation and every omission is tried; beyond, so many of them, spread evenly."""
STRAY = (
    b"\x00",
    b"\t",
    b"\n",
    b"\r",
    b" ",
    b"=",
    b"_",
    b"A",
    b"\x7f",
    b"\xff",
    b"\xc2\xa0",
    b"\xef\xbb\xbf",
    b"\xe2\x80\x8b",
)
"""What is pushed in at each field's ends: controls, spaces, padding, a no-break space, a byte order mark and more."""

Variants = Iterator[tuple[str, bytes]]


def bits(data: bytes) -> Variants:
    """The data with one bit turned."""
    for at in range(len(data)):
        for bit in range(8) if len(data) <= EVERY_BIT else (at % 8,):
            yield f"bit {bit} of byte {at}", data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


def cuts(data: bytes) -> Variants:
    """The data ended early, begun late, or without one byte."""
    step = max(1, len(data) // _CUTS)
    for at in range(0, len(data), step):
        yield f"cut at {at}", data[:at]
        yield f"begun at {at}", data[at:]
        yield f"without byte {at}", data[:at] + data[at + 1 :]


def stray(data: bytes) -> Variants:
    """The data with a stray byte before or after it, or in its middle."""
    for more in STRAY:
        for at in (0, len(data) // 2, len(data)):
            yield f"{more!r} at {at}", data[:at] + more + data[at:]


def number(text: bytes) -> Variants:
    """Other spellings of a number, and other numbers."""
    value = int(text)
    yield from {
        "leading zero": b"0" + text,
        "many leading zeros": b"0" * 30 + text,
        "plus": b"+" + text,
        "minus": b"-" + text,
        "space before": b" " + text,
        "space after": text + b" ",
        "underscore": text[:1] + b"_" + (text[1:] or b"0"),
        "comma": text + b",0",
        "fraction": text + b".0",
        "exponent": text + b"e0",
        "hexadecimal": b"%#x" % value,
        "octal": b"0o%o" % value,
        "Arabic digits": "".join(chr(0x660 + int(digit)) for digit in text.decode()).encode(),
        "full-width digits": "".join(chr(0xFF10 + int(digit)) for digit in text.decode()).encode(),
        "superscript": "²".encode(),
        "no digits": b"",
        "not a number": b"NaN",
    }.items()
    for wrong in (
        0,
        1,
        value - 1,
        value + 1,
        2 * value,
        value // 2,
        -value,
        *(2**n + d for n in _WIDTHS for d in (-1, 0)),
    ):
        yield f"the number {wrong}", b"%d" % wrong
    yield "the number 10^4500", b"1" + b"0" * 4500


_WIDTHS = (8, 16, 31, 32, 53, 63, 64, 128)


def base64_text(text: bytes) -> Variants:
    """Other spellings of padded base64, and other bytes."""
    yield from _padding(text)
    data = base64.b64decode(text)
    yield from ((name, base64.b64encode(wrong)) for name, wrong in _wrong_bytes(data))
    yield "URL alphabet", base64.urlsafe_b64encode(data)
    yield "URL alphabet everywhere", text.replace(b"A", b"-").replace(b"B", b"_")


def base64url_text(text: bytes) -> Variants:
    """Other spellings of unpadded base64url, and other bytes."""
    yield from _padding(text)
    data = base64.b64decode(text.translate(_TO_STANDARD) + b"=" * (-len(text) % 4))
    yield from ((name, base64.urlsafe_b64encode(wrong).rstrip(b"=")) for name, wrong in _wrong_bytes(data))
    yield "padded", base64.urlsafe_b64encode(data)
    yield "standard alphabet", base64.b64encode(data).rstrip(b"=")


_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _padding(text: bytes) -> Variants:
    """Bits that padding leaves over, padding missing or in excess, and what lenient decoders skip."""
    bare = text.rstrip(b"=")
    place = _ALPHABET.find(bare[-1:].translate(_TO_STANDARD))
    for spare in range(1, {2: 16, 3: 4}.get(len(bare) % 4, 1)):
        yield f"spare bits {spare}", bare[:-1] + _ALPHABET[(place ^ spare) : (place ^ spare) + 1] + text[len(bare) :]
    for count in range(4):
        yield f"padding of {count}", bare + b"=" * count
    yield "padding in front", b"=" + text
    for skipped in (b" ", b"\n", b"\r\n", b"\t", b"!", b"\x00", b"="):
        yield f"{skipped!r} within", text[:4] + skipped + text[4:]
        yield f"{skipped!r} each 4", skipped.join(text[at : at + 4] for at in range(0, len(text), 4))
    yield "a quarter less", text[:-4]
    yield "a quarter more", text + b"AAAA"
    yield "other case", text.swapcase()
    yield "empty", b""


def hex_text(text: bytes) -> Variants:
    """Other spellings of hex, and other bytes."""
    data = bytes.fromhex(text.decode())
    yield from ((name, wrong.hex().encode()) for name, wrong in _wrong_bytes(data))
    yield from {
        "upper case": text.upper(),
        "spaced": data.hex(" ").encode(),
        "prefixed": b"0x" + text,
        "odd": text[:-1],
        "space before": b" " + text,
        "newline after": text + b"\n",
        "empty": b"",
        "full-width digits": "".join(chr(0xFF10 + int(c)) if c.isdigit() else c for c in text.decode()).encode(),
    }.items()


def raw(data: bytes) -> Variants:
    """Other bytes."""
    yield from _wrong_bytes(data)


def text(spelled: bytes) -> Variants:
    """Names that look alike, and names that are not."""
    yield from bits(spelled)
    decoded = spelled.decode()
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield form, unicodedata.normalize(form, decoded).encode()
    for name, wrong in {
        "upper case": decoded.upper(),
        "swapped case": decoded.swapcase(),
        "Cyrillic a and e": decoded.replace("a", "а").replace("e", "е"),
        "combining accent": decoded + "\u0301",
        "right to left": "\u202e" + decoded,
        "line separator": decoded + "\u2028",
        "next line": decoded + "\x85",
        "twice": decoded * 2,
        "empty": "",
        "plus": decoded + "+",
        "slash": decoded + "/",
        "dot": decoded + ".",
        "long": decoded + "a" * 5000,
    }.items():
        yield name, wrong.encode()


def _wrong_bytes(data: bytes) -> Variants:
    yield from bits(data)
    yield from {
        "zeros": bytes(len(data)),
        "ones": b"\xff" * len(data),
        "reversed": data[::-1],
        "a byte less": data[:-1],
        "a byte more": data + b"\x00",
        "half": data[: len(data) // 2],
        "twice": data * 2,
        "halves exchanged": data[len(data) // 2 :] + data[: len(data) // 2],
    }.items()


BY_KIND: dict[Kind, Callable[[bytes], Variants]] = {
    Kind.NUMBER: number,
    Kind.BASE64: base64_text,
    Kind.BASE64URL: base64url_text,
    Kind.HEX: hex_text,
    Kind.RAW: raw,
    Kind.TEXT: text,
}


def lines(data: bytes) -> Variants:
    """Lines dropped, repeated, exchanged, pushed in, ended otherwise."""
    parts = data.split(b"\n")
    for at, line in enumerate(parts):
        yield f"line {at} dropped", b"\n".join(parts[:at] + parts[at + 1 :])
        yield f"line {at} twice", b"\n".join([*parts[:at], line, *parts[at:]])
        yield f"line {at} ended with CR", b"\n".join([*parts[:at], line + b"\r", *parts[at + 1 :]])
        yield f"line {at} indented", b"\n".join([*parts[:at], b" " + line, *parts[at + 1 :]])
        yield f"line {at} with a space after it", b"\n".join([*parts[:at], line + b" ", *parts[at + 1 :]])
        yield f"empty line before {at}", b"\n".join([*parts[:at], b"", *parts[at:]])
        for to in range(at + 1, len(parts)):
            swapped = list(parts)
            swapped[at], swapped[to] = swapped[to], swapped[at]
            yield f"lines {at} and {to} exchanged", b"\n".join(swapped)
    for name, end in {"CRLF": b"\r\n", "CR": b"\r", "line separators": "\u2028".encode(), "NUL": b"\0"}.items():
        yield f"{name} for newlines", data.replace(b"\n", end)


def whole(data: bytes) -> Variants:
    """The structure as a string of bytes."""
    yield from bits(data)
    yield from cuts(data)
    yield from stray(data)
    yield from {
        "twice": data * 2,
        "reversed": data[::-1],
        "UTF-16": data.decode("latin-1").encode("utf-16"),
        "a kilobyte of zeros after it": data + bytes(1024),
        "two megabytes after it": data + b"A" * 2_000_000,
    }.items()
    if b"\n" in data:
        yield from lines(data)


def of_bytes(structure: Structure) -> Iterator[Mutant]:
    """Every mutant of a structure that is bytes: the whole's, then each field's."""
    honest: bytes = structure.honest
    for name, wrong in whole(honest):
        yield Mutant(f"whole: {name}", wrong)
    for part in structure.fields:
        before, within, after = honest[: part.start], honest[part.start : part.end], honest[part.end :]
        for make in (BY_KIND[part.kind], stray):
            for name, wrong in make(within):
                yield Mutant(f"{part.name}: {name}", before + wrong + after)
    for one in structure.fields:
        for two in structure.fields:
            if one.kind == two.kind and one.end <= two.start:
                a, b = honest[one.start : one.end], honest[two.start : two.end]
                between, around = honest[one.end : two.start], (honest[: one.start], honest[two.end :])
                yield Mutant(f"{one.name} and {two.name} exchanged", around[0] + b + between + a + around[1])
                yield Mutant(f"{two.name} as {one.name}", around[0] + b + between + b + around[1])
