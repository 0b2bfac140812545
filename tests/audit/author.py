"""A person's year on a platform of the tests' own: her records, the log that holds them, and her history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from paraph.audit.history import History, labels_wanted
from paraph.audit.integration import Inclusion, Integration
from paraph.audit.opened import OpenedEntry
from paraph.protocol.base64 import b64url
from paraph.protocol.enrolment import key_hash
from paraph.protocol.entry import (
    ACCESS_KINDS,
    access_label,
    account_key,
    account_label,
    commitment,
    entry,
    grant_key,
    private_leaf,
    week_of,
)
from paraph.protocol.limits import DAY_MS
from tests.audit.witnessed import POLICY, WitnessedLog
from tests.protocol import examples
from tests.protocol.examples import AUTHOR, DEVICE, LOG_KEY, SERVER

START = 1_750_000_000_000
"""A Sunday in June: the week after begins nine hours later."""
ROOM = f"!first:{SERVER}"
OTHER_CLUB = "book-club"


def grant_id(number: int) -> str:
    """A grant id that is the same in every run."""
    return "gr_" + b64url(bytes([number]) * 16)


def leaf_of(opened: OpenedEntry) -> bytes:
    """The leaf that a record opens, as it stands in the log."""
    return private_leaf(opened.week, opened.label, commitment(opened.entry, opened.o1, opened.o2))


@dataclass
class Author:
    """One person. `records` is what the platform lists, `log` what it logged: a cheating one makes them differ."""

    log: WitnessedLog = field(default_factory=WitnessedLog)
    records: list[OpenedEntry] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)
    made: int = 0

    def record(
        self, kind: str, ts: int, body: Mapping[str, Any], partner: str | None = None, *, label: bytes | None = None
    ) -> OpenedEntry:
        """Record something, and let its leaf wait for the next epoch."""
        week = week_of(ts)
        if label is None and kind in ACCESS_KINDS:
            label = access_label(grant_key(LOG_KEY, body["grant_id"]), week)
        right = account_label(LOG_KEY, week) if label is None else label
        self.made += 1
        o1, o2 = (sha256(b"%s %d" % (half, self.made)).digest() for half in (b"o1", b"o2"))
        opened = OpenedEntry(entry(kind, AUTHOR, partner, ts, body), o1, o2, right, week)
        self.records.append(opened)
        self.waiting.append(leaf_of(opened))
        return opened

    def enrol(self, ts: int = START) -> OpenedEntry:
        """A device."""
        return self.record("device", ts, {"enrolment": examples.enrolment(created=ts)})

    def grant(self, number: int, ts: int, partner: str = examples.SLUG) -> OpenedEntry:
        """A grant to a partner, signed."""
        id_ = grant_id(number)
        terms = {"grant_id": id_, "partner": partner, "from": ts, "until": ts + 60 * DAY_MS}
        hashed = key_hash(grant_key(LOG_KEY, id_))
        document = examples.grant(**terms, grant_key_hash=hashed, consent=examples.grant()["consent"])
        return self.record("grant", ts, {"grant": document, "chain": examples.chain()}, partner)

    def amend(self, number: int, ts: int, partner: str = examples.SLUG) -> OpenedEntry:
        """A grant is paused."""
        change = {"op": "pause", "pause_id": examples.random_id(1)}
        document = examples.amendment(change, grant_id=grant_id(number), created=ts)
        return self.record("amend", ts, {"amendment": document, "chain": examples.chain()}, partner)

    def revoke(self, number: int, ts: int, partner: str = examples.SLUG) -> OpenedEntry:
        """A grant ends."""
        document = examples.revocation(grant_id=grant_id(number), created=ts)
        return self.record("revoke", ts, {"revocation": document}, partner)

    def share(self, number: int, ts: int, session: str | None, partner: str = examples.SLUG) -> OpenedEntry:
        """A device gives a key to a partner's."""
        shared = None if session is None else {"room_id": ROOM, "session_id": session, "first_index": 0}
        body = {"grant_id": grant_id(number), "device_id": DEVICE, "partner_device_id": "PARTNERDEV", "session": shared}
        return self.record("key-share", ts, body, partner)

    def access(
        self, number: int, ts: int, events: Sequence[str] = ("$one",), partner: str = examples.SLUG, **how: Any
    ) -> OpenedEntry:
        """A partner reads."""
        body = {"grant_id": grant_id(number), "purpose": "recommendations", "room_id": ROOM, "event_ids": list(events)}
        return self.record("access", ts, body, partner, **how)

    def close(self, ts: int) -> "Author":
        """An epoch with all that waits."""
        self.log.epoch(self.waiting, ts)
        self.waiting = []
        return self

    def history(self) -> History:
        """What an honest client makes of the platform's list."""
        keys = {str(it.body["grant"]["grant_id"]): b"" for it in self.records if it.kind == "grant"}
        keys = {id_: grant_key(LOG_KEY, id_) for id_ in keys}
        time = self.log.epochs[-1][1]
        places = labels_wanted(self.records, account_key(LOG_KEY), keys, time)
        statements = tuple(self.log.statement(place.key) for place in places)
        entries = tuple(self.records)
        return History(AUTHOR, self.log.tree_proof(), account_key(LOG_KEY), keys, entries, statements)

    def integration(self, number: int) -> Integration:
        """When a record of the list came into the log."""
        index = self.log.leaves.index(leaf_of(self.records[number - 1]))
        closing = next(size - 1 for size, _ in self.log.epochs if size - 1 > index)
        tree, size = self.log.tree(), len(self.log.leaves)
        leaf, end = (Inclusion(at, tuple(tree.inclusion_proof(at, size))) for at in (index, closing))
        return Integration(number, leaf, end, self.log.leaves[closing])


def now_of(history: History) -> int:
    """Seconds: a day after the newest epoch."""
    tree = history.tree.verify(POLICY, 2**40)
    return tree.epoch.time // 1000 + 86_400


def usual() -> Author:
    """Two partners and three weeks: one read three times, the other never."""
    author = Author()
    author.enrol()
    author.grant(1, START + 1000)
    author.share(1, START + 2000, None)
    author.share(1, START + 2001, "session one")
    author.access(1, START + 5000, ["$one", "$two"])
    author.close(START + 30_000)
    author.grant(2, START + 2 * DAY_MS, OTHER_CLUB)
    author.share(2, START + 2 * DAY_MS + 1, "session two", OTHER_CLUB)
    author.close(START + 2 * DAY_MS + 30_000)
    author.access(1, START + 3 * DAY_MS, ["$two", "$three"])
    author.close(START + 3 * DAY_MS + 30_000)
    author.access(1, START + 9 * DAY_MS)
    author.amend(2, START + 9 * DAY_MS + 1, OTHER_CLUB)
    author.close(START + 9 * DAY_MS + 30_000)
    author.revoke(1, START + 10 * DAY_MS)
    return author.close(START + 10 * DAY_MS + 30_000).close(START + 15 * DAY_MS)


def edited(opened: OpenedEntry, **changes: Any) -> OpenedEntry:
    """The record with another body."""
    return replace(opened, entry={**opened.entry, "body": {**opened.body, **changes}})
