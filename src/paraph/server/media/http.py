"""The content repository over HTTP (Matrix Client-Server API, "Content repository").

Downloads need a token. The old addresses, which asked for none, answer as if nothing were there: what was uploaded
since they were frozen (Matrix v1.11) is not to be found at them, and that is all there is on this server.
"""

import re
from urllib.parse import quote

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import check_room_id
from paraph.server.http import Access, Endpoint, Reply, Request, Stream
from paraph.server.media.errors import invalid, not_found, not_yet_uploaded
from paraph.server.media.model import OCTETS, Incoming, MediaFile, checked_content_type, checked_name
from paraph.server.media.service import Media
from paraph.server.media.thumbnails import CROP, SCALE, Size

NEW, OLD = "/_matrix/client/v1/media", "/_matrix/media/v3"
ROOM = "org.paraph.room_id"
"""Query parameter of an upload: the room that an encrypted attachment is for."""
DEFAULT_WAIT_MS = 20_000
MAX_WAIT_MS = 60_000
MAX_SIDE = 10_000
INLINE = frozenset(
    [
        *(f"text/{kind}" for kind in ("css", "plain", "csv")),
        *(f"application/{kind}" for kind in ("json", "ld+json")),
        *(f"image/{kind}" for kind in ("jpeg", "gif", "png", "apng", "webp", "avif")),
        *(f"video/{kind}" for kind in ("mp4", "webm", "ogg", "quicktime")),
        *(f"audio/{kind}" for kind in ("mp4", "webm", "aac", "mpeg", "ogg", "wave", "wav", "x-wav", "x-pn-wav")),
        *(f"audio/{kind}" for kind in ("flac", "x-flac")),
    ]
)
"""Content types that a browser may show (Matrix, "Serving inline content"); all else is only to be saved."""
_SAFETY = (
    (
        b"content-security-policy",
        b"sandbox; default-src 'none'; script-src 'none'; style-src 'unsafe-inline'; object-src 'none'",
    ),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"private, max-age=86400, immutable"),
)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$&+.^_`|~-]+")


def endpoints(media: Media) -> list[Endpoint]:
    """This room's rows of the endpoint table."""
    handlers, person, anyone = Handlers(media), Access.PERSON, Access.PUBLIC
    file, limit = "{server_name}/{media_id}", "media"
    return [
        Endpoint(
            "POST",
            f"{OLD}/upload",
            person,
            handlers.upload,
            "Upload a file",
            limit,
            max_body=media.max_upload,
            streamed=True,
        ),
        Endpoint("POST", "/_matrix/media/v1/create", person, handlers.create, "Announce a file", limit),
        Endpoint(
            "PUT",
            f"{OLD}/upload/{file}",
            person,
            handlers.fill,
            "Upload the bytes of an announced file",
            limit,
            max_body=media.max_upload,
            streamed=True,
        ),
        Endpoint("GET", f"{NEW}/config", person, handlers.config, "How large a file may be"),
        Endpoint("GET", f"{OLD}/config", person, handlers.config, "How large a file may be, at the old address"),
        Endpoint("GET", f"{NEW}/download/{file}", person, handlers.download, "A file", limit),
        Endpoint("GET", f"{NEW}/download/{file}/{{file_name}}", person, handlers.download, "A file by a name", limit),
        Endpoint("GET", f"{NEW}/thumbnail/{file}", person, handlers.thumbnail, "A file's thumbnail", limit),
        Endpoint("GET", f"{OLD}/download/{file}", anyone, handlers.frozen, "Frozen: nothing is here"),
        Endpoint("GET", f"{OLD}/download/{file}/{{file_name}}", anyone, handlers.frozen, "Frozen: nothing is here"),
        Endpoint("GET", f"{OLD}/thumbnail/{file}", anyone, handlers.frozen, "Frozen: nothing is here"),
    ]


class Handlers:
    """Parse, ask the service, render."""

    def __init__(self, media: Media) -> None:
        self._media = media

    async def create(self, request: Request) -> Reply:
        """Announce a file."""
        uri, expires = await self._media.create(request.person)
        return Reply.json({"content_uri": uri, "unused_expires_at": expires})

    async def upload(self, request: Request) -> Reply:
        """Upload a file."""
        return Reply.json({"content_uri": await self._media.upload(request.person, _incoming(request))})

    async def fill(self, request: Request) -> Reply:
        """Upload an announced file."""
        params = request.params
        await self._media.fill(request.person, params["server_name"], params["media_id"], _incoming(request))
        return Reply.json({})

    async def config(self, _request: Request) -> Reply:
        """How large a file may be."""
        return Reply.json({"m.upload.size": self._media.max_upload})

    async def download(self, request: Request) -> Reply:
        """A file."""
        found = await self._find(request)
        name = checked_name(request.params.get("file_name")) or found.file_name
        return _shown(await self._media.content(found), found.content_type or OCTETS, name)

    async def thumbnail(self, request: Request) -> Reply:
        """A thumbnail, no smaller than asked for where the image is not."""
        width, height = (request.query_int(side, 0, 0, MAX_SIDE) for side in ("width", "height"))
        method = request.query().get("method", SCALE)
        if not width or not height or method not in (SCALE, CROP):
            raise invalid("expected width and height in pixels, and as method scale or crop")
        stream, content_type = await self._media.thumbnail(await self._find(request), Size(width, height, method))
        return _shown(stream, content_type, f"thumbnail.{content_type.removeprefix('image/')}")

    async def frozen(self, request: Request) -> Reply:
        """Nothing is here; of an announced file it is told that its bytes have not come."""
        if await self._media.is_awaited(request.params["server_name"], request.params["media_id"]):
            raise not_yet_uploaded()
        raise not_found()

    async def _find(self, request: Request) -> MediaFile:
        wait = request.query_int("timeout_ms", DEFAULT_WAIT_MS, 0, MAX_WAIT_MS)
        return await self._media.find(request.params["server_name"], request.params["media_id"], wait)


def _incoming(request: Request) -> Incoming:
    if request.chunks is None:
        raise TypeError("an upload is a streamed endpoint")
    query, length = request.query(), request.header(b"content-length")
    return Incoming(
        request.chunks,
        int(length) if length is not None and length.isascii() and length.isdigit() else None,
        checked_content_type(request.header(b"content-type")),
        checked_name(query.get("filename")),
        _room(query.get(ROOM)),
    )


def _room(room_id: str | None) -> str | None:
    try:
        return None if room_id is None else check_room_id(room_id)
    except IdentifierError as error:
        raise invalid(str(error)) from None


def _shown(stream: Stream, content_type: str, name: str | None) -> Reply:
    headers = ((b"content-disposition", disposition(content_type, name)), *_SAFETY)
    return Reply(200, b"", content_type.encode("ascii"), headers, stream)


def disposition(content_type: str, name: str | None) -> bytes:
    """The `Content-Disposition` of a file (RFC 6266): shown only where that is harmless."""
    kind = "inline" if content_type.partition(";")[0].strip().lower() in INLINE else "attachment"
    if name is None:
        return kind.encode()
    said = f"filename={name}" if _PLAIN_NAME.fullmatch(name) else f"filename*=utf-8''{quote(name, safe='')}"
    return f"{kind}; {said}".encode("ascii")
