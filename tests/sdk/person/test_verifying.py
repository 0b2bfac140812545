"""Two of Paraph's own devices compare emoji through a real server, and what a person's next device can do then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from paraph.sdk import Person, SdkError, Verification, VerificationError
from tests.sdk.person.test_person import PASSWORD
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow

WITHIN = 15.0


@contextlib.asynccontextmanager
async def together(*people: Person) -> AsyncIterator[None]:
    """All of them sync all the while, and end at the end."""

    async def follow(person: Person) -> None:
        while True:
            await person.sync(1000)

    tasks = [asyncio.create_task(follow(person)) for person in people]
    try:
        async with asyncio.timeout(WITHIN):
            yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for person in people:
            await person.close()


async def asked(person: Person) -> Verification:
    """The request that reached this device."""
    while not (found := [one for one in person.verifications() if one.incoming]):
        await person.verifying.moved()
    return found[0]


async def compare(mine: Verification, theirs: Verification) -> None:
    """Both see the same and say so."""
    assert await mine.code() == await theirs.code()
    await mine.confirm()
    await theirs.confirm()
    await mine.done()
    await theirs.done()


async def test_two_people_verify_each_other(server: RunningServer) -> None:
    """By messages to devices, and in a room, where it is encrypted as everything there."""
    author = await Person.register(server.url, "verifying-author", PASSWORD)
    reader = await Person.register(server.url, "verifying-reader", PASSWORD)
    room = await author.create_room([reader.user_id])
    await reader.sync()
    await reader.join(room)
    async with together(author, reader):
        mine = await author.verify(reader.user_id, room_id=room)
        theirs = await asked(reader)
        assert theirs.room_id == room
        await theirs.accept()
        await compare(mine, theirs)
        assert author.is_verified(reader.user_id)
        assert reader.is_verified(author.user_id)
        state = [message for message in await author.messages(room) if message.type.startswith("m.key.verification")]
        assert state
        assert all(message.encrypted for message in state)
        again = await reader.verify(author.user_id, author.device_id)
        answer = await asked(author)
        await answer.cancel()
        with pytest.raises(VerificationError, match=r"m\.user"):
            await again.code()
        with pytest.raises(SdkError, match="no such device"):
            await author.verify(reader.user_id, "NOBODY")


async def test_the_next_device_can_enrol(server: RunningServer) -> None:
    """With what it is given, a new device signs itself, enrols under the same account log key, and reads on."""
    first = await Person.register(server.url, "two-devices", PASSWORD)
    await first.enrol()
    reader = await Person.register(server.url, "two-devices-reader", PASSWORD)
    room = await first.create_room([reader.user_id])
    await reader.sync()
    await reader.join(room)
    second = await Person.login(server.url, "two-devices", PASSWORD)
    async with together(first, second, reader):
        mine = await second.verify(second.user_id)
        theirs = await asked(first)
        await theirs.accept()
        await compare(mine, theirs)
        while second.engine.identity is None or second._consent.log_key_or_none is None:
            await second.verifying.moved()
        assert second.export_secrets() == first.export_secrets()
        await second.enrol()
        assert {entry.body["enrolment"]["device_id"] for entry in await second.entries()} == {
            first.device_id,
            second.device_id,
        }
        sent = await reader.send_text(room, "To both of your devices.")
        bodies: set[str | None] = set()
        while "To both of your devices." not in bodies:
            bodies = {message.body for message in await second.messages(room) if message.event_id == sent}
            await second.verifying.moved()
