"""`paraph.sdk.Person`, driven one sync at a time."""

from __future__ import annotations

from paraph.sdk.person.person import Person
from paraph.sdk.rooms import Message
from tests.interop.party import PASSWORD, Party, Received


class PersonParty(Party):
    """Paraph's own client: keys go to owner-signed devices, or to the first ones of people without identity.

    `verified` holds the ids of messages that it could attribute to an owner-signed device.
    """

    def __init__(self, person: Person) -> None:
        super().__init__()
        self.person = person
        self.user_id, self.device_id = person.user_id, person.device_id
        self.verified: set[str] = set()

    @classmethod
    async def sign_up(cls, url: str, name: str) -> PersonParty:
        """Register a new account."""
        party = cls(await Person.register(url, name, PASSWORD))
        await party.step(0)
        return party

    @classmethod
    async def log_in(cls, url: str, name: str) -> PersonParty:
        """Log in to an account that exists, as a new device that holds nothing yet."""
        party = cls(await Person.login(url, name, PASSWORD))
        await party.step(0)
        return party

    async def create_room(self, invite: list[str]) -> str:
        return await self.person.create_room(invite)

    async def join(self, room_id: str) -> None:
        await self.person.join(room_id)

    async def send(self, room_id: str, body: str) -> str:
        return await self.person.send_text(room_id, body)

    async def step(self, timeout_ms: int) -> None:
        update = await self.person.sync(timeout_ms)
        self.invited |= set(update.invites)
        for room in self.person.rooms.all():
            self.members[room.room_id] = {user for user, state in room.members.items() if state == "join"}
        for message in (*update.messages, *update.late):
            self._take(message)

    async def close(self) -> None:
        """Close connections and store."""
        await self.person.close()

    def _take(self, message: Message) -> None:
        if message.undecryptable is not None:
            self.unopened.add(message.event_id)
        elif message.encrypted and message.body is not None:
            self.unopened.discard(message.event_id)
            self.received[message.event_id] = Received(message.room_id, message.event_id, message.sender, message.body)
            if message.verified:
                self.verified.add(message.event_id)
