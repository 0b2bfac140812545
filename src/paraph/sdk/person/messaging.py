"""A logged-in device among its rooms: reading, writing, and who is trusted with the keys."""

import asyncio
import logging
import secrets as randomness
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paraph.protocol.draft import VIA
from paraph.protocol.identifiers import is_partner
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import MEGOLM, GrantView, PartnerAccess, RoomSettings, SyncPart
from paraph.sdk.errors import DecryptionError, MatrixError, SdkError, SharingNeededError
from paraph.sdk.keystore import Records
from paraph.sdk.person.consent import Consent
from paraph.sdk.person.drafts import Drafts
from paraph.sdk.person.driver import Driver
from paraph.sdk.person.verifying import Verifying
from paraph.sdk.rooms import Message, Room, Rooms, closed_message, opened_message, plain_message
from paraph.sdk.transport import CLIENT, Json, Transport, path

log = logging.getLogger(__name__)

SYNC = "sync"
SEND_ATTEMPTS = 4
STALE = "ORG_PARAPH_STALE_GRANTS"


@dataclass(frozen=True, slots=True)
class SyncUpdate:
    """What a sync brought: messages in order, messages whose key came only now, and rooms the person is invited to."""

    messages: tuple[Message, ...] = ()
    late: tuple[Message, ...] = ()
    invites: tuple[str, ...] = ()


class Messenger:
    """Rooms of one device. All methods raise MatrixError and TransportError as they come."""

    def __init__(
        self,
        transport: Transport,
        records: Records,
        engine: DeviceEngine,
        driver: Driver,
        consent: Consent,
        now: Callable[[], int],
    ) -> None:
        """Put the parts together; `Person` does."""
        self._transport = transport
        self._records = records
        self._now = now
        self._driver = driver
        self._consent = consent
        self.engine = engine
        self.rooms = Rooms(records, engine.user_id)
        self.drafts = Drafts(transport, records, engine, consent, self.send, self._is_in, now)
        self.verifying = Verifying(records, engine, driver, self._say, now)
        self._sending: dict[str, asyncio.Lock] = {}
        self._looked_at: dict[str, tuple[int, int]] = {}
        self._syncing = asyncio.Lock()
        self._history_due = True

    @property
    def user_id(self) -> str:
        """Whose device this is."""
        return self.engine.user_id

    @property
    def device_id(self) -> str:
        """The device's id."""
        return self.engine.device_id

    # Reading

    async def sync(self, timeout_ms: int = 0) -> SyncUpdate:
        """Take in what is new, waiting up to `timeout_ms` for something, and send what the device engine then wants."""
        async with self._syncing:
            params: dict[str, str | int] = {"timeout": timeout_ms}
            since = self._records.get(SYNC, "token", str)
            if since is not None:
                params["since"] = since
            answer = await self._transport.json("GET", CLIENT + "/sync", params=params, wait_ms=timeout_ms)
            with self._records.step():
                update = self._take_in(answer)
                self.verifying.hear((*update.messages, *update.late))
                self._records.put(SYNC, "token", answer["next_batch"])
            await self._driver.drain()
        await self.verifying.send_notes()
        self.verifying.wake()
        self._note_sealed((*update.messages, *update.late))
        await self.drafts.follow()
        if self._history_due:
            await self._share_history_quietly()
        return update

    async def messages(self, room_id: str, limit: int = 100) -> list[Message]:
        """The newest messages of a room, oldest first, opened as far as this device has the keys."""
        params: dict[str, str | int] = {"dir": "b", "limit": limit}
        url = path(CLIENT + "/rooms/{}/messages", room_id)
        answer = await self._transport.json("GET", url, params=params)
        events = [event for event in reversed(answer.get("chunk", [])) if "state_key" not in event]
        with self._records.step():
            return [self._read(event, room_id) for event in events]

    # Rooms

    async def create_room(self, invite: Sequence[str] = (), name: str = "", *, encrypted: bool = True) -> str:
        """Make a private room (encrypted unless told otherwise) and invite people; returns its id."""
        state = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": MEGOLM}}
        body: Json = {"preset": "trusted_private_chat", "invite": list(invite), "visibility": "private"}
        if name:
            body["name"] = name
        if encrypted:
            body["initial_state"] = [state]
        answer = await self._transport.json("POST", CLIENT + "/createRoom", body)
        room_id = str(answer["room_id"])
        await self.load_room(room_id)
        return room_id

    async def join(self, room_id: str) -> None:
        """Join a room."""
        await self._transport.json("POST", path(CLIENT + "/join/{}", room_id), {}, idempotent=True)
        await self.load_room(room_id)

    async def leave(self, room_id: str) -> None:
        """Leave a room, or decline an invitation."""
        await self._transport.json("POST", path(CLIENT + "/rooms/{}/leave", room_id), {}, idempotent=True)
        with self._records.step():
            self.rooms.apply(room_id, (), membership="leave")

    async def invite(self, room_id: str, user_id: str) -> None:
        """Invite someone; they get the keys of what is said from then on."""
        await self._transport.json("POST", path(CLIENT + "/rooms/{}/invite", room_id), {"user_id": user_id})
        await self.load_room(room_id)

    async def close_room(self, room_id: str, *, closed: bool = True) -> None:
        """Close a room to everyone's partners, or take one's own closing back."""
        url = path(CLIENT + "/rooms/{}/state/org.paraph.closed/{}", room_id, self.user_id)
        await self._transport.json("PUT", url, {"closed": closed})
        await self.load_room(room_id)

    async def load_room(self, room_id: str) -> Room:
        """Fetch the whole state of a room."""
        before = None
        while before != self.rooms.applied(room_id):
            # What a sync brings meanwhile may be newer than the answer, which then must not replace it.
            before = self.rooms.applied(room_id)
            state = await self._transport.array(path(CLIENT + "/rooms/{}/state", room_id))
        with self._records.step():
            room = self.rooms.load(room_id, state)
            self.engine.users.track(room.present)
        await self._driver.drain()
        return room

    # Writing

    async def send_text(self, room_id: str, body: str, *, txn_id: str | None = None) -> str:
        """Send a text message; returns its event id."""
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": body}, txn_id=txn_id)

    async def send(
        self,
        room_id: str,
        event_type: str,
        content: Json,
        *,
        txn_id: str | None = None,
        encrypted: bool = True,
        via: Json | None = None,
    ) -> str:
        """Send a message event, by default encrypted for exactly the devices that may read it; returns its event id.

        The same `txn_id` again is the same event. `encrypted=False` sends in clear, where the room allows that. `via`
        is said in clear of a draft that is sealed (`Drafts.seal`).
        """
        txn_id = txn_id or randomness.token_hex(16)
        if not encrypted:
            return await self._put_event(room_id, event_type, content, txn_id)
        room = self.rooms.get(room_id) or await self.load_room(room_id)
        if not room.encrypted and not (await self.load_room(room_id)).encrypted:
            raise SdkError(f"room {room_id} is not encrypted; say encrypted=False to send in clear")
        async with self._sending.setdefault(room_id, asyncio.Lock()):
            return await self._send_encrypted(room_id, event_type, content, txn_id, via)

    async def _say(self, room_id: str, event_type: str, content: Json, txn_id: str) -> str:
        """Send to a room as it is: encrypted, or in clear where nothing is encrypted."""
        room = self.rooms.get(room_id) or await self.load_room(room_id)
        return await self.send(room_id, event_type, content, txn_id=txn_id, encrypted=room.encrypted)

    async def redact(self, room_id: str, event_id: str, reason: str | None = None) -> str:
        """Take a message's content back, as far as the server and obliging clients can; returns the redaction's id."""
        url = path(CLIENT + "/rooms/{}/redact/{}/{}", room_id, event_id, randomness.token_hex(16))
        answer = await self._transport.json("PUT", url, {} if reason is None else {"reason": reason})
        return str(answer["event_id"])

    async def share_history(self) -> None:
        """Give partners the keys of this device's own older words, as far back as grants say. Each sync sees to it."""
        _, view = await self._consent.fresh_view()
        if view is None:
            return
        lacking = [(access, self.engine.history.rooms(access)) for access in view.partners if access.reads]
        for access, rooms in lacking:
            if rooms:
                await self._share_history(view, access, rooms)
        # Whoever could not be reached, and a room that is closed today, has its turn with a later sync.
        self._history_due = any(rooms and self.engine.history.rooms(access) for access, rooms in lacking)

    async def _share_history_quietly(self) -> None:
        """What fails is tried again with the next sync: what a sync or a grant brought must not be lost by it."""
        self._history_due = True
        try:
            await self.share_history()
        except SdkError as error:
            log.warning("older keys cannot be shared now: %s", error)

    async def _share_history(self, view: GrantView, access: PartnerAccess, rooms: set[str]) -> None:
        open_rooms = [room_id for room_id in sorted(rooms) if not (await self._settings(room_id, view)).closed]
        await self._driver.claim(access.devices)
        with self._records.step():
            self.engine.history.share(view, access, open_rooms, self._now())
        refused = self._driver.refused_shares
        await self._driver.drain()
        if self._driver.refused_shares != refused:
            self._consent.forget_view()
            with self._records.step():
                self.engine.history.unshare(access)

    # Trust

    def blocked_users(self) -> list[str]:
        """Users whose identity is not the pinned one; they get no keys until `accept_identity`."""
        return [user.user_id for user in self.engine.users.all() if user.blocked]

    async def accept_identity(self, user_id: str) -> None:
        """Pin the identity that a blocked user shows now. Ask the person by other means first."""
        with self._records.step():
            self.engine.users.accept_identity(user_id)
        await self._driver.drain()

    async def accept_device(self, user_id: str, device_id: str) -> None:
        """Let a later device of a user without identity receive keys."""
        with self._records.step():
            self.engine.users.accept_device(user_id, device_id)

    # Inside

    def _take_in(self, answer: Json) -> SyncUpdate:
        lists, rooms = answer.get("device_lists") or {}, answer.get("rooms") or {}
        fallback = answer.get("device_unused_fallback_key_types")
        counts = answer.get("device_one_time_keys_count")
        part = SyncPart(
            to_device=tuple((answer.get("to_device") or {}).get("events", [])),
            changed=tuple(lists.get("changed", [])),
            left=tuple(lists.get("left", [])),
            one_time_keys=counts.get("signed_curve25519", 0) if isinstance(counts, dict) else None,
            fallback_unused=tuple(fallback) if isinstance(fallback, list) else None,
        )
        if any(is_partner(user) for user in part.changed):  # so a device is told of another grant, or partner's device
            self._consent.forget_view()
            self._history_due = True
        self.drafts.hear(list(part.to_device))
        received = self.engine.receive(part, self._now())
        messages = [
            message
            for membership in ("join", "leave")
            for room_id, section in (rooms.get(membership) or {}).items()
            for message in self._timeline(room_id, section, membership)
        ]
        for room_id, invited in (rooms.get("invite") or {}).items():
            self.rooms.apply(room_id, _events(invited, "invite_state"), membership="invite")
        late = (opened_message(opened, opened.room_id) for opened in received.late)
        return SyncUpdate(tuple(messages), tuple(late), tuple(rooms.get("invite") or {}))

    def _is_in(self, room_id: str) -> bool:
        room = self.rooms.get(room_id)
        return room is not None and room.membership == "join"

    def _note_sealed(self, messages: Sequence[Message]) -> None:
        """A draft that another device of this person has sealed is not sealed here, whatever the platform says."""
        for message in messages:
            if message.sender == self.user_id and message.via is not None and message.via.draft_id is not None:
                self.drafts.note_sealed(message.via.draft_id, message.event_id)

    def _timeline(self, room_id: str, section: Json, membership: str) -> list[Message]:
        timeline = _events(section, "timeline")
        room = self.rooms.apply(room_id, [*_events(section, "state"), *timeline], membership=membership)
        if room.encrypted and membership == "join":
            self.engine.users.track(room.present)
        return [self._read(event, room_id) for event in timeline if "state_key" not in event]

    def _read(self, event: Json, room_id: str) -> Message:
        if event.get("type") != "m.room.encrypted" or "redacted_because" in (event.get("unsigned") or {}):
            return plain_message(event, room_id)
        opened = self.engine.decrypt(event, room_id)
        if isinstance(opened, DecryptionError):
            return closed_message(event, room_id, opened)
        return opened_message(opened, room_id)

    async def _send_encrypted(self, room_id: str, event_type: str, content: Json, txn_id: str, via: Json | None) -> str:
        """Refresh the grant view, share, encrypt, send; again when the platform or the room has moved on meanwhile."""
        for _ in range(SEND_ATTEMPTS):
            version, view = await self._consent.fresh_view()
            settings = await self._settings(room_id, view)
            await self._share(settings, view)
            try:
                encrypted = self._encrypt(settings, view, event_type, content, version)
            except SharingNeededError:
                continue
            if via is not None:
                encrypted[VIA] = via
            try:
                return await self._put_event(room_id, "m.room.encrypted", encrypted, txn_id)
            except MatrixError as error:
                if error.errcode != STALE:
                    raise
                self._consent.forget_view()
        raise SharingNeededError(f"the recipients of {room_id} kept changing while a message was being sent")

    async def _settings(self, room_id: str, view: GrantView | None) -> RoomSettings:
        """The room, at least as new as the view where it covers the room.

        That a member closed it shows in the version at once, and in the room's state only with the next sync.
        """
        if view is not None and any(access.covers(room_id) for access in view.partners):
            while self._looked_at.get(room_id) != (at := (view.version, self.rooms.applied(room_id))):
                await self.load_room(room_id)
                self._looked_at[room_id] = at
        room = self.rooms.get(room_id)
        return RoomSettings(room_id, frozenset()) if room is None else room.settings

    async def _share(self, settings: RoomSettings, view: GrantView | None) -> None:
        with self._records.step():
            self.engine.users.track(settings.members)
        await self._driver.drain()
        recipients = self.engine.recipients(settings, view, self._now())
        await self._driver.claim(peer for peer, _ in recipients)
        with self._records.step():
            self.engine.share(settings, view, self._now())
        refused = self._driver.refused_shares
        await self._driver.drain()
        if self._driver.refused_shares != refused:
            self._consent.forget_view()

    def _encrypt(
        self, settings: RoomSettings, view: GrantView | None, event_type: str, content: Json, version: int | None
    ) -> Json:
        with self._records.step():
            return self.engine.encrypt(settings, view, event_type, content, now=self._now(), grants_version=version)

    async def _put_event(self, room_id: str, event_type: str, content: Json, txn_id: str) -> str:
        url = path(CLIENT + "/rooms/{}/send/{}/{}", room_id, event_type, txn_id)
        return str((await self._transport.json("PUT", url, content))["event_id"])


def _events(section: Json, name: str) -> list[Json]:
    events = (section.get(name) or {}).get("events", [])
    return [event for event in events if isinstance(event, dict)]
