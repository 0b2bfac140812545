"""Words, as messages are searched for: runs of letters and digits, whatever their case. The table of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from paraph.server.messenger.model import Event
from paraph.server.storage import Transaction, load_sql

MESSAGE = "m.room.message"
MAX_WORD = 64
"""Characters of a word that count."""
MAX_WORDS = 1_000
"""Different words kept of one message."""
MAX_HITS = 1_000
"""Events found for one search; there may be more."""
_WORD = re.compile(r"\w+")


def words_of(text: str) -> Counter[str]:
    """How often each word stands in a text."""
    return Counter(word[:MAX_WORD] for word in _WORD.findall(text.casefold()))


class Words:
    """The words of messages, as they are sent and redacted. `reads`: whether messages can be read here at all."""

    def __init__(self, dialect: str, *, reads: bool) -> None:
        self._sql = load_sql("paraph.server.messenger.search", dialect)
        self._reads = reads

    def wants(self, event_type: str) -> bool:
        """Whether events of this type have words to be kept."""
        return self._reads and event_type == MESSAGE

    def record(self, tx: Transaction, event: Event, content: dict[str, Any]) -> None:
        """Keep the words of a message that has its position."""
        body = content.get("body")
        if not isinstance(body, str):
            return
        row = {"room_id": event.room_id, "position": event.position}
        found = words_of(body).most_common(MAX_WORDS)
        tx.run_many(self._sql.add_word, [row | {"word": word, "times": times} for word, times in found])

    def forget(self, tx: Transaction, event: Event) -> None:
        """The message was redacted."""
        if self.wants(event.type):
            tx.run(self._sql.remove_words, {"position": event.position})

    def search(self, tx: Transaction, rooms: Sequence[str], words: Sequence[str], upto: int) -> dict[int, int]:
        """The newest messages of these rooms that hold all these words: how often, by position."""
        params = {
            "rooms": msgspec.json.encode(rooms).decode(),
            "words": msgspec.json.encode(words).decode(),
            "number": len(words),
            "upto": upto,
            "limit": MAX_HITS,
        }
        return {row[0]: row[1] for row in tx.rows(self._sql.with_words, params)}
