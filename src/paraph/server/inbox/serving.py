"""What goes out to a partner: which of an author's events, what of each, and the record of it.

The same rule for every way to read. A grant gives an event that covers the room now if the event was covered by this
grant when it was sent (`feed` keeps that), or was sent before the grant and within the history that it names.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paraph.server.consent.access import LiveGrant
from paraph.server.consent.gate import GRANTS_MEMBER
from paraph.server.inbox.deletes import hidden_via
from paraph.server.inbox.feed import store as feed_store
from paraph.server.inbox.source import Origin
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.service import Ledger
from paraph.server.messenger.model import ENCRYPTED, StoredEvent
from paraph.server.storage import Transaction

READ = "read"
MAX_MESSAGES = 500
"""Messages in one answer, and so also event ids in one access entry."""
_SERVED = ("type", "sender", "event_id", "room_id", "origin_server_ts")
_RELATION = "m.relates_to"

Json = dict[str, Any]


class Coverage:
    """Which messages were covered by which grants of a partner when they were sent, within one transaction."""

    def __init__(self, tx: Transaction, dialect: str, slug: str) -> None:
        self._tx = tx
        self._dialect = dialect
        self._slug = slug
        self._asked: set[int] = set()
        self._found: set[tuple[int, str]] = set()

    def look(self, positions: Iterable[int]) -> None:
        """Read these at once."""
        new = set(positions) - self._asked
        if new:
            self._asked |= new
            self._found |= feed_store.covered(self._tx, self._dialect, self._slug, sorted(new))

    def has(self, position: int, grant_id: str) -> bool:
        """Whether the message at this position was covered by the grant."""
        self.look([position])
        return (position, grant_id) in self._found


@dataclass(frozen=True, slots=True)
class Source:
    """Under what an author's events are served: her grant, and her enrolled devices."""

    live: LiveGrant
    devices: frozenset[str]
    coverage: Coverage

    def opens(self, origin: Origin) -> bool:
        """Whether the grant lets the partner read what comes from there, in a room that it covers now."""
        if (origin.type, origin.sender) != (ENCRYPTED, self.live.person) or origin.device_id not in self.devices:
            return False
        if origin.position < self.live.held.seq:
            history = self.live.scope.history
            return history is not None and origin.ts >= history
        return self.coverage.has(origin.position, self.live.grant_id)


def reach(live: LiveGrant) -> tuple[int, int]:
    """How far back a grant can reach, as a position, and then as a time: the smaller, the further."""
    history = live.scope.history
    return (live.held.seq, live.held.grant.from_) if history is None else (0, history)


@dataclass(frozen=True, slots=True)
class Accesses:
    """What one answer serves: event ids by author, room and grant, in order."""

    served: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def add(self, live: LiveGrant, event: Mapping[str, Any]) -> None:
        """Note an event that goes out under a grant."""
        self.served.setdefault((live.person, event["room_id"], live.grant_id), []).append(event["event_id"])

    def record(self, tx: Transaction, ledger: Ledger, slug: str, purpose: str) -> list[Recorded]:
        """One entry for each author, room and grant, in the running transaction."""
        return [
            ledger.record_private(
                tx,
                "access",
                person,
                slug,
                {"grant_id": grant_id, "purpose": purpose, "room_id": room_id, "event_ids": event_ids},
                grant_id=grant_id,
            )
            for (person, room_id, grant_id), event_ids in self.served.items()
        ]


def shown(
    tx: Transaction,
    find: Callable[[Transaction, str, str], Origin | None],
    found: StoredEvent,
    source: Source,
) -> Json:
    """What goes out of an event: what the author made, and no word about events that she did not let it see.

    Nor how often her grants changed, or which other partner proposed it: that is between her and them. `find` is the
    source's `origin`.
    """
    event, content = found.event, found.event["content"]
    hidden = {GRANTS_MEMBER} | hidden_via(content, source.live.held.grant.partner)
    if _RELATION in content and not _relation_is_granted(tx, find, event["room_id"], content[_RELATION], source):
        hidden.add(_RELATION)
    content = {name: value for name, value in content.items() if name not in hidden}
    return {name: event[name] for name in _SERVED} | {"content": content}


def _relation_is_granted(
    tx: Transaction,
    find: Callable[[Transaction, str, str], Origin | None],
    room_id: str,
    relation: object,
    source: Source,
) -> bool:
    """Whether every event that a relation names is the author's own and within the same grant."""
    if not isinstance(relation, Mapping):
        return False
    reply = relation.get("m.in_reply_to")
    named = [relation.get("event_id")] if "event_id" in relation else []
    if reply is not None:
        named.append(reply.get("event_id") if isinstance(reply, Mapping) else None)
    targets = [find(tx, room_id, event_id) if isinstance(event_id, str) else None for event_id in named]
    return bool(named) and all(target is not None and source.opens(target) for target in targets)
