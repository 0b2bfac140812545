"""What a client must be able to do for these tests, and a conversation between two of them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 10.0
"""Seconds until something that must happen is taken not to happen."""
POLL_MS = 1000
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Received:
    """A message as its reader's client decrypted it."""

    room_id: str
    event_id: str
    sender: str
    body: str


class Party(ABC):
    """One person's client; `step` fills the four collections from one sync.

    `unopened` holds the ids of encrypted events that came without a key to open them.
    """

    user_id: str
    device_id: str

    def __init__(self) -> None:
        self.invited: set[str] = set()
        self.members: defaultdict[str, set[str]] = defaultdict(set)
        self.received: dict[str, Received] = {}
        self.unopened: set[str] = set()

    @abstractmethod
    async def create_room(self, invite: list[str]) -> str:
        """Create a private encrypted room; returns its id."""

    @abstractmethod
    async def join(self, room_id: str) -> None:
        """Accept an invitation."""

    @abstractmethod
    async def send(self, room_id: str, body: str) -> str:
        """Encrypt and send a text; returns the event's id."""

    @abstractmethod
    async def step(self, timeout_ms: int) -> None:
        """One sync, waiting so long at most, and whatever the client wants to send after it."""

    async def until(self, reached: Callable[[], bool], what: str) -> None:
        """Sync until `reached()`; AssertionError naming `what` if that takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < deadline, f"{self.user_id} waited {PATIENCE} s in vain for {what}"
            await self.step(POLL_MS)

    async def cannot_read(self, event_id: str) -> None:
        """Sync until this event came, and make sure that no key came with it (keys are sent before messages)."""
        await self.until(lambda: event_id in {*self.unopened, *self.received}, f"the event {event_id}")
        assert event_id not in self.received, f"{self.user_id} {self.device_id} read what it should not"

    async def read(self, room_id: str, event_id: str) -> Received:
        """Sync until this message is decrypted, and return it."""
        await self.until(lambda: event_id in self.received, f"the text of {event_id} in {room_id}")
        return self.received[event_id]


async def meet(host: Party, guest: Party) -> str:
    """The host opens a private encrypted room and invites; the guest joins; both know of it."""
    room_id = await host.create_room([guest.user_id])
    await guest.until(lambda: room_id in guest.invited, f"the invitation to {room_id}")
    await guest.join(room_id)
    both = {host.user_id, guest.user_id}
    for party in (guest, host):
        await party.until(lambda who=party: who.members[room_id] >= both, "both as members")  # type: ignore[misc]
    return room_id


async def tell(author: Party, reader: Party, room_id: str, body: str) -> None:
    """The author sends a text; the reader decrypts exactly that, by that author."""
    event_id = await author.send(room_id, body)
    assert await reader.read(room_id, event_id) == Received(room_id, event_id, author.user_id, body)


async def converse(one: Party, other: Party) -> str:
    """A room, and a few texts in both directions, more than one in a row; returns the room's id."""
    room_id = await meet(one, other)
    for turn in range(2):
        await tell(one, other, room_id, f"Have you seen the film of {1940 + turn}?")
        await tell(one, other, room_id, "The one in black and white, I mean.")
        await tell(other, one, room_id, f"Twice already. Zażółć gęślą jaźń {turn} 🎬")
    return room_id
