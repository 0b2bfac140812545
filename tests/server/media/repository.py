"""The content repository over a real database and real files, with HTTP and without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from paraph.server.http import Access, PersonPrincipal
from paraph.server.http.asgi import Application
from paraph.server.http.limits import Limiter
from paraph.server.media import http as media_http
from paraph.server.media.model import MediaFile
from paraph.server.media.service import Media
from paraph.server.storage import Database
from tests.support.databases import open_test_database

SERVER = "example.org"
UPLOAD = "/_matrix/media/v3/upload"
CREATE = "/_matrix/media/v1/create"
NEW = "/_matrix/client/v1/media"


@dataclass(frozen=True)
class Bounds:
    max_upload_bytes: int = 400_000
    media_quota_bytes: int = 1_000_000


@dataclass
class Clock:
    now: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


class _Nothing:
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def _person(token: str) -> PersonPrincipal:
    return PersonPrincipal(f"@{token}:{SERVER}", f"{token}-device")


class Repository:
    """Requests as one of the people (whose token is her name)."""

    def __init__(self, media: Media, database: Database, http: httpx.AsyncClient, clock: Clock, folder: Path) -> None:
        self.media = media
        self.database = database
        self.http = http
        self.clock = clock
        self.folder = folder

    async def ask(self, method: str, url: str, who: str = "author", **how: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {who}"} | how.pop("headers", {})
        return await self.http.request(method, url, headers=headers, **how)

    async def upload(self, content: Any, who: str = "author", kind: str | None = None, **query: str) -> httpx.Response:
        headers = {} if kind is None else {"content-type": kind}
        return await self.ask("POST", UPLOAD, who, content=content, headers=headers, params=query)

    async def kept(self, content: Any, kind: str | None = None, **query: str) -> str:
        """Upload; the file's id."""
        answer = await self.upload(content, kind=kind, **query)
        assert answer.status_code == 200, answer.text
        return media_id(answer)

    async def announced(self, who: str = "author") -> str:
        """Announce; the file's id."""
        return media_id(await self.ask("POST", CREATE, who))

    async def fill(self, name: str, content: Any, who: str = "author", **query: str) -> httpx.Response:
        return await self.ask("PUT", f"{UPLOAD}/{SERVER}/{name}", who, content=content, params=query)

    async def download(self, name: str, who: str = "other", **how: Any) -> httpx.Response:
        """Fetch, without waiting unless told to."""
        params = {"timeout_ms": "0"} | how.pop("params", {})
        return await self.ask("GET", f"{NEW}/download/{SERVER}/{name}", who, params=params, **how)

    async def thumbnail(self, name: str, width: int, height: int, method: str = "scale") -> httpx.Response:
        params = {"width": width, "height": height, "method": method}
        return await self.ask("GET", f"{NEW}/thumbnail/{SERVER}/{name}", "other", params=params)

    async def row(self, name: str) -> MediaFile | None:
        return await self.database.read(lambda tx: self.media.get(tx, name))

    def files(self) -> list[str]:
        """Names of all files there are."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())


def media_id(answer: httpx.Response) -> str:
    """The id in an answer that gives an address."""
    uri = str(answer.json()["content_uri"])
    assert uri.startswith(f"mxc://{SERVER}/")
    return uri.rpartition("/")[2]


@asynccontextmanager
async def repository(path: Path, bounds: Bounds | None = None) -> AsyncIterator[Repository]:
    """Opened below `path`; opening it again finds what was there."""
    clock, folder = Clock(), path / "media"
    database = await open_test_database(path / "paraph.db", ["paraph.server.media"])
    media = Media(database, folder, bounds or Bounds(), clock, server_name=SERVER)
    application = Application(
        media_http.endpoints(media), {Access.PERSON: _person}, Limiter(lambda: 0.0, enabled=False), _Nothing()
    )
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield Repository(media, database, http, clock, folder)
    await media.stop()
    await database.close()
