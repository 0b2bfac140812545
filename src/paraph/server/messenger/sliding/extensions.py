"""What a sliding sync tells beside rooms: messages to the device, keys, account data, receipts and typing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.filters.matching import EVERYTHING
from paraph.server.messenger.model import Receipt
from paraph.server.messenger.push.rules import PUSH_RULES
from paraph.server.messenger.push.service import Push
from paraph.server.messenger.rooms_at_once import RoomsAtOnce
from paraph.server.messenger.sliding.connections import Progress
from paraph.server.messenger.sliding.model import Extensions, OfRooms, ToDevice
from paraph.server.messenger.sliding.rooms import Span
from paraph.server.messenger.sync.rooms import receipts, typing
from paraph.server.messenger.sync.sections import Raw
from paraph.server.messenger.sync.service import MAX_DEVICE_LISTS, DevicesForSync, data_event
from paraph.server.messenger.typing import Typing
from paraph.server.messenger.views import View
from paraph.server.storage import Transaction

MAX_TO_DEVICE = 100


def to_device_since(asked: ToDevice) -> int:
    """How far the device has its messages; raises M_INVALID_PARAM."""
    text = asked.since or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise invalid("to_device.since is the next_batch of an answer before")
    return int(text)


@dataclass(frozen=True, slots=True)
class Seen:
    """The rooms of one answer: those in its lists by name, subscribed ones, and those told for the first time.

    `timelines` are the events that the latter show.
    """

    lists: dict[str, list[str]]
    subscribed: list[str]
    had: list[str]
    timelines: dict[str, set[str]]

    def of(self, asked: OfRooms) -> set[str]:
        """The rooms that an extension is asked about."""
        lists = self.lists if asked.lists is None or "*" in asked.lists else asked.lists
        found = {room_id for name in lists for room_id in self.lists.get(name, [])}
        rooms = self.subscribed if asked.rooms is None or "*" in asked.rooms else asked.rooms
        return found | {room_id for room_id in rooms if room_id in self.subscribed}


class ExtensionsBuilder:
    """Answers the extensions that a request enables."""

    def __init__(
        self, core: Core, devices: DevicesForSync, typing_now: Typing, tables: RoomsAtOnce, push: Push
    ) -> None:
        self._core = core
        self._devices = devices
        self._typing = typing_now
        self._tables = tables
        self._push = push

    def build(
        self, tx: Transaction, asked: Extensions, view: View, span: Span, before: Progress | None, seen: Seen
    ) -> tuple[dict[str, Any], bool, Progress]:
        """The extensions' parts, whether any of them is news, and how far they have come."""
        found: dict[str, Any] = {}
        now = Progress(span.upto, span.upto, dict(before.typing) if before is not None else {})
        news = self._add_devices(tx, asked, view, span, before, now, found)
        if asked.account_data.enabled:
            news |= self._add_account_data(tx, asked.account_data, view, span, seen, found)
        if asked.receipts.enabled:
            news |= self._add_receipts(tx, asked.receipts, span, seen, found)
        if asked.typing.enabled:
            news |= self._add_typing(asked.typing, view, seen, now, found)
        return found, news, now

    # Devices

    def _add_devices(
        self,
        tx: Transaction,
        asked: Extensions,
        view: View,
        span: Span,
        before: Progress | None,
        now: Progress,
        found: dict[str, Any],
    ) -> bool:
        if not asked.to_device.enabled and not asked.e2ee.enabled:
            return False
        since, person = to_device_since(asked.to_device), span.person
        part = self._devices.sync_part(
            tx,
            person.user_id,
            person.device_id,
            span.since or 0,
            span.upto,
            to_device_since=min(since, span.upto) if asked.to_device.enabled else span.upto,
            limit=min(asked.to_device.limit, MAX_TO_DEVICE),
            lists_since=span.upto if before is None else before.lists,
            lists_limit=MAX_DEVICE_LISTS,
        )
        news = False
        if asked.to_device.enabled:
            found["to_device"] = {"next_batch": str(part.to_device_upto), "events": list(part.to_device)}
            news = bool(part.to_device)
        if asked.e2ee.enabled:
            counts = (dict(part.one_time_key_counts), list(part.unused_fallback_key_types))
            found["e2ee"] = {"device_one_time_keys_count": counts[0], "device_unused_fallback_key_types": counts[1]}
            changed, left = list(part.changed), list(part.left)
            if span.since is not None and (changed or left):
                found["e2ee"]["device_lists"] = {"changed": changed, "left": left}
                now.lists = min(part.lists_upto, span.upto)
                news = True
            device = view.device(person.device_id)
            news |= device.counts is not None and device.counts != counts
            device.counts, device.counts_at = counts, span.upto
        return news

    # Account data

    def _add_account_data(
        self, tx: Transaction, asked: OfRooms, view: View, span: Span, seen: Seen, found: dict[str, Any]
    ) -> bool:
        user_id, store = span.person.user_id, self._core.store
        rows = []
        if span.since is None or span.since < view.account_data_at:
            rows = store.account_data_after(tx, user_id, span.since or 0, span.upto)
        everywhere = [data_event(kind, content) for room_id, kind, content, _ in rows if room_id == ""]
        if span.since is None and not any(kind == PUSH_RULES for room_id, kind, _, _ in rows if room_id == ""):
            everywhere.insert(0, data_event(PUSH_RULES, self._push.default_content(user_id)))
        rooms: dict[str, list[Raw]] = {}
        known, new = set(seen.had), seen.of(asked) & seen.timelines.keys()
        for room_id, kind, content, _ in rows:
            if room_id in known and room_id not in new:
                rooms.setdefault(room_id, []).append(data_event(kind, content))
        for room_id in new:
            data = store.room_data(tx, user_id, room_id)
            if data:
                rooms[room_id] = [data_event(kind, content) for kind, content in data]
        found["account_data"] = {"global": everywhere, "rooms": rooms}
        return bool(everywhere or rooms)

    # Receipts and typing

    def _add_receipts(self, tx: Transaction, asked: OfRooms, span: Span, seen: Seen, found: dict[str, Any]) -> bool:
        """New ones; of a room that is told for the first time, one's own and those for the events it shows."""
        rooms = seen.of(asked)
        new = rooms & seen.timelines.keys()
        had = sorted((rooms - new) & set(seen.had))
        told = self._tables.receipts(tx, had, span.since or 0, span.upto)
        for room_id, all_of_it in self._tables.receipts(tx, sorted(new), 0, span.upto).items():
            told[room_id] = _of_timeline(all_of_it, seen.timelines[room_id], span.person.user_id)
        shown = {
            room_id: part[0]
            for room_id, part in ((it, receipts(told[it], span.person.user_id, EVERYTHING)) for it in told)
            if part
        }
        found["receipts"] = {"rooms": shown}
        return bool(shown)

    def _add_typing(self, asked: OfRooms, view: View, seen: Seen, now: Progress, found: dict[str, Any]) -> bool:
        rooms = seen.of(asked)
        shown: dict[str, Raw] = {}
        changes = dict.fromkeys(rooms & seen.timelines.keys(), 0) | view.typing  # 0: begun before the view
        for room_id, change in changes.items():
            if room_id in rooms and now.typing.get(room_id) != change:
                people = self._typing.in_room(room_id)
                if people or room_id in now.typing or room_id in seen.had:
                    shown[room_id] = typing(people)
                now.typing[room_id] = change
        found["typing"] = {"rooms": shown}
        return bool(shown)


def _of_timeline(found: Iterable[Receipt], shown: set[str], user_id: str) -> list[Receipt]:
    return [receipt for receipt in found if receipt.user_id == user_id or receipt.event_id in shown]
