"""What a partner looks at besides messages: attachments, metadata, friends. No answer is taken without its receipt."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from paraph.protocol.base64 import unb64url
from paraph.protocol.errors import ProtocolError
from paraph.sdk.errors import ReceiptError
from paraph.sdk.keystore import Records
from paraph.sdk.log.receipts import OtherKeyError, ReceiptKey
from paraph.sdk.media import address_of, file_of
from paraph.sdk.partner.auth import PartnerAuth
from paraph.sdk.partner.inbox import GrantBook, Look
from paraph.sdk.partner.platform_log import PlatformLog
from paraph.sdk.partner.retention import Retention
from paraph.sdk.rooms import Message
from paraph.sdk.transport import path

ACCESS = "paraph-access"
MAX_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class Conversation:
    """When a conversation began and its newest message was sent (ms, or None), and codes of who else is in it.

    `members` counts everybody in it, the author included; of a large room not all codes are told.
    """

    room_id: str
    created: int
    last_message: int | None
    members: int
    correspondents: tuple[str, ...]


class Looks:
    """Reads besides messages. `grants(id)` looks at one grant anew; `now` gives ms; `only` as for `Reader`."""

    def __init__(
        self,
        auth: PartnerAuth,
        grants: Callable[[str], Awaitable[list[str]]],
        records: Records,
        book: GrantBook,
        platform: PlatformLog,
        now: Callable[[], int],
        retention: Retention,
        *,
        only: str | None = None,
    ) -> None:
        self._auth = auth
        self._only = only
        self._retention = retention
        self._grants = grants
        self._records = records
        self._book = book
        self._platform = platform
        self._now = now

    async def download(self, message: Message, purpose: str) -> bytes:
        """The file that a message carries; see `Partner.download`."""
        sealed = file_of(message)
        media_id, sent, key = address_of(sealed.url)[1], self._now(), await self._platform.receipt_key()
        response = await self._auth.fetch(path("/inbox/v1/media/{}", media_id), params={"purpose": purpose})
        rendered = _access(response.headers.get(ACCESS))
        if rendered["entry"]["person"] != message.sender:
            raise ReceiptError("the access entry is about another author than the message's")
        look = Look("read:attachments", purpose, (message.room_id,), sent, self._now())
        said = {"room_id": message.room_id, "media_ids": [media_id]} | under(self._only)
        await self._take(rendered, look, said, key)
        return await asyncio.to_thread(sealed.open, response.content)

    async def metadata(self, grant_id: str, purpose: str) -> list[Conversation]:
        """Conversations; see `Partner.metadata`."""

        def read(answer: Mapping[str, Any]) -> tuple[list[Conversation], list[str]]:
            found = msgspec.convert(answer["rooms"], list[Conversation])
            return found, [conversation.room_id for conversation in found]

        return await self._pages("metadata", grant_id, purpose, "room_ids", read)

    async def friends(self, grant_id: str, purpose: str) -> list[str]:
        """Handles; see `Partner.friends`."""

        def read(answer: Mapping[str, Any]) -> tuple[list[str], list[str]]:
            found = msgspec.convert(answer["friends"], list[str])
            return found, found

        return await self._pages("friends", grant_id, purpose, "friends", read)

    async def _pages(
        self,
        verb: str,
        grant_id: str,
        purpose: str,
        member: str,
        read: Callable[[Mapping[str, Any]], tuple[Sequence[Any], list[str]]],
    ) -> list[Any]:
        """All pages of a list under a grant, each with its entry, which lists what `read` finds in it."""
        found: list[Any] = []
        params: dict[str, str | int] = {"grant_id": grant_id, "purpose": purpose}
        for _ in range(MAX_PAGES):
            sent, key = self._now(), await self._platform.receipt_key()
            answer = await self._auth.call("GET", f"/inbox/v1/{verb}", params=params)
            try:
                items, listed = read(answer)
                access, following = answer["access"], answer["next"]
            except (KeyError, TypeError, msgspec.ValidationError) as error:
                raise ReceiptError(f"the answer is none about {verb}: {error}") from error
            look = Look(verb, purpose, tuple(listed) if verb == "metadata" else (), sent, self._now())
            await self._take(access, look, {"grant_id": grant_id, member: listed}, key)
            found += items
            if following is None:
                return found
            params["since"] = str(following)
        raise ReceiptError(f"the answers about {verb} do not end")

    async def _take(self, rendered: Any, look: Look, said: Mapping[str, Any], key: ReceiptKey) -> None:
        """Check an answer's entry and receipt, and keep the receipt until the log has what it promises."""
        for grant_id in self._book.unknown([rendered]):
            await self._grants(grant_id)
        try:
            entry = self._book.check_look(rendered, look, said, key)
        except OtherKeyError:
            key = await self._platform.other_receipt_key()
            entry = self._book.check_look(rendered, look, said, key)
        keep = await self._platform.keep()
        with self._records.step():
            self._book.note_shown(entry)
            self._retention.note(entry, ())
            keep(entry, rendered["receipt"], key)


def under(only: str | None) -> dict[str, str]:
    """What an entry must say of its grant where the token is for one grant alone."""
    return {} if only is None else {"grant_id": only}


def _access(header: str | None) -> dict[str, Any]:
    """The entry that came with an attachment. Raises ReceiptError."""
    try:
        found: dict[str, Any] = msgspec.json.decode(unb64url(header or ""), type=dict[str, Any])
        found["entry"]["person"]
    except (ProtocolError, msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
        raise ReceiptError(f"the attachment came without its access entry: {error}") from error
    return found
