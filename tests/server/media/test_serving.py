"""Serving: what a browser may show, thumbnails of what is no secret, and nothing at the old addresses."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from paraph.server.media import thumbnails
from paraph.server.media.http import disposition
from paraph.server.media.model import checked_content_type, checked_name
from tests.server.media.repository import CREATE, NEW, SERVER, Repository


def picture(kind: str, width: int, height: int, mode: str = "RGB") -> bytes:
    """A picture with a gradient, so that scaling has something to do."""
    image = Image.linear_gradient("L").resize((width, height)).convert(mode)
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("image/png", "inline"),
        ("text/plain; charset=utf-8", "inline"),
        ("TEXT/PLAIN", "inline"),
        ("audio/x-flac", "inline"),
        ("text/html", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/pdf", "attachment"),
        ("application/octet-stream", "attachment"),
    ],
)
async def test_only_harmless_kinds_are_shown(here: Repository, kind: str, shown: str) -> None:
    """All else is to be saved; and whatever a browser does with it, it does in a sandbox."""
    name = await here.kept(b"<script>alert(1)</script>", kind)
    answer = await here.download(name)
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-disposition"] == shown
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'; script-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


def test_names_and_types_cannot_break_out_of_their_headers() -> None:
    """Quotes, line ends, folders and what is no content type do not get into a header."""
    assert disposition("image/png", "a.png") == b"inline; filename=a.png"
    assert disposition("image/png", 'a"; x=\u00e4.png') == b"inline; filename*=utf-8''a%22%3B%20x%3D%C3%A4.png"
    assert checked_name("..\\../etc/pass\r\nwd") == "passwd"
    assert checked_name("folder/") is None
    assert checked_content_type("image/png\r\nx: y") == "application/octet-stream"
    assert checked_content_type("nonsense") == "application/octet-stream"
    assert checked_content_type(None) == "application/octet-stream"
    assert checked_content_type("text/plain; charset=utf-8") == "text/plain; charset=utf-8"


async def test_a_file_has_the_name_it_was_given_or_is_asked_by(here: Repository) -> None:
    """The name in the path wins."""
    name = await here.kept(b"x", filename="first.bin")
    assert (await here.download(name)).headers["content-disposition"] == "attachment; filename=first.bin"
    other = await here.download(f"{name}/other.bin")
    assert other.headers["content-disposition"] == "attachment; filename=other.bin"


async def test_a_head_request_has_the_headers_alone(here: Repository) -> None:
    """The length is that of the file."""
    name = await here.kept(b"12345")
    answer = await here.ask("HEAD", f"{NEW}/download/{SERVER}/{name}")
    assert (answer.content, answer.headers["content-length"]) == (b"", "5")


async def test_the_old_addresses_are_frozen(here: Repository) -> None:
    """Without a token nothing is found, whether it is there or not; of what was only announced that is told."""
    announced = (await here.ask("POST", CREATE)).json()["content_uri"].rpartition("/")[2]
    answer = await here.http.get(f"/_matrix/media/v3/download/{SERVER}/{announced}")
    assert (answer.status_code, answer.json()["errcode"]) == (504, "M_NOT_YET_UPLOADED")
    here.clock.now += 25 * 60 * 60 * 1000
    assert (await here.http.get(f"/_matrix/media/v3/download/{SERVER}/{announced}")).status_code == 404
    name = await here.kept(picture("PNG", 10, 10), "image/png")
    for path in (f"download/{SERVER}/{name}", f"download/{SERVER}/{name}/x.png", f"thumbnail/{SERVER}/{name}"):
        answer = await here.http.get(f"/_matrix/media/v3/{path}")
        assert (answer.status_code, answer.json()["errcode"]) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("kind", "mode", "made"),
    [
        ("PNG", "RGB", "PNG"),
        ("PNG", "RGBA", "PNG"),
        ("JPEG", "RGB", "JPEG"),
        ("GIF", "P", "PNG"),
        ("WEBP", "RGB", "PNG"),
    ],
)
async def test_thumbnails_are_of_the_usual_sizes(here: Repository, kind: str, mode: str, made: str) -> None:
    """Scaled within, cropped to, never enlarged; no smaller than asked for where the image is not."""
    name = await here.kept(picture(kind, 1000, 500, mode), f"image/{kind.lower()}")
    for asked, method, size in (
        ((10, 10), "crop", (32, 32)),
        ((33, 20), "crop", (96, 96)),
        ((100, 100), "scale", (320, 160)),
        ((640, 480), "scale", (640, 320)),
        ((5000, 5000), "scale", (800, 400)),
        ((200, 200), "crop", (320, 160)),
    ):
        answer = await here.thumbnail(name, *asked, method)
        assert answer.status_code == 200, answer.text
        image = opened(answer.content)
        assert (image.size, image.format) == (size, made)
        assert answer.headers["content-type"] == f"image/{made.lower()}"
        assert answer.headers["content-disposition"] == f"inline; filename=thumbnail.{made.lower()}"
    small = await here.kept(picture(kind, 20, 10, mode), f"image/{kind.lower()}")
    assert opened((await here.thumbnail(small, 320, 240)).content).size == (20, 10)
    assert opened((await here.thumbnail(small, 32, 32, "crop")).content).size == (10, 10)


async def test_a_thumbnail_is_made_once(here: Repository) -> None:
    """The second time it is read, even where the image could not be any more."""
    name = await here.kept(picture("PNG", 100, 100), "image/png")
    first = await here.thumbnail(name, 32, 32, "crop")
    (here.folder / name[:2] / name).write_bytes(b"gone")
    assert (await here.thumbnail(name, 32, 32, "crop")).content == first.content
    assert (await here.thumbnail(name, 96, 96, "crop")).status_code == 400
    assert len(here.files()) == 2


async def test_what_is_no_image_has_no_thumbnail(here: Repository) -> None:
    """Ciphertext, other formats, formats that lie about themselves, and cut ones."""
    png = picture("PNG", 64, 64)
    for content, kind in (
        (png, "application/octet-stream"),
        (b"<svg/>", "image/svg+xml"),
        (b"no picture", "image/png"),
        (picture("JPEG", 64, 64), "image/png"),
        (png[:60], "image/png"),
        (b"", "image/webp"),
    ):
        answer = await here.thumbnail(await here.kept(content, kind), 32, 32)
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_UNKNOWN"), kind
    assert len(here.files()) == 6


async def test_an_image_of_too_many_pixels_is_not_decoded(here: Repository) -> None:
    """A small file may claim to be enormous; its header is enough to refuse it."""
    side = 1 + int(thumbnails.MAX_PIXELS**0.5)
    for width, height in ((side, side), (30_000, 30_000)):
        answer = await here.thumbnail(await here.kept(_claims(width, height), "image/png"), 32, 32)
        assert (answer.status_code, answer.json()["errcode"]) == (413, "M_TOO_LARGE")


def _claims(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, and one row of whose pixels is there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(3 * width)))
        + chunk(b"IEND", b"")
    )


async def test_sizes_and_methods_must_be_said(here: Repository) -> None:
    """Without width and height, or with another method, nothing is made."""
    name = await here.kept(picture("PNG", 64, 64), "image/png")
    for params in ({}, {"width": "32"}, {"width": "0", "height": "0"}, {"width": "x", "height": "1"}):
        assert (await here.ask("GET", f"{NEW}/thumbnail/{SERVER}/{name}", params=params)).status_code == 400
    assert (await here.thumbnail(name, 32, 32, "stretch")).status_code == 400


async def test_pictures_stand_upright(here: Repository) -> None:
    """What the camera says of its position is applied, since the thumbnail says nothing of it."""
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 50)).save(out, "JPEG", exif=exif)
    name = await here.kept(out.getvalue(), "image/jpeg")
    assert opened((await here.thumbnail(name, 320, 240)).content).size == (50, 100)
