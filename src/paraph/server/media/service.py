"""The content repository: announcing, uploading and finding files.

An upload is a row that awaits its bytes, then a file on disk, then the row complete: whatever breaks in between leaves
a row that is overdue one day, and `sweep` removes it with its file. No folder is ever searched.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Protocol

import structlog

from paraph.server.http import ApiError, PersonPrincipal
from paraph.server.http.endpoint import Stream
from paraph.server.media import store
from paraph.server.media.errors import (
    broken_off,
    cannot_overwrite,
    forbidden,
    not_found,
    not_yet_uploaded,
    quota_spent,
    too_large,
    too_many_awaited,
)
from paraph.server.media.files import Files
from paraph.server.media.model import OCTETS, Incoming, MediaFile
from paraph.server.media.thumbnails import Size, Thumbnailer
from paraph.server.storage import Announcement, Database, StorageError, Transaction

log = structlog.get_logger("paraph.media")

MINUTE_MS = 60_000
AWAITED_FOR_MS = 24 * 60 * MINUTE_MS
"""How long an announced file is awaited (Matrix recommends a day)."""
UPLOAD_WITHIN = 30 * 60.0
"""Seconds that the bytes of one file may take to come."""
LEASE_MS = 35 * MINUTE_MS
"""How long nobody else may send them: longer than they may take."""
MAX_AWAITED = 20
"""Files of one account that are announced or on their way."""
SWEEP_EVERY = 3600.0
SWEPT_AT_ONCE = 100
TOPIC = "media"


class Bounds(Protocol):
    """What the settings allow, in bytes."""

    @property
    def max_upload_bytes(self) -> int:
        """One file."""

    @property
    def media_quota_bytes(self) -> int:
        """All files of an account."""


class Media:
    """Files of people. Everybody with an account who knows a file's id can fetch it, as in Matrix: ids are secrets."""

    def __init__(
        self, database: Database, folder: Path, bounds: Bounds, clock: Callable[[], int], *, server_name: str
    ) -> None:
        """Keep files below `folder`. `clock` gives milliseconds since 1970."""
        self._database = database
        self._files = Files(folder)
        self._thumbnailer = Thumbnailer()
        self._clock = clock
        self._server_name = server_name
        self.max_upload = bounds.max_upload_bytes
        self._quota = bounds.media_quota_bytes
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self.on_complete: list[Callable[[Transaction, MediaFile], None]] = []
        """Called for each file in the transaction that says it is there."""
        database.listen(TOPIC, self._heard)

    # Uploading

    async def create(self, caller: PersonPrincipal) -> tuple[str, int]:
        """Announce a file (MSC2246, Matrix v1.7); its address, and until when its bytes are awaited (ms)."""

        def write(tx: Transaction) -> tuple[str, int]:
            media_id, at = self._new(tx, caller), self._clock()
            store.add(tx, media_id, caller.user_id, caller.device_id, at=at, expires=at + AWAITED_FOR_MS)
            return media_id, at + AWAITED_FOR_MS

        media_id, expires = await self._database.write(write)
        return self.uri(media_id), expires

    async def upload(self, caller: PersonPrincipal, incoming: Incoming) -> str:
        """Take in a file; returns its address once it is durable. Raises MatrixError."""

        def begin(tx: Transaction) -> str:
            media_id, at = self._new(tx, caller), self._clock()
            self._check_size(tx, caller.user_id, incoming.length or 0)
            lease = {"expires": at + LEASE_MS, "uploading_until": at + LEASE_MS}
            store.add(tx, media_id, caller.user_id, caller.device_id, at=at, room_id=incoming.room_id, **lease)
            return media_id

        media_id = await self._database.write(begin)
        try:
            await self._take(caller.user_id, media_id, incoming)
        except ApiError:
            await self._database.write(lambda tx: store.remove_awaited(tx, media_id))
            raise
        return self.uri(media_id)

    async def fill(self, caller: PersonPrincipal, server_name: str, media_id: str, incoming: Incoming) -> None:
        """Take in the bytes of a file that the caller announced. Raises MatrixError."""

        def begin(tx: Transaction) -> None:
            found, at = self._known(tx, server_name, media_id), self._clock()
            if found.owner != caller.user_id:
                raise forbidden("somebody else announced this file")
            if not found.complete and found.expires <= at:
                raise not_found()
            self._check_size(tx, caller.user_id, incoming.length or 0)
            lease = {"at": at, "until": at + LEASE_MS}
            if not store.begin(tx, media_id, caller.device_id, incoming.room_id, **lease):
                raise cannot_overwrite()

        await self._database.write(begin)
        try:
            await self._take(caller.user_id, media_id, incoming)
        except ApiError:
            await self._database.write(lambda tx: store.give_up(tx, media_id))
            raise

    def _new(self, tx: Transaction, caller: PersonPrincipal) -> str:
        if store.count_awaited(tx, caller.user_id, self._clock()) >= MAX_AWAITED:
            raise too_many_awaited(MAX_AWAITED)
        return secrets.token_urlsafe(24)

    def _check_size(self, tx: Transaction, owner: str, size: int) -> None:
        if size > self.max_upload:
            raise too_large(self.max_upload)
        if store.usage(tx, owner) + size > self._quota:
            raise quota_spent(self._quota)

    async def _take(self, owner: str, media_id: str, incoming: Incoming) -> None:
        """Write the file, then say that it is there. After an error that is no refusal, both are left to `sweep`."""
        try:
            async with asyncio.timeout(UPLOAD_WITHIN):
                size = await self._files.write(media_id, incoming.chunks)
        except TimeoutError:
            raise broken_off() from None

        def complete(tx: Transaction) -> None:
            self._check_size(tx, owner, size)
            if not store.complete(tx, media_id, incoming, size, at=self._clock(), position=tx.next_position()):
                raise cannot_overwrite()
            store.add_usage(tx, owner, size)
            tx.announce(TOPIC, media_id)
            found = store.get(tx, media_id)
            if found is not None:
                for hook in self.on_complete:
                    hook(tx, found)

        try:
            await self._database.write(complete)
        except ApiError:
            await self._files.remove(media_id)
            raise

    # Finding

    def uri(self, media_id: str) -> str:
        """A file's address (Matrix, "mxc:// URIs")."""
        return f"mxc://{self._server_name}/{media_id}"

    def get(self, tx: Transaction, media_id: str) -> MediaFile | None:
        """A complete file."""
        found = store.get(tx, media_id)
        return None if found is None or not found.complete else found

    async def find(self, server_name: str, media_id: str, timeout_ms: int) -> MediaFile:
        """A complete file; one whose bytes are on their way is waited for. Raises MatrixError."""
        until = asyncio.get_running_loop().time() + timeout_ms / 1000
        while True:
            # The waiter stands before the look, or bytes that come in between would not wake it.
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(media_id, []).append(waiter)
            try:
                found = await self._database.read(lambda tx: self._known(tx, server_name, media_id))
                if found.complete:
                    return found
                if found.expires <= self._clock() and found.uploading_until is None:
                    raise not_found()
                async with asyncio.timeout_at(until):
                    await waiter
            except TimeoutError:
                raise not_yet_uploaded() from None
            finally:
                self._forget(media_id, waiter)

    async def is_awaited(self, server_name: str, media_id: str) -> bool:
        """Whether this is an announced file whose bytes may still come."""

        def read(tx: Transaction) -> bool:
            found = store.get(tx, media_id) if server_name == self._server_name else None
            return found is not None and not found.complete and found.expires > self._clock()

        return await self._database.read(read)

    async def content(self, found: MediaFile) -> Stream:
        """The bytes of a complete file."""
        return await self._stream(self._files.path(found.media_id), found.size)

    async def thumbnail(self, found: MediaFile, wanted: Size) -> tuple[Stream, str]:
        """A thumbnail of a complete image, and its content type. Raises MatrixError where there is none."""
        image, content_type = self._files.path(found.media_id), found.content_type or OCTETS
        path, made = await self._thumbnailer.of(image, content_type, wanted)
        return await self._stream(path, None), made

    async def _stream(self, path: Path, expected: int | None) -> Stream:
        size = await self._files.size(path)
        if size is None or expected not in (None, size):
            raise FileNotFoundError(f"{path} should have {expected} bytes and has {size}")
        chunks: AsyncGenerator[bytes, None] = self._files.read(path)
        return Stream(size, chunks)

    def _known(self, tx: Transaction, server_name: str, media_id: str) -> MediaFile:
        found = store.get(tx, media_id) if server_name == self._server_name else None
        if found is None:
            raise not_found()
        return found

    def _heard(self, announcement: Announcement) -> None:
        for waiter in self._waiting.get(announcement.payload, ()):
            if not waiter.done():
                waiter.set_result(None)

    def _forget(self, media_id: str, waiter: "asyncio.Future[None]") -> None:
        waiters = self._waiting[media_id]
        waiters.remove(waiter)
        if not waiters:
            del self._waiting[media_id]

    # Upkeep

    async def start(self) -> None:
        """Look for overdue files now and every hour."""
        self._sweeping = asyncio.create_task(self._sweep_for_ever())

    async def stop(self) -> None:
        """Let waiting downloads go, and finish what is being written."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
        for waiters in self._waiting.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(not_yet_uploaded())
        self._thumbnailer.close()
        self._files.close()

    async def sweep(self) -> int:
        """Remove files whose bytes did not come in time, with whatever came of them; how many."""
        overdue = await self._database.read(lambda tx: store.overdue(tx, self._clock(), SWEPT_AT_ONCE))
        for media_id in overdue:
            await self._files.remove(media_id)
            await self._database.write(lambda tx, gone=media_id: store.remove_awaited(tx, gone))  # type: ignore[misc]
        return len(overdue)

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                while await self.sweep() == SWEPT_AT_ONCE:
                    pass
            except (StorageError, OSError) as error:
                log.warning("overdue files could not be removed", error=str(error))
            await asyncio.sleep(SWEEP_EVERY)
