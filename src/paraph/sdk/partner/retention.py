"""Until when a partner may keep what it opened, and that it is gone then: ciphertext, opened words, and keys.

A grant says for how many days. They count from the time in the access entry that the words came with, which its author
sees as well. What is due is deleted before anything else is handed out, also when the program was off at the time; then
the partner confirms it, with its device's signature, and the confirmation is a record of the author's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from paraph.protocol.disposal import TYPE
from paraph.protocol.limits import DAY_MS
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.errors import ProblemError, SdkError
from paraph.sdk.keystore import Records
from paraph.sdk.log.receipts import LedgerEntry, OtherKeyError
from paraph.sdk.partner.auth import PartnerAuth
from paraph.sdk.partner.inbox import HELD, GrantBook, HeldGrant
from paraph.sdk.partner.platform_log import PlatformLog

log = logging.getLogger(__name__)

Json = dict[str, Any]

OPENED, KEYS, OVER, PENDING, SAID = "opened", "opened-keys", "grant-over", "disposal-due", "disposal-said"
AT_LEAST_MS = 3_600_000
"""For how long even what is to be kept for no day may be worked with."""
KEY_DAYS = 8
"""For how many days a key may be needed for what is said next: its session is good for a week by default."""
UNUSED_DAYS = 30
"""For how many days a key is kept that has opened nothing."""
EVERY_MS, KEYS_EVERY_MS = 600_000, 6 * 3_600_000
"""How often it is looked for what is due, and for keys."""
CONFIRM_EVERY_MS = 12 * 3_600_000
"""A grant's confirmations come no closer than this while something is kept under it: each is a record."""


class Key(msgspec.Struct, frozen=True):
    """A session's key: under which grant it opened something, since when it is here, until when it may be kept (ms)."""

    grant_id: str
    since: int
    until: int


class Opened(msgspec.Struct, frozen=True):
    """What came with one access entry."""

    event_ids: tuple[str, ...]


class Pending(msgspec.Struct, frozen=True):
    """What was deleted under a grant, and is to be confirmed: all that was opened before a time (ms)."""

    opened_before: int
    accesses: int = 0
    keys: int = 0
    event_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """Words whose time is over: the program's own copies of them are to be deleted.

    Everything that was opened under the grant before `opened_before` (ms); `event_ids` are the messages among it.
    """

    grant_id: str
    opened_before: int
    event_ids: tuple[str, ...]


Forget = Callable[[Due], Awaitable[bool]]
"""Deletes the program's own copies; False: not yet, ask again later."""


class Retention:
    """Of one partner. `now()` gives milliseconds; each of `droppers` lets go of messages, within a step.

    `forget` deletes the program's own copies; None: it keeps none.
    """

    def __init__(
        self,
        auth: PartnerAuth,
        records: Records,
        engine: DeviceEngine,
        book: GrantBook,
        platform: PlatformLog,
        now: Callable[[], int],
    ) -> None:
        self._auth = auth
        self._records = records
        self._engine = engine
        self._book = book
        self._platform = platform
        self._now = now
        self.forget: Forget | None = None
        self._ran: int | None = None
        self._keys_swept: int | None = None
        self._lock = asyncio.Lock()
        self.droppers: list[Callable[[Records, Collection[str]], None]] = []

    def note(self, entry: LedgerEntry, events: Sequence[Json]) -> None:
        """Within a step: something was given under a grant, with this entry."""
        grant_id = str(entry.body["grant_id"])
        held = self._book.held(grant_id)
        name = f"{grant_id}/{entry.ts:016d}/{entry.leaf.hex()}"
        self._records.put(OPENED, name, Opened(tuple(str(event["event_id"]) for event in events)))
        until = entry.ts + (_keep(held) or 0)
        for session, owner in {(str(e["content"].get("session_id")), str(e["sender"])) for e in events}:
            known = self._records.get(KEYS, _key_name(session, owner), Key)
            since, before = (entry.ts, 0) if known is None else (known.since, known.until)
            self._records.put(KEYS, _key_name(session, owner), Key(grant_id, since, max(until, before)))

    def over(self, grant_id: str) -> None:
        """Within a step: nothing more is said under a grant, so its keys are needed for what was opened alone."""
        self._records.put(OVER, grant_id, True)

    async def run(self, *, at_once: bool = False) -> None:
        """Delete what is due and confirm it; does little if that was done a moment ago."""
        now = self._now()
        if not at_once and self._ran is not None and 0 <= now - self._ran < EVERY_MS:
            return
        self._ran = now
        with self._records.step():
            self._sweep(now)
        async with self._lock:
            await self._confirm_all()

    # -- deleting --

    def _sweep(self, now: int) -> None:
        gone: set[str] = set()
        for grant_id, names in self._due(now):
            before = self._records.get(PENDING, grant_id, Pending) or Pending(0)
            ids = [event for name in names for event in self._opened(name)]
            for name in names:
                self._records.delete(OPENED, name)
                self._records.delete(HELD, name)
            gone.update(ids)
            last = int(names[-1].split("/")[1]) + 1
            made = Pending(last, before.accesses + len(names), before.keys, (*before.event_ids, *ids))
            self._records.put(PENDING, grant_id, made)
        if gone:
            for drop in self.droppers:
                drop(self._records, gone)
        self._sweep_keys(now)

    def _due(self, now: int) -> Iterator[tuple[str, list[str]]]:
        """The grants with what is due of each, oldest first."""
        by_grant: dict[str, list[str]] = {}
        for name in self._records.names(OPENED):
            by_grant.setdefault(name.partition("/")[0], []).append(name)
        for grant_id, names in by_grant.items():
            keep = _keep(self._book.held(grant_id))
            due = [] if keep is None else [name for name in names if int(name.split("/")[1]) + keep <= now]
            if due:
                yield grant_id, due

    def _opened(self, name: str) -> tuple[str, ...]:
        found = self._records.get(OPENED, name, Opened)
        return () if found is None else found.event_ids

    def _sweep_keys(self, now: int) -> None:
        if self._keys_swept is not None and 0 <= now - self._keys_swept < KEYS_EVERY_MS:
            return
        self._keys_swept = now
        self._note_unused(now)
        for name, key in self._records.items(KEYS, Key):
            needed = 0 if self._is_over(key.grant_id, now) else key.since + KEY_DAYS * DAY_MS
            if max(key.until, needed) <= now:
                self._drop_key(name, key)

    def _note_unused(self, now: int) -> None:
        """Keys that have opened nothing yet have their time as well."""
        known = {name.partition(" ")[0] for name in self._records.names(KEYS)}
        for session_id in self._engine.inbound.ids():
            for session in self._engine.inbound.claims(session_id) if session_id not in known else ():
                fresh = Key("", now, now + UNUSED_DAYS * DAY_MS)
                self._records.put(KEYS, _key_name(session_id, session.owner), fresh)

    def _is_over(self, grant_id: str, now: int) -> bool:
        held = self._book.held(grant_id)
        return self._records.get(OVER, grant_id, bool) is True or (held is not None and held.until <= now)

    def _drop_key(self, name: str, key: Key) -> None:
        self._records.delete(KEYS, name)
        session_id, _, owner = name.partition(" ")
        pending = self._records.get(PENDING, key.grant_id, Pending)
        if self._engine.inbound.drop(session_id, owner) and pending is not None:
            self._records.put(PENDING, key.grant_id, msgspec.structs.replace(pending, keys=pending.keys + 1))

    # -- confirming --

    async def _confirm_all(self) -> None:
        for grant_id, pending in self._records.items(PENDING, Pending):
            said = self._records.get(SAID, grant_id, int)
            rest = bool(self._records.names(OPENED, f"{grant_id}/"))
            if said is not None and rest and self._now() - said < CONFIRM_EVERY_MS:
                continue
            try:
                if self.forget is None or await self.forget(Due(grant_id, pending.opened_before, pending.event_ids)):
                    await self._confirm(grant_id, pending)
            except ProblemError as error:
                log.warning("a deletion was not taken as confirmed: %s", error)
                if error.status in (404, 409):  # the author's records are gone, or another device was faster
                    self._confirmed(grant_id, pending)
            except SdkError as error:
                log.warning("a deletion cannot be confirmed now: %s", error)

    async def _confirm(self, grant_id: str, pending: Pending) -> None:
        """Say it, with this device's signature; the platform's receipt for the record is kept. Raises SdkError."""
        document = self._engine.account.signed(
            {
                "type": TYPE,
                "grant_id": grant_id,
                "partner": self._book.slug,
                "device_id": self._engine.device_id,
                "opened_before": pending.opened_before,
                "accesses": pending.accesses,
                "messages": len(pending.event_ids),
                "keys": pending.keys,
                "created": self._now(),
            }
        )
        key = await self._platform.receipt_key()
        answer = await self._auth.call("POST", "/inbox/v1/disposals", {"disposal": document}, idempotent=True)
        rendered, said = answer.get("entry"), {"grant_id": grant_id, "disposal": document}
        try:
            entry = self._book.check_act(rendered, "disposal", said, key)
        except OtherKeyError:
            key = await self._platform.other_receipt_key()
            entry = self._book.check_act(rendered, "disposal", said, key)
        keep = await self._platform.keep()
        with self._records.step():
            keep(entry, answer["entry"]["receipt"], key)
        self._confirmed(grant_id, pending)

    def _confirmed(self, grant_id: str, done: Pending) -> None:
        """What came up for deletion meanwhile stays to be confirmed."""
        now_due = self._records.get(PENDING, grant_id, Pending) or done
        with self._records.step():
            self._records.put(SAID, grant_id, self._now())
            if now_due == done:
                self._records.delete(PENDING, grant_id)
                return
            rest = now_due.event_ids[len(done.event_ids) :]
            more = (now_due.accesses - done.accesses, now_due.keys - done.keys)
            self._records.put(PENDING, grant_id, Pending(now_due.opened_before, *more, rest))


def _key_name(session_id: str, owner: str) -> str:
    """A session id is base64, which may have slashes; neither part has a space."""
    return f"{session_id} {owner}"


def _keep(held: HeldGrant | None) -> int | None:
    """For how many milliseconds what was opened under a grant may be kept; None where that is not known now."""
    if held is None or held.retention_days is None:
        return None
    return max(held.retention_days * DAY_MS, AT_LEAST_MS)
