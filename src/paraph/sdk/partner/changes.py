"""A partner's stream of changes: followed from the store, so that a kill at any moment loses nothing.

An answer is kept, with its receipts, before anything of it is handed out, and its state is passed back only once all of
it was. What could not be opened is remembered, and handed out when its key comes, by whichever call the key came in.
Whoever ends the iteration, or lets it fail, is handed the next item when it goes on; only after a kill may the items of
one answer come again, and each names its event.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import msgspec

from paraph.sdk.errors import DecryptionError, ProblemError, ReceiptError, SdkError
from paraph.sdk.partner.change_items import (
    NOT_GRANTED,
    OPEN,
    PENDING,
    Change,
    DevicesChange,
    DraftChange,
    GrantChange,
    MessageChange,
    Withheld,
)
from paraph.sdk.partner.inbox import Asked, Checked
from paraph.sdk.partner.reading import Json, Reader, listed
from paraph.sdk.partner.stream_records import LATE, LEFT, RECOVERED, STREAM, WAITING, Late, Left, Pending, Stream
from paraph.sdk.rooms import Message, closed_message

log = logging.getLogger(__name__)

POLL_MS = 30_000
MAX_MESSAGES = 500
# What a key that is still on its way can cure.
MAY_COME = ("unknown-session", "grant-key-missing")
GIVES_AGAIN = frozenset({"resumed", "reopened"})
FOR_GOOD = frozenset({"revoked", "ended", "expired"})
WHOLE = ""  # in place of a room id: every room of the grant


class Changes:
    """All streams of one partner, or of one grant of its own. `poll(timeout_ms)` takes in key events."""

    def __init__(self, reader: Reader, poll: Callable[[int], Awaitable[object]]) -> None:
        """A reader that has one grant alone has streams of its own."""
        self._reader = reader
        self._poll = poll
        self._following: dict[str, _Following] = {}

    def came(self, event: Json, state: str, *, for_good: bool = True) -> None:
        """Within a step: a message that some stream handed out closed can be opened now, or (`for_good`) never will."""
        records, event_id = self._reader.records, str(event.get("event_id"))
        waiting = records.get(WAITING, event_id, list[Pending]) or []
        for pending in waiting:
            name = f"{pending.stream}/{event.get('origin_server_ts', 0):016d}/{event_id}"
            records.put(LATE, name, Late(pending.grant_id, event, state, pending.older))
        if waiting and for_good:
            records.delete(WAITING, event_id)

    async def follow(
        self, purpose: str, state: str | None, timeout_ms: int | None, limit: int
    ) -> AsyncGenerator[Change, None]:
        """See `Partner.changes`."""
        following = await self._begin(purpose, state, limit)
        try:
            await self._poll(0)
            while True:
                for change in following.kept():
                    yield change
                if following.over or not await following.wait(timeout_ms):
                    return
        finally:
            await following.let_go()

    async def _begin(self, purpose: str, state: str | None, limit: int) -> "_Following":
        before = self._following.pop(purpose, None)
        if before is not None:  # whoever broke off an iteration may begin the next before the first has noticed
            await before.let_go()
        following = self._following[purpose] = _Following(self._reader, self._poll, purpose, limit, state)
        return following

    async def pour(
        self, purpose: str, take: Callable[[Sequence[Change]], None], limit: int
    ) -> AsyncGenerator[int, None]:
        """Hand everything out to `take`, batch by batch; yields how many there were, so that its caller can pause.

        What `take` writes to the store and that the batch was handed out are one step: neither is without the other.
        """
        following = await self._begin(purpose, None, limit)
        try:
            await self._poll(0)
            while not following.over:
                batch = list(following.kept())
                if batch:
                    following.give(batch, take)
                    yield len(batch)
                await following.wait(None)
        finally:
            await following.let_go()

    async def close(self) -> None:
        """Note what was handed out, and let go of what is under way."""
        for following in self._following.values():
            await following.let_go()


class _Following:
    """One iteration over a stream. `over`: another has taken its place."""

    def __init__(
        self,
        reader: Reader,
        poll: Callable[[int], Awaitable[object]],
        purpose: str,
        limit: int,
        state: str | None,
    ) -> None:
        self._reader = reader
        self._records = reader.records
        self._poll = poll
        self._purpose = purpose
        self._name = purpose if reader.only is None else f"{reader.only}:{purpose}"
        self._limit = limit
        self._ready: list[Message | None] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._late: list[str] = []
        self.over = False
        if state is not None:
            self._put(Stream(state))
        self._done = self._stream.done

    @property
    def _stream(self) -> Stream:
        return self._records.get(STREAM, self._name, Stream) or Stream()

    def _put(self, stream: Stream) -> None:
        with self._records.step():
            self._records.put(STREAM, self._name, stream)

    async def let_go(self) -> None:
        """Note what was handed out. An answer that is still under way is served again another time."""
        if self.over:
            return
        self.over = True
        if self._fetching is not None:
            self._fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._fetching
        self._note_handed_out()

    # -- handing out --

    def kept(self) -> Iterator[Change]:
        """What is kept and was not handed out: late messages, then the page."""
        for name, late in self._records.items(LATE, Late, f"{self._name}/"):
            if name not in self._late:
                message = self._opened(late.event, late.state)
                self._late.append(name)
                yield MessageChange(late.grant_id, message, _state(message, late.state), late.older)
        page = self._stream.page
        while not self.over and self._done < len(page):
            item, ready = page[self._done], None if self._ready is None else self._ready[self._done]
            self._done += 1
            change = self._change(item, ready)
            if change is not None:
                yield change

    def give(self, batch: Sequence[Change], take: Callable[[Sequence[Change]], None]) -> None:
        """Hand a batch out and note it, in one step; where that fails, nothing was handed out."""
        try:
            with self._records.step():
                take(batch)
                self._note()
        except BaseException:
            self.over = True
            raise

    def _note_handed_out(self) -> None:
        """Together with the next answer, or at the end: a kill before that hands the answer out again."""
        with self._records.step():
            self._note()

    def _note(self) -> None:
        for name in self._late:
            self._records.delete(LATE, name)
        self._late = []
        stream = self._stream
        if stream.done != self._done:
            self._records.put(STREAM, self._name, msgspec.structs.replace(stream, done=self._done))

    def _change(self, item: Json, ready: Message | None) -> Change | None:
        grant_id = str(item.get("grant_id"))
        match item.get("kind"):
            case "message":
                message = ready or self._opened(item["event"], item["state"])
                return MessageChange(grant_id, message, _state(message, item["state"]), item.get("older") is True)
            case "grant":
                room_id, change = item.get("room_id"), item.get("change")
                return GrantChange(grant_id, str(item.get("person")), str(item.get("what")), room_id, change)
            case "draft":
                return DraftChange(grant_id, str(item.get("draft_id")), str(item.get("status")))
            case "withheld":
                return Withheld(grant_id, item.get("room_id"), str(item.get("why")))
            case "devices":
                return DevicesChange(grant_id, str(item.get("person")))
        return None  # of a later version of the protocol

    def _opened(self, event: Json, state: str) -> Message:
        room_id = str(event.get("room_id"))
        if state == OPEN:
            with self._records.step():
                return self._reader.intake.read(event, room_id)
        return closed_message(event, room_id, DecryptionError(state, "the message is not open"))

    # -- fetching --

    async def wait(self, timeout_ms: int | None) -> bool:
        """Have something to hand out; False if nothing came within the time (None: wait for ever)."""
        loop = asyncio.get_running_loop()
        until = None if timeout_ms is None else loop.time() + timeout_ms / 1000
        while not self.over:
            stream = self._stream
            if stream.recoveries and self._fetching is None:
                await self._recover(stream)
            else:
                left = POLL_MS if until is None else max(0, min(POLL_MS, round(1000 * (until - loop.time()))))
                await self._fetch_or_poll(0 if stream.more else left)
            stream = self._stream
            if self._done < len(stream.page) or self._has_late():
                return True
            if not (stream.more or stream.recoveries) and until is not None and loop.time() >= until:
                return False
        return False

    def _has_late(self) -> bool:
        return any(name not in self._late for name, _ in self._records.items(LATE, Late, f"{self._name}/"))

    async def _fetch_or_poll(self, wait_ms: int) -> None:
        """One answer of the stream; while it is waited for, keys are taken in if a message waits for one."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(wait_ms))
        tasks: set[asyncio.Task[Any]] = {self._fetching}
        if wait_ms and self._records.items(WAITING, list[Pending]):
            tasks.add(asyncio.create_task(self._poll_quietly(wait_ms)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks - {self._fetching}:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._fetching.done():
            fetched, self._fetching = self._fetching, None
            await fetched

    async def _poll_quietly(self, wait_ms: int) -> None:
        try:
            await self._poll(wait_ms)
        except SdkError as error:
            log.warning("key events cannot be asked for now: %s", error)
            await asyncio.sleep(1)

    async def _fetch(self, wait_ms: int) -> None:
        """Take in the next answer of the stream: checked and kept, and not handed out yet."""
        await self._reader.retention.run()
        reader, purpose, stream = self._reader, self._purpose, self._stream
        await reader.platform.receipt_key()  # before anything is recorded
        params: dict[str, str | int] = {"purpose": purpose, "limit": self._limit, "timeout": wait_ms}
        if stream.state is not None:
            params["state"] = stream.state
        sent = reader.now()
        answer = await reader.auth.call("GET", "/inbox/v1/changes", params=params, wait_ms=wait_ms)
        asked = Asked(None, purpose, sent, reader.now())
        changes, accesses = listed(answer, "changes"), listed(answer, "accesses")
        if any(not isinstance(change, dict) for change in changes) or not isinstance(answer.get("state"), str):
            raise ReceiptError("the answer is no answer of the stream")
        shown = [change["grant"] for change in changes if isinstance(change.get("grant"), dict)]
        if shown:
            with self._records.step():
                reader.book.take_in(shown)
        await reader.know(accesses)
        messages = [change for change in changes if change.get("kind") == "message"]
        checked, key = await reader.checked(lambda key: reader.book.check_changes(asked, messages, accesses, key))
        keep = await reader.platform.keep()
        with self._records.step():
            for found in checked:
                keep(found.entry, found.receipt, key)
            # Looked at before they are opened, which is what makes them known.
            known = {id(change) for change in messages if self._is_known(stream, change)}
            opened = dict(zip(map(id, messages), reader.intake.take_changes(messages, checked), strict=True))
            page, ready = self._page([change for change in changes if id(change) not in known], opened)
            recoveries = (*stream.recoveries, *self._left(page))
            more = answer.get("more") is True
            self._keep(
                msgspec.structs.replace(stream, state=answer["state"], page=page, more=more, recoveries=recoveries),
                ready,
            )

    def _keep(self, stream: Stream, ready: list[Message | None]) -> None:
        """Within a step: a new page, in place of one that was handed out."""
        self._note()
        self._records.put(STREAM, self._name, msgspec.structs.replace(stream, done=0))
        self._done, self._ready = 0, ready

    def _page(self, changes: list[Json], opened: dict[int, Message]) -> tuple[tuple[Json, ...], list[Message | None]]:
        """What is kept of an answer, and the messages in it that are open, so that they are opened once."""
        page, ready = [], []
        for change in changes:
            item = {name: value for name, value in change.items() if name != "grant"}
            message = opened.get(id(change))
            if message is not None:
                item["state"] = _state(message, OPEN)
                if item["state"] != OPEN:
                    self._await(message.event_id, str(item.get("grant_id")), item.get("older") is True)
            page.append(item)
            ready.append(message)
        return tuple(page), ready

    def _await(self, event_id: str, grant_id: str, older: bool) -> None:
        """Note that this stream handed a message out closed, beside the others that did."""
        others = [p for p in self._records.get(WAITING, event_id, list[Pending]) or [] if p.stream != self._name]
        self._records.put(WAITING, event_id, [*others, Pending(self._name, grant_id, older)])

    def _is_known(self, stream: Stream, change: Json) -> bool:
        """Whether this message came by another way: an older one that was read before, or one that was recovered."""
        event_id = str(change["event"].get("event_id"))
        if change.get("older") is True:
            return self._was_taken(change["event"])
        if not stream.recovered or self._records.get(RECOVERED, f"{self._name}/{event_id}", bool) is None:
            return False
        self._records.delete(RECOVERED, f"{self._name}/{event_id}")
        return True

    def _was_taken(self, event: Json) -> bool:
        waiting = self._records.get(WAITING, str(event.get("event_id")), list[Pending]) or []
        return any(pending.stream == self._name for pending in waiting) or self._reader.intake.was_taken(event)

    # -- what was withheld, and is given again --

    def _left(self, page: tuple[Json, ...]) -> tuple[Left, ...]:
        """Within a step: note what is withheld; what the grants in this page give again is to be read now."""
        again: list[Left] = []
        for item in page:
            prefix = f"{self._name}/{item.get('grant_id')}/"
            match item.get("kind"), item.get("what"):
                case "withheld", _ if item.get("why") != "redacted":
                    room_id = item.get("room_id") or WHOLE
                    if self._records.get(LEFT, prefix + room_id, Left) is None:
                        left = Left(str(item.get("grant_id")), room_id, item.get("since"))
                        self._records.put(LEFT, prefix + room_id, left)
                case "grant", what if what in GIVES_AGAIN or what in FOR_GOOD:
                    if what in FOR_GOOD:
                        self._reader.retention.over(str(item.get("grant_id")))
                    for name, left in self._records.items(LEFT, Left, prefix):
                        if what in FOR_GOOD or left.room_id in (WHOLE, item.get("room_id") or left.room_id):
                            self._records.delete(LEFT, name)
                            again += [left] if what in GIVES_AGAIN else []
        return tuple(again)

    async def _recover(self, stream: Stream) -> None:
        """Read on in the first room of which something was withheld that is given again."""
        left, rest = stream.recoveries[0], stream.recoveries[1:]
        if left.room_id == WHOLE:
            rooms = [room.room_id for room in await self._reader.rooms() if left.grant_id in room.grants]
            each = tuple(Left(left.grant_id, room_id, None) for room_id in rooms)
            self._put(msgspec.structs.replace(self._stream, recoveries=(*each, *rest)))
            return
        try:
            answer = await self._reader.answer(left.room_id, self._purpose, left.since, self._limit)
        except ProblemError as error:
            if error.status != 403:
                raise
            with self._records.step():  # taken away again; the next time it is given, it is tried again
                self._records.put(LEFT, f"{self._name}/{left.grant_id}/{left.room_id}", left)
                self._records.put(STREAM, self._name, msgspec.structs.replace(self._stream, recoveries=rest))
            return
        keep = await self._reader.platform.keep()
        with self._records.step():
            for found in answer.checked:
                keep(found.entry, found.receipt, answer.key)
            page, ready = self._recovered(left.room_id, answer.events, answer.checked)
            more = () if not answer.events else (Left(left.grant_id, left.room_id, answer.next),)
            self._keep(
                msgspec.structs.replace(self._stream, page=page, recoveries=(*more, *rest), recovered=True), ready
            )

    def _recovered(
        self, room_id: str, events: list[Json], checked: tuple[Checked, ...]
    ) -> tuple[tuple[Json, ...], list[Message | None]]:
        """The messages of an answer of `messages` that the stream has not handed out."""
        grants = {found.entry.person: found.entry.body["grant_id"] for found in checked}
        known = {id(event) for event in events if self._was_taken(event)}
        messages = self._reader.intake.take(room_id, events, checked, most=None)
        changes, opened = [], {}
        for event, message in zip(events, messages, strict=True):
            if id(event) not in known:
                change = {"kind": "message", "grant_id": grants[event["sender"]], "event": event, "older": True}
                changes.append(change)
                opened[id(change)] = message
                self._records.put(RECOVERED, f"{self._name}/{message.event_id}", True)
        return self._page(changes, opened)


def _state(message: Message, state: str) -> str:
    """That of a message, where `state` is what it was to be."""
    if state != OPEN or message.undecryptable is None:
        return state
    return PENDING if message.undecryptable.partition(":")[0] in MAY_COME else NOT_GRANTED
