"""The verifiable map in a process that does not write the log: followed from the published files when it is asked."""

import threading
from collections.abc import Sequence
from pathlib import Path

from paraph.server.ledger.errors import LedgerError, MapNotKept, TooManyLeaves
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
        return self.answers([key], size, published)[0]

    def answers(self, keys: Sequence[bytes], size: int, published: int) -> list[KeyAnswer]:
        """The same for several keys, all under one tree. Raises MapNotKept, TooManyLeaves."""
        try:
            return self._caught_up(published).answers(keys, size)
        except (MapNotKept, TooManyLeaves):
            raise
        except LedgerError:
            # The process that writes the log has begun map.db anew: this one's is a file without a name.
            self.close()
            return self._caught_up(published).answers(keys, size)

    def close(self) -> None:
        """Let go of the map: this process writes the log now, or ends."""
        with self._lock:
            if self._map is not None:
                self._map.close()
                self._map = None

    def _caught_up(self, published: int) -> LabelMap:
        with self._lock:
            if self._map is not None and published - self._map.size > FAR_BEHIND:
                self._map.close()
                self._map = None
            if self._map is None:
                self._map = self._made(published)
            self._map.follow(published, self._read)
            return self._map

    def _made(self, published: int) -> LabelMap:
        made = LabelMap(FollowedStore(self._path))
        try:
            made.restore(published, self._read)
        except BaseException:
            made.close()
            raise
        return made
