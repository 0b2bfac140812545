"""Reading as a partner: every answer is checked before anything of it is kept or shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paraph.sdk.errors import ReceiptError
from paraph.sdk.keystore import Records
from paraph.sdk.log.receipts import LedgerEntry, OtherKeyError, ReceiptKey
from paraph.sdk.partner.auth import PartnerAuth
from paraph.sdk.partner.inbox import Asked, Checked, GrantBook
from paraph.sdk.partner.intake import Intake
from paraph.sdk.partner.platform_log import PlatformLog
from paraph.sdk.partner.retention import Retention
from paraph.sdk.rooms import Message
from paraph.sdk.transport import path

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GrantedRoom:
    """A room in which at least one author granted something, with the ids of those grants."""

    room_id: str
    grants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the Inbox API, its access entries and receipts checked.

    `pending` are the ids of messages whose key has not come (or never will: written before the grant), or whose
    author's grant key has not come. `next` is passed as `since` for what follows.
    """

    messages: tuple[Message, ...]
    pending: tuple[str, ...]
    accesses: tuple[LedgerEntry, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of `messages` that was checked: the events, and what was recorded of them."""

    events: list[Json]
    checked: tuple[Checked, ...]
    key: ReceiptKey
    next: str | None


class Reader:
    """Asks and checks. What it finds is taken in by its callers, each in a step of its own."""

    def __init__(
        self,
        auth: PartnerAuth,
        records: Records,
        book: GrantBook,
        intake: Intake,
        platform: PlatformLog,
        now: Callable[[], int],
        retention: Retention,
        *,
        only: str | None = None,
    ) -> None:
        """`now()` gives milliseconds; `only` is the one grant that the token is for, if it is."""
        self.only = only
        self.retention = retention
        self.auth = auth
        self.records = records
        self.book = book
        self.intake = intake
        self.platform = platform
        self.now = now

    async def grants(self, *, grant_id: str | None = None, person: str | None = None) -> list[str]:
        """See `Partner.grants`."""
        params = {name: value for name, value in (("grant_id", grant_id), ("person", person)) if value is not None}
        answer = await self.auth.call("GET", "/inbox/v1/grants", params=params)
        with self.records.step():
            return [grant.grant_id for grant in self.book.take_in(answer["grants"])]

    async def rooms(self) -> list[GrantedRoom]:
        """The rooms in which something may be read."""
        answer = await self.auth.call("GET", "/inbox/v1/rooms")
        return [GrantedRoom(room["room_id"], tuple(room["grants"])) for room in answer["rooms"]]

    async def messages(self, room_id: str, purpose: str, since: str | None, limit: int) -> Page:
        """See `Partner.messages`."""
        answer = await self.answer(room_id, purpose, since, limit)
        keep = await self.platform.keep()
        with self.records.step():
            for found in answer.checked:
                keep(found.entry, found.receipt, answer.key)
            messages = self.intake.take(room_id, answer.events, answer.checked)
        pending = tuple(m.event_id for m in messages if m.undecryptable is not None)
        return Page(messages, pending, tuple(found.entry for found in answer.checked), answer.next)

    async def answer(self, room_id: str, purpose: str, since: str | None, limit: int) -> Answer:
        """One answer of `messages`, checked, and nothing of it kept. Raises ReceiptError."""
        await self.retention.run()
        await self.platform.receipt_key()  # before anything is recorded
        params: dict[str, str | int] = {"purpose": purpose, "limit": limit}
        if since is not None:
            params["since"] = since
        sent = self.now()
        answer = await self.auth.call("GET", path("/inbox/v1/rooms/{}/messages", room_id), params=params)
        asked = Asked(room_id, purpose, sent, self.now())
        events, accesses = listed(answer, "messages"), listed(answer, "accesses")
        await self.know(accesses)
        checked, key = await self.checked(lambda key: self.book.check_answer(asked, events, accesses, key))
        return Answer(events, checked, key, answer.get("next"))

    async def know(self, accesses: Sequence[Any]) -> None:
        """Be shown the grants that these entries name, if they were not yet. Raises ReceiptError."""
        for grant_id in self.book.unknown(accesses):
            await self.grants(grant_id=grant_id)

    async def checked(
        self, check: Callable[[ReceiptKey], tuple[Checked, ...]]
    ) -> tuple[tuple[Checked, ...], ReceiptKey]:
        """Entries and receipts of an answer, checked; where another key signed, the log is asked for the newest."""
        key = await self.platform.receipt_key()
        try:
            found = check(key)
        except OtherKeyError:
            key = await self.platform.other_receipt_key()
            found = check(key)
        if any(self.only not in (None, one.entry.body["grant_id"]) for one in found):
            raise ReceiptError(f"an access entry is about another grant than {self.only}, which was asked under")
        return found, key


def listed(answer: Mapping[str, Any], name: str) -> list[Any]:
    """The list that an answer must have under this name. Raises ReceiptError."""
    found = answer.get(name)
    if not isinstance(found, list):
        raise ReceiptError(f"the answer has no list of {name}")
    return found
