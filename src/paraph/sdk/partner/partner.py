"""`Partner`: a partner's side of the Inbox API, from its keys to messages it was allowed to open."""

import asyncio
import logging
import os
import secrets as randomness
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc.jwk import OKPKey

from paraph.protocol.base64 import b64, unb64
from paraph.protocol.identifiers import partner_user_id
from paraph.protocol.signing import SigningKey, sign
from paraph.sdk.clock import system_time
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import SyncPart
from paraph.sdk.errors import SdkError
from paraph.sdk.keystore import MemoryStore, Records, Store
from paraph.sdk.log.partners import Trust
from paraph.sdk.log.promises import ReceiptNews, filed
from paraph.sdk.log.receipts import LedgerEntry
from paraph.sdk.partner import stream_records
from paraph.sdk.partner.auth import PartnerAuth, keep_tokens
from paraph.sdk.partner.change_items import NOT_GRANTED, OPEN, Change
from paraph.sdk.partner.changes import MAX_MESSAGES, Changes
from paraph.sdk.partner.client_assertion import new_client_key
from paraph.sdk.partner.device import OwnDevice
from paraph.sdk.partner.drafts import Acts, DraftStatus
from paraph.sdk.partner.flow import Asking, Granted, PartnerFlow
from paraph.sdk.partner.inbox import MAX_SKEW_MS, GrantBook, HeldGrant
from paraph.sdk.partner.intake import Intake
from paraph.sdk.partner.looks import Conversation, Looks
from paraph.sdk.partner.outbox import Outbox, drop_events
from paraph.sdk.partner.platform_log import PlatformLog
from paraph.sdk.partner.reading import GrantedRoom, Page, Reader
from paraph.sdk.partner.retention import Forget, Retention
from paraph.sdk.partner.session import GrantSession, Shared
from paraph.sdk.partner.webhooks import Webhooks
from paraph.sdk.rooms import Message, opened_message
from paraph.sdk.transport import Transport

log = logging.getLogger(__name__)

TABLE = "partner"
SINCE = "key-events"
GRANT_KEY_EVENT = "org.paraph.grant_key"


class PartnerRecord(msgspec.Struct, frozen=True):
    """A partner's own keys: master seed (base64), OAuth client key (private JWK), and where it connects."""

    base_url: str
    issuer: str
    slug: str
    server_name: str
    master_seed: str
    client_jwk: dict[str, str]

    def __repr__(self) -> str:
        return f"PartnerRecord({self.slug}, {self.base_url})"


@dataclass(frozen=True, slots=True)
class KeyNews:
    """What key events brought: grants whose key came, and messages that can be opened only now.

    `refused` are the ids of messages that stay closed, because the grant key that came shows their access entry to
    stand under another label than the grant's: its author would never find it.
    """

    grant_keys: tuple[str, ...] = ()
    late: tuple[Message, ...] = ()
    refused: tuple[str, ...] = ()


class Partner:
    """One device of a partner. Make it with `create` or `open`; `close` it at the end.

    Methods raise ProblemError for what the platform refuses and TransportError when it cannot be reached.
    """

    def __init__(
        self,
        transport: Transport,
        records: Records,
        *,
        trust: Trust | None = None,
        now: Callable[[], int] = system_time,
    ) -> None:
        """Load the partner that the records hold; use the class methods instead."""
        record = records.get(TABLE, "self", PartnerRecord)
        if record is None:
            raise SdkError("the store holds no partner")
        self._record = record
        self._transport = transport
        self._records = records
        self._now = now
        self._master = SigningKey.from_seed(unb64(record.master_seed, 32))
        self._client = OKPKey.import_key(dict(record.client_jwk))
        self.auth = PartnerAuth(transport, records, record.slug, record.issuer, self._client, now)
        self._flow = PartnerFlow(self.auth, record.slug)
        self.engine = DeviceEngine(records, os.urandom)
        self._book = GrantBook(records, self.engine, record.slug)
        self._platform = PlatformLog(transport, records, trust, now)
        self._retention = Retention(self.auth, records, self.engine, self._book, self._platform, now)
        self._retention.droppers += [stream_records.drop_events, drop_events, self._drop_waiting]
        self._intake = Intake(self.engine, self._book, self._retention)
        self.webhooks = Webhooks(transport, self.auth, record.slug, self._client, now)
        self._looks = Looks(self.auth, self.grants, records, self._book, self._platform, now, self._retention)
        self._reader = Reader(self.auth, records, self._book, self._intake, self._platform, now, self._retention)
        self._changes = Changes(self._reader, self.poll)
        self._polling = asyncio.Lock()
        self._acts = Acts(self.auth, self.grants, records, self.engine, self._book, self._platform, now)
        self._device = OwnDevice(self.auth, records, self.engine, self.slug, self.sign_document, now)
        self._sessions: dict[str, GrantSession] = {}

    def __repr__(self) -> str:
        return f"Partner({self.slug}, {self.device_id})"

    # Identity

    @classmethod
    def create(
        cls,
        base_url: str,
        slug: str,
        server_name: str,
        *,
        store: Store | None = None,
        master_seed: bytes | None = None,
        client_jwk: Mapping[str, str] | None = None,
        issuer: str | None = None,
        trust: Trust | None = None,
        now: Callable[[], int] = system_time,
        transport: Transport | None = None,
    ) -> "Partner":
        """Make a partner's keys (those not given) and a device. `issuer` is the authorization server's, by default
        `base_url`. What `trust` does not say about the platform is pinned at first use.
        """
        transport = transport or Transport(base_url)
        records = Records(store or MemoryStore())
        jwk = dict(client_jwk) if client_jwk is not None else new_client_key()
        seed = b64(master_seed or os.urandom(32))
        url = transport.base_url
        with records.step():
            records.put(TABLE, "self", PartnerRecord(url, issuer or url, slug, server_name, seed, jwk))
            user_id = partner_user_id(slug, server_name)
            DeviceEngine.create(records, user_id, randomness.token_hex(5).upper(), random=os.urandom)
        return cls(transport, records, trust=trust, now=now)

    @classmethod
    def open(
        cls,
        store: Store,
        *,
        trust: Trust | None = None,
        now: Callable[[], int] = system_time,
        transport: Transport | None = None,
    ) -> "Partner":
        """Go on with the partner in the store."""
        records = Records(store)
        record = records.get(TABLE, "self", PartnerRecord)
        if record is None:
            raise SdkError("the store holds no partner")
        return cls(transport or Transport(record.base_url), records, trust=trust, now=now)

    async def close(self) -> None:
        """Release connections and store."""
        for session in self._sessions.values():
            await session.close()
        await self._changes.close()
        await self._transport.close()
        self._records.close()

    @property
    def slug(self) -> str:
        """The partner's slug."""
        return self._record.slug

    @property
    def user_id(self) -> str:
        """The partner's address."""
        return self.engine.user_id

    @property
    def device_id(self) -> str:
        """The id of this device."""
        return self.engine.device_id

    @property
    def master_key(self) -> str:
        """The public master key, base64: what the operator registers and the agreement names."""
        return self._master.public_key

    @property
    def client_jwk(self) -> dict[str, Any]:
        """The public OAuth client key."""
        return dict(self._client.as_dict(private=False))

    def sign_document(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of an agreement or ending, signed by the partner's master key."""
        return sign(document, self.user_id, self._master.key_id, self._master.sign)

    # Devices and keys

    async def publish_device(self, days: int = 90) -> dict[str, Any]:
        """Publish this device as a public record and put its one-time keys up; returns the record."""
        return await self._device.publish(days)

    async def end_device(self, reason: str | None = None) -> dict[str, Any]:
        """End this device for good; returns the record."""
        return await self._device.end(reason)

    async def upkeep(self) -> None:
        """Keep one-time keys and a fallback key on the platform: now and then, and after new grants."""
        await self._device.upkeep()

    async def poll(self, timeout_ms: int = 0, limit: int = 100) -> KeyNews:
        """Take in key events, waiting up to `timeout_ms` for some; then look whether what receipts promise was kept."""
        await self._retention.run()
        async with self._polling:  # an Olm message opens once
            return await self._poll(timeout_ms, limit)

    async def _poll(self, timeout_ms: int, limit: int) -> KeyNews:
        params: dict[str, str | int] = {"device_id": self.device_id, "limit": limit, "timeout": timeout_ms}
        since = self._records.get(SINCE, "since", str)
        if since is not None:
            params["since"] = since
        answer = await self.auth.call("GET", "/inbox/v1/key-events", params=params, wait_ms=timeout_ms)
        events = [
            {"sender": e["sender"], "type": "m.room.encrypted", "content": e["content"]} for e in answer["events"]
        ]
        for person in self._book.strangers(events):
            # Whose devices these are must be known before what they sent is opened: it opens once.
            await self._reader.grants(person=person)
        with self._records.step():
            received = self.engine.receive(SyncPart(to_device=tuple(events)), self._now())
            keys = [self._book.take_key(e) for e in received.events if e.type == GRANT_KEY_EVENT]
            if answer.get("next") is not None:
                self._records.put(SINCE, "since", str(answer["next"]))
            known = tuple(key for key in keys if key is not None)
            released, refused = self._intake.release(known)
            for opened in received.late:
                self._changes.came(opened.event, OPEN if opened.sender_verified else NOT_GRANTED)
            for event, message in released:
                if message.undecryptable is None:
                    self._changes.came(event, OPEN)
            for event in refused:
                self._changes.came(event, NOT_GRANTED)
        late = [opened_message(o, o.room_id) for o in received.late if o.sender_verified]
        late += [message for _, message in released if message.undecryptable is None]
        await self._prove_quietly()
        return KeyNews(known, tuple(late), tuple(str(event.get("event_id")) for event in refused))

    # Asking

    async def ask(self, details: Mapping[str, Any], redirect_uri: str) -> Asking:
        """Ask a person for something: send her browser to the `url` of what this returns; see `PartnerFlow.ask`."""
        return await self._flow.ask(details, redirect_uri)

    async def redeem(self, asking: Asking, address: str) -> Granted:
        """What she granted, for the address at which her browser came back; see `PartnerFlow.redeem`.

        Its tokens are kept in the store, for `with_grant`.
        """
        granted = await self._flow.redeem(asking, address)
        keep_tokens(self._records, granted.grant_id, granted.refresh_token)
        self.with_grant(granted.grant_id).use(granted.access_token, self._now() + 1000 * granted.expires_in)
        return granted

    def with_grant(self, grant_id: str) -> GrantSession:
        """Act under one person's grant, with the tokens that `redeem` brought and none of the partner's own."""
        if grant_id not in self._sessions:
            self._sessions[grant_id] = GrantSession(self._shared(), grant_id)
        return self._sessions[grant_id]

    # Reading

    async def grants(self, grant_id: str | None = None) -> list[str]:
        """The ids of the live grants that verify against their authors' pinned identities; others are left out.

        With `grant_id`, that one alone is asked for.
        """
        return await self._reader.grants(grant_id=grant_id)

    def held_grant(self, grant_id: str) -> HeldGrant | None:
        """What is known of a grant that was shown and verified, whatever has become of it."""
        return self._book.held(grant_id)

    async def rooms(self) -> list[GrantedRoom]:
        """The rooms in which something may be read."""
        return await self._reader.rooms()

    async def messages(self, room_id: str, purpose: str, *, since: str | None = None, limit: int = 100) -> Page:
        """Messages by granting authors, oldest first from `since`, opened as far as keys were given.

        The data are refused with ReceiptError, and nothing of them is kept, unless the answer carries a fitting access
        entry with its receipt for each author, under a log that a quorum of witnesses cosigned in the last ten minutes.
        """
        return await self._reader.messages(room_id, purpose, since, limit)

    def changes(
        self, purpose: str, *, state: str | None = None, timeout_ms: int | None = None, limit: int = MAX_MESSAGES
    ) -> AsyncGenerator[Change, None]:
        """Everything new under all grants, for a purpose, in the order in which it happened; goes on from the store.

        Ends when nothing came for `timeout_ms` (0: what is there now; None: never). Each message comes once open, as
        soon as it opens, and before that once closed, if its key is late. Receipts are checked as in `messages`; an
        answer that does not check raises ReceiptError, and is asked for again another time. One iteration of a purpose
        runs at a time: a new one takes the place of the one before. `state` begins anew behind an older state of the
        stream. After a kill, the items of the last answer may come again; each message names its event.
        """
        return self._changes.follow(purpose, state, timeout_ms, limit)

    def outbox(self, purpose: str) -> Outbox:
        """The stream of a purpose, kept as JSON in the store until acknowledged: for programs in other processes."""
        return Outbox(self._records, self._changes, purpose)

    # Looking

    async def download(self, message: Message, purpose: str) -> bytes:
        """The file that an author attached to a message that was opened, under `read:attachments`.

        Raises MediaError where these are not the bytes she sent; ProblemError, ReceiptError.
        """
        return await self._looks.download(message, purpose)

    async def metadata(self, grant_id: str, purpose: str) -> list[Conversation]:
        """An author's conversations that a grant covers: when they happen, and codes of who else is in them."""
        return await self._looks.metadata(grant_id, purpose)

    async def friends(self, grant_id: str, purpose: str) -> list[str]:
        """Codes of an author's friends who accepted to be listed. They are this partner's alone."""
        return await self._looks.friends(grant_id, purpose)

    # Writing

    async def draft(
        self, grant_id: str, room_id: str, content: str | Mapping[str, Any], *, expires: int | None = None
    ) -> str:
        """Leave a draft for the grant's author, a text or a whole message content; returns its id.

        One of her devices sends it as hers, or she declines: `draft_status`. It waits until `expires` (milliseconds, at
        most 30 days ahead, by default a week). Raises DraftError, ProblemError, ReceiptError.
        """
        return (await self._acts.leave(grant_id, room_id, content, expires)).draft_id

    async def draft_status(self, draft_id: str) -> DraftStatus:
        """What has become of a draft."""
        return await self._acts.status(draft_id)

    async def withdraw(self, draft_id: str) -> DraftStatus:
        """Take a draft back that waits; ProblemError `draft-claimed` while a device is sealing it."""
        return await self._acts.withdraw(draft_id)

    async def delete(self, room_id: str, event_id: str, purpose: str, *, reason: str | None = None) -> LedgerEntry:
        """Delete a message of an author who let it, in her name; returns the entry, where she finds the reason.

        Files that it referred to stay on the platform, without their keys. Raises ProblemError, ReceiptError.
        """
        return await self._acts.delete(room_id, event_id, purpose, reason)

    def on_due(self, forget: Forget) -> None:
        """Have the program's own copies deleted by `forget` when their time is over, before that is confirmed."""
        self._retention.forget = forget

    async def dispose(self) -> None:
        """Delete what may be kept no longer, and confirm it. Reading and following do this by themselves, in time."""
        await self._retention.run(at_once=True)

    # Receipts

    async def prove_receipts(self) -> ReceiptNews:
        """Look whether the log holds what the platform's receipts promise, a bounded number of them at a time.

        Receipts whose leaves are proven to be in the log are dropped; those of promises that are proven to be broken
        become evidence files. `poll` does this as well. Raises SdkError when the log cannot be relied upon now.
        """
        with self._records.step():
            self._book.forget(self._now() - 10 * MAX_SKEW_MS)
        return await self._platform.prove()

    def evidence(self) -> list[bytes]:
        """An evidence file for each promise that the platform broke, for `paraph log check` and whoever it concerns."""
        return filed(self._records)

    # Inside

    def _drop_waiting(self, _records: Records, event_ids: Collection[str]) -> None:
        self.engine.drop_waiting(event_ids)

    def _shared(self) -> Shared:
        return Shared(
            self._transport,
            self._records,
            self.slug,
            self._record.issuer,
            self._client,
            self.engine,
            self._book,
            self._intake,
            self._platform,
            self._retention,
            self.poll,
            self._now,
        )

    async def _prove_quietly(self) -> None:
        try:
            await self.prove_receipts()
        except SdkError as error:
            log.warning("the log cannot be asked about receipts now: %s", error)
