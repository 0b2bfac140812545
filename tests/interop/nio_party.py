"""matrix-nio, driven one sync at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nio import (
    AsyncClient,
    AsyncClientConfig,
    EnableEncryptionBuilder,
    EncryptionError,
    JoinResponse,
    LoginResponse,
    MegolmEvent,
    RegisterResponse,
    RoomCreateResponse,
    RoomMessageText,
    RoomPreset,
    RoomSendResponse,
    SyncResponse,
)

from tests.interop.party import PASSWORD, Party, Received


class NioParty(Party):
    """A client that knows no cross-signing: it trusts devices as it meets them."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__()
        self.client = client
        self.user_id, self.device_id = client.user_id, client.device_id
        self._undecrypted: list[tuple[str, MegolmEvent]] = []

    @classmethod
    async def sign_up(cls, url: str, name: str, store: Path) -> NioParty:
        """Register a new account."""
        client = cls._client(url, name, store)
        expect(await client.register(name, PASSWORD), RegisterResponse)
        return await cls._begin(client)

    @classmethod
    async def log_in(cls, url: str, name: str, store: Path) -> NioParty:
        """Log in to an account that exists, as a new device."""
        client = cls._client(url, name, store)
        expect(await client.login(PASSWORD), LoginResponse)
        return await cls._begin(client)

    @staticmethod
    def _client(url: str, name: str, store: Path) -> AsyncClient:
        store.mkdir(parents=True, exist_ok=True)
        settings = AsyncClientConfig(encryption_enabled=True, max_timeouts=1, max_limit_exceeded=0)
        return AsyncClient(url, name, store_path=str(store), config=settings)

    @classmethod
    async def _begin(cls, client: AsyncClient) -> NioParty:
        party = cls(client)
        await party.step(0)
        return party

    async def create_room(self, invite: list[str]) -> str:
        answer = await self.client.room_create(
            preset=RoomPreset.private_chat,
            is_direct=True,
            invite=invite,
            initial_state=[EnableEncryptionBuilder().as_dict()],
        )
        return str(expect(answer, RoomCreateResponse).room_id)

    async def join(self, room_id: str) -> None:
        expect(await self.client.join(room_id), JoinResponse)

    async def send(self, room_id: str, body: str) -> str:
        content = {"msgtype": "m.text", "body": body}
        answer = await self.client.room_send(room_id, "m.room.message", content, ignore_unverified_devices=True)
        return str(expect(answer, RoomSendResponse).event_id)

    async def step(self, timeout_ms: int) -> None:
        answer = expect(await self.client.sync(timeout=timeout_ms), SyncResponse)
        await self._housekeeping()
        self.invited |= set(answer.rooms.invite)
        for room_id, room in self.client.rooms.items():
            self.members[room_id] = {name for name in room.users if not room.users[name].invited}
        for room_id, info in answer.rooms.join.items():
            for event in info.timeline.events:
                self._take(room_id, event)
        waiting, self._undecrypted = self._undecrypted, []
        for room_id, event in waiting:
            self._retry(room_id, event)
        self.unopened = {event.event_id for _, event in self._undecrypted}

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def _housekeeping(self) -> None:
        """What nio's own endless loop does after each sync."""
        await self.client.send_to_device_messages()
        if self.client.should_upload_keys:
            await self.client.keys_upload()
        if self.client.should_query_keys:
            await self.client.keys_query()
        if self.client.should_claim_keys:
            await self.client.keys_claim(self.client.get_users_for_key_claiming())

    def _take(self, room_id: str, event: Any) -> None:
        if isinstance(event, RoomMessageText) and event.decrypted:
            self.received[event.event_id] = Received(room_id, event.event_id, event.sender, event.body)
        elif isinstance(event, MegolmEvent):
            self._undecrypted.append((room_id, event))

    def _retry(self, room_id: str, event: MegolmEvent) -> None:
        try:
            self._take(room_id, self.client.decrypt_event(event))
        except EncryptionError:
            self._undecrypted.append((room_id, event))


def expect(answer: Any, kind: type) -> Any:
    """nio returns errors instead of raising them; AssertionError unless the answer is of this kind."""
    assert isinstance(answer, kind), f"expected {kind.__name__}, got {answer!r}"
    return answer
