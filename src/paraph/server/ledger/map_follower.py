"""The verifiable map in a process that does not write the log: followed from the published files when it is asked."""

import contextlib
import threading
from pathlib import Path

from paraph.server.ledger.errors import LogStopped
from paraph.server.ledger.label_map import KeyAnswer, LabelMap, Read
from paraph.server.ledger.map_store import FollowedStore

FAR_BEHIND = 50_000
"""Leaves beyond which taking the map from `map.db` anew is quicker than following."""


class MapFollower:
    """Made from `map.db` at the first question and kept up with the published log from then on. For any thread."""

    def __init__(self, path: Path, read: Read) -> None:
        """Nothing is opened before the first question."""
        self._path = path
        self._read = read
        self._map: LabelMap | None = None
        self._lock = threading.Lock()

    def answer(self, key: bytes, size: int, published: int) -> KeyAnswer:
        """What the log of `size` holds under a key, `published` being the newest size. Raises MapNotKept."""
        with self._lock:
            followed = self._caught_up(published)
        return followed.answer(key, size)

    def close(self) -> None:
        """Let go of the map: this process writes the log now, or ends."""
        with self._lock:
            if self._map is not None:
                self._map.close()
                self._map = None

    def _caught_up(self, published: int) -> LabelMap:
        if self._map is not None and published - self._map.size <= FAR_BEHIND:
            # The process that writes the log may have begun map.db anew; then this one's is a file without a name.
            with contextlib.suppress(LogStopped):
                self._map.follow(published, self._read)
                return self._map
        if self._map is not None:
            self._map.close()
            self._map = None
        made = LabelMap(FollowedStore(self._path))
        try:
            made.restore(published, self._read)
        except BaseException:
            made.close()
            raise
        self._map = made
        return made
