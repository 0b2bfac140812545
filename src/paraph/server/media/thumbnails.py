"""Thumbnails of images that were uploaded in clear, in the five sizes of Matrix ("Thumbnails").

Encrypted images are bytes to the server. Pillow reads what strangers made, so: only formats whose decoders it keeps
well, only the first frame, and never more pixels than `MAX_PIXELS`, known before anything is decoded.
"""

import asyncio
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from PIL import Image, ImageOps

from paraph.server.http.errors import Overloaded
from paraph.server.media.errors import image_too_large, not_an_image

log = structlog.get_logger("paraph.media")

MAX_PIXELS = 20_000_000
"""Some 80 MB once decoded."""
MAX_WAITING = 32
"""Thumbnails that wait to be made."""
SCALE, CROP = "scale", "crop"
SIZES = ((32, 32, CROP), (96, 96, CROP), (320, 240, SCALE), (640, 480, SCALE), (800, 600, SCALE))
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WEBP"}


@dataclass(frozen=True, slots=True)
class Size:
    """What a thumbnail is asked to be, in pixels."""

    width: int
    height: int
    method: str

    def made(self) -> "Size":
        """The smallest size that is made and is no smaller than this one, of the same method where there is one."""
        fitting = [size for size in SIZES if size[0] >= self.width and size[1] >= self.height] or [SIZES[-1]]
        return Size(*next((size for size in fitting if size[2] == self.method), fitting[0]))


class Thumbnailer:
    """Makes thumbnails one at a time, and keeps each beside its image."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="thumbnail")
        self._waiting = 0

    async def of(self, image: Path, content_type: str, wanted: Size) -> tuple[Path, str]:
        """The file of a thumbnail and its content type.

        Raises MatrixError for what is no image or too large, Overloaded where too many wait.
        """
        size, kind = wanted.made(), FORMATS.get(content_type.partition(";")[0].strip().lower())
        if kind is None:
            raise not_an_image()
        made = "JPEG" if kind == "JPEG" else "PNG"
        path = image.with_name(f"{image.name}.{size.width}x{size.height}-{size.method}")
        if self._waiting >= MAX_WAITING:
            raise Overloaded
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, _ensure, image, kind, size, path, made)
        finally:
            self._waiting -= 1
        return path, f"image/{made.lower()}"

    def close(self) -> None:
        """Finish the one at hand."""
        self._thread.shutdown(cancel_futures=True)


def _ensure(image: Path, kind: str, size: Size, path: Path, made: str) -> None:
    if path.exists():
        return
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            _reduced(image, kind, size).save(file, made)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _reduced(path: Path, kind: str, size: Size) -> Image.Image:
    try:
        with Image.open(path, formats=(kind,)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise image_too_large(MAX_PIXELS)
            opened.draft("RGB", (2 * size.width, 2 * size.height))  # a JPEG is decoded smaller from the start
            upright = ImageOps.exif_transpose(_plain(opened))
    except Image.DecompressionBombError:
        raise image_too_large(MAX_PIXELS) from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, ArithmeticError, MemoryError) as error:
        log.info("no thumbnail", error=repr(error)[:200])
        raise not_an_image() from None
    if size.method == CROP:
        side = min(size.width, upright.width, upright.height)
        return ImageOps.fit(upright, (side, side))
    upright.thumbnail((size.width, size.height))
    return upright


def _plain(image: Image.Image) -> Image.Image:
    """The picture in red, green and blue, with transparency where it has any."""
    see_through: Any = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if see_through else "RGB")
