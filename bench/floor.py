"""The floor: the least a server can do for the load of `bench.load`, written straight onto ASGI.

A send is one row of some 900 bytes in SQLite (WAL, synchronous=FULL), answered after the fsync; sends that
arrive together share a commit. A sync waits for the room's next row and hands it over from memory. No
accounts, no checks, no state: what Paraph costs above this is what its work costs.

    python -m bench.floor DIRECTORY PORT
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SCHEMA = "CREATE TABLE event (position INTEGER PRIMARY KEY, room TEXT, txn TEXT, json BLOB) STRICT"
KEPT = 1000
"""Events a room keeps in memory for receivers that come late."""


class Row(NamedTuple):
    """One send on its way to disk, and whom to tell."""

    room: str
    txn: str
    json: bytes
    written: asyncio.Future[int]


class Writer(threading.Thread):
    """Takes all rows that wait, inserts them in one transaction, and tells the loop after the fsync."""

    def __init__(self, path: Path, publish: Callable[[list[tuple[int, Row]]], None]) -> None:
        super().__init__(daemon=True)
        self.rows: SimpleQueue[Row] = SimpleQueue()
        self._path = path
        self._publish = publish

    def run(self) -> None:
        """Write batches for as long as the process lives."""
        database = sqlite3.connect(self._path, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA wal_autocheckpoint=16000")
        database.execute(SCHEMA)
        position = 0
        while True:
            batch = [(position + n, row) for n, row in enumerate(self._waiting(), 1)]
            position += len(batch)
            database.execute("BEGIN")
            database.executemany(
                "INSERT INTO event VALUES (?, ?, ?, ?)", [(n, r.room, r.txn, r.json) for n, r in batch]
            )
            database.execute("COMMIT")
            self._publish(batch)

    def _waiting(self) -> list[Row]:
        rows = [self.rows.get()]
        try:
            while True:
                rows.append(self.rows.get_nowait())
        except Empty:
            return rows


class Floor:
    """The ASGI application: `PUT .../rooms/{room}/send/{type}/{txn}` and `GET .../sync`.

    The bearer token of a receiver is the id of the room it listens to.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "floor.db"
        self._events: defaultdict[str, deque[tuple[int, bytes]]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._waiters: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)
        self._writer: Writer | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; any path but the two is answered with an empty object."""
        path: str = scope["path"]
        if scope["method"] == "PUT":
            body = await self._put(path, await read_body(receive))
        elif path.endswith("/sync"):
            body = await self._sync(scope)
        else:
            body = b"{}"
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _put(self, path: str, content: bytes) -> bytes:
        *_, room, _, kind, txn = path.split("/")
        event = b'{"type":"%s","sender":"@sender:floor","event_id":"$%s","origin_server_ts":%d,"content":%s}' % (
            kind.encode(),
            txn.encode(),
            time.time_ns() // 1_000_000,
            content,
        )
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue().put(Row(room, txn, event, written))
        await written
        return b'{"event_id":"$%s"}' % txn.encode()

    async def _sync(self, scope: Message) -> bytes:
        query = parse_qs(scope["query_string"].decode())
        since = int(query.get("since", ["0"])[0])
        room = next(value for name, value in scope["headers"] if name == b"authorization").decode()[7:]
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[room].append(waiter)
        events = self._after(room, since)
        if not events and (timeout := int(query.get("timeout", ["0"])[0])):
            await asyncio.wait([waiter], timeout=timeout / 1000)
            events = self._after(room, since)
        return rendered(room, events[-1][0] if events else since, [json for _, json in events])

    def _after(self, room: str, since: int) -> list[tuple[int, bytes]]:
        return [event for event in self._events[room] if event[0] > since]

    def _queue(self) -> SimpleQueue[Row]:
        if self._writer is None:
            loop = asyncio.get_running_loop()
            self._writer = Writer(self._path, lambda batch: void(loop.call_soon_threadsafe(self._published, batch)))
            self._writer.start()
        return self._writer.rows

    def _published(self, batch: list[tuple[int, Row]]) -> None:
        for position, row in batch:
            self._events[row.room].append((position, row.json))
            row.written.set_result(position)
        for room in {row.room for _, row in batch}:
            for waiter in self._waiters.pop(room, ()):
                if not waiter.done():
                    waiter.set_result(None)


def rendered(room: str, position: int, events: list[bytes]) -> bytes:
    """A sync answer of the shape that the load reads."""
    return (
        b'{"next_batch":"%d","device_one_time_keys_count":{},"device_unused_fallback_key_types":[],'
        b'"rooms":{"join":{"%s":{"timeline":{"events":[%s],"limited":false}}}}}'
        % (position, room.encode(), b",".join(events))
    )


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request."""
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body


def void(_: object) -> None:
    """Drop a result that nobody needs."""


def main() -> None:
    """Serve until killed."""
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    uvicorn.run(
        Floor(directory),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
    )


if __name__ == "__main__":
    main()
