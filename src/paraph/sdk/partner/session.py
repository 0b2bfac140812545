"""One person's grant by its own token: what came of the code flow, and sees that grant alone.

A partner that acts for a person who sits in front of it reads with her grant's token: a mistake in its own code can
then show her nothing of anybody else's. The partner's device, keys and store stand behind all of its sessions, and key
events come to the partner as a whole.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import OKPKey

from paraph.sdk.engine import DeviceEngine
from paraph.sdk.errors import DraftError
from paraph.sdk.keystore import Records
from paraph.sdk.log.receipts import LedgerEntry
from paraph.sdk.partner.auth import GrantAuth
from paraph.sdk.partner.change_items import Change
from paraph.sdk.partner.changes import MAX_MESSAGES, Changes
from paraph.sdk.partner.drafts import Acts, DraftStatus
from paraph.sdk.partner.inbox import GrantBook
from paraph.sdk.partner.intake import Intake
from paraph.sdk.partner.looks import Conversation, Looks
from paraph.sdk.partner.platform_log import PlatformLog
from paraph.sdk.partner.reading import GrantedRoom, Page, Reader
from paraph.sdk.partner.retention import Retention
from paraph.sdk.rooms import Message
from paraph.sdk.transport import Transport, path


@dataclass(frozen=True, slots=True)
class Shared:
    """What all sessions of a partner have in common. `poll(timeout_ms)` takes in key events; `now()` gives ms."""

    transport: Transport
    records: Records
    slug: str
    issuer: str
    client: OKPKey
    engine: DeviceEngine
    book: GrantBook
    intake: Intake
    platform: PlatformLog
    retention: Retention
    poll: Callable[[int], Awaitable[object]]
    now: Callable[[], int]


class GrantSession:
    """Read, draft and delete under one grant, with its own token; get it by `Partner.with_grant`.

    Methods do what those of `Partner` do, and raise what those raise. GrantTokenError: the tokens are good for nothing
    now; they were revoked, or the grant is over, or it is paused.
    """

    def __init__(self, shared: Shared, grant_id: str) -> None:
        identity = (shared.slug, shared.issuer, shared.client, shared.now)
        transport = shared.transport.sibling()
        self._auth = GrantAuth(transport, shared.records, *identity, grant_id=grant_id)
        book, platform, now, kept = shared.book, shared.platform, shared.now, shared.retention
        self._reader = Reader(self._auth, shared.records, book, shared.intake, platform, now, kept, only=grant_id)
        look = self._look_again
        self._looks = Looks(self._auth, look, shared.records, book, platform, now, kept, only=grant_id)
        self._acts = Acts(self._auth, look, shared.records, shared.engine, book, platform, now, only=grant_id)
        self._changes = Changes(self._reader, shared.poll)

    def __repr__(self) -> str:
        return f"GrantSession({self.grant_id})"

    @property
    def grant_id(self) -> str:
        """The grant."""
        return self._auth.grant_id

    def use(self, access_token: str, until: int) -> None:
        """Go on with an access token that was given for this grant, good until a time (ms)."""
        self._auth.use(access_token, until)

    async def details(self) -> dict[str, Any] | None:
        """What the grant gives now, as `authorization_details` say it; None while it gives nothing."""
        answer = await self._auth.call("GET", path("/oauth/grants/{}", self.grant_id))
        found = answer.get("authorization_details") or [None]
        return None if found[0] is None else dict(found[0])

    async def rooms(self) -> list[GrantedRoom]:
        """The rooms in which something may be read under the grant."""
        return await self._reader.rooms()

    async def messages(self, room_id: str, purpose: str, *, since: str | None = None, limit: int = 100) -> Page:
        """The author's messages in a room; see `Partner.messages`."""
        return await self._reader.messages(room_id, purpose, since, limit)

    def changes(
        self, purpose: str, *, state: str | None = None, timeout_ms: int | None = None, limit: int = MAX_MESSAGES
    ) -> AsyncGenerator[Change, None]:
        """Everything new under the grant; see `Partner.changes`. It is a stream of its own beside the partner's."""
        return self._changes.follow(purpose, state, timeout_ms, limit)

    async def download(self, message: Message, purpose: str) -> bytes:
        """The file of a message; see `Partner.download`."""
        return await self._looks.download(message, purpose)

    async def metadata(self, purpose: str) -> list[Conversation]:
        """The author's conversations; see `Partner.metadata`."""
        return await self._looks.metadata(self.grant_id, purpose)

    async def friends(self, purpose: str) -> list[str]:
        """Codes of the author's friends; see `Partner.friends`."""
        return await self._looks.friends(self.grant_id, purpose)

    async def draft(self, room_id: str, content: str | Mapping[str, Any], *, expires: int | None = None) -> str:
        """Leave a draft for the author; see `Partner.draft`."""
        return (await self._acts.leave(self.grant_id, room_id, content, expires)).draft_id

    async def draft_status(self, draft_id: str) -> DraftStatus:
        """What has become of a draft under the grant."""
        return self._own(await self._acts.status(draft_id))

    async def withdraw(self, draft_id: str) -> DraftStatus:
        """Take a draft back; see `Partner.withdraw`."""
        return self._own(await self._acts.withdraw(draft_id))

    async def delete(self, room_id: str, event_id: str, purpose: str, *, reason: str | None = None) -> LedgerEntry:
        """Delete a message of the author's; see `Partner.delete`."""
        return await self._acts.delete(room_id, event_id, purpose, reason)

    async def give_back(self) -> None:
        """Have the platform forget this session's tokens; the grant stays, and the partner as a whole still has it."""
        await self._auth.give_back()

    async def give_up(self) -> None:
        """Give the grant itself up, for good: the person's record says that the partner did."""
        await self._auth.delete(path("/oauth/grants/{}", self.grant_id))

    async def close(self) -> None:
        """Note what was handed out of the stream; the connections are the partner's."""
        await self._changes.close()

    async def _look_again(self, grant_id: str) -> list[str]:
        return await self._reader.grants(grant_id=grant_id)

    def _own(self, status: DraftStatus) -> DraftStatus:
        if status.grant_id != self.grant_id:
            raise DraftError(f"the platform answered about a draft under {status.grant_id}")
        return status
