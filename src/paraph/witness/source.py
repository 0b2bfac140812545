"""The entries of a log, fetched from its public address (C2SP tlog-tiles) within bounds, several at a time."""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx

from paraph.tlog.errors import TlogError
from paraph.tlog.tiles import TILE_WIDTH, Tile, new_bundles, parse_entries

MAX_ENTRY = 2 + 0xFFFF
"""Bytes of the longest entry in a bundle, its length included."""
AHEAD = 8
"""Bundles asked for at once, so that a distant log is not read at the pace of its round trips."""
ATTEMPTS = 5
WAIT = 1.0
"""Seconds between attempts, where the log says that it is busy and not for how long."""
LONGEST_WAIT = 10.0
TIMEOUT = 10.0
"""Seconds for which a log may say nothing."""
_BUSY = frozenset({429, 502, 503, 504})


class Unavailable(Exception):
    """The log's address does not give the entries; said with what it gave."""


class HttpSource:
    """Entry bundles below a URL such as `https://chat.example.org/log`."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None, wait: float = WAIT) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(timeout=TIMEOUT, transport=transport, headers={"Accept-Encoding": "identity"})
        self._pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="fetch")
        self._wait = wait
        self._closing = threading.Event()

    def entries(self, start: int, end: int) -> Iterator[list[bytes]]:
        """The entries [start, end) of a log of size `end`, in order, some at a time. Raises Unavailable."""
        waiting: deque[Future[list[bytes]]] = deque()
        bundles = iter(new_bundles(start, end))
        first = start % TILE_WIDTH
        try:
            while True:
                while len(waiting) < AHEAD and (bundle := next(bundles, None)) is not None:
                    waiting.append(self._pool.submit(self._bundle, bundle))
                if not waiting:
                    return
                yield waiting.popleft().result()[first:]
                first = 0
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """End all requests; whoever waits for entries gets Unavailable."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)
        self._http.close()

    def _bundle(self, bundle: Tile) -> list[bytes]:
        whole = Tile(bundle.level, bundle.index)
        # A log that has grown may have the full bundle in place of the partial one (C2SP tlog-tiles).
        for tile in dict.fromkeys((bundle, whole)):
            data = self._fetch(tile)
            if data is not None:
                try:
                    return parse_entries(data, tile.width)[: bundle.width]
                except TlogError as error:
                    raise Unavailable(
                        f"{self.url}/{tile.path} is no bundle of {tile.width} entries: {error}"
                    ) from error
        raise Unavailable(f"{self.url}/{bundle.path} is not there")

    def _fetch(self, tile: Tile) -> bytes | None:
        """The file, or None for a 404."""
        url, said = f"{self.url}/{tile.path}", ""
        for attempt in range(ATTEMPTS):
            if attempt and self._closing.wait(self._wait):
                break
            try:
                with self._http.stream("GET", url) as answer:
                    if answer.status_code == httpx.codes.OK:
                        return _bounded(answer, url, tile.width * MAX_ENTRY)
                    if answer.status_code == httpx.codes.NOT_FOUND:
                        return None
                    said = f"it answered {answer.status_code}"
                    if answer.status_code not in _BUSY:
                        break
                    self._closing.wait(min(_asked(answer), LONGEST_WAIT))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise Unavailable(f"{url}: {type(error).__name__} {error}".rstrip()) from error
        raise Unavailable(f"{url}: {said or 'this witness ends'}")


def _bounded(answer: httpx.Response, url: str, most: int) -> bytes:
    body = bytearray()
    for part in answer.iter_raw():
        body += part
        if len(body) > most:
            raise Unavailable(f"{url}: more than {most} bytes")
    return bytes(body)


def _asked(answer: httpx.Response) -> float:
    """Seconds that a busy log asks to wait (RFC 9110, Retry-After), as far as it says so in seconds."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0
